"""Draws one place of a picture, upscaled by several models, side by side on one sheet."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from widesr.evaluation.diff.difference import Window, most_different
from widesr.evaluation.diff.sheet import PANEL, shown
from widesr.pictures.picture import Picture
from widesr.pixels.drawing import enlarged, framed, joined, titled
from widesr.pixels.resize import imresize

_COLUMNS = 3


def most_detailed(picture: Picture, *, scale: int, side: int) -> Window:
    """Find the window of at most `side` x `side` pixels that loses most when shrunk by `scale`.

    There, models have the most detail to restore.
    """
    pixels = shown(picture)
    height, width = pixels.shape[:2]
    small = imresize(pixels, size=(ceil(height / scale), ceil(width / scale)))
    gaps = np.abs(imresize(small, size=(height, width)).astype(np.int16) - pixels)
    return most_different(gaps.max(axis=2).astype(np.uint8), side=side)


def contact_sheet(
    picture: Picture, panels: Sequence[tuple[str, Picture]], *, window: Window, zoom: int, name: str
) -> NDArray[np.uint8]:
    """Draw the whole picture with its window framed, and beside it the window by each model.

    Args:
        picture: The input.
        panels: A title and the upscaled window for each model; all windows are of one size.
        window: The place, in pixels of the input.
        zoom: Pixels of the sheet per pixel of a panel; nothing is smoothed.
        name: The picture's name, for its label.

    Returns:
        sRGB, uint8, (H, W, 3).
    """
    pixels = shown(picture)
    height, width = pixels.shape[:2]
    down, up = ceil(max(height, width) / PANEL), max(1, PANEL // max(height, width))
    overview = imresize(pixels, size=(ceil(height / down), ceil(width / down)))
    overview = framed(enlarged(overview, zoom=up), *window.scaled(down=down, up=up).slices)
    parts = [(f"{name}  {width}x{height}  at {window}", overview)]
    parts += [(title, enlarged(shown(panel), zoom=zoom)) for title, panel in panels]
    column = max(PANEL, *(part.shape[1] for _, part in parts))
    boxes = [titled(title, part, width=column) for title, part in parts]
    rows = [boxes[at : at + _COLUMNS] for at in range(0, len(boxes), _COLUMNS)]
    return joined([joined(row, axis=1) for row in rows], axis=0)
