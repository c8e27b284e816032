"""Resizes as MATLAB's bicubic `imresize`, in NumPy: it made the field's LR pictures.

Source: MATLAB R2023b documentation of `imresize` and `doc cubic`; R. Keys, "Cubic convolution
interpolation for digital image processing", 1981 (a = -1/2). Held to the published LR pictures of
Set5 and Set14, value for value.
"""

from collections.abc import Iterator
from math import ceil
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ShapeError
from widesr.pixels.rows import Band, Rows

Edges = Literal["symmetric", "replicate"]
Value = TypeVar("Value", bound=np.uint8 | np.uint16 | np.float32 | np.float64)

_KERNEL_RADIUS = 2.0
_BLOCK = 8
"""Output lines per matrix product: enough to keep BLAS busy, with few zeros in the band."""
_CHUNK = 2**23
"""Values that are worked on together: enough that the blocks are few and long."""


def imresize(
    image: NDArray[Value],
    scale: float | None = None,
    *,
    size: tuple[int, int] | None = None,
    edges: Edges = "symmetric",
) -> NDArray[Value]:
    """Resize by bicubic interpolation, antialiased when shrinking, as MATLAB does.

    Integers are rounded (half up) and clipped to their range after each of the two passes, as
    MATLAB does with uint8: this is what made the published LR pictures of Set5, Set14 and DIV2K.
    Floats are neither rounded nor clipped.

    Args:
        image: (H, W) or (H, W, C), uint8, uint16, float32 or float64, of any range.
        scale: Factor for both axes; the result is (ceil(H * scale), ceil(W * scale)).
        size: (height, width) of the result instead; each axis gets its own factor.
        edges: What lies beyond the border: `"symmetric"` mirrors (MATLAB today), `"replicate"`
            repeats the edge pixel (older MATLAB, and the widespread copies of Set14).

    Returns:
        A new array of the same type and channels.

    Raises:
        ShapeError: Not an image, not exactly one of `scale` and `size`, or a result without pixels.
    """
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ShapeError(f"expected an image (H, W) or (H, W, C) with pixels, got {image.shape}")
    if image.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        raise ShapeError(f"expected uint8, uint16, float32 or float64 pixels, got {image.dtype}")
    if (scale is None) == (size is None):
        raise ShapeError("give either scale= or size=")
    height, width = image.shape[:2]
    if scale is not None:
        if not scale > 0:
            raise ShapeError(f"expected a scale above 0, got {scale}")
        # The tiny step back keeps 3 * (1 / 3) from becoming 2 pixels.
        size = ceil(height * scale - 1e-9), ceil(width * scale - 1e-9)
        factors = (scale, scale)
    else:
        assert size is not None
        factors = (size[0] / height, size[1] / width)
    if min(size) < 1:
        raise ShapeError(f"expected a result with pixels, got {size[1]}x{size[0]}")

    pixels = image if image.ndim == 3 else image[..., np.newaxis]
    rows = _resized(Rows.of(pixels), size=size, factors=factors, edges=edges)
    resized: NDArray[Value] = np.ascontiguousarray(rows.whole())
    return resized if image.ndim == 3 else resized[..., 0]


def resize_rows(rows: Rows, *, size: tuple[int, int], edges: Edges = "symmetric") -> Rows:
    """Resize a picture as it comes, to the same values as `imresize`.

    Args:
        rows: Of a type that `imresize` takes.
        size: (height, width) of the result.
        edges: As for `imresize`.
    """
    factors = (size[0] / rows.height, size[1] / rows.width)
    return _resized(rows, size=size, factors=factors, edges=edges)


