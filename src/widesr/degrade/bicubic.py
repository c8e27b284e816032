"""Makes LR from HR by bicubic, as published LR was made, and ours in training."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ShapeError
from widesr.pixels.resize import imresize
from widesr.pixels.taps import Edges

Arithmetic = Literal["integer", "float"]
"""The rounding of `imresize`: between its two passes (MATLAB on uint8), or once at the end."""


def cropped_to_multiple(pixels: NDArray[Any], scale: int) -> NDArray[Any]:
    """Crop (H, W, ...) at the bottom and at the right, so that `scale` divides both sides.

    Raises:
        ShapeError: Nothing would be left.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < scale:
        raise ShapeError(f"{width}x{height} pixels are too few to shrink by {scale}")
    return pixels[: height - height % scale, : width - width % scale]


def degrade(
    hr: NDArray[Any], *, scale: int, edges: Edges = "symmetric", arithmetic: Arithmetic = "integer"
) -> NDArray[Any]:
    """Shrink by MATLAB's bicubic, as the published LR pictures were made.

    Args:
        hr: uint8 or uint16, (H, W) or (H, W, C); first cropped to a multiple of `scale`.
        scale: The factor, 2 or more.
        edges: The rule for pixels beyond the border, as in `imresize`.
        arithmetic: `"integer"` made Set5's X2, X3 and X4, `"float"` its X8.

    Returns:
        (H // scale, W // scale, ...) of the same type.

    Raises:
        ShapeError: A side has fewer pixels than `scale`.
    """
    whole = cropped_to_multiple(hr, scale)
    if arithmetic == "integer":
        return imresize(whole, scale=1 / scale, edges=edges)
    lr = imresize(whole.astype(np.float64), scale=1 / scale, edges=edges)
    return np.clip(np.floor(lr + 0.5), 0, np.iinfo(hr.dtype).max).astype(hr.dtype)
