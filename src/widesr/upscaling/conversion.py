"""Converts pixels to the inputs of networks, and the outputs of networks to pixels."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from widesr.engine import Tensor
from widesr.errors import ShapeError
from widesr.pixels.rows import Band, check_array

Value = TypeVar("Value", bound=np.uint8 | np.uint16)


def check_pixels(pixels: NDArray[Value]) -> None:
    """Check that an array is a grey or RGB picture.

    Raises:
        ShapeError: The array is not such a picture.
        UsageError: The value is not an array.
    """
    check_array(pixels)
    is_shape = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3))
    if not is_shape or 0 in pixels.shape or pixels.dtype not in (np.uint8, np.uint16):
        raise ShapeError(
            "expected uint8 or uint16 pixels (H, W, 3), (H, W, 1) or (H, W), got "
            f"{pixels.dtype} {pixels.shape}"
        )


def to_network(pixels: Band, noise: Band | None = None) -> Tensor:
    """Convert (H, W, 1 or 3) integers to (1, 3, H, W) in [0, 1]; grey fills all three channels.

    Noise, float32 (H, W, C), goes unchanged into C more channels after these.
    """
    lr = pixels.transpose(2, 0, 1)[np.newaxis].astype(np.float32)
    lr /= np.float32(np.iinfo(pixels.dtype).max)
    rgb = np.broadcast_to(lr, (1, 3, *lr.shape[2:]))
    if noise is None:
        return np.ascontiguousarray(rgb)
    return np.concatenate([rgb, noise.transpose(2, 0, 1)[np.newaxis]], axis=1)


def from_network(sr: Tensor, *, top: int, into: Band) -> None:
    """Write (1, 3, H, W) in [0, 1] as levels (H, W, 1 or 3) up to `top`.

    Integers are clipped and rounded half up; floats are neither clipped nor rounded.
    """
    if into.shape[2] == 1:
        # The order of this sum is fixed; that of `mean` may depend on the shape, and tiles must
        # round as the whole picture does.
        sr = (sr[:, :1] + sr[:, 1:2] + sr[:, 2:]) / np.float32(3)
    for channel, values in enumerate(sr[0]):  # one by one: NumPy takes five times as long for all
        if into.dtype == np.float32:
            np.multiply(values, np.float32(top), out=into[..., channel])
            continue
        levels = values * np.float32(top)
        levels += np.float32(0.5)
        np.clip(levels, 0, top, out=levels)
        into[..., channel] = levels
