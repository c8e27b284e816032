"""Count the photographs for which `widesr upscale` recommends `realistic`: clean ones, and spoilt.

    python benchmarks/faults.py DATA

DATA is the folder of training photographs; all of them are looked at as they are, which is clean,
and those of training/held_out.txt spoilt in the ways of benchmarks/realistic.py and saved as PNG
and as JPEG. Prints the table of docs/benchmarks/realistic.md and writes it there.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from realistic import CROP, HELD_OUT, PAGE, WAYS  # beside this file
from widesr.degrade.named import photograph_seed
from widesr.evaluation.faults import COARSE_QUALITY, NOISE, find_faults, jpeg_quality, noise_of
from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import write_picture
from widesr.system.folders import pictures_in

START, END = "<!-- faults:start -->\n", "<!-- faults:end -->"
SAVED = {"JPEG 95": 95, "JPEG 90": 90, "JPEG 85": 85, "JPEG 80": 80, "JPEG 75": 75}


def middle(path):
    pixels = read_picture(path).pixels
    top, left = ((side - min(side, CROP)) // 2 for side in pixels.shape[:2])
    return pixels[top : top + CROP, left : left + CROP].copy()


def noise_in(pixels):
    return noise_of(pixels[..., 1].astype(np.float32))


def clean_rows(paths):
    found = [find_faults(path) for path in paths]
    qualities = [jpeg_quality(path) for path in paths]
    noises = sorted(noise_in(read_picture(path).pixels) for path in paths)
    hinted = sum(bool(str(each)) for each in found)
    lowest = min(quality for quality in qualities if quality is not None)
    yield (
        f"as they are ({len(paths)} photographs)",
        str(lowest),
        f"{noises[len(noises) // 2]:.1f} ({noises[-1]:.1f})",
        f"{hinted} of {len(paths)}",
    )


def spoilt_rows(paths, folder):
    for way, spoil in WAYS.items():
        if way.startswith("JPEG"):
            continue
        found, noises = [], []
        for path in paths:
            random = np.random.default_rng(photograph_seed(path.name))
            lr = spoil(middle(path), 2, random)
            write_picture(folder / "a.png", Picture(pixels=lr), overwrite=True)
            found.append(find_faults(folder / "a.png"))
            noises.append(noise_in(lr))
        hinted = sum(bool(str(each)) for each in found)
        yield f"{way}, as PNG", "", f"{np.median(noises):.1f}", f"{hinted} of {len(paths)}"
    for name, quality in SAVED.items():
        found, seen = [], []
        for path in paths:
            lr = WAYS["clean"](middle(path), 2, None)
            write_picture(folder / "a.jpg", Picture(pixels=lr), quality=quality, overwrite=True)
            found.append(find_faults(folder / "a.jpg"))
            seen.append(jpeg_quality(folder / "a.jpg"))
        hinted = sum(bool(str(each)) for each in found)
        yield name, str(min(seen)), "", f"{hinted} of {len(paths)}"


def main(data):
    lines = HELD_OUT.read_text().splitlines()
    names = {Path(line.strip()).name for line in lines if line[:1] not in "#"}
    everything = pictures_in(data, recursive=True)
    held_out = [path for path in everything if path.name in names]
    assert held_out, data
    with TemporaryDirectory() as folder:
        rows = [*clean_rows(everything), *spoilt_rows(held_out, Path(folder))]
    lines = [
        "| pictures | JPEG quality found | noise found, levels | recommended for |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"Recommended from quality {COARSE_QUALITY} down and from {NOISE:.0f} levels up.",
        "Noise: the median, and in brackets the largest.",
    ]
    print("\n".join(lines))
    before, rest = PAGE.read_text(encoding="utf-8").split(START)
    table = "\n".join([*lines, ""])
    PAGE.write_text(before + START + table + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
