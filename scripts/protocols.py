"""Score the same pictures in the ways of papers and programs, and write how far these are apart.

    python scripts/protocols.py [docs/why/decibels.md]

from the checkout, with the base install: the photographs in examples/, which no model has seen,
made small and enlarged again by bicubic interpolation and by the default model, in fp32.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pages import write_between  # beside this file

from widesr.degrade.bicubic import cropped_to_multiple, degrade
from widesr.pictures.reading import read_picture
from widesr.pixels.metrics import PROTOCOLS, psnr
from widesr.upscaling.interpolation import Bicubic
from widesr.upscaling.upscaler import Upscaler

EXAMPLES = Path(__file__).parents[1] / "examples"
SCALES = (2, 4)
MODELS = ("bicubic", "default")
Y, RGB = PROTOCOLS["benchmark-y"], PROTOCOLS["div2k-rgb"]
JUDGED = "x2 default"
"""The column whose rows are compared."""
CENTRE = 128
"""The side of what training validates on, in LR pixels."""

Pixels = NDArray[Any]


class Made(NamedTuple):
    """A photograph, and what was made of its LR, (H, W, 3)."""

    hr: Pixels
    sr: Pixels
    fine: Pixels
    """The same with 16 bits: not rounded to 8."""
    of_means: Pixels
    """Made of an LR whose pixels are the means of blocks."""
    scale: int


def full_range(made: Made) -> float:
    """PSNR of luma from 0 to 255, in dB, as piq and OpenCV have it; the border is the scale."""
    inside = slice(made.scale, -made.scale), slice(made.scale, -made.scale)
    weights = np.array([0.299, 0.587, 0.114])
    apart = (made.sr[inside].astype(float) - made.hr[inside].astype(float)) @ weights
    return float(10 * np.log10(255**2 / np.mean(apart**2)))


def of_centre(made: Made) -> float:
    """PSNR-Y of the middle alone, in dB."""
    side = CENTRE * made.scale
    top, left = (max((n - side) // 2, 0) for n in made.hr.shape[:2])
    inside = slice(top, top + side), slice(left, left + side)
    return psnr(made.sr[inside], made.hr[inside], protocol=Y, scale=made.scale)


def mean(score: Callable[[Made], float]) -> Callable[[list[Made]], float]:
    return lambda all_of_them: float(np.mean([score(made) for made in all_of_them]))


def pooled(all_of_them: list[Made]) -> float:
    """PSNR-Y of the mean of the squared errors of all pictures, in dB."""
    errors = [10 ** (-psnr(m.sr, m.hr, protocol=Y, scale=m.scale) / 10) for m in all_of_them]
    return float(-10 * np.log10(np.mean(errors)))


WAYS: dict[str, Callable[[list[Made]], float]] = {
    f"`{name}`": mean(lambda m, p=protocol: psnr(m.sr, m.hr, protocol=p, scale=m.scale))
    for name, protocol in PROTOCOLS.items()
} | {
    "`benchmark-y`, luma from 0 to 255": mean(full_range),
    "`benchmark-y`, result of 16 bits": mean(
        lambda m: psnr(m.fine, m.hr.astype(np.uint16) * 257, protocol=Y, scale=m.scale)
    ),
    "`benchmark-y`, the middle alone": mean(of_centre),
    "`benchmark-y`, errors averaged before the logarithm": pooled,
    "`benchmark-y`, LR by means of blocks": mean(
        lambda m: psnr(m.of_means, m.hr, protocol=Y, scale=m.scale)
    ),
    "`div2k-rgb`, LR by means of blocks": mean(
        lambda m: psnr(m.of_means, m.hr, protocol=RGB, scale=m.scale)
    ),
}


def means_of_blocks(hr: Pixels, *, scale: int) -> Pixels:
    height, width = (side // scale for side in hr.shape[:2])
    blocks = hr.reshape(height, scale, width, scale, 3)
    return np.floor(blocks.mean(axis=(1, 3)) + 0.5).astype(np.uint8)


def made_by(model: str, *, scale: int) -> list[Made]:
    upscaler = (
        Bicubic(scale)
        if model == "bicubic"
        else Upscaler.load(model, scale=scale, precision="fp32", threads=1)
    )
    found = []
    for path in sorted(EXAMPLES.glob("*.jpg")):
        hr = cropped_to_multiple(read_picture(path).pixels, scale)
        lr = degrade(hr, scale=scale)
        found.append(
            Made(
                hr=hr,
                sr=upscaler(lr),
                fine=upscaler(lr.astype(np.uint16) * 257),
                of_means=upscaler(means_of_blocks(hr, scale=scale)),
                scale=scale,
            )
        )
    return found


def main(page: Path | None = None) -> None:
    made = {(scale, model): made_by(model, scale=scale) for scale in SCALES for model in MODELS}
    columns = {f"x{scale} {model}": pictures for (scale, model), pictures in made.items()}
    first = next(iter(WAYS.values()))(columns[JUDGED])
    table = []
    for name, way in WAYS.items():
        found = {column: way(pictures) for column, pictures in columns.items()}
        figures = [f"{db:.2f}" for db in found.values()]
        table.append([name, *figures, f"{found[JUDGED] - first:+.2f}"])
    head = ["PSNR in dB", *columns, f"{JUDGED}, against the first row"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *table]
    said = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    print(said)
    if page is not None:
        write_between(page, "figures", said)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
