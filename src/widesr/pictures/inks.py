"""Turns the values of TIFF files into colours: any depth, palettes, YCbCr, premultiplied alpha.

CMYK stays as it is, as its conversion needs a profile.

Source: TIFF 6.0, sections 4, 5, 18 and 21.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from widesr.pictures.raster import PALETTE, PREMULTIPLIED, WHITE_IS_ZERO, YCBCR, Raster
from widesr.pixels.alpha import straight
from widesr.pixels.rows import Band, Rows


def coloured(numbers: Rows, raster: Raster) -> Rows:
    """Turn decoded values into channels of 8 or 16 bits.

    Args:
        numbers: The values as they are in the file, (H, W, C).
        raster: The meaning of the values.

    Returns:
        Grey, RGB or CMYK of the raster's `dtype`, then opacity or another band if there is any.
    """
    change = _changes(raster)
    return numbers.map(change, channels=raster.channels, dtype=raster.dtype) if change else numbers


def _changes(raster: Raster) -> Callable[[Band], Band] | None:
    """Compose the steps that convert each band; None if there are none."""
    n, steps = raster.colours, list[Callable[[Band], Band]]()
    if raster.photometric == PALETTE:
        steps.append(lambda band: _looked_up(band, raster))
    elif raster.bits not in (8, 16):
        levels = _levels(raster)
        steps.append(lambda band: levels[band])
    if raster.photometric == WHITE_IS_ZERO:
        steps.append(lambda band: _beside(np.invert(band[..., :n]), band[..., n:]))
    if raster.photometric == YCBCR and not raster.codec_gives_rgb:
        steps.append(lambda band: _beside(_rgb_of(band[..., :n], raster), band[..., n:]))
    if raster.extra == PREMULTIPLIED:
        steps.append(straight)
    if not steps:
        return None

    def change(band: Band) -> Band:
        for step in steps:
            band = step(band)
        return band

    return change


def _beside(colours: Band, others: Band) -> Band:
    return np.concatenate([colours, others], axis=2) if others.shape[2] else colours


def _levels(raster: Raster) -> NDArray[np.uint8 | np.uint16]:
    """Make a table that maps values of any depth to the nearest of 8 or 16 bits."""
    most, top = 2**raster.bits - 1, np.iinfo(raster.dtype).max
    numbers = np.arange(most + 1, dtype=np.uint32)
    return np.asarray((numbers * top + most // 2) // most, raster.dtype)


def _looked_up(band: Band, raster: Raster) -> Band:
    assert raster.palette is not None, "a palette comes with its photometric type"
    colours = raster.palette[band[..., 0]]
    return _beside(colours, _levels(raster)[band[..., 1:]] if raster.bits < 8 else band[..., 1:])


def _rgb_of(ycc: Band, raster: Raster) -> Band:
    """Convert YCbCr to RGB with the coefficients and ranges that the file states."""
    top = np.iinfo(ycc.dtype).max
    ranges = np.array(raster.ranges) * (top / (2**raster.bits - 1))
    lows, highs = ranges[::2], ranges[1::2]
    coding = (top, top // 2, top // 2)
    y, cb, cr = (
        (ycc[..., n] - np.float32(lows[n])) * np.float32(coding[n] / (highs[n] - lows[n]))
        for n in range(3)
    )
    red, green, blue = raster.luma
    r = y + np.float32(2 - 2 * red) * cr
    b = y + np.float32(2 - 2 * blue) * cb
    g = (y - np.float32(red) * r - np.float32(blue) * b) / np.float32(green)
    rgb = np.stack([r, g, b], axis=2)
    rgb += np.float32(0.5)
    return np.asarray(np.clip(rgb, 0, top), ycc.dtype)
