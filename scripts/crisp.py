"""Draw one detail as the faithful and the crisp model make it, and write the figures below it.

    python scripts/crisp.py docs/assets/crisp.jpg [docs/why/crisp.md]

from the checkout, with the base install: a photograph that no model has seen, made a quarter as
large and enlarged again, computed in fp32.
"""

import sys
from pathlib import Path

from demo import PROTOCOL, busiest, comparison  # beside this file
from pages import write_between

from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import write_picture
from widesr.pixels.consistency import lr_psnr
from widesr.pixels.metrics import psnr
from widesr.pixels.resize import imresize
from widesr.upscaling.upscaler import Upscaler

PHOTOGRAPH = Path("examples/kitten.jpg")
SCALE, SIDE = 4, 160
MODELS = ("best", "crisp:0.5", "crisp")


def main(out: Path, page: Path | None = None) -> None:
    pixels = read_picture(Path(__file__).parents[1] / PHOTOGRAPH).pixels
    height, width = (n - n % 12 for n in pixels.shape[:2])  # a multiple of every scale
    hr = pixels[:height, :width]
    lr = imresize(hr, scale=1 / SCALE)
    panels = {n: Upscaler.load(n, scale=SCALE, precision="fp32")(lr) for n in MODELS}
    top, left = busiest(hr, side=SIDE)
    sheet = comparison(panels | {"original": hr}, top=top, left=left, side=SIDE)
    write_picture(out, Picture(pixels=sheet), quality=90, overwrite=True)
    rows = [
        f"| `-n {name}` | {psnr(sr, hr, protocol=PROTOCOL, scale=SCALE):.2f} dB "
        f"| {lr_psnr(sr, lr):.1f} dB |"
        for name, sr in panels.items()
    ]
    said = "\n".join(
        [
            f"One detail of `{PHOTOGRAPH}`, shrunk to a quarter and enlarged again.",
            "",
            f"| model | PSNR-Y (`{PROTOCOL.name}`) | LR-PSNR |",
            "|---|---|---|",
            *rows,
        ]
    )
    print(said)
    if page is not None:
        write_between(page, "crisp", said)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
