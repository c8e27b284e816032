"""Makes any upscaler's output shrink back to its input: corrects it in floats, rounds it once."""

from collections.abc import Callable

import numpy as np

from widesr.errors import UsageError
from widesr.pixels.consistency import consistent_rows
from widesr.pixels.rows import Band, Rows
from widesr.upscaling.target import Target


def correct_rows(lr: Rows, upscale: Callable[[Rows], Rows]) -> Rows:
    """Upscale rows as they arrive, and correct the result before it is rounded.

    Args:
        lr: The input, uint8 or uint16.
        upscale: Function that upscales the input to float32 levels in its range, not clipped.

    Returns:
        Rows of the input's type, of the size that `upscale` gives.

    Raises:
        UsageError: The output's size is not a whole multiple of the input's.
    """
    dtype = lr.dtype
    first, second = lr.twice()
    corrected = consistent_rows(second, upscale(first))

    def rounded(band: Band) -> Band:
        levels = np.empty(band.shape, dtype)
        for channel in range(band.shape[2]):  # one by one: NumPy takes three times as long for all
            levels[..., channel] = band[..., channel] + np.float32(0.5)  # truncated, as it is >= 0
        return levels

    return corrected.map(rounded, channels=lr.channels, dtype=dtype)


def check_whole_scale(target: Target) -> None:
    """Refuse a scale at which no output can be consistent, before the first picture.

    Raises:
        UsageError: The scale is not a whole number. Other targets are checked with each picture.
    """
    if target.scale is not None and target.factor(1, 1).denominator != 1:
        raise UsageError(
            f"at x{float(target.scale):.15g} no output can be consistent with its input, only at "
            "whole scales such as x2, x3 and x4; take one of them",
            options=["scale=2"],
        )
