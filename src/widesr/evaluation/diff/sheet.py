"""Draws two pictures for visual comparison: whole, their difference, and one place enlarged."""

import numpy as np
from numpy.typing import NDArray

from widesr.evaluation.diff.difference import Difference, Window
from widesr.evaluation.diff.matching import Matched
from widesr.pictures.adapt import adapted
from widesr.pictures.picture import Picture
from widesr.pixels.depth import in_8_bits
from widesr.pixels.drawing import enlarged, framed, joined, titled
from widesr.pixels.resize import imresize

PANEL = 480
"""Longest side of a picture that the sheet shows whole, in pixels."""
_SQUARE = 8
"""Side of the squares that show through transparent parts, in pixels of the picture."""


def drawn(
    pair: Matched, difference: Difference, *, window: Window, zoom: int, names: tuple[str, str]
) -> NDArray[np.uint8]:
    """Draw both whole pictures and a map of their difference, and below them the enlarged window.

    Args:
        pair: The pictures that were compared.
        difference: The result of `measured` for that pair.
        window: The place that is framed above and shown below.
        zoom: Pixels of the sheet per pixel of the window.
        names: The names of A and B, for the labels.

    Returns:
        sRGB, uint8, (H, W, 3).
    """
    longest = max(difference.levels.shape)
    down, up = -(-longest // PANEL), max(1, PANEL // longest)
    height, width = (-(-side // down) for side in difference.levels.shape)
    overview = [
        *(imresize(shown(each), size=(height, width)) for each in (pair.a, pair.b)),
        _as_map(_strongest(difference.levels, down), white=difference.white),
    ]
    details = [
        *_details(pair, window=window, zoom=zoom),
        enlarged(_as_map(difference.levels[window.slices], white=difference.white), zoom=zoom),
    ]
    levels = f"{difference.white} level{'s' * (difference.white > 1)}"
    titles = (*_titles(names), f"difference, white: {levels} or more")
    column = max(PANEL, window.width * zoom)
    frame = window.scaled(down=down, up=up).slices
    top = [
        titled(title, framed(enlarged(each, zoom=up), *frame), width=column)
        for title, each in zip(titles, overview, strict=True)
    ]
    below = [
        titled(title, each, width=column)
        for title, each in zip(("A", "B", f"{window}, {zoom}x"), details, strict=True)
    ]
    return joined([joined(top, axis=1), joined(below, axis=1)], axis=0)


def frames(
    pair: Matched, *, window: Window, zoom: int, names: tuple[str, str]
) -> list[NDArray[np.uint8]]:
    """Draw the window of A and that of B, to be shown in turn; the arguments are as for `drawn`.

    Returns:
        Two frames of one size, sRGB, uint8, (H, W, 3).
    """
    details = _details(pair, window=window, zoom=zoom)
    return [
        titled(title, each, width=max(PANEL, each.shape[1]))
        for title, each in zip(_titles(names), details, strict=True)
    ]


def _titles(names: tuple[str, str]) -> tuple[str, str]:
    return f"A  {names[0]}", f"B  {names[1]}"


def _details(pair: Matched, *, window: Window, zoom: int) -> list[NDArray[np.uint8]]:
    parts = (
        each.with_planes(lambda plane: np.ascontiguousarray(plane[window.slices]))
        for each in (pair.a, pair.b)
    )
    return [enlarged(shown(part), zoom=zoom) for part in parts]


def shown(picture: Picture) -> NDArray[np.uint8]:
    """Convert a picture to 8-bit sRGB, (H, W, 3), over squares where it is transparent."""
    picture = adapted(picture, icc="srgb")
    colours = np.broadcast_to(in_8_bits(picture.pixels), (picture.height, picture.width, 3))
    if picture.alpha is None:
        return colours
    y, x = np.ogrid[: picture.height, : picture.width]
    squares = np.where((y // _SQUARE + x // _SQUARE) % 2, 160, 96)
    through = squares * (255 - in_8_bits(picture.alpha)) // 255
    seen: NDArray[np.uint8] = np.minimum(colours + through[..., np.newaxis], 255).astype(np.uint8)
    return seen


def _strongest(levels: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Take the maximum of each `step` x `step` square, so that no single pixel is lost."""
    rows, columns = (np.arange(0, side, step) for side in levels.shape)
    strongest: NDArray[np.uint8] = np.maximum.reduceat(
        np.maximum.reduceat(levels, rows, axis=0), columns, axis=1
    )
    return strongest


def _as_map(levels: NDArray[np.uint8], *, white: int) -> NDArray[np.uint8]:
    grey = (np.minimum(levels, white) * np.uint32(255) // white).astype(np.uint8)
    coloured: NDArray[np.uint8] = np.repeat(grey[..., np.newaxis], 3, axis=2)
    return coloured
