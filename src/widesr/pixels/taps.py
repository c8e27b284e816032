"""Computes weighted sums of lines along one axis of a streamed picture, as resizing needs."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike, NDArray

from widesr.pixels.rows import Band, Rows, mirrored

Edges = Literal["symmetric", "replicate"]

_MOST_PRODUCTS = 2**18
"""Most multiplications in one matrix product. Above this number, OpenBLAS spreads a product over
all cores, where it would wait for those that a network keeps busy."""
_BLOCK = 8
"""About the output lines per matrix product: enough to keep BLAS busy, with few zeros in it."""


class Taps(NamedTuple):
    """Along one axis: output i is the sum over k of weights[i, k] * input[start[i] + k]."""

    start: NDArray[np.intp]
    weights: NDArray[np.float64]

    def of(self, lines: slice) -> "Taps":
        """Return the taps of some output lines."""
        return self._replace(start=self.start[lines], weights=self.weights[lines])


class _Run(NamedTuple):
    """Blocks of output lines that the same matrix makes, each from its own input lines."""

    out: slice
    """The output lines of all blocks."""
    matrix: NDArray[Any]
    """The weights of a block, (output lines, input lines)."""
    lines: NDArray[np.intp]
    """The input lines of the first block; with several blocks, they are consecutive."""
    step: int
    """Lines from the first input line of a block to that of the next."""
    n_blocks: int
    """The number of blocks; it is not named `count`, which is a method of tuples."""


def filter_down(rows: Rows, taps: Taps, *, edges: Edges, chunk: int) -> Rows:
    """Compute each row of the result as a weighted sum of rows.

    Integers are rounded half up and clipped to their range; floats are not.

    Args:
        rows: uint8, uint16, float32 or float64.
        taps: The taps of each row of the result.
        edges: The rule for pixels beyond the border: mirrored, or the edge pixel repeated.
        chunk: Approximate number of values that are read or made together.
    """
    n_out = len(taps.start)
    height = _chunk_height(rows, chunk // max(rows.height // n_out, 1))
    before, runs = b"", list[_Run]()

    def made(first: int) -> Band:
        nonlocal before, runs
        part = taps.of(slice(first, first + height))
        lines = _looked_at(part, rows.height, edges)
        top, bottom = int(lines.min()), int(lines.max()) + 1
        window = rows.read(top, bottom)
        flat = window.reshape(len(window), -1)
        out = np.empty((len(part.start), flat.shape[1]), rows.dtype)
        if _is_flat(flat):
            out[:] = flat[0]
        else:
            looked_at = lines - top, part.start - part.start[0], part.weights
            this = b"".join(each.tobytes() for each in looked_at)
            if this != before:  # between the borders all chunks may be alike
                before, runs = this, _runs(part, lines - top, _working(rows.dtype))
            _apply(runs, flat, into=out)
        return out.reshape(-1, rows.width, rows.channels)

    bands = map(made, range(0, n_out, height))  # `map` keeps no chunk that it has given
    return Rows(bands, shape=(n_out, rows.width, rows.channels), dtype=rows.dtype)


def filter_across(rows: Rows, taps: Taps, *, edges: Edges, chunk: int) -> Rows:
    """Compute each column as a weighted sum of columns; arguments as for `filter_down`."""
    n_out, n = len(taps.start), rows.channels
    looked_at = _looked_at(taps, rows.width, edges)
    runs = _runs(taps, looked_at, _working(rows.dtype), channels=n)

    def made(band: Band) -> Band:
        out = np.empty((len(band), n_out * n), band.dtype)
        if _is_flat(band.transpose(1, 0, 2)):
            out[:] = np.tile(band[:, 0], n_out)
        else:
            _apply(runs, band.reshape(len(band), -1).T, into=out.T)
        return out.reshape(len(band), n_out, n)

    bands = map(made, rows.chunks(_chunk_height(rows, chunk)))
    return Rows(bands, shape=(rows.height, n_out, n), dtype=rows.dtype)


def _runs(
    taps: Taps, lines: NDArray[np.intp], dtype: DTypeLike, *, channels: int = 1
) -> list[_Run]:
    """Cut the work into banded matrix products, grouping those with the same matrix.

    A dense product over a block multiplies some zeros, but it runs in BLAS on cached data: several
    times faster than adding up weighted slices, which is bound by memory. Zeros also keep
    interleaved `channels` apart, because transposing the picture would take longer.

    Args:
        taps: The taps of the output lines to make.
        lines: Number of the input line that stands for each line from the first tap to the last.
        dtype: The type of the matrices.
        channels: The number of interleaved values per line, where the lines are pixels.
    """
    start, weights, size = taps.start, taps.weights, _BLOCK
    n = len(start)
    tops = np.arange(0, n, size)
    firsts = start[tops] - start[0]
    lasts = start[np.minimum(tops + size, n) - 1] - start[0] + weights.shape[1] - 1
    in_order = lines[lasts] - lines[firsts] == lasts - firsts
    steps = np.diff(firsts)
    joins = _alike(taps) & in_order[1:] & in_order[:-1] & (np.diff(lines[firsts]) == steps)
    joins[1:] &= steps[1:] == steps[:-1]
    heads = np.flatnonzero(np.concatenate([[True], ~joins]))
    runs = []
    for head, end in zip(heads, [*heads[1:], len(tops)], strict=True):
        block = slice(tops[head], tops[head] + size)
        band = _banded(start[block] - start[tops[head]], weights[block], dtype)
        seen = lines[firsts[head] : lasts[head] + 1, np.newaxis] * channels + np.arange(channels)
        out = slice(tops[head] * channels, min(tops[end - 1] + size, n) * channels)
        matrix = np.kron(band, np.eye(channels, dtype=band.dtype))
        step = int(steps[head]) * channels if end - head > 1 else 1
        runs.append(_Run(out, matrix, seen.ravel(), step, int(end - head)))
    return runs


def _alike(taps: Taps) -> NDArray[np.bool_]:
    """Tell for each block but the first whether it has the same matrix as the one before it."""
    (start, weights), size = taps, _BLOCK
    n = len(start)
    if n <= size:
        return np.zeros(0, bool)
    steps = np.diff(start[::size])
    same = (weights[size:] == weights[:-size]).all(axis=1)
    same &= start[size:] - start[:-size] == np.repeat(steps, size)[: n - size]
    alike: NDArray[np.bool_] = np.logical_and.reduceat(same, np.arange(0, n - size, size))
    alike[-1] &= n % size == 0
    return alike


def _banded(
    offset: NDArray[np.intp], weights: NDArray[np.float64], dtype: DTypeLike
) -> NDArray[Any]:
    """Make the matrix of some output lines, with a column for each input line that they use."""
    n, count = weights.shape
    band = np.zeros((n, offset[-1] + count), dtype)
    band[np.arange(n)[:, None], offset[:, None] + np.arange(count)] = weights
    return band


def _apply(runs: list[_Run], source: NDArray[Any], *, into: NDArray[Any]) -> None:
    """Compute output lines, (lines, values), from input lines; integers are rounded and clipped."""
    for out, matrix, lines, step, count in runs:
        if count == 1:
            seen = source[_as_slice(lines)][np.newaxis]
        else:
            seen = windows(source[lines[0] :], len(lines), step=step, count=count)
        target = into[out].reshape(count, len(matrix), -1)  # a view
        if into.dtype.kind == "u":
            for values, levels in zip(seen, target, strict=True):  # so that it stays in the cache
                _multiply_integers(matrix, values, into=levels)
        else:
            multiply(matrix, seen, into=target)


def windows(lines: NDArray[Any], height: int, *, step: int, count: int) -> NDArray[Any]:
    """View lines, (lines, values), as overlapping windows, (count, height, values)."""
    assert step * (count - 1) + height <= len(lines)
    down, across = lines.strides
    shape, strides = (count, height, lines.shape[1]), (step * down, down, across)
    return as_strided(lines, shape, strides, writeable=False)


def _multiply_integers(matrix: NDArray[Any], lines: NDArray[Any], *, into: NDArray[Any]) -> None:
    values = np.empty_like(into, dtype=np.float64)
    multiply(matrix, lines.astype(np.float64, copy=False), into=values)
    values += 0.5
    np.floor(values, out=values)
    np.clip(values, 0, np.iinfo(into.dtype).max, out=values)
    into[...] = values


def multiply(left: NDArray[Any], right: NDArray[Any], *, into: NDArray[Any]) -> None:
    """Multiply a matrix by one or several, in products so small that BLAS uses one thread."""
    if len(left) > right.shape[-1]:
        left, right, into = right.swapaxes(-1, -2), left.T, into.swapaxes(-1, -2)
    rows, n = left.shape[-2], right.shape[-1]
    part = max(_MOST_PRODUCTS // (rows * left.shape[-1]), 1)
    whole = n // part * part
    if whole:
        first, target = _parts(right[..., :whole], part), _parts(into[..., :whole], part)
        np.matmul(left[..., np.newaxis, :, :], first, out=target)
    if whole < n:
        np.matmul(left, right[..., whole:], out=into[..., whole:])


def _parts(matrix: NDArray[Any], width: int) -> NDArray[Any]:
    """Cut columns into parts: (..., K, n) to (..., parts, K, width)."""
    return matrix.reshape(*matrix.shape[:-1], -1, width).swapaxes(-2, -3)


def _working(dtype: np.dtype[Any]) -> DTypeLike:
    return np.float32 if dtype == np.float32 else np.float64


def _looked_at(taps: Taps, n: int, edges: Edges) -> NDArray[np.intp]:
    """Find which of `n` input lines stands for each line from the first tap to the last."""
    start, weights = taps
    index = np.arange(start[0], start[-1] + weights.shape[1])
    return np.clip(index, 0, n - 1) if edges == "replicate" else mirrored(index, n)


def _chunk_height(rows: Rows, chunk: int) -> int:
    """Compute the number of rows to process together.

    The number depends on the picture's size alone. Whatever bands the picture comes in, the same
    products are computed, and they round the same way.
    """
    height = chunk // (rows.width * rows.channels)
    return max(height // _BLOCK, 1) * _BLOCK


def _is_flat(lines: NDArray[Any]) -> bool:
    """Tell whether all lines are equal, so that weighted means leave them unchanged.

    Most alpha is flat. Floats never count as flat, because their weighted means are rounded.
    """
    return lines.dtype.kind != "f" and bool(
        (lines[0] == lines[-1]).all() and (lines == lines[0]).all()
    )


def _as_slice(index: NDArray[np.intp]) -> NDArray[np.intp] | slice:
    """Turn consecutive lines into a slice, which gives a view and no copy.

    Neighbouring numbers differ by at most one, so the lines are consecutive if the last is as far
    from the first as it can be.
    """
    first, last = int(index[0]), int(index[-1])
    return slice(first, last + 1) if last - first == len(index) - 1 else index
