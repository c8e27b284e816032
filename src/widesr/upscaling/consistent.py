"""Make the output of any upscaler shrink back to its input: corrected in floats, rounded once."""

from collections.abc import Callable

import numpy as np

from widesr.errors import UsageError
from widesr.pixels.consistency import consistent_rows
from widesr.pixels.rows import Band, Rows
from widesr.upscaling.target import Target


def correct_rows(lr: Rows, upscale: Callable[[Rows], Rows]) -> Rows:
    """Upscale rows as they come, and correct what comes before it is rounded.

    Args:
        lr: The input, uint8 or uint16.
        upscale: Makes float32 levels of the input, in its range but not clipped.

    Returns:
        Rows of the input's type, of the size that `upscale` gives.

    Raises:
        UsageError: The output's size is no whole multiple of the input's.
    """
    dtype = lr.dtype
    first, second = lr.twice()
    corrected = consistent_rows(second, upscale(first))

    def rounded(band: Band) -> Band:
        apart = (band + np.float32(0.5)).astype(dtype)  # cut off, from 0 on; planes, as they came
        levels = np.empty(band.shape, dtype)
        for channel in range(band.shape[2]):  # one by one: NumPy takes three times as long for all
            levels[..., channel] = apart[..., channel]
        return levels

    return corrected.map(rounded, channels=lr.channels, dtype=dtype)


def check_whole_scale(target: Target) -> None:
    """Refuse a scale at which nothing can be consistent, before the first picture.

    Raises:
        UsageError: The scale is not a whole number. Other targets are judged with each picture.
    """
    if target.scale is not None and target.factor(1, 1).denominator != 1:
        raise UsageError(
            f"at x{float(target.scale):.15g} no output can be consistent with its input, only at "
            "whole scales such as x2, x3 and x4; take one of them",
            options=["scale=2"],
        )
