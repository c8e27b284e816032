"""Draw the picture that the README begins with, and write the figures below it.

    python scripts/comparison.py docs/assets/comparison.jpg [README.md]

from the checkout, with the base install: one detail of one photograph, as `make demo` prints and
draws it, computed in fp32.
"""

import sys
from pathlib import Path

from demo import PROTOCOL, busiest, comparison, upscale  # beside this file
from pages import write_between

from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import write_picture
from widesr.pixels.metrics import psnr
from widesr.pixels.resize import imresize
from widesr.upscaling.upscaler import Upscaler

PHOTOGRAPH = Path("examples/shuttle.jpg")
SCALE, SIDE = 2, 120


def main(out: Path, page: Path | None = None) -> None:
    pixels = read_picture(Path(__file__).parents[1] / PHOTOGRAPH).pixels
    height, width = (n - n % 12 for n in pixels.shape[:2])  # a multiple of every scale
    hr = pixels[:height, :width]
    upscaler = Upscaler.load(scale=SCALE, precision="fp32")
    result = upscale(upscaler, imresize(hr, scale=1 / SCALE))
    result.panels["original"] = hr
    top, left = busiest(hr, side=SIDE)
    sheet = comparison(result.panels, top=top, left=left, side=SIDE)
    write_picture(out, Picture(pixels=sheet), quality=90, overwrite=True)
    bicubic, ours = (
        psnr(result.panels[name], hr, protocol=PROTOCOL, scale=SCALE)
        for name in ("bicubic", "widesr")
    )
    said = (
        f"One detail of `{PHOTOGRAPH}`, shrunk to half and enlarged again, as `make demo` prints "
        f"and draws it: {bicubic:.2f} dB by\nbicubic interpolation, {ours:.2f} dB by "
        f"`{upscaler.model}` (PSNR-Y of the whole picture, protocol `{PROTOCOL.name}`)."
    )
    print(said)
    if page is not None:
        write_between(page, "comparison", said)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
