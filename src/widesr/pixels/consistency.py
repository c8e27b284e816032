"""Moves SR pictures the least way to those that shrink back to their input, to the pixel.

With H for MATLAB's antialiased bicubic (`imresize`, symmetric edges), x + Hᵀ(HHᵀ)⁻¹(y - Hx) is the
picture nearest to x that H shrinks to y. If y is H of the true picture, it is no farther from that
than x was: the step is a projection onto a plane that the true picture lies in.

H works along one axis and then along the other, so HHᵀ does too, and along each axis it is a
filter of seven taps on pictures that are mirrored at their edges, exactly. So is its inverse, whose
taps shrink by three from one to the next: it is cut where they no longer matter, which bounds how
many rows are held.

Source: Bahat and Michaeli, "Explorable super resolution", 2020, whose CEM wraps a network in the
same step; the inverse is theirs in the frequency domain.
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
"""Taps of the inverse on each side of its middle, in LR pixels: what is left out is 1e-6."""
_SECOND_RADIUS = 6
"""The same of the second correction, which is of a few levels: what is left out is 1e-3."""
_RELAXATION = np.float32(1.6)
"""Factor of the second correction, of which some is clipped again: above 1 it gets there sooner."""

_NEGLIGIBLE = 6.0
"""Levels beyond the range: a piece with no more is not corrected again. They are few, and what they
take from the input is less than rounding does."""
_TOO_LITTLE = 1 / 32
"""Levels of LR: where no more is missing, nothing is corrected."""

_REACH = 2
"""LR lines on each side whose SR lines H looks at, or has a part in."""
_BLOCK = 8
"""LR columns by one matrix product: enough to keep BLAS busy, with few zeros in it."""
_FEW = 4
"""LR rows by one matrix product, for the same reason; no fewer than two reaches."""
_SR_ROWS = 32
"""Rows of SR that are worked on together: more leave the cache from step to step."""


class Kernel(NamedTuple):
    """Along one axis: LR pixel i is the sum over k of weights[k] * HR pixel[scale * i + start + k].

    The same at every pixel, as the scale is a whole number; it is symmetric around the pixel.
    """

    start: int
    weights: NDArray[np.float64]


def shrinking_kernel(scale: int) -> Kernel:
    """Give H along one axis: the weights that make an LR pixel of HR ones, `scale` a whole number.

    They sum to 1; from x2 on there are 4 `scale` of them, one less at odd scales.
    """
    start, weights = cubic_taps(1, 1 / scale)
    used = np.flatnonzero(weights[0])
    return Kernel(int(start[0] + used[0]), weights[0, used[0] : used[-1] + 1])


def inverse_taps(scale: int, *, radius: int = INVERSE_RADIUS) -> NDArray[np.float64]:
    """Give (HHᵀ)⁻¹ along one axis, a symmetric filter of LR pixels, 2 `radius` + 1 taps.

    It is exact on pictures that are mirrored at their edges (`"symmetric"`), except for the taps
    beyond `radius`.
    """
    _, weights = shrinking_kernel(scale)
    products = np.correlate(weights, weights, mode="full")
    lags = products[(len(weights) - 1) % scale :: scale]  # of HHᵀ, some seven
    n = 256  # so long a period that its two ends do not meet
    period = np.zeros(n)
    period[np.arange(len(lags)) - len(lags) // 2] = lags
    inverse = np.fft.irfft(1 / np.fft.rfft(period).real, n)
    return inverse[np.arange(-radius, radius + 1)]


def consistent_rows(lr: Rows, sr: Rows) -> Rows:
    """Correct SR rows as they come, so that the picture shrinks back to its input.

    The values are clipped to the range of levels before, so that little is left to clip at the end,
    which undoes the correction there. What it undoes is made up for by what lies around, once.

    Args:
        lr: The input, uint8 or uint16, (H, W, C).
        sr: The picture that was made of it, float32 (sH, sW, C) with a whole number s: levels of
            the same range as `lr`. Bands whose channels lie apart, as planes, pass quickest.

    Returns:
        Float32 rows of levels in that range, not rounded; their channels lie apart.

    Raises:
        UsageError: The size of `sr` is no whole multiple of that of `lr`.
    """
    scale = whole_scale(lr.shape[:2], sr.shape[:2])
    top = np.float32(np.iinfo(lr.dtype).max)
    planes = _planes(sr, piece_height(scale) * scale)
    clipped = planes.map(lambda band: np.clip(band, 0, top), channels=planes.channels)
    as_it_came, to_shrink = clipped.twice()
    wanted = _planes(lr, piece_height(scale))
    missing = _shrunk(to_shrink, scale).joined(wanted, _less, channels=lr.width)
    corrected, to_cut = _corrected(as_it_came, missing, scale, INVERSE_RADIUS).twice()
    lost = _shrunk(to_cut, scale, top=top)
    again = lost.map(partial(np.multiply, _RELAXATION), channels=lr.width)
    made_up = _corrected(corrected, again, scale, _SECOND_RADIUS)
    bands = (np.clip(band, 0, top).transpose(0, 2, 1) for band in made_up)
    return Rows(bands, shape=sr.shape, dtype=np.float32)


def piece_height(scale: int) -> int:
    """Compute the LR rows that are worked on together.

    By the scale alone: in whatever bands a picture comes, the same products are made, and round the
    same way. Bands of SR that stand for as many rows are not copied.
    """
    return max(_SR_ROWS // (scale * _FEW), 1) * _FEW


def lr_psnr(sr: NDArray[Value], lr: NDArray[Value]) -> float:
    """Measure how true a picture is to its input: PSNR in dB of SR, shrunk, against LR.

    SR is shrunk by `imresize` with its rounding, as the LR pictures of the field are made. All
    channels count alike and no border is left out. `inf` is a picture that shrinks to the input
    exactly.

    Args:
        sr: (sH, sW) or (sH, sW, C), uint8 or uint16 (read as levels of 1/257).
        lr: (H, W) or (H, W, C) of the same type.

    Raises:
        ShapeError: The two are not pictures of one kind.
        UsageError: The size of `sr` is no whole multiple of that of `lr`.

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
    """Say how many times larger `sr` is than `lr`, (height, width) both.

    Raises:
        UsageError: It is not a whole number, the same along both axes.
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
    """Lay the channels of rows apart, (H, C, W), in bands of `height` rows."""
    bands = (np.ascontiguousarray(band.transpose(0, 2, 1)) for band in rows.chunks(height))
    return Rows(bands, shape=(rows.height, rows.channels, rows.width), dtype=rows.dtype)


def _less(shrunk: Band, wanted: Band) -> Band:
    return np.subtract(wanted, shrunk, out=shrunk)


def _cut_off(band: Band, top: np.float32) -> Band | None:
    """Return by how much levels are beyond the range; None where that is next to nothing."""
    if band.min() >= -_NEGLIGIBLE and band.max() <= top + _NEGLIGIBLE:
        return None
    kept = np.clip(band, 0, top)
    lost: Band = np.subtract(band, kept, out=kept)
    return lost


def _shrunk(sr: Rows, scale: int, *, top: np.float32 | None = None) -> Rows:
    """Apply H to planes, (sH, C, sW); with `top`, to how far their levels are beyond the range.

    Each piece is read once, and adds its shares to all LR rows that depend on it.
    """
    n_lr, channels, width = sr.height // scale, sr.width, sr.channels
    height = piece_height(scale)
    # Row i is what LR row i - _REACH takes from the SR rows of a few LR rows.
    around = 2 * _REACH * scale
    matrix = _shrinking(_FEW + 2 * _REACH, scale)[:, around:-around]
    across = _Across(_shrinking(_BLOCK, scale), width, scale_in=scale)

    def shares(piece: Band) -> Band:
        """Give the sums of shares of the piece's LR rows, and of `_REACH` more on each side."""
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
            # Beyond the lower edge only in the last piece: before it, a row is added to again.
            line = np.arange(first - _REACH, end + _REACH * is_last)
            beyond = np.flatnonzero((line < 0) | (line >= n_lr))
            for i, at in zip(beyond, mirrored(line[beyond], n_lr) - line[0], strict=True):
                sums[at] += sums[i]
            carry = None if piece is None else sums[end - first :][: 2 * _REACH]
            yield across(sums[done])

    return Rows(bands(), shape=(n_lr, channels, width // scale), dtype=np.float32)


def _corrected(sr: Rows, missing: Rows, scale: int, radius: int) -> Rows:
    """Add Hᵀ(HHᵀ)⁻¹ of what is missing, (H, C, W), to planes, (sH, C, sW)."""
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


def _solved(missing: Rows, scale: int, radius: int) -> Rows:
    """Apply (HHᵀ)⁻¹ to what is missing, (H, C, W), and Hᵀ along its rows: (H, C, sW).

    So the long filters go first, while the picture is small.
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
    """Multiplies the columns of planes, (rows, C, W), by one matrix, a block of them at a time."""

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
    """Build H along an axis: `n` LR lines from the SR of these and `_REACH` more on each side."""
    first, weights = shrinking_kernel(scale)
    before, after = _REACH * scale + first, (_REACH + 1) * scale - first - len(weights)
    return _banded(np.pad(weights, (before, after)), n, step=scale)


def _transposed(n: int, scale: int) -> Matrix:
    """Build Hᵀ along an axis: the SR of `n` LR lines from these and `_REACH` more on each side."""
    around = 2 * _REACH * scale
    return _shrinking(n + 2 * _REACH, scale)[:, around:-around].T.copy()


def _inverse(n: int, scale: int, radius: int) -> Matrix:
    """Build (HHᵀ)⁻¹ along an axis: `n` LR lines from these and `radius` more on each side."""
    return _banded(inverse_taps(scale, radius=radius), n)


def _banded(taps: NDArray[np.float64], n: int, *, step: int = 1) -> Matrix:
    """Build the matrix that makes `n` lines, each `step` lines after the one before it."""
    matrix = np.zeros((n, (n - 1) * step + len(taps)), np.float32)
    for i, row in enumerate(matrix):
        row[i * step : i * step + len(taps)] = taps
    return matrix
