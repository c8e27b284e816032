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

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ShapeError, UsageError
from widesr.pixels.resize import cubic_taps, imresize
from widesr.pixels.rows import Band, Rows
from widesr.pixels.taps import Taps, filter_across, filter_down

Value = TypeVar("Value", bound=np.uint8 | np.uint16)

INVERSE_RADIUS = 13
"""Taps of the inverse on each side of its middle, in LR pixels: what is left out is 1e-6."""
_RELAXATION = np.float32(1.6)
"""Factor of the second correction, of which some is clipped again: above 1 it gets there sooner."""

_NEGLIGIBLE = 1.0
"""Levels beyond the range: a piece with no more is not corrected again; rounding costs as much."""
_CHUNK = 2**18
"""Values that are worked on together: few enough to stay in a cache."""


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
    start, weights, _ = cubic_taps(1, 1 / scale)
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

    Corrected, the values are clipped to the range of levels, which undoes the correction there.
    So it is made up for by what lies around, once; where nothing was clipped nothing changes.

    Args:
        lr: The input, uint8 or uint16, (H, W, C).
        sr: What was made of it, (sH, sW, C) with a whole number s, float32: levels of the same
            range as `lr`, not clipped.

    Returns:
        Float32 rows of levels in that range, not rounded.

    Raises:
        UsageError: The size of `sr` is no whole multiple of that of `lr`.
    """
    scale = whole_scale(lr.shape[:2], sr.shape[:2])
    top, n = np.float32(np.iinfo(lr.dtype).max), lr.channels

    # Each step writes its result where what it is given first was: that is this step's alone.
    def less(shrunk: Band, wanted: Band) -> Band:
        return np.subtract(wanted, shrunk, out=shrunk)

    def put_right(correction: Band, band: Band) -> Band:
        return np.add(band, correction, out=correction)

    def clipped(band: Band) -> tuple[Band, Band]:
        kept = np.clip(band, 0, top)
        if band.min() < -_NEGLIGIBLE or band.max() > top + _NEGLIGIBLE:
            band -= kept
        else:
            band.fill(0)
        return kept, band

    def made_up(lost: Band, kept: Band) -> Band:
        return np.clip(np.add(kept, lost, out=lost), 0, top, out=lost)

    # Corrections lead: they come in pieces that stay in a cache, whatever bands come.
    as_it_came, to_shrink = sr.twice()
    missing = _shrunk(to_shrink, scale).joined(lr, less, channels=n)
    corrected = _enlarged(missing, scale).joined(as_it_came, put_right, channels=n)
    kept, cut = corrected.parted(clipped)
    again = _shrunk(cut, scale).map(partial(np.multiply, _RELAXATION), channels=n)
    return _enlarged(again, scale).joined(kept, made_up, channels=n)


def make_consistent(sr: NDArray[Value], lr: NDArray[Value]) -> NDArray[Value]:
    """Correct a picture in memory, so that it shrinks back to its input but for its rounding.

    Args:
        sr: (sH, sW) or (sH, sW, C), uint8 or uint16; s is a whole number.
        lr: (H, W) or (H, W, C) of the same type: what `sr` is to shrink to.

    Returns:
        A new array as `sr`, rounded half up.

    Raises:
        ShapeError: The two are not pictures of one kind.
        UsageError: The size of `sr` is no whole multiple of that of `lr`.
    """
    _check(sr, lr)
    rows = Rows.of(np.atleast_3d(sr).astype(np.float32))
    corrected = consistent_rows(Rows.of(np.atleast_3d(lr)), rows)
    rounded: NDArray[Value] = np.floor(corrected.whole() + np.float32(0.5)).astype(sr.dtype)
    return rounded.reshape(sr.shape)


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


def _shrunk(sr: Rows, scale: int) -> Rows:
    """Apply H to a picture: down first, which leaves less to be turned for going across."""
    lower = _down(sr, _shrinking, scale, chunk=_CHUNK)
    return _across(lower, _shrinking, scale, chunk=_CHUNK)


def _enlarged(lr: Rows, scale: int) -> Rows:
    """Apply Hᵀ(HHᵀ)⁻¹ to a picture: the long filters while it is small, and across before down."""
    few = _CHUNK // scale  # for each LR row that is read ahead, `scale` rows of SR wait
    exact = _down(_across(lr, _inverse, scale, chunk=few), _inverse, scale, chunk=few)
    wider = _across(exact, _transposed, scale, chunk=few)
    return _down(wider, _transposed, scale, chunk=_CHUNK)


def _down(rows: Rows, make: Callable[[int, int], Taps], scale: int, *, chunk: int) -> Rows:
    return filter_down(rows, make(rows.height, scale), edges="symmetric", chunk=chunk)


def _across(rows: Rows, make: Callable[[int, int], Taps], scale: int, *, chunk: int) -> Rows:
    return filter_across(rows, make(rows.width, scale), edges="symmetric", chunk=chunk)


def _shrinking(n: int, scale: int) -> Taps:
    """Apply H along an axis of `n` HR pixels."""
    first, kernel = shrinking_kernel(scale)
    start = np.arange(n // scale) * scale + first
    return Taps(start, np.broadcast_to(kernel, (len(start), len(kernel))))


def _inverse(n: int, scale: int) -> Taps:
    """Apply (HHᵀ)⁻¹ along an axis of `n` LR pixels."""
    taps = inverse_taps(scale)
    start = np.arange(n) - len(taps) // 2
    return Taps(start, np.broadcast_to(taps, (n, len(taps))))


def _transposed(n: int, scale: int) -> Taps:
    """Apply Hᵀ along an axis of `n` LR pixels: those that each HR pixel has a part in."""
    first, kernel = shrinking_kernel(scale)
    pixels = np.arange(n * scale)
    start = -((first + len(kernel) - 1 - pixels) // scale)
    count = -(-len(kernel) // scale)
    k = pixels[:, None] - scale * (start[:, None] + np.arange(count)) - first
    weights = np.where((k >= 0) & (k < len(kernel)), kernel[np.clip(k, 0, len(kernel) - 1)], 0)
    return Taps(start, weights, period=scale)
