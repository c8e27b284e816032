"""Draw where networks fail, small text and pixel art, with figures: docs/why/limits.md.

    python scripts/limits.py docs/assets [docs/why/limits.md]

from the checkout; needs Pillow, whose own font draws the text (dependency group `test`). The
figures go into the page that is named, if one is. All is computed in fp32.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pages import write_between  # beside this file
from PIL import Image, ImageDraw, ImageFont

from widesr.models.catalog import BICUBIC, NEAREST
from widesr.pictures.picture import Picture
from widesr.pictures.writing import write_picture
from widesr.pixels.drawing import enlarged, joined, titled
from widesr.upscaling.api import upscale
from widesr.upscaling.base import AnyUpscaler
from widesr.upscaling.upscaler import Upscaler

Pixels = NDArray[np.uint8]

PAPER, INK = 235, 40
MODELS = (BICUBIC, "fast", "default", "best")
TEXT = (
    "Small print on paper gets",
    "rims, and thin strokes may",
    "close: 0123456789 BR8S ag&@",
)
FINE = 4
"""Factor by which the text is drawn larger before it is shrunk, so that its edges are soft."""
SPRITE = (
    "....1111....",
    "..11222211..",
    ".1222222221.",
    ".1232222321.",
    "122322223221",
    "122222222221",
    "124222222421",
    ".1244444421.",
    ".1222222221.",
    "..11222211..",
    ".11.1111.11.",
    "11...11...11",
)
PALETTE = {".": (92, 148, 252), "1": (20, 16, 32), "2": (248, 184, 0), "3": (255, 255, 255),
           "4": (200, 40, 30)}  # fmt: skip


class Row(NamedTuple):
    """The results of a model for both pictures."""

    model: str
    brighter: float
    """Per cent of the strip's pixels that are brighter than its paper by more than two levels."""
    colours: int
    """Different colours in the sprite at x4."""

    def __str__(self) -> str:
        return f"| {self.model} | {self.brighter:.1f} % | {self.colours:,} |"


def text(*, zoom: int) -> Pixels:
    """A strip of small print as a screen shows it, (H, W, 3); at `zoom` 2 drawn twice as large."""
    size, line = 11, 16
    image = Image.new("L", (168 * FINE, (line * len(TEXT) + 8) * FINE), PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size * FINE)
    for number, words in enumerate(TEXT):
        draw.text((8 * FINE, (4 + line * number) * FINE), words, fill=INK, font=font)
    side = FINE // zoom
    height, width = image.height // side, image.width // side
    # By means of areas: nothing is brighter than its paper.
    means = np.asarray(image).reshape(height, side, width, side).mean(axis=(1, 3))
    return np.round(means).astype(np.uint8)[..., None].repeat(3, axis=2)


def sprite() -> Pixels:
    """A small ghost of five colours under the sky, (20, 20, 3)."""
    rows = [[PALETTE[pixel] for pixel in row] for row in SPRITE]
    sky = np.full((20, 20, 3), PALETTE["."], np.uint8)
    sky[4:16, 4:16] = rows
    return sky


def loaded(model: str, *, scale: int) -> AnyUpscaler:
    if model == BICUBIC:
        return Upscaler.load(model, scale=scale)
    return Upscaler.load(model, scale=scale, precision="fp32")


def main(out: Path, page: Path | None = None) -> None:
    lr, larger, ghost = text(zoom=1), text(zoom=2), sprite()
    texts = {model: upscale(lr, model=loaded(model, scale=2)) for model in MODELS}
    ghosts = {model: upscale(ghost, model=loaded(model, scale=4)) for model in MODELS}
    texts[NEAREST] = upscale(lr, scale=2, model=NEAREST)
    ghosts[NEAREST] = upscale(ghost, scale=4, model=NEAREST)

    rows = [Row("drawn so large", brighter(larger), colours(ghost))]
    rows += [Row(model, brighter(texts[model]), colours(ghosts[model])) for model in texts]
    shown = {"DRAWN SO LARGE": larger, "BICUBIC": texts[BICUBIC], "DEFAULT": texts["default"]}
    shown["DEFAULT, RED: BRIGHTER THAN PAPER"] = marked(texts["default"])
    panels = [titled(n, enlarged(p, zoom=2), width=2 * p.shape[1]) for n, p in shown.items()]
    write_picture(out / "limits_text.png", Picture(pixels=joined(panels, axis=0)), overwrite=True)
    panels = [
        titled(f"{name.upper()} x4", enlarged(ghosts[name], zoom=3), width=240)
        for name in (NEAREST, BICUBIC, "default")
    ]
    write_picture(
        out / "limits_pixel_art.png", Picture(pixels=joined(panels, axis=1)), overwrite=True
    )
    heads = ("`-n`", "text, x2: brighter than the paper", "pixel art, x4: colours")
    table = "\n".join([f"| {' | '.join(heads)} |", "|---|---:|---:|", *map(str, rows)])
    print(table)
    if page is not None:
        write_between(page, "figures", table)


def brighter(pixels: Pixels) -> float:
    return 100 * float(is_brighter(pixels).mean())


def is_brighter(pixels: Pixels) -> NDArray[np.bool_]:
    return pixels.mean(axis=2) > PAPER + 2


def marked(pixels: Pixels) -> Pixels:
    return np.where(is_brighter(pixels)[..., None], (220, 30, 30), pixels).astype(np.uint8)


def colours(pixels: Pixels) -> int:
    return len(np.unique(pixels.reshape(-1, 3), axis=0))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
