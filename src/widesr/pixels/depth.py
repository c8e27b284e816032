"""Converts the bit depth of pixels: from 16 bits to levels of 8, and from any range to 8 or 16."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def in_8_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Round uint16 levels to 8 bits, half up; uint8 stays as it is."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    return ((pixels + np.uint32(128)) // 257).astype(np.uint8)


def in_levels(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Convert uint8 or uint16 values to levels of 255, unrounded; a level is 257 uint16 steps."""
    levels: NDArray[np.float64] = pixels / (257.0 if pixels.dtype == np.uint16 else 1.0)
    return levels


def stretched(values: NDArray[np.unsignedinteger], top: int) -> NDArray[np.uint8 | np.uint16]:
    """Stretch values in 0..`top` to 8 bits, or to 16 bits where 8 would lose some."""
    full, dtype = (255, np.uint8) if top < 256 else (65535, np.uint16)
    if top == full:
        return values.astype(dtype)
    return ((values.astype(np.uint32) * full + top // 2) // top).astype(dtype)
