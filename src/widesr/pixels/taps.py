"""Makes weighted sums of lines along one axis of a picture that passes, as resizing needs."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from widesr.pixels.rows import Band, Rows

Edges = Literal["symmetric", "replicate"]

_MOST_PRODUCTS = 2**18
"""Multiplications of one matrix product. Above it OpenBLAS spreads them over all cores, where
they would wait for those that a network is busy on."""
_BLOCK = 8
"""The output lines per matrix product: enough to keep BLAS busy, with few zeros in the band."""


class Taps(NamedTuple):
    """Along one axis: output i is the sum over k of weights[i, k] * input[start[i] + k]."""

    start: NDArray[np.intp]
    weights: NDArray[np.float64]

    def of(self, lines: slice) -> "Taps":
        """Give those of some output lines."""
        return Taps(self.start[lines], self.weights[lines])


def filter_down(rows: Rows, taps: Taps, *, edges: Edges, chunk: int) -> Rows:
    """Make each row a weighted sum of rows.

    Integers are rounded half up and clipped to their range; floats are not.

    Args:
        rows: uint8, uint16, float32 or float64.
        taps: For each row of the result.
        edges: What lies beyond the border: mirrored, or the edge pixel repeated.
        chunk: Values that are worked on together, about; by it and the size alone.
    """
    n_out, height = len(taps.start), _chunk_height(rows, chunk)

    def made(first: int) -> Band:
        part = taps.of(slice(first, first + height))
        lines = _looked_at(part, rows.height, edges)
        top, bottom = int(lines.min()), int(lines.max()) + 1
        window = rows.read(top, bottom)
        flat = window.reshape(len(window), -1)
        out = np.empty((len(part.start), flat.shape[1]), rows.dtype)
        if _is_flat(flat):
            out[:] = flat[0]
        else:
            for block, at, band in _blocks(part, lines - top, _working(rows.dtype)):
                _multiply(band, flat[at], into=out[block])
        return out.reshape(-1, rows.width, rows.channels)

    bands = map(made, range(0, n_out, height))  # which holds no chunk that was given
    return Rows(bands, shape=(n_out, rows.width, rows.channels), dtype=rows.dtype)


def filter_across(rows: Rows, taps: Taps, *, edges: Edges, chunk: int) -> Rows:
    """Make each column a weighted sum of columns; arguments as for `filter_down`."""
    n_out, n = len(taps.start), rows.channels
    looked_at = _looked_at(taps, rows.width, edges)
    blocks = list(_blocks(taps, looked_at, _working(rows.dtype), channels=n))

    def made(band: Band) -> Band:
        out = np.empty((len(band), n_out * n), band.dtype)
        if _is_flat(band.transpose(1, 0, 2)):
            out[:] = np.tile(band[:, 0], n_out)
        else:
            for block, at, weights in blocks:
                whole = slice(block.start * n, block.stop * n)
                source = band[:, at].reshape(len(band), -1)
                _multiply(source, weights.T, into=out[:, whole])
        return out.reshape(len(band), n_out, n)

    bands = map(made, rows.chunks(_chunk_height(rows, chunk)))
    return Rows(bands, shape=(rows.height, n_out, n), dtype=rows.dtype)


def _blocks(
    taps: Taps, lines: NDArray[np.intp], dtype: DTypeLike, *, channels: int = 1
) -> Iterator[tuple[slice, slice | NDArray[np.intp], NDArray[Any]]]:
    """Cut the work into banded matrix products: output lines, input lines, the matrix.

    A dense product over a block multiplies some zeros, but runs in BLAS on what is in the cache:
    several times faster than adding up weighted slices, which is bound by memory. So do the zeros
    that keep `channels` apart which lie side by side: to lay a picture on its side takes longer.
    """
    start, weights = taps
    before, band = b"", np.empty((0, 0), dtype)
    for first in range(0, len(start), _BLOCK):
        block = slice(first, min(first + _BLOCK, len(start)))
        offset = start[block] - start[first]
        # Between the borders of a picture made by a whole scale, all blocks are alike.
        this = offset.tobytes() + weights[block].tobytes()
        if this != before:
            banded = _banded(offset, weights[block], dtype)
            before, band = this, np.kron(banded, np.eye(channels, dtype=banded.dtype))
        seen = lines[start[first] - start[0] :][: band.shape[1] // channels]
        yield block, _as_slice(seen), band


def _banded(
    offset: NDArray[np.intp], weights: NDArray[np.float64], dtype: DTypeLike
) -> NDArray[Any]:
    """Spread the weights of some lines over the columns of all lines that they look at."""
    n, count = weights.shape
    band = np.zeros((n, offset[-1] + count), dtype)
    band[np.arange(n)[:, None], offset[:, None] + np.arange(count)] = weights
    return band


def _multiply(left: NDArray[Any], right: NDArray[Any], *, into: NDArray[Any]) -> None:
    """Write a product of lines and weights, rounded and clipped where it is of integers."""
    if into.dtype.kind != "u":
        _multiply_floats(left, right, into=into)
        return
    values = np.empty(into.shape)
    left, right = left.astype(np.float64, copy=False), right.astype(np.float64, copy=False)
    _multiply_floats(left, right, into=values)
    values += 0.5
    np.floor(values, out=values)
    np.clip(values, 0, np.iinfo(into.dtype).max, out=values)
    into[...] = values


def _multiply_floats(left: NDArray[Any], right: NDArray[Any], *, into: NDArray[Any]) -> None:
    """Write a product, cut along the longer side into products that one thread does."""
    if len(left) > right.shape[1]:
        left, right, into = right.T, left.T, into.T
    count, n = len(left), right.shape[1]
    part = max(_MOST_PRODUCTS // left.size, 1)
    whole = n // part * part
    if whole:
        stacked = right[:, :whole].reshape(len(right), -1, part).transpose(1, 0, 2)
        target = into[:, :whole].reshape(count, -1, part).transpose(1, 0, 2)
        np.matmul(left, stacked, out=target)
    if whole < n:
        np.matmul(left, right[:, whole:], out=into[:, whole:])


def _working(dtype: np.dtype[Any]) -> DTypeLike:
    return np.float32 if dtype == np.float32 else np.float64


def _looked_at(taps: Taps, n: int, edges: Edges) -> NDArray[np.intp]:
    """Find the lines among `n` that stand for each from the first tap to the last."""
    start, weights = taps
    return _inside(np.arange(start[0], start[-1] + weights.shape[1]), n, edges)


def _chunk_height(rows: Rows, chunk: int) -> int:
    """Compute the number of rows to work on together.

    By the picture's size alone: in whatever bands it comes, the same products are made, and round
    the same way.
    """
    height = chunk // (rows.width * rows.channels)
    return max(height // _BLOCK, 1) * _BLOCK


def _is_flat(lines: NDArray[Any]) -> bool:
    """Tell whether all lines are alike, so that weights are nothing to them.

    Most alpha is, and most of what is put right where levels were clipped: there it is all 0. Other
    floats are not asked, as a weighted mean of them rounds.
    """
    if lines.dtype.kind == "f":
        return not lines.any()
    return bool((lines[0] == lines[-1]).all() and (lines == lines[0]).all())


def _inside(index: NDArray[np.intp], n: int, edges: Edges) -> NDArray[np.intp]:
    """Find the place of each of these lines among `n`, some of them beyond the border."""
    if edges == "replicate":
        return np.clip(index, 0, n - 1)
    mirrored = index % (2 * n)
    return np.minimum(mirrored, 2 * n - 1 - mirrored)


def _as_slice(index: NDArray[np.intp]) -> NDArray[np.intp] | slice:
    """Turn lines one after another into a slice, which gives a view and no copy.

    From one of them to the next is one line at most, so they are in order if the last is as far
    from the first as it can be.
    """
    first, last = int(index[0]), int(index[-1])
    return slice(first, last + 1) if last - first == len(index) - 1 else index
