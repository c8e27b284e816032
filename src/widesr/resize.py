"""MATLAB's bicubic `imresize`, in NumPy: the resampler that made the field's LR pictures.

Source: MATLAB R2023b documentation of `imresize` and `doc cubic`; R. Keys, "Cubic convolution
interpolation for digital image processing", 1981 (a = -1/2). Held to the published LR pictures of
Set5 and Set14, value for value.
"""

from math import ceil
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ShapeError

Edges = Literal["symmetric", "replicate"]
Pixels = TypeVar("Pixels", bound=np.uint8 | np.uint16 | np.float32 | np.float64)

_KERNEL_RADIUS = 2.0
_BLOCK = 8
"""Output lines per matrix product: enough to keep BLAS busy, with few zeros in the band."""


def imresize(
    image: NDArray[Pixels],
    scale: float | None = None,
    *,
    size: tuple[int, int] | None = None,
    edges: Edges = "symmetric",
) -> NDArray[Pixels]:
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

    resized: NDArray[Any] = image
    # MATLAB resizes the axis that shrinks most first, and rows first when both are alike.
    for axis in (0, 1) if factors[0] <= factors[1] else (1, 0):
        lines = np.moveaxis(resized, axis, 0)
        rest = lines.shape[1:]
        lines = _resample(lines.reshape(len(lines), -1), size[axis], factors[axis], edges)
        resized = np.moveaxis(lines.reshape(size[axis], *rest), 0, axis)
    return np.ascontiguousarray(resized)


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


def _resample(lines: NDArray[Any], n_out: int, factor: float, edges: Edges) -> NDArray[Any]:
    """Resample (n, values) along its first axis, block by block, each a banded matrix product.

    A dense product over a block multiplies some zeros, but runs in BLAS on what is in the cache:
    several times faster than adding up weighted slices, which is bound by memory.
    """
    dtype = lines.dtype
    working = np.float32 if dtype == np.float32 else np.float64
    start, weights = _taps(n_out, factor)
    out = np.empty((n_out, lines.shape[1]), dtype)
    for first in range(0, n_out, _BLOCK):
        block = slice(first, min(first + _BLOCK, n_out))
        offset = start[block] - start[first]
        span = np.arange(offset[-1] + weights.shape[1])
        band = np.zeros((len(offset), len(span)), working)
        columns = offset[:, None] + span[: weights.shape[1]]
        band[np.arange(len(offset))[:, None], columns] = weights[block]
        source = lines[_inside(start[first] + span, len(lines), edges)]
        values = band @ source.astype(working, copy=False)
        if dtype.kind == "u":
            values += 0.5
            np.floor(values, out=values)
            np.clip(values, 0, np.iinfo(dtype).max, out=values)
        out[block] = values
    return out


def _inside(index: NDArray[np.intp], n: int, edges: Edges) -> NDArray[np.intp] | slice:
    """Where each of these consecutive lines lies among `n`, some of them beyond the border."""
    if index[0] >= 0 and index[-1] < n:
        return slice(int(index[0]), int(index[-1]) + 1)  # a view, no copy
    if edges == "replicate":
        return np.clip(index, 0, n - 1)
    mirrored = index % (2 * n)
    return np.minimum(mirrored, 2 * n - 1 - mirrored)
