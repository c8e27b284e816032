"""Finds the faults of a picture before it is enlarged: JPEG's coarse steps, and noise."""

import struct
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from widesr.errors import WidesrError
from widesr.pictures.jpeg import segments
from widesr.pictures.reading import open_picture

COARSE_QUALITY = 80
"""JPEG quality, on libjpeg's scale, up to which `realistic` is better than `default`."""
NOISE = 6.0
"""Standard deviation from which a picture counts as noisy, in levels of 255."""

_STANDARD = (
    16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40,
    26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61, 60, 57, 51,
    56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87,
    95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
)  # fmt: skip
"""Steps of luminance in zigzag order: ITU-T T.81, table K.1, which is libjpeg's quality 50."""
_HEADER = 2**18
"""Bytes of a JPEG file that are searched for its tables, which may follow metadata."""
_PIXELS = 2_000_000
"""Number of pixels in which noise is measured, from the top."""
_BLOCK = 8
"""Side of the blocks in which noise is measured, in groups of 2x2 pixels."""
_FLATTEST = 1
"""Percentage of the blocks that count as flat."""
_SEEN_THERE = 0.78
"""Share of white noise that is measured in the flat blocks, since these are the ones with the
lowest means of 64 magnitudes."""
_CLIPPED = (8, 247)
"""Block means at which, and beyond which, clipping cuts noise off."""


class Faults(NamedTuple):
    """The faults that were found; None where a picture has none of that kind."""

    quality: int | None
    """The quality of a coarse JPEG file, on libjpeg's scale."""
    noise: float | None
    """The standard deviation of the noise, in levels of 255."""

    def __str__(self) -> str:
        """Describe the first fault for people; empty if there is none."""
        if self.quality is not None:
            return f"JPEG of quality {self.quality} or so"
        return "" if self.noise is None else f"noise of {self.noise:.0f} levels or so"


def find_faults(path: Path) -> Faults:
    """Check a file's JPEG tables and, if these are fine, two million of its pixels.

    A file that is not a still picture or cannot be read has no faults here; an error is left to the
    work on it.
    """
    with suppress(WidesrError), open_picture(path) as stream:
        quality = jpeg_quality(path)
        if quality is not None and quality <= COARSE_QUALITY:
            return Faults(quality, None)
        rows = stream.rows
        n = min(rows.height, max(2 * _BLOCK, _PIXELS // rows.width))
        levels = rows.read(0, n)[..., rows.channels // 3]  # green, or grey
        noise = noise_of(levels.astype(np.float32) * (255 / np.iinfo(rows.dtype).max))
        return Faults(None, noise if noise >= NOISE else None)
    return Faults(None, None)


def jpeg_quality(path: Path) -> int | None:
    """Estimate the quality that a JPEG file was written with, 1 to 100; None for other files."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER)
    except OSError:
        return None
    steps = next(_tables(head), None)
    if steps is None:
        return None
    percent = 100 * float(np.mean(np.array(steps) / _STANDARD))
    quality = (200 - percent) / 2 if percent <= 100 else 5000 / percent
    return min(100, max(1, round(quality)))


def _tables(head: bytes) -> Iterator[tuple[int, ...]]:
    """Yield a JPEG file's quantisation tables for luminance, to which all writers give number 0."""
    if not head.startswith(b"\xff\xd8\xff"):
        return
    for marker, at, size in takewhile(lambda segment: segment.marker != 0xDA, segments(head)):
        tables = head[at : at + size] if marker == 0xDB else b""
        while tables:
            deep, number = tables[0] > 15, tables[0] & 15  # libjpeg: every depth but 0 is 16 bits
            table = tables[1 : 1 + 64 * (1 + deep)]
            if len(table) == 64 * (1 + deep) and number == 0:
                yield struct.unpack(">64H" if deep else ">64B", table)
            tables = tables[1 + len(table) :]


def noise_of(levels: NDArray[np.float32]) -> float:
    """Estimate the standard deviation of white noise where a picture is flattest.

    In 2x2 pixels, the difference of the differences contains no slope and little of an edge. Over a
    flat block, its mean magnitude is therefore that of the noise. The hundredth of the blocks with
    the lowest mean are flat, if any are.

    Args:
        levels: (H, W) of one channel, 0 to 255.
    """
    side = 2 * _BLOCK
    height, width = (length // side * side for length in levels.shape)
    if not height or not width:
        return 0.0
    even, odd = levels[0:height:2, :width], levels[1:height:2, :width]
    differences = np.abs(even[:, ::2] - even[:, 1::2] - odd[:, ::2] + odd[:, 1::2]) / 2
    blocks = (height // side, _BLOCK, width // side, _BLOCK)
    noise = differences.reshape(blocks).mean(axis=(1, 3)) * np.sqrt(np.pi / 2)
    means = even[:, ::2].reshape(blocks).mean(axis=(1, 3))
    noise = noise[(means > _CLIPPED[0]) & (means < _CLIPPED[1])]
    return float(np.percentile(noise, _FLATTEST)) / _SEEN_THERE if noise.size else 0.0
