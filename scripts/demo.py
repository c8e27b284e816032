"""Upscale the photographs in a folder x2 and x4 and show what was gained: `make demo`.

Each photograph is taken as the original: it is shrunk, upscaled again by bicubic interpolation
and by widesr, and both are scored against it. The photographs in `AS_IS` are upscaled as they are
instead, as a user would do it; their larger original is not known, so there is nothing to score.
"""

import sys
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from widesr.errors import WidesrError
from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import write_picture
from widesr.pixels.drawing import densest, enlarged, joined, titled
from widesr.pixels.metrics import PROTOCOLS, psnr
from widesr.pixels.resize import imresize
from widesr.upscaling.upscaler import Upscaler

SCALES = (2, 4)
AS_IS = {"spices"}
PROTOCOL = PROTOCOLS["benchmark-y"]
PANEL = 480
"""Side of one panel of a comparison picture, in pixels."""

Pixels = NDArray[np.uint8]


class Result(NamedTuple):
    """One photograph, upscaled: the pictures to write and the figures to print."""

    lr: Pixels
    panels: dict[str, Pixels]
    """Label to picture; all of one size, "widesr" among them."""
    seconds: float


def busiest(pixels: Pixels, *, side: int) -> tuple[int, int]:
    """Find top and left of the `side` x `side` window where neighbouring pixels differ most."""
    luma = pixels.mean(axis=2)
    change = np.abs(np.diff(luma, axis=0))[:, 1:] + np.abs(np.diff(luma, axis=1))[1:]
    return densest(change, height=side - 1, width=side - 1)


def comparison(panels: dict[str, Pixels], *, top: int, left: int, side: int) -> Pixels:
    """Put the same window of each picture side by side, enlarged without smoothing, labelled."""
    columns = []
    for name, pixels in panels.items():
        crop = enlarged(pixels[top : top + side, left : left + side], zoom=PANEL // side)
        columns.append(titled(name.upper(), crop, width=PANEL))
    return joined(columns, axis=1)


def upscale(upscaler: Upscaler, lr: Pixels) -> Result:
    start = perf_counter()
    sr = upscaler(lr)
    seconds = perf_counter() - start
    return Result(lr, {"bicubic": imresize(lr, scale=upscaler.scale), "widesr": sr}, seconds)


def show(result: Result, *, name: str, upscaler: Upscaler) -> None:
    """Print one line: sizes, seconds, model and, where the original is known, decibels."""
    (height, width), scale = result.lr.shape[:2], upscaler.scale
    sizes = f"{f'{width}x{height}':>7} -> {f'{scale * width}x{scale * height}':<9}"
    line = f"{name:8} {sizes} {result.seconds:6.2f} s  {upscaler.model:12}"
    hr = result.panels.get("original")
    if hr is None:
        print(f"{line} original unknown", flush=True)
        return
    before, after = (
        psnr(result.panels[kind], hr, protocol=PROTOCOL, scale=scale)
        for kind in ("bicubic", "widesr")
    )
    print(f"{line} {before:5.2f} -> {after:5.2f} dB  {after - before:+.2f}", flush=True)


def demonstrate(photograph: Path, upscaler: Upscaler, out: Path) -> None:
    """Upscale one photograph, print its line, write the picture and its comparison."""
    scale, name = upscaler.scale, photograph.stem
    pixels = read_picture(photograph).pixels
    if name in AS_IS:
        result = upscale(upscaler, pixels)
        side = 60 * scale
        top, left = (scale * n for n in busiest(pixels, side=60))
    else:
        height, width = (n - n % 12 for n in pixels.shape[:2])  # a multiple of every scale
        hr = pixels[:height, :width]
        result = upscale(upscaler, imresize(hr, scale=1 / scale))
        result.panels["original"] = hr
        side = 120
        top, left = busiest(hr, side=side)

    show(result, name=name, upscaler=upscaler)
    sheet = comparison(result.panels, top=top, left=left, side=side)
    for suffix, picture in (("", result.panels["widesr"]), ("_comparison", sheet)):
        write_picture(out / f"{name}_x{scale}{suffix}.png", Picture(pixels=picture), overwrite=True)


def main(examples: Path, out: Path) -> None:
    photographs = sorted(examples.glob("*.jpg"))
    if not photographs:
        sys.exit(f"demo: no photographs (*.jpg) in {examples}")
    out.mkdir(parents=True, exist_ok=True)
    print(f"decibels: PSNR-Y, protocol {PROTOCOL.name}, bicubic -> widesr, against the original")
    try:
        for scale in SCALES:
            upscaler = Upscaler.load(scale=scale)
            for photograph in photographs:
                demonstrate(photograph, upscaler, out)
    except WidesrError as error:
        sys.exit(f"demo: error[{error.code}]: {error}")
    print(f"pictures and comparisons (*_comparison.png: bicubic | widesr | original) are in {out}/")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
