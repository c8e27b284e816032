"""Peak memory of `widesr upscale` against the size of the picture; drawn into docs/benchmarks.

    python benchmarks/memory.py                          # bicubic, all sizes; the hard cases
    python benchmarks/memory.py --model default --sizes 1 4 16
    python benchmarks/memory.py --draw                   # measure nothing, judge and draw

Each figure is the largest resident set of a fresh process, as `/usr/bin/time -v` tells it, or
`getrusage` where there is no such program. The pictures are an example photograph beside itself,
again and again, made by libvips. Rows are kept in benchmarks/results/memory.json; a new
measurement of the same kind takes the place of the old one. The plot needs the group `plots`.

Exit code 1 if a row is beyond its limit (1 GiB, or what --max-memory says), or if a curve is not
flat from 64 megapixels on, where bands, some rows over the whole width, have their full size: no
picture may take over 64 MiB more than a smaller one, which is what a band or two more take that
happen to be under way. Decoded, 100 MP have 515 MiB more than 64 MP.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import combinations, groupby
from math import isqrt
from pathlib import Path
from typing import NamedTuple

import pyvips

from widesr.evaluation.report import versions
from widesr.system.commit import which_commit
from widesr.system.machine import this_machine

HERE = Path(__file__).parent
RESULT = HERE / "results" / "memory.json"
PLOT = HERE.parent / "docs" / "benchmarks" / "memory.svg"
PHOTOGRAPH = HERE.parent / "examples" / "kitten.jpg"
MIB = 2**20
LIMIT_MIB = 1024
FLAT_FROM = 64
"""Megapixels: about what is still held whole; a smaller one takes what it needs."""
MAY_GROW_MIB = 64
SIZES = (1, 4, 16, 64, 100)
FORMATS = ("tiff", "png")


class Case(NamedTuple):
    """A picture and what is done with it."""

    name: str
    megapixels: int
    words: tuple[str, ...] = ("-s", "2")
    input: str = "tif"
    """Suffix of the input."""
    output: str = "tif"
    kind: str = "rgb"
    """Or "rgba16", or "turned": on its side by EXIF."""
    limit_mib: int = LIMIT_MIB


HARD = (
    Case("x8 by x4 then x2", 4, ("-s", "8")),
    Case("x1.5", 64, ("-s", "1.5")),
    Case("16-bit RGBA", 36, kind="rgba16"),
    Case("turned JPEG", 64, input="jpg", kind="turned"),
    Case("JPEG to JPEG", 64, input="jpg", output="jpg"),
    Case("PNG to PNG", 64, input="png", output="png"),
    Case("--max-memory 512M", 64, ("-s", "2", "--max-memory", "512M"), limit_mib=512),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="bicubic", help="as -n of widesr upscale")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="megapixels")
    parser.add_argument("--to", nargs="*", choices=FORMATS, default=FORMATS)
    parser.add_argument("--hard", nargs="*", metavar="NAME", help="hard cases; none named is all")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    parser.add_argument("--work", type=Path, help="a folder with 2 GB of room")
    options = parser.parse_args()
    cases = [
        Case("", size, output={"tiff": "tif"}.get(form, form))
        for size in options.sizes
        for form in options.to
    ]
    if options.hard is not None:
        cases = [case for case in HARD if not options.hard or case.name in options.hard]
    for case in [] if options.draw else cases:
        with tempfile.TemporaryDirectory(dir=options.work) as folder:
            row = measured(case, options.model, Path(folder))
        print("{model:9}  {megapixels:3} MP  {case:18} to {output:4}  {peak_mib:5} MiB  "
              "{seconds:6.1f} s".format(**row), flush=True)  # fmt: skip
        keep(row)
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    draw(result["rows"])
    faults = [*too_much(result["rows"]), *not_flat(result["rows"])]
    print(*faults, sep="\n", end="\n" if faults else "")
    return int(bool(faults))


def measured(case, model, folder):
    """Measure one process, and return its row."""
    source, target = folder / f"in.{case.input}", folder / f"out.{case.output}"
    width, height = make_picture(case, source)
    words = ["upscale", str(source), "-o", str(target), "-n", model, *case.words, "--quiet"]
    began = time.perf_counter()
    peak_mib = peak_of([sys.executable, "-m", "widesr", *words])
    seconds = time.perf_counter() - began
    made = pyvips.Image.new_from_file(str(target))
    return {
        "model": model,
        "case": case.name,
        "options": " ".join(case.words),
        "megapixels": case.megapixels,
        "input": f"{width}x{height} {case.kind} {case.input}",
        "output": case.output,
        "output_size": f"{made.width}x{made.height}",
        "peak_mib": peak_mib,
        "limit_mib": case.limit_mib,
        "seconds": round(seconds, 1),
        "load_average": round(os.getloadavg()[0], 1),
        "commit": which_commit(),
    }


def make_picture(case, path):
    """Write the picture of a case; (width, height) of its pixels in the file."""
    side = isqrt(case.megapixels * 1_000_000)
    one = pyvips.Image.new_from_file(str(PHOTOGRAPH)).icc_transform("srgb")
    across, down = -(-side // one.width), -(-side // one.height)
    image = one.copy_memory().replicate(across, down).crop(0, 0, side, side)
    if case.kind == "rgba16":
        alpha = (pyvips.Image.xyz(side, side)[0] * (65535 / side)).cast("ushort")
        image = (image * 257).cast("ushort").bandjoin(alpha).copy(interpretation="rgb16")
    if case.kind == "turned":
        image = image.copy()
        image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    image.write_to_file(str(path))
    return side, side


def peak_of(command):
    """Return the MiB that a process held at its peak."""
    if shutil.which("/usr/bin/time"):
        done = run(["/usr/bin/time", "-v", *command])
        return int(re.search(r"Maximum resident set size \(kbytes\): (\d+)", done)[1]) // 1024
    # A small process in between: a child begins with the peak of the one that started it.
    code = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); "
        "sys.exit(done.returncode)"
    )
    per_mib = MIB if platform.system() == "Darwin" else 1024
    return int(run([sys.executable, "-S", "-c", code, *command]).split()[-1]) // per_mib


def run(command):
    """Run a command, and return what it prints on stderr."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stderr


