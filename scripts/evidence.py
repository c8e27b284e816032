"""Draw what is lost by tools that do not keep it, beside what widesr gives: docs/why/fidelity.md.

Run from the checkout, with the base install: `python scripts/evidence.py examples docs/assets`.
Each picture is made from a photograph or drawn here, goes through files, and is scored.
"""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyvips
from numpy.typing import NDArray

from widesr.api import upscale
from widesr.compare.sheet import enlarged, joined, titled
from widesr.pictures.adapt import adapted
from widesr.pictures.picture import Picture
from widesr.pictures.profiles import Colours, profile_of
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import write_picture
from widesr.resize import imresize

Pixels = NDArray[np.uint8]

ADOBE_RGB = Colours((0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06), 563 / 256)


def colour(examples: Path, folder: Path) -> Pixels:
    """A photograph in Adobe RGB, as cameras write it, seen in sRGB."""
    photograph = read_picture(examples / "spices.jpg").pixels[220:380, 340:500]
    source = Picture(pixels=in_adobe_rgb(photograph), icc=profile_of(ADOBE_RGB, grey=False))
    write_picture(folder / "adobe.png", source)
    kept = through_files(folder / "adobe.png")
    dropped = replace(kept, icc=None)
    seen = {"PROFILE DROPPED": dropped, "WIDESR": kept}
    panels = {name: adapted(picture, icc="srgb").pixels for name, picture in seen.items()}
    for name, pixels in panels.items():
        error = np.abs(imresize(pixels, scale=0.5).astype(int) - photograph).mean()
        print(f"colour: {name.lower()}: {error:.2f} levels from the photograph, on average")
    return sheet({"PHOTOGRAPH, PIXELS x2": enlarged(photograph, zoom=2), **panels})


def in_adobe_rgb(pixels: Pixels) -> Pixels:
    image = pyvips.Image.new_from_array(pixels, interpretation="srgb")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "adobe.icc"
        path.write_bytes(profile_of(ADOBE_RGB, grey=False) or b"")
        return image.icc_transform(str(path), input_profile="srgb", intent="relative").numpy()


def alpha(folder: Path) -> Pixels:
    """A logo whose clear pixels are white, as drawing programs leave them, over dark ground."""
    source = logo(side=40)
    write_picture(folder / "logo.png", source)
    ours = through_files(folder / "logo.png")
    as_it_is = replace(ours, pixels=upscale(source.pixels, scale=2))
    ground = np.array([16, 40, 72])
    least, most = (pick(source.pixels[20, 20], ground) for pick in (np.minimum, np.maximum))
    panels = {}
    for name, picture in {"HIDDEN WHITE KEPT": as_it_is, "WIDESR": ours}.items():
        pixels = over(picture, ground)
        panels[name] = enlarged(pixels, zoom=5)
        beyond = ((pixels < least - 8) | (pixels > most + 8)).any(axis=2)
        print(f"alpha: {name.lower()}: {beyond.sum()} pixels of colours that are in neither")
    return sheet(panels)


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


def depth(folder: Path) -> Pixels:
    """A dark gradient of 16 bits, 24 times brighter."""
    x = np.linspace(0, 1, 200)
    rows = np.round((0.005 + 0.03 * x) * 65535) * np.ones((60, 1))
    source = Picture(pixels=rows[..., None].astype(np.uint16))
    write_picture(folder / "deep.png", source)
    flattened = replace(source, pixels=np.round(source.pixels / 257).astype(np.uint8))
    write_picture(folder / "flat.png", flattened)
    panels = {}
    for name, file in {"FLATTENED TO 8 BITS": "flat.png", "WIDESR, 16 BITS": "deep.png"}.items():
        pixels = through_files(folder / file).pixels
        levels = pixels / np.iinfo(pixels.dtype).max
        print(f"16 bit: {name.lower()}: {len(np.unique(pixels))} values")
        bright = np.round(np.clip(levels * 24, 0, 1) * 255).astype(np.uint8)
        panels[name] = np.repeat(bright, 3, axis=2)
    return sheet(panels, axis=0)


def through_files(path: Path) -> Picture:
    """What is read of the file that widesr writes for this one."""
    out = path.with_name(f"{path.stem}_x2{path.suffix}")
    write_picture(out, upscale(read_picture(path), scale=2))
    return read_picture(out)


def sheet(panels: dict[str, Pixels], *, axis: int = 1) -> Pixels:
    parts = [titled(name, pixels, width=pixels.shape[1]) for name, pixels in panels.items()]
    return joined(parts, axis=axis)


def main(examples: Path, out: Path) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        pictures = {
            "fidelity_colour.jpg": colour(examples, folder),
            "fidelity_alpha.png": alpha(folder),
            "fidelity_16_bit.png": depth(folder),
        }
    for file, pixels in pictures.items():
        write_picture(out / file, Picture(pixels=pixels), quality=80, overwrite=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
