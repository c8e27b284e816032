"""Resizes in NumPy as MATLAB's bicubic `imresize` does, which made the field's LR pictures.

Source: MATLAB R2023b documentation of `imresize` and `doc cubic`; R. Keys, "Cubic convolution
interpolation for digital image processing", 1981 (a = -1/2). Tests hold it to the published LR
pictures of Set5 and Set14, value for value.
"""

from collections.abc import Iterator
from math import ceil
from typing import TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ShapeError, UsageError
from widesr.pixels.rows import Band, Rows, check_array
from widesr.pixels.taps import Edges, Taps, filter_across, filter_down
from widesr.system.arguments import real_number, shown, whole_number

Value = TypeVar("Value", bound=np.uint8 | np.uint16 | np.float32 | np.float64)

_KERNEL_RADIUS = 2.0
_CHUNK = 2**23
"""Values that are processed together: enough that the blocks are few and long."""


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
        edges: The rule for pixels beyond the border: `"symmetric"` mirrors (MATLAB today),
            `"replicate"` repeats the edge pixel (older MATLAB, and the widespread copies of Set14).

    Returns:
        A new array of the same type and channels.

    Raises:
        ShapeError: The array is not an image, not exactly one of `scale` and `size` is given, or
            the result would have no pixels.
        UsageError: `image` is not an array, or a value has the wrong type.
    """
    check_array(image)
    if edges not in get_args(Edges):
        names = ", ".join(get_args(Edges))
        raise UsageError(f"expected edges as one of {names}, got {shown(edges)}")
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ShapeError(f"expected an image (H, W) or (H, W, C) with pixels, got {image.shape}")
    if image.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        raise ShapeError(f"expected uint8, uint16, float32 or float64 pixels, got {image.dtype}")
    if (scale is None) == (size is None):
        raise ShapeError("give either scale= or size=")
    height, width = image.shape[:2]
    if scale is not None:
        scale = real_number(scale, "a number above 0 as the scale")
        if scale <= 0:
            raise ShapeError(f"expected a scale above 0, got {scale:.15g}")
        # The tiny step back keeps 3 * (1 / 3) from becoming 2 pixels.
        size = ceil(height * scale - 1e-9), ceil(width * scale - 1e-9)
        factors = (scale, scale)
    else:
        if not (isinstance(size, tuple | list) and len(size) == 2):
            raise UsageError(f"expected size as (height, width), got {shown(size)}")
        whole = [whole_number(side, "size in whole pixels", least=0) for side in size]
        size = whole[0], whole[1]
        factors = (size[0] / height, size[1] / width)
    if min(size) < 1:
        raise ShapeError(f"expected a result with pixels, got {size[1]}x{size[0]}")

    pixels = image if image.ndim == 3 else image[..., np.newaxis]
    rows = _resized(Rows.of(pixels), size=size, factors=factors, edges=edges)
    resized: NDArray[Value] = np.ascontiguousarray(rows.whole())
    return resized if image.ndim == 3 else resized[..., 0]


def resize_rows(rows: Rows, *, size: tuple[int, int], edges: Edges = "symmetric") -> Rows:
    """Resize a picture as its rows arrive, to the same values as `imresize`.

    Args:
        rows: Rows of a type that `imresize` takes.
        size: (height, width) of the result.
        edges: The rule for pixels beyond the border, as for `imresize`.
    """
    factors = (size[0] / rows.height, size[1] / rows.width)
    return _resized(rows, size=size, factors=factors, edges=edges)


def nearest_rows(rows: Rows, *, size: tuple[int, int]) -> Rows:
    """Resize a picture as its rows arrive; each new pixel copies the one that its centre lies in.

    Args:
        rows: Rows of any type.
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
        return filter_down(rows, cubic_taps(height, factors[0]), edges=edges, chunk=_CHUNK)

    def horizontally(rows: Rows) -> Rows:
        return filter_across(rows, cubic_taps(width, factors[1]), edges=edges, chunk=_CHUNK)

    # MATLAB first resizes the axis that shrinks most, and the rows if both shrink alike.
    if factors[0] <= factors[1]:
        return horizontally(vertically(rows))
    return vertically(horizontally(rows))


def cubic_taps(n_out: int, factor: float) -> Taps:
    """Compute the cubic kernel's taps for each output line, stretched by 1/factor if it shrinks."""
    stretch = max(1.0, 1.0 / factor)
    radius = _KERNEL_RADIUS * stretch
    centre = (np.arange(n_out) + 0.5) / factor - 0.5
    start = np.floor(centre - radius).astype(np.intp)
    lines = start[:, None] + np.arange(ceil(2 * radius) + 2)
    weights = _cubic((centre[:, None] - lines) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    used = np.flatnonzero(weights.any(axis=0))
    return Taps(start + used[0], weights[:, used[0] : used[-1] + 1])


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate Keys' cubic convolution kernel with a = -1/2, which is zero from distance 2 on."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
