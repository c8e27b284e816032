"""Turns and mirrors pictures to stand upright, in memory or through a temporary file."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from widesr.errors import ImageReadError
from widesr.pixels.rows import Band, Pixels, Rows

_BAND = 2**22
"""The approximate number of bytes that are turned at once."""
_IN_MEMORY = 2**26
"""The most bytes of a picture that is turned in memory; a larger one goes through a file."""


def upright(path: Path, rows: Rows, orientation: int) -> Rows:
    """Apply an EXIF orientation, 1 to 8.

    Raises:
        ImageReadError: The temporary file for turning failed; raised when rows are read.
    """
    if orientation == 1:
        return rows
    if orientation == 2:
        return rows.map(lambda band: band[:, ::-1], channels=rows.channels)
    if rows.nbytes <= _IN_MEMORY:
        return Rows.of(np.ascontiguousarray(turned(rows.whole(), orientation)))
    height, width, channels = rows.shape
    shape = (width, height, channels) if orientation > 4 else rows.shape
    return Rows(_turned_on_disk(path, rows, orientation), shape=shape, dtype=rows.dtype)


def turned(array: Pixels, orientation: int) -> Pixels:
    """Turn and mirror (H, W, C) as an EXIF orientation, 1 to 8, says; the result is a view."""
    if orientation > 4:
        array = array.transpose(1, 0, 2)
    if orientation in (3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array


def _turned_on_disk(path: Path, rows: Rows, orientation: int) -> Iterator[Band]:
    """Turn a picture that is too large for memory, as its last row or column may come first."""
    height, width, channels = rows.shape
    row_bytes = rows.nbytes // height
    sideways, backwards = orientation > 4, orientation in (3, 4, 7, 8)
    n_out = width if sideways else height
    step = max(_BAND // (rows.nbytes // n_out), 1)
    try:
        with tempfile.TemporaryFile() as file:
            for band in rows:
                file.write(np.ascontiguousarray(band).data)
            file.flush()
            for top in range(0, n_out, step):
                n = min(step, n_out - top)
                first = n_out - top - n if backwards else top
                block = (height, n, channels) if sideways else (n, width, channels)
                part = np.empty(block, rows.dtype)
                offset = first * row_bytes // (width if sideways else 1)
                for y, row in enumerate(part):
                    os.preadv(file.fileno(), [row], offset + y * row_bytes)
                yield np.ascontiguousarray(turned(part, orientation))
    except OSError as error:
        raise ImageReadError(
            f"{path}: is turned upright by way of a file in {tempfile.gettempdir()}, which failed "
            f"({error.strerror}); make room there, or name another folder in TMPDIR"
        ) from error
