"""Measure how two pictures differ: in numbers, at which place, and drawn for eyes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from widesr.evaluation.diff.matching import Matched
from widesr.pictures.adapt import adapted
from widesr.pictures.picture import Picture
from widesr.pixels.drawing import densest, enlarged, framed, joined, titled
from widesr.pixels.metrics import PROTOCOLS, Protocol, psnr, ssim
from widesr.pixels.resize import imresize
from widesr.pixels.rows import Pixels

PANEL = 480
"""Longest side of a picture on the sheet that is shown whole, in pixels."""

_BAND = 256
"""Rows that are compared at once."""
_CELLS = 2**22
"""The pixels above which the window is sought in steps of more than one pixel."""
_SQUARE = 8
"""Side of the squares that show through where pictures are transparent, in their pixels."""
_SSIM_WINDOW = 11


class Window(NamedTuple):
    """A part of a picture, in pixels of the larger of the two."""

    left: int
    top: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Give its rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def scaled(self, *, down: int, up: int) -> "Window":
        """Give the same part of a picture that is shrunk and enlarged by whole numbers."""
        left, top, *sides = (n // down * up for n in self)
        width, height = (max(side, up) for side in sides)
        return Window(left, top, width, height)

    def __str__(self) -> str:
        return f"{self.left},{self.top},{self.width}x{self.height}"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The numbers. Levels are those of 8 bits, of 16 bits a 257th; values are colours and alpha."""

    greatest: float
    mean: float
    share: float
    """The share of values that differ, from 0 to 1."""
    psnr_y: float
    """Decibels, protocol benchmark-y but for its border: none is left out, here and below."""
    psnr_rgb: float | None
    """Protocol basicsr-rgb; None for grey, where `psnr_y` is of grey levels."""
    ssim_y: float | None
    """Protocol benchmark-y; None where its window does not fit."""
    levels: NDArray[np.uint8]
    """(H, W): the greatest difference among a pixel's values, rounded up."""
    white: int
    """The level that a map is to show as white: 99 of 100 pixels that differ, differ no more."""


# Numbers


def measured(a: Picture, b: Picture) -> Difference:
    """Compare pictures of `matched`."""
    unit = 257 if a.pixels.dtype == np.uint16 else 1
    levels = np.empty((a.height, a.width), np.uint8)
    greatest = total = differing = count = 0
    histogram = np.zeros(256, np.int64)
    for rows in _bands(a.height):
        gaps = np.abs(_values(a, rows) - _values(b, rows))
        levels[rows] = -(-gaps.max(axis=2) // unit)
        greatest = max(greatest, int(gaps.max()))
        total += int(gaps.sum(dtype=np.int64))
        differing += int(np.count_nonzero(gaps))
        count += gaps.size
        histogram += np.bincount(levels[rows].ravel(), minlength=256)
    is_grey = a.pixels.shape[2] == 1
    fits = min(a.height, a.width) >= _SSIM_WINDOW
    y, rgb = _whole("benchmark-y"), _whole("basicsr-rgb")
    return Difference(
        greatest=greatest / unit,
        mean=total / count / unit,
        share=differing / count,
        psnr_y=psnr(a.pixels, b.pixels, protocol=y, scale=1),
        psnr_rgb=None if is_grey else psnr(a.pixels, b.pixels, protocol=rgb, scale=1),
        ssim_y=ssim(a.pixels, b.pixels, protocol=y, scale=1) if fits else None,
        levels=levels,
        white=_white(histogram),
    )


def _whole(name: str) -> Protocol:
    return replace(PROTOCOLS[name], border_per_scale=0, border_extra=0)


def _values(picture: Picture, rows: slice) -> NDArray[np.int32]:
    """Join the colours, and alpha behind them, of some rows."""
    planes = [picture.pixels[rows]]
    if picture.alpha is not None:
        planes.append(picture.alpha[rows, :, np.newaxis])
    return np.concatenate(planes, axis=2).astype(np.int32)


def _white(histogram: NDArray[np.int64]) -> int:
    """Find the least of 1, 2, 4, ..., 128, 255 that covers 99 of 100 levels above 0."""
    covered = histogram[1:].cumsum()
    ladder = (1, 2, 4, 8, 16, 32, 64, 128)
    return next((n for n in ladder if 100 * covered[n - 1] >= 99 * covered[-1]), 255)


def _bands(height: int) -> Iterator[slice]:
    return (slice(top, top + _BAND) for top in range(0, height, _BAND))


def most_different(levels: NDArray[np.uint8], *, side: int) -> Window:
    """Find the window of at most `side` x `side` pixels with the most squared difference."""
    height, width = (min(side, length) for length in levels.shape)
    cell = max(1, isqrt(levels.size // _CELLS))
    columns = np.arange(0, levels.shape[1], cell)
    energy = np.array(
        [
            np.add.reduceat(np.square(levels[top : top + cell], dtype=np.int64).sum(0), columns)
            for top in range(0, levels.shape[0], cell)
        ]
    )
    top, left = densest(energy, height=max(1, height // cell), width=max(1, width // cell))
    top, left = (
        min(at * cell, length - part)
        for at, length, part in zip((top, left), levels.shape, (height, width), strict=True)
    )
    return Window(left, top, width, height)


# For eyes


def drawn(
    pair: Matched,
    difference: Difference,
    *,
    window: Window,
    zoom: int,
    names: tuple[str, str],
) -> NDArray[np.uint8]:
    """Draw both pictures whole and where they differ, and below them the window, enlarged.

    Args:
        pair: What was compared.
        difference: Of that pair.
        window: Framed above, shown below.
        zoom: Pixels of the sheet per pixel of the window.
        names: Of A and B, for the labels.

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
    """Draw the window of A, and that of B, to be shown in turn; arguments as for `drawn`.

    Returns:
        Two of one size, sRGB, uint8, (H, W, 3).
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
    """Give a picture as 8-bit sRGB, (H, W, 3), over squares where it is transparent."""
    picture = adapted(picture, icc="srgb")
    colours = np.broadcast_to(_as_8_bits(picture.pixels), (picture.height, picture.width, 3))
    if picture.alpha is None:
        return colours
    y, x = np.ogrid[: picture.height, : picture.width]
    squares = np.where((y // _SQUARE + x // _SQUARE) % 2, 160, 96)
    through = squares * (255 - _as_8_bits(picture.alpha)) // 255
    seen: NDArray[np.uint8] = np.minimum(colours + through[..., np.newaxis], 255).astype(np.uint8)
    return seen


def _as_8_bits(plane: Pixels) -> NDArray[np.uint8]:
    if plane.dtype == np.uint8:
        return plane.astype(np.uint8, copy=False)
    return ((plane + np.uint32(128)) // 257).astype(np.uint8)


def _strongest(levels: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Take the maximum of each `step` x `step` square: no single pixel is lost from sight."""
    rows, columns = (np.arange(0, side, step) for side in levels.shape)
    strongest: NDArray[np.uint8] = np.maximum.reduceat(
        np.maximum.reduceat(levels, rows, axis=0), columns, axis=1
    )
    return strongest


def _as_map(levels: NDArray[np.uint8], *, white: int) -> NDArray[np.uint8]:
    grey = (np.minimum(levels, white) * np.uint32(255) // white).astype(np.uint8)
    coloured: NDArray[np.uint8] = np.repeat(grey[..., np.newaxis], 3, axis=2)
    return coloured
