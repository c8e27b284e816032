"""From HR to LR: how the pictures that a network learns from lost their detail."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from widesr.resize import imresize

Degradation = Literal["bicubic"]


def degrade(
    hr: NDArray[np.uint8], *, scale: int, degradation: Degradation
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Make the LR picture of an HR one, and the part of HR that it stands for.

    Args:
        hr: uint8 (H, W, 3); rows and columns beyond a multiple of `scale` are left out, at the
            bottom and right, as the benchmarks do.
        scale: How many HR pixels make one LR pixel, per axis.
        degradation: `"bicubic"` is MATLAB's imresize of uint8.

    Returns:
        LR (H // scale, W // scale, 3) and HR (H // scale * scale, W // scale * scale, 3), uint8.
    """
    height, width = (side // scale * scale for side in hr.shape[:2])
    hr = np.ascontiguousarray(hr[:height, :width])
    match degradation:
        case "bicubic":
            return imresize(hr, scale=1 / scale), hr
