"""Draw what is lost by tools that do not keep it, beside what widesr gives: docs/why/fidelity.md.

    python scripts/evidence.py examples docs/assets [docs/why/fidelity.md]

from the checkout, with the base install. Each picture is made from a photograph or drawn here, goes
through files, and is scored; the scores go into the page that is named, if one is. Everything is
computed in fp32, which gives the same on any machine.
"""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray
from pages import write_between  # beside this file

from widesr.pictures.adapt import adapted
from widesr.pictures.picture import Picture
from widesr.pictures.profiles import Colours, profile_of
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import write_picture
from widesr.pixels.drawing import enlarged, joined, titled
from widesr.pixels.resize import imresize
from widesr.upscaling.api import upscale
from widesr.upscaling.upscaler import Upscaler

Pixels = NDArray[np.uint8]

ADOBE_RGB = Colours((0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06), 563 / 256)


NETWORK = Upscaler.load("default", scale=2, precision="fp32")


class Shown(NamedTuple):
    """A picture of the page, and the figures beside it: what is counted, dropped, and kept."""

    sheet: Pixels
    counted: str
    dropped: str
    kept: str


def colour(examples: Path, folder: Path) -> Shown:
    """A photograph in Adobe RGB, as cameras write it, seen in sRGB."""
    photograph = read_picture(examples / "spices.jpg").pixels[220:380, 340:500]
    source = Picture(pixels=in_adobe_rgb(photograph), icc=profile_of(ADOBE_RGB, grey=False))
    write_picture(folder / "adobe.png", source)
    kept = through_files(folder / "adobe.png")
    dropped = replace(kept, icc=None)
    seen = {"PROFILE DROPPED": dropped, "WIDESR": kept}
    panels = {name: adapted(picture, icc="srgb").pixels for name, picture in seen.items()}
    errors = (
        np.abs(imresize(pixels, scale=0.5).astype(int) - photograph).mean()
        for pixels in panels.values()
    )
    return Shown(
        sheet({"PHOTOGRAPH, PIXELS x2": enlarged(photograph, zoom=2), **panels}),
        "colour: levels from the photograph, on average",
        *(f"{error:.2f}" for error in errors),
    )


def in_adobe_rgb(pixels: Pixels) -> Pixels:
    image = pyvips.Image.new_from_array(pixels, interpretation="srgb")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "adobe.icc"
        path.write_bytes(profile_of(ADOBE_RGB, grey=False) or b"")
        return image.icc_transform(str(path), input_profile="srgb", intent="relative").numpy()


def alpha(folder: Path) -> Shown:
    """A logo whose clear pixels are white, as drawing programs leave them, over dark ground."""
    source = logo(side=40)
    write_picture(folder / "logo.png", source)
    ours = through_files(folder / "logo.png")
    as_it_is = replace(ours, pixels=upscale(source.pixels, model=NETWORK))
    ground = np.array([16, 40, 72])
    least, most = (pick(source.pixels[20, 20], ground) for pick in (np.minimum, np.maximum))
    panels, counts = {}, []
    for name, picture in {"HIDDEN WHITE KEPT": as_it_is, "WIDESR": ours}.items():
        pixels = over(picture, ground)
        panels[name] = enlarged(pixels, zoom=5)
        counts.append(((pixels < least - 8) | (pixels > most + 8)).any(axis=2).sum())
    return Shown(
        sheet(panels), "transparency: pixels of colours that are in neither", *map(str, counts)
    )


def logo(*, side: int) -> Picture:
    """A red ring, antialiased; white where nothing of it is seen."""
    fine = 8
    y, x = (np.mgrid[0 : side * fine, 0 : side * fine] + 0.5) / (side * fine) * 2 - 1
    radius = np.hypot(x, y)
    inside = ((radius < 0.85) & (radius > 0.5)) | (radius < 0.25)
    share = inside.reshape(side, fine, side, fine).mean(axis=(1, 3))
    colours = np.where(share[..., None] > 0, (200, 40, 30), 255).astype(np.uint8)
    return Picture(pixels=colours, alpha=np.round(share * 255).astype(np.uint8))


def over(picture: Picture, ground: NDArray[np.int64]) -> Pixels:
    if picture.alpha is None:
        return picture.pixels
    share = picture.alpha[..., None] / 255
    return np.round(picture.pixels * share + ground * (1 - share)).astype(np.uint8)


def depth(folder: Path) -> Shown:
    """A dark gradient of 16 bits, 24 times brighter."""
    x = np.linspace(0, 1, 200)
    rows = np.round((0.005 + 0.03 * x) * 65535) * np.ones((60, 1))
    source = Picture(pixels=rows[..., None].astype(np.uint16))
    write_picture(folder / "deep.png", source)
    flattened = replace(source, pixels=np.round(source.pixels / 257).astype(np.uint8))
    write_picture(folder / "flat.png", flattened)
    panels, counts = {}, []
    for name, file in {"FLATTENED TO 8 BITS": "flat.png", "WIDESR, 16 BITS": "deep.png"}.items():
        pixels = through_files(folder / file).pixels
        levels = pixels / np.iinfo(pixels.dtype).max
        counts.append(len(np.unique(pixels)))
        bright = np.round(np.clip(levels * 24, 0, 1) * 255).astype(np.uint8)
        panels[name] = np.repeat(bright, 3, axis=2)
    counted = "16 bits: values of a dark gradient"
    return Shown(sheet(panels, axis=0), counted, *map(str, counts))


def through_files(path: Path) -> Picture:
    """Return what is read of the file that widesr writes for this one."""
    out = path.with_name(f"{path.stem}_x2{path.suffix}")
    write_picture(out, upscale(read_picture(path), model=NETWORK))
    return read_picture(out)


def sheet(panels: dict[str, Pixels], *, axis: int = 1) -> Pixels:
    parts = [titled(name, pixels, width=pixels.shape[1]) for name, pixels in panels.items()]
    return joined(parts, axis=axis)


def main(examples: Path, out: Path, page: Path | None = None) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        shown = {
            "fidelity_colour.jpg": colour(examples, folder),
            "fidelity_alpha.png": alpha(folder),
            "fidelity_16_bit.png": depth(folder),
        }
    for file, each in shown.items():
        write_picture(out / file, Picture(pixels=each.sheet), quality=80, overwrite=True)
    rows = [f"| {each.counted} | {each.dropped} | {each.kept} |" for each in shown.values()]
    table = "\n".join(["| | where it is lost | widesr |", "|---|---:|---:|", *rows])
    print(table)
    if page is not None:
        write_between(page, "figures", table)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
