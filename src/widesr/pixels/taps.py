"""Weighted sums of lines along one axis of a picture that passes: what resizing is made of."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from widesr.pixels.rows import Band, Rows

Edges = Literal["symmetric", "replicate"]

_BLOCK = 8
"""Output lines per matrix product: enough to keep BLAS busy, with few zeros in the band."""


class Taps(NamedTuple):
    """Along one axis: output i is the sum over k of weights[i, k] * input[start[i] + k]."""

    start: NDArray[np.intp]
    weights: NDArray[np.float64]


def filter_down(rows: Rows, taps: Taps, *, edges: Edges, chunk: int) -> Rows:
    """Make each row a weighted sum of rows.

    Integers are rounded half up and clipped to their range; floats are not.

    Args:
        rows: uint8, uint16, float32 or float64.
        taps: For each row of the result.
        edges: What lies beyond the border: mirrored, or the edge pixel repeated.
        chunk: Values that are worked on together, about; by it and the size alone.
    """
    start, weights = taps
    height = _chunk_height(rows, chunk)

    def made(first: int) -> Band:
        part = slice(first, min(first + height, len(start)))
        lines = _inside(
            np.arange(start[part][0], start[part][-1] + weights.shape[1]), rows.height, edges
        )
        top, bottom = int(lines.min()), int(lines.max()) + 1
        window = rows.read(top, bottom)
        flat = window.reshape(len(window), -1)
        filtered = _filtered(flat, lines - top, Taps(start[part], weights[part]))
        return filtered.reshape(-1, rows.width, rows.channels)

    bands = map(made, range(0, len(start), height))  # which holds no chunk that was given
    return Rows(bands, shape=(len(start), rows.width, rows.channels), dtype=rows.dtype)


def filter_across(rows: Rows, taps: Taps, *, edges: Edges, chunk: int) -> Rows:
    """Make each column a weighted sum of columns; arguments as for `filter_down`."""
    start, weights = taps
    columns = _inside(np.arange(start[0], start[-1] + weights.shape[1]), rows.width, edges)

    def made(band: Band) -> Band:
        lines = band.transpose(1, 0, 2)
        filtered = _filtered(lines.reshape(rows.width, -1), columns, taps)
        return filtered.reshape(len(start), len(band), rows.channels).transpose(1, 0, 2)

    bands: Iterator[Band] = map(made, rows.chunks(_chunk_height(rows, chunk)))
    return Rows(bands, shape=(rows.height, len(start), rows.channels), dtype=rows.dtype)


def _filtered(lines: NDArray[Any], at: NDArray[np.intp], taps: Taps) -> NDArray[Any]:
    """Filter (n, values) along its first axis, block by block, each a banded matrix product.

    A dense product over a block multiplies some zeros, but runs in BLAS on what is in the cache:
    several times faster than adding up weighted slices, which is bound by memory.

    Args:
        lines: What is filtered.
        at: Which of them stands for each line from the first tap of all to the last, as some lie
            beyond the border.
        taps: Of the lines to make.
    """
    start, weights = taps
    dtype, n_out = lines.dtype, len(start)
    if dtype.kind == "u" and _is_flat(lines):  # as most alpha is
        return np.repeat(lines[:1], n_out, axis=0)
    working = np.float32 if dtype == np.float32 else np.float64
    out = np.empty((n_out, lines.shape[1]), dtype)
    for first in range(0, n_out, _BLOCK):
        block = slice(first, min(first + _BLOCK, n_out))
        offset = start[block] - start[first]
        span = np.arange(offset[-1] + weights.shape[1])
        source = lines[_as_slice(at[start[first] - start[0] + span])]
        if dtype.kind == "f" and not source.any():  # as most of what was clipped is
            out[block] = 0
            continue
        band = np.zeros((len(offset), len(span)), working)
        columns = offset[:, None] + span[: weights.shape[1]]
        band[np.arange(len(offset))[:, None], columns] = weights[block]
        values = band @ source.astype(working, copy=False)
        if dtype.kind == "u":
            values += 0.5
            np.floor(values, out=values)
            np.clip(values, 0, np.iinfo(dtype).max, out=values)
        out[block] = values
    return out


def _chunk_height(rows: Rows, chunk: int) -> int:
    """Rows to work on together.

    By the picture's size alone: in whatever bands it comes, the same products are made, and round
    the same way.
    """
    height = chunk // (rows.width * rows.channels)
    return max(height // _BLOCK, 1) * _BLOCK


def _is_flat(lines: NDArray[Any]) -> bool:
    return bool((lines[0] == lines[-1]).all() and (lines == lines[0]).all())


def _inside(index: NDArray[np.intp], n: int, edges: Edges) -> NDArray[np.intp]:
    """Where each of these lines lies among `n`, some of them beyond the border."""
    if edges == "replicate":
        return np.clip(index, 0, n - 1)
    mirrored = index % (2 * n)
    return np.minimum(mirrored, 2 * n - 1 - mirrored)


def _as_slice(index: NDArray[np.intp]) -> NDArray[np.intp] | slice:
    """Consecutive numbers as a slice, which gives a view and no copy."""
    if (np.diff(index) == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return index