def nearest_rows(rows: Rows, *, size: tuple[int, int]) -> Rows:
    """Resize a picture as it comes, each pixel being the one that its middle lies in.

    Args:
        rows: Of any type.
        size: (height, width) of the result.
    """
    height, width = size
    down, across = _nearest(height, rows.height), _nearest(width, rows.width)
    step = max(1, _CHUNK // (width * rows.channels))

    def bands() -> Iterator[Band]:
        for top in range(0, height, step):
            at = down[top : top + step]
            yield rows.read(int(at[0]), int(at[-1]) + 1)[at - at[0]][:, across]

    return Rows(bands(), shape=(height, width, rows.channels), dtype=rows.dtype)


def _nearest(n_out: int, n: int) -> NDArray[np.intp]:
    return (2 * np.arange(n_out) + 1) * n // (2 * n_out)


def _resized(
    rows: Rows, *, size: tuple[int, int], factors: tuple[float, float], edges: Edges
) -> Rows:
    height, width = size

    def vertically(rows: Rows) -> Rows:
        shape = (height, rows.width, rows.channels)
        return Rows(_vertical(rows, height, factors[0], edges), shape=shape, dtype=rows.dtype)

    def horizontally(rows: Rows) -> Rows:
        shape = (rows.height, width, rows.channels)
        return Rows(_horizontal(rows, width, factors[1], edges), shape=shape, dtype=rows.dtype)

    # MATLAB resizes the axis that shrinks most first, and rows first when both are alike.
    if factors[0] <= factors[1]:
        return horizontally(vertically(rows))
    return vertically(horizontally(rows))


class _Taps(NamedTuple):
    """Along one axis: output i is the sum over k of weights[i, k] * input[start[i] + k]."""

    start: NDArray[np.intp]
    weights: NDArray[np.float64]


def _taps(n_out: int, factor: float) -> _Taps:
    """Weights of the cubic kernel at each output line, stretched by 1/factor when shrinking."""
    stretch = max(1.0, 1.0 / factor)
    radius = _KERNEL_RADIUS * stretch
    centre = (np.arange(n_out) + 0.5) / factor - 0.5
    start = np.floor(centre - radius).astype(np.intp)
    lines = start[:, None] + np.arange(ceil(2 * radius) + 2)
    weights = _cubic((centre[:, None] - lines) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    used = np.flatnonzero(weights.any(axis=0))
    return _Taps(start + used[0], weights[:, used[0] : used[-1] + 1])


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel with a = -1/2; zero from distance 2 on."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _vertical(rows: Rows, n_out: int, factor: float, edges: Edges) -> Iterator[Band]:
    start, weights = _taps(n_out, factor)
    height = _chunk_height(rows)

    def chunk(first: int) -> Band:
        part = slice(first, min(first + height, n_out))
        lines = _inside(
            np.arange(start[part][0], start[part][-1] + weights.shape[1]), rows.height, edges
        )
        top, bottom = int(lines.min()), int(lines.max()) + 1
        window = rows.read(top, bottom)
        flat = window.reshape(len(window), -1)
        resampled = _resample(flat, lines - top, _Taps(start[part], weights[part]))
        return resampled.reshape(-1, rows.width, rows.channels)

    return map(chunk, range(0, n_out, height))  # which holds no chunk that was given


def _horizontal(rows: Rows, n_out: int, factor: float, edges: Edges) -> Iterator[Band]:
    taps = _taps(n_out, factor)
    start, weights = taps
    columns = _inside(np.arange(start[0], start[-1] + weights.shape[1]), rows.width, edges)

    def stretched(chunk: Band) -> Band:
        lines = chunk.transpose(1, 0, 2)
        resampled = _resample(lines.reshape(rows.width, -1), columns, taps)
        return resampled.reshape(n_out, len(chunk), rows.channels).transpose(1, 0, 2)

    return map(stretched, rows.chunks(_chunk_height(rows)))


def _resample(lines: NDArray[Any], at: NDArray[np.intp], taps: _Taps) -> NDArray[Any]:
    """Resample (n, values) along its first axis, block by block, each a banded matrix product.

    A dense product over a block multiplies some zeros, but runs in BLAS on what is in the cache:
    several times faster than adding up weighted slices, which is bound by memory.

    Args:
        lines: What is resampled.
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
        band = np.zeros((len(offset), len(span)), working)
        columns = offset[:, None] + span[: weights.shape[1]]
        band[np.arange(len(offset))[:, None], columns] = weights[block]
        source = lines[_as_slice(at[start[first] - start[0] + span])]
        values = band @ source.astype(working, copy=False)
        if dtype.kind == "u":
            values += 0.5
            np.floor(values, out=values)
            np.clip(values, 0, np.iinfo(dtype).max, out=values)
        out[block] = values
    return out


def _chunk_height(rows: Rows) -> int:
    """Rows to work on together.

    By the picture's size alone: in whatever bands it comes, the same products are made, and round
    the same way.
    """
    height = _CHUNK // (rows.width * rows.channels)
    return max(height // _BLOCK, 1) * _BLOCK


def _is_flat(lines: NDArray[Any]) -> bool:
    return bool((lines[0] == lines[-1]).all() and (lines == lines[0]).all())


def _inside(index: NDArray[np.intp], n: int, edges: Edges) -> NDArray[np.intp]:
    """Find the place of each of these lines among `n`, some of them beyond the border."""
    if edges == "replicate":
        return np.clip(index, 0, n - 1)
    mirrored = index % (2 * n)
    return np.minimum(mirrored, 2 * n - 1 - mirrored)


def _as_slice(index: NDArray[np.intp]) -> NDArray[np.intp] | slice:
    """Consecutive numbers as a slice, which gives a view and no copy."""
    if (np.diff(index) == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return index