def keep(row):
    """Put a row in its place among the others."""
    rows = json.loads(RESULT.read_text(encoding="utf-8"))["rows"] if RESULT.exists() else []
    key = ("model", "case", "megapixels", "output")
    rows = [each for each in rows if any(each[name] != row[name] for name in key)]
    rows = sorted([*rows, row], key=lambda each: [each[name] for name in key])
    by = "/usr/bin/time -v" if shutil.which("/usr/bin/time") else "getrusage of the child"
    facts = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "measured_by": by,
        "machine": this_machine().model_dump(),
        "versions": versions(),
        "rows": rows,
    }
    RESULT.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def too_much(rows):
    """Name the rows that are beyond their limits."""
    return [
        f"{name_of(row)}, {row['megapixels']} MP: {row['peak_mib']} MiB, the limit is "
        f"{row['limit_mib']}"
        for row in rows
        if row["peak_mib"] > row["limit_mib"]
    ]


def not_flat(rows):
    """Name the pairs of rows whose memory grows with the picture."""
    faults = []
    for name, curve in curves(rows):
        beyond = [row for row in curve if row["megapixels"] >= FLAT_FROM]
        for less, more in combinations(beyond, 2):
            grown = more["peak_mib"] - less["peak_mib"]
            if grown > MAY_GROW_MIB:
                faults.append(
                    f"{name}: {grown} MiB more at {more['megapixels']} MP than at "
                    f"{less['megapixels']} MP, which is not flat"
                )
    return faults


def curves(rows):
    """The plain x2 rows of each model and output format, by size."""
    plain = sorted((row for row in rows if not row["case"]), key=name_of)
    for name, curve in groupby(plain, key=name_of):
        yield name, sorted(curve, key=lambda row: row["megapixels"])


def name_of(row):
    return f"{row['model']} to {row['output'].upper()}" + (row["case"] and f", {row['case']}")


def draw(rows):
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "widesr", "svg.fonttype": "path", "font.size": 9}
    from matplotlib import pyplot as plt

    figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
    for name, curve in curves(rows):
        x, y = zip(*((row["megapixels"], row["peak_mib"]) for row in curve), strict=True)
        ax.plot(x, y, marker="o", markersize=4, label=name)
    ax.axhline(LIMIT_MIB, color="#c0392b", linestyle="--", linewidth=1)
    ax.text(1, LIMIT_MIB - 12, "limit", color="#c0392b", va="top")
    held = [n / 10 for n in range(10, 1001)]
    ax.plot(held, [n * 1e6 * 15 / MIB for n in held], color="#8a8f98", linewidth=1, linestyle=":",
            label="input and output, decoded")  # fmt: skip
    ax.set(xscale="log", xlabel="megapixels of the input, x2", ylabel="peak memory, MiB")
    ax.set_xticks(SIZES, [str(size) for size in SIZES])
    ax.minorticks_off()
    ax.set_ylim(0, 1.15 * LIMIT_MIB)
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8, loc="lower right")
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
