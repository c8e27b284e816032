"""Measures how two pictures differ: in numbers, and at which place."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from widesr.pictures.picture import Picture
from widesr.pixels.drawing import densest
from widesr.pixels.metrics import PROTOCOLS, Protocol, psnr, ssim

_BAND = 256
"""Rows that are compared at once."""
_CELLS = 2**22
"""Number of pixels above which the window is searched in steps of more than one pixel."""
_SSIM_WINDOW = 11


class Window(NamedTuple):
    """A part of a picture, in pixels of the larger of the two."""

    left: int
    top: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The window's rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def scaled(self, *, down: int, up: int) -> "Window":
        """Return the same part of the picture after it is shrunk by `down` and enlarged by `up`."""
        left, top, *sides = (n // down * up for n in self)
        width, height = (max(side, up) for side in sides)
        return Window(left, top, width, height)

    def __str__(self) -> str:
        return f"{self.left},{self.top},{self.width}x{self.height}"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The measured differences, in levels of 8 bits, each of which is 257 levels of 16 bits.

    The values that are compared are colours and alpha.
    """

    greatest: float
    mean: float
    share: float
    """The share of values that differ, from 0 to 1."""
    psnr_y: float
    """Decibels, by protocol benchmark-y, except that no border is left out, here and below."""
    psnr_rgb: float | None
    """Decibels, by protocol basicsr-rgb; None for grey, where `psnr_y` is of grey levels."""
    ssim_y: float | None
    """SSIM by protocol benchmark-y; None if its window does not fit into the pictures."""
    levels: NDArray[np.uint8]
    """(H, W): the greatest difference among a pixel's values, rounded up."""
    white: int
    """Level that a map is to show as white: 99 % of the differing pixels differ by no more."""


def measured(a: Picture, b: Picture) -> Difference:
    """Measure how two pictures from `matched` differ."""
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
    """Return the colours of some rows, followed by alpha if there is any."""
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
