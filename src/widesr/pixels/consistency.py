"""Changes SR pictures as little as possible, so that they shrink back to their input exactly.

Let H be MATLAB's antialiased bicubic (`imresize`, symmetric edges). Then x + Hᵀ(HHᵀ)⁻¹(y - Hx) is
the picture nearest to x that H shrinks to y. If y is H of the true picture, the result is no
farther from the true picture than x was: the step is a projection onto a plane that contains it.

H is separable, and so is HHᵀ. Along each axis, HHᵀ is exactly a filter of seven taps on pictures
that are mirrored at their edges. Its inverse is such a filter too; its taps shrink by a factor of
three from one to the next. It is cut where they no longer matter, which bounds the rows held.

Source: Bahat and Michaeli, "Explorable super resolution", 2020, whose CEM wraps a network in the
same step, with the inverse in the frequency domain.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ShapeError, UsageError
from widesr.pixels.resize import cubic_taps, imresize
from widesr.pixels.rows import Band, Rows, mirrored
from widesr.pixels.taps import multiply, windows

Value = TypeVar("Value", bound=np.uint8 | np.uint16)
Matrix = NDArray[np.float32]

INVERSE_RADIUS = 13
"""Taps of the inverse on each side of its centre, in LR pixels; the omitted ones come to 1e-6."""
_SECOND_RADIUS = 6
"""Radius for the second correction, which is only a few levels; the omitted taps come to 1e-3."""
_RELAXATION = np.float32(1.6)
"""Factor on the second correction: part of it is clipped again, so above 1 it converges sooner."""

_NEGLIGIBLE = 6.0
"""Overshoot in levels up to which a piece is not corrected again: such values are few, and clipping
them changes the shrunk picture less than rounding does."""
_TOO_LITTLE = 1 / 32
"""LR levels below which a difference is not corrected."""

_FLAT = 3
"""LR pixels on each side that must all have the colour of one for its SR pixels to take it."""
_NEARLY_FLAT = np.float32(2.5 / 255)
"""Part of the range up to which such SR pixels take it; those farther off were made so."""

_REACH = 2
"""Reach of H and Hᵀ on each side, in LR lines."""
_BLOCK = 8
"""LR columns per matrix product: enough to keep BLAS busy, with few zeros in the matrix."""
_FEW = 4
"""LR rows per matrix product, for the same reason; at least two reaches."""
_SR_ROWS = 32
"""SR rows that are processed together; more would leave the cache between steps."""


class Kernel(NamedTuple):
    """Along one axis: LR pixel i is the sum over k of weights[k] * HR pixel[scale * i + start + k].

    The kernel is the same at every pixel, because the scale is a whole number, and is symmetric
    around the pixel.
    """

    start: int
    weights: NDArray[np.float64]


def shrinking_kernel(scale: int) -> Kernel:
    """Return H along one axis: the weights of HR pixels in an LR pixel, at a whole `scale`.

    The weights sum to 1. From x2 on there are 4 * `scale` of them, one fewer at odd scales.
    """
    start, weights = cubic_taps(1, 1 / scale)
    return Kernel(int(start[0]), weights[0])


def inverse_taps(scale: int, *, radius: int = INVERSE_RADIUS) -> NDArray[np.float64]:
    """Return (HHᵀ)⁻¹ along one axis: a symmetric filter on LR pixels with 2 * `radius` + 1 taps.

    Apart from the omitted taps beyond `radius`, the filter is exact on pictures that are mirrored
    at their edges (`"symmetric"`).
    """
    _, weights = shrinking_kernel(scale)
    products = np.correlate(weights, weights, mode="full")
    lags = products[(len(weights) - 1) % scale :: scale]  # the taps of HHᵀ, about seven
    n = 256  # a period so long that the two ends of the inverse do not meet
    period = np.zeros(n)
    period[np.arange(len(lags)) - len(lags) // 2] = lags
    inverse = np.fft.irfft(1 / np.fft.rfft(period).real, n)
    return inverse[np.arange(-radius, radius + 1)]


def consistent_rows(lr: Rows, sr: Rows) -> Rows:
    """Correct SR rows as they arrive, so that the picture shrinks back to its input.

    The final clipping to the range of levels undoes the correction where it clips. Values are
    therefore clipped beforehand as well, which leaves little to clip at the end, and a second
    correction lets the surrounding pixels make up for the rest.

    Args:
        lr: The input, uint8 or uint16, (H, W, C).
        sr: The picture made from `lr`, float32 (sH, sW, C) with a whole number s, in levels of
            the same range as `lr`. Bands whose channels lie apart, as planes, are the fastest.

    Returns:
        Float32 rows of levels in that range, not rounded; their channels lie apart, as planes.

    Raises:
        UsageError: The size of `sr` is not a whole multiple of that of `lr`.
    """
    scale = whole_scale(lr.shape[:2], sr.shape[:2])
    top = np.float32(np.iinfo(lr.dtype).max)
    planes = _planes(sr, piece_height(scale) * scale)
    clipped = planes.map(lambda band: np.clip(band, 0, top), channels=planes.channels)
    as_it_came, to_shrink = clipped.twice()
    wanted, colours = _planes(lr, piece_height(scale)).twice()
    missing = _shrunk(to_shrink, scale).joined(wanted, _less, channels=lr.width)
    corrected, to_cut = _corrected(as_it_came, missing, scale, INVERSE_RADIUS).twice()
    lost = _shrunk(to_cut, scale, top=top)
    again = lost.map(partial(np.multiply, _RELAXATION), channels=lr.width)
    made_up = _corrected(corrected, again, scale, _SECOND_RADIUS)
    kept = _flats_kept(made_up, colours, scale, top)
    bands = (band.transpose(0, 2, 1) for band in kept)
    return Rows(bands, shape=sr.shape, dtype=np.float32)


def piece_height(scale: int) -> int:
    """Compute the number of LR rows that are processed together.

    The number depends on the scale alone. Whatever bands a picture comes in, the same products are
    computed, and they round the same way. SR bands of exactly these rows are not copied.
    """
    return max(_SR_ROWS // (scale * _FEW), 1) * _FEW


def lr_psnr(sr: NDArray[Value], lr: NDArray[Value]) -> float:
    """Measure how true a picture is to its input: the PSNR of shrunk SR against LR, in dB.

    `imresize` shrinks SR, with its rounding, as it made the field's LR pictures. All channels
    count alike, and no border is left out. The result is `inf` if the picture shrinks to the input
    exactly.

    Args:
        sr: (sH, sW) or (sH, sW, C), uint8 or uint16 (read as levels of 1/257).
        lr: (H, W) or (H, W, C) of the same type.

    Raises:
        ShapeError: The two arrays are not pictures of the same kind.
        UsageError: The size of `sr` is not a whole multiple of that of `lr`.

    Source: the NTIRE challenges on learning the super-resolution space, 2021 and 2022.
    """
    _check(sr, lr)
    whole_scale(lr.shape[:2], sr.shape[:2])
    height, width = lr.shape[:2]
    shrunk = imresize(sr, size=(height, width))
    error = (shrunk.astype(np.float64) - lr) / np.iinfo(lr.dtype).max
    mean = float(np.mean(error**2))
    return float("inf") if mean == 0 else float(-10 * np.log10(mean))


def whole_scale(lr: tuple[int, int], sr: tuple[int, int]) -> int:
    """Return how many times larger `sr` is than `lr`; both are (height, width).

    Raises:
        UsageError: The factor is not a whole number, or not the same along both axes.
    """
    scale = max(1, sr[0] // lr[0])
    if (lr[0] * scale, lr[1] * scale) != sr:
        raise UsageError(
            f"a picture of {lr[1]}x{lr[0]} pixels becomes one of {sr[1]}x{sr[0]}, which is no "
            "whole multiple; only at x2, x3, x4 and other whole scales can an output be consistent"
        )
    return scale


def _check(sr: NDArray[Value], lr: NDArray[Value]) -> None:
    alike = sr.ndim in (2, 3) and sr.shape[2:] == lr.shape[2:] and sr.ndim == lr.ndim
    if not alike or sr.dtype != lr.dtype or sr.dtype not in (np.uint8, np.uint16):
        raise ShapeError(
            "expected an SR picture and its LR, both uint8 or uint16 and with the same channels, "
            f"got {sr.shape} {sr.dtype} and {lr.shape} {lr.dtype}"
        )


def _planes(rows: Rows, height: int) -> Rows:
    """Separate the channels of rows into planes, (H, C, W), in bands of `height` rows."""
    bands = (np.ascontiguousarray(band.transpose(0, 2, 1)) for band in rows.chunks(height))
    return Rows(bands, shape=(rows.height, rows.channels, rows.width), dtype=rows.dtype)


def _less(shrunk: Band, wanted: Band) -> Band:
    return np.subtract(wanted, shrunk, out=shrunk)


def _cut_off(band: Band, top: np.float32) -> Band | None:
    """Return the part of the levels beyond the range; None if it is negligible."""
    if band.min() >= -_NEGLIGIBLE and band.max() <= top + _NEGLIGIBLE:
        return None
    kept = np.clip(band, 0, top)
    lost: Band = np.subtract(band, kept, out=kept)
    return lost


def _shrunk(sr: Rows, scale: int, *, top: np.float32 | None = None) -> Rows:
    """Apply H to planes, (sH, C, sW); with `top`, to the part of their levels beyond the range.

    Each piece is read once and contributes to all LR rows that depend on it.
    """
    n_lr, channels, width = sr.height // scale, sr.width, sr.channels
    height = piece_height(scale)
    # Row i holds the weights that LR row i - _REACH gives to the SR rows of `_FEW` LR rows.
    around = 2 * _REACH * scale
    matrix = _shrinking(_FEW + 2 * _REACH, scale)[:, around:-around]
    across = _Across(_shrinking(_BLOCK, scale), width, scale_in=scale)

    def shares(piece: Band) -> Band:
        """Return the piece's contributions to its LR rows and to `_REACH` more on each side."""
        missing = np.zeros((height * scale - len(piece), channels, width), np.float32)
        whole = np.concatenate([piece, missing]) if len(missing) else piece
        blocks = whole.reshape(height // _FEW, -1, channels * width)
        shared = np.empty((len(blocks), len(matrix), channels * width), np.float32)
        multiply(matrix, blocks, into=shared)
        sums = np.zeros((len(blocks) + 1, _FEW, channels * width), np.float32)
        sums[:-1] = shared[:, :_FEW]
        sums[1:] += shared[:, _FEW:]
        return sums.reshape(-1, channels, width)

    def bands() -> Iterator[Band]:
        carry: Band | None = None
        for first in range(0, n_lr, height):
            end = min(first + height, n_lr)
            is_last = end == n_lr
            done = slice(_REACH if first == 0 else 0, end - first + _REACH * is_last)
            levels = sr.read(first * scale, end * scale)
            piece = levels if top is None else _cut_off(levels, top)
            if piece is None and carry is None:
                yield np.zeros((done.stop - done.start, channels, width // scale), np.float32)
                continue
            if piece is None:
                sums = np.zeros((height + 2 * _REACH, channels, width), np.float32)
            else:
                sums = shares(piece)
            if carry is not None:
                sums[: len(carry)] += carry
            # Rows beyond the lower edge wait for the last piece: until then, the next adds to them.
            line = np.arange(first - _REACH, end + _REACH * is_last)
            beyond = np.flatnonzero((line < 0) | (line >= n_lr))
            for i, at in zip(beyond, mirrored(line[beyond], n_lr) - line[0], strict=True):
                sums[at] += sums[i]
            carry = None if piece is None else sums[end - first :][: 2 * _REACH]
            yield across(sums[done])

    return Rows(bands(), shape=(n_lr, channels, width // scale), dtype=np.float32)


def _corrected(sr: Rows, missing: Rows, scale: int, radius: int) -> Rows:
    """Add Hᵀ(HHᵀ)⁻¹ of the missing levels, (H, C, W), to planes, (sH, C, sW)."""
    n_lr, height = missing.height, piece_height(scale)
    wide = _solved(missing, scale, radius)
    matrix = _transposed(_FEW, scale)

    def made(first: int) -> Band:
        kept = sr.read(first * scale, min(first + height, n_lr) * scale)
        window = wide.read_mirrored(first - _REACH, first + height + _REACH)
        if not window.any():
            return kept
        seen = windows(_flat(window), _FEW + 2 * _REACH, step=_FEW, count=height // _FEW)
        change = np.empty((len(seen), len(matrix), seen.shape[2]), np.float32)
        multiply(matrix, seen, into=change)
        change = change.reshape(-1, *kept.shape[1:])[: len(kept)]
        return np.add(kept, change, out=change)

    return Rows(map(made, range(0, n_lr, height)), shape=sr.shape, dtype=np.float32)


def _flats_kept(sr: Rows, lr: Rows, scale: int, top: np.float32) -> Rows:
    """Clip planes, (sH, C, sW), and give them the colour of LR, (H, C, W), where it is flat.

    There the SR pixels of a network differ by a level or two, which shrink to that colour as well.
    """
    height, near = piece_height(scale), top * _NEARLY_FLAT

    def made(first: int) -> Band:
        end = min(first + height, lr.height)
        levels = sr.read(first * scale, end * scale)
        np.clip(levels, 0, top, out=levels)  # in place, as the first clipping copied the rows
        window = lr.read_mirrored(first - _FLAT, end + _FLAT)
        y, x = _flat_around(window).nonzero()
        if len(y):
            # The SR pixels of each LR pixel: (y, row, C, x, column).
            blocks = levels.reshape(-1, scale, lr.width, lr.channels, scale)
            seen, colour = blocks[y, :, :, x], window[_FLAT + y, :, x, np.newaxis][:, np.newaxis]
            blocks[y, :, :, x] = np.where(np.abs(seen - colour) <= near, colour, seen)
        return levels

    return Rows(map(made, range(0, lr.height, height)), shape=sr.shape, dtype=np.float32)


def _flat_around(window: Band) -> NDArray[np.bool_]:
    """Tell which pixels of planes, (rows, C, W), have one colour with all that are `_FLAT` around.

    The first and last `_FLAT` rows are only looked at: the result is (rows - 2 * `_FLAT`, W).
    """
    n, width = len(window) - 2 * _FLAT, window.shape[2]
    # `np.pad` takes as long as all else here.
    wide = np.empty((len(window), window.shape[1], width + 2 * _FLAT), window.dtype)
    wide[..., _FLAT:-_FLAT] = window
    wide[..., :_FLAT], wide[..., -_FLAT:] = window[..., :1], window[..., -1:]
    row = wide[_FLAT:-_FLAT]
    beside = (row[..., 1:] == row[..., :-1]).all(axis=1)
    flat: NDArray[np.bool_] = np.logical_and.reduce(
        [beside[:, i : i + width] for i in range(2 * _FLAT)]
    )
    if not flat.any():  # as in most of a photograph
        return flat
    below = (wide[1:] == wide[:-1]).all(axis=1)
    column = np.logical_and.reduce([below[i : i + n] for i in range(2 * _FLAT)])
    flat &= np.logical_and.reduce([column[:, i : i + width] for i in range(2 * _FLAT + 1)])
    return flat


def _solved(missing: Rows, scale: int, radius: int) -> Rows:
    """Apply (HHᵀ)⁻¹ to the missing levels, (H, C, W), and Hᵀ along their rows: (H, C, sW).

    The long filters thus run first, while the picture is small.
    """
    n_lr, channels, width = missing.height, missing.width, missing.channels
    height = piece_height(scale)
    inverse = _inverse(height, scale, radius)
    wider = _transposed(_BLOCK, scale) @ _inverse(_BLOCK + 2 * _REACH, scale, radius)
    across = _Across(wider, width, scale_out=scale)

    def made(first: int) -> Band:
        count = min(height, n_lr - first)
        window = missing.read_mirrored(first - radius, first + height + radius)
        if window.max() < _TOO_LITTLE and window.min() > -_TOO_LITTLE:
            return np.zeros((count, channels, width * scale), np.float32)
        exact = np.empty((height, channels * width), np.float32)
        multiply(inverse, _flat(window), into=exact)
        return across(exact.reshape(-1, channels, width)[:count])

    shape = (n_lr, channels, width * scale)
    return Rows(map(made, range(0, n_lr, height)), shape=shape, dtype=np.float32)


def _flat(planes: Band) -> Band:
    return planes.reshape(len(planes), -1)


class _Across:
    """Filters planes, (rows, C, W), along their rows: one matrix for each block of LR columns."""

    def __init__(
        self, matrix: Matrix, width: int, *, scale_in: int = 1, scale_out: int = 1
    ) -> None:
        self._matrix, self._in, self._out = matrix.astype(np.float32), scale_in, scale_out
        self._margin = (matrix.shape[1] - _BLOCK * scale_in) // 2
        self._n = width // scale_in
        at = mirrored(np.arange(-self._margin, width + self._margin), width)
        self._left, self._right = at[: self._margin], at[width + self._margin :]

    def __call__(self, rows: Band) -> Band:
        height, channels, width = rows.shape
        margin, n = self._margin, self._n
        lines = np.empty((height, channels, width + 2 * margin), np.float32)
        lines[..., margin : margin + width] = rows
        lines[..., :margin] = rows[..., self._left]
        lines[..., margin + width :] = rows[..., self._right]
        made = np.empty((height, channels, n * self._out), np.float32)
        source, target = lines.reshape(-1, lines.shape[2]).T, made.reshape(-1, made.shape[2]).T
        count, rest = divmod(n, _BLOCK)
        if count:
            seen = windows(source, self._matrix.shape[1], step=_BLOCK * self._in, count=count)
            whole = count * _BLOCK * self._out
            multiply(self._matrix, seen, into=target[:whole].reshape(count, -1, target.shape[1]))
        if rest:
            seen = source[count * _BLOCK * self._in :]
            matrix = self._matrix[: rest * self._out, : len(seen)]
            multiply(matrix, seen, into=target[count * _BLOCK * self._out :])
        return made


def _shrinking(n: int, scale: int) -> Matrix:
    """Return the matrix of H along one axis that makes `n` LR lines.

    Its input is the SR lines of those LR lines and of `_REACH` more on each side.
    """
    first, weights = shrinking_kernel(scale)
    before, after = _REACH * scale + first, (_REACH + 1) * scale - first - len(weights)
    return _banded(np.pad(weights, (before, after)), n, step=scale)


def _transposed(n: int, scale: int) -> Matrix:
    """Return the matrix of Hᵀ along one axis that makes the SR lines of `n` LR lines.

    Its input is those LR lines and `_REACH` more on each side.
    """
    around = 2 * _REACH * scale
    return _shrinking(n + 2 * _REACH, scale)[:, around:-around].T.copy()


def _inverse(n: int, scale: int, radius: int) -> Matrix:
    """Return the matrix of (HHᵀ)⁻¹ along one axis that makes `n` LR lines.

    Its input is those lines and `radius` more on each side.
    """
    return _banded(inverse_taps(scale, radius=radius), n)


def _banded(taps: NDArray[np.float64], n: int, *, step: int = 1) -> Matrix:
    """Return the matrix that applies `taps` `n` times, `step` lines farther on each time."""
    matrix = np.zeros((n, (n - 1) * step + len(taps)), np.float32)
    for i, row in enumerate(matrix):
        row[i * step : i * step + len(taps)] = taps
    return matrix
