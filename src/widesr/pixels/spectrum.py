"""Finds how much of each frequency a picture holds, and an upsampler's lattice where it shows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ShapeError
from widesr.pixels.depth import in_levels
from widesr.pixels.metrics import luma

_SMALLEST = 32
"""Shortest side of a picture whose spectrum says something, pixels."""
_RINGS = 64
"""Rings of frequencies whose mean power is taken."""
_NEAR, _FAR = 4, 16
"""Steps along an axis, to both sides, to the frequencies that one is compared with."""
_FLOOR = 1e-6
"""Power below which there is nothing, in squared levels: flat pictures have no lattice."""


def radial_spectrum(picture: NDArray[Any]) -> NDArray[np.float64]:
    """Measure the power of a picture's luma by frequency, in dB.

    Args:
        picture: uint8 or uint16 (read as levels of 1/257), (H, W, 3) RGB, or grey (H, W, 1) or
            (H, W).

    Returns:
        Ten times the decimal logarithm of the mean power, squared levels, in each of 64 rings of
        one width between frequency 0 and 0.5 cycles per pixel.

    Raises:
        ShapeError: The picture is smaller than 32 pixels on a side.
    """
    power = _power(picture)
    height, width = power.shape
    down, across = np.fft.fftfreq(height)[:, np.newaxis], np.fft.fftfreq(width)
    ring = (np.hypot(down, across) * 2 * _RINGS).astype(np.intp)
    inside = ring < _RINGS
    total = np.bincount(ring[inside], weights=power[inside], minlength=_RINGS)
    count = np.bincount(ring[inside], minlength=_RINGS)
    spectrum: NDArray[np.float64] = 10 * np.log10(total / np.maximum(count, 1) + _FLOOR)
    return spectrum


def spectral_distance(sr: NDArray[Any], hr: NDArray[Any]) -> float:
    """Measure how far the radial spectra of two pictures are apart, RMS over the rings, in dB.

    A picture that is too soft lacks power in the outer rings, one that is too crisp has too much
    there. Arguments and errors as for `radial_spectrum`.
    """
    apart = radial_spectrum(sr) - radial_spectrum(hr)
    return float(np.sqrt(np.mean(apart**2)))


def lattice_peak(picture: NDArray[Any], *, scale: int) -> float:
    """Measure how far the lattice of an upsampler stands out of a picture's spectrum, in dB.

    An upsampler that treats the pixels of a block differently leaves a pattern that comes again
    every `scale` pixels: a checkerboard. It is power at the multiples of 1 / `scale` cycles per
    pixel that those beside them do not have. Photographs have 0 to 6 dB by chance.

    Args:
        picture: A picture, uint8 or uint16, as for `radial_spectrum`.
        scale: The factor by which the picture was enlarged, 2 or more.

    Returns:
        The largest over those frequencies of its power against the median beside it along an axis.

    Raises:
        ShapeError: The picture is too small.
    """
    power = _power(picture)
    height, width = power.shape
    beside = np.array([*range(-_FAR, -_NEAR + 1), *range(_NEAR, _FAR + 1)])
    around = np.arange(-1, 2)  # the window spreads a frequency over its neighbours
    peaks = []
    for down in range(scale // 2 + 1):
        for across in range(scale // 2 + 1):
            row, column = round(height * down / scale), round(width * across / scale)
            for along_rows in (False, True) if down and across else (bool(down),):
                strip = power[np.ix_((row + around) % height, np.arange(width))]
                at, n = column, width
                if along_rows:
                    strip = power[np.ix_(np.arange(height), (column + around) % width)].T
                    at, n = row, height
                here = strip[:, (at + around) % n].mean()
                others = np.median(strip[:, (at + beside) % n].mean(axis=0))
                peaks.append((here + _FLOOR) / (others + _FLOOR))
    peaks = peaks[1:]  # the first is frequency 0
    return float(10 * np.log10(max(peaks)))


def _power(picture: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the power of luma at each frequency, without its mean, squared levels, (H, W)."""
    levels = np.atleast_3d(in_levels(picture))
    if min(levels.shape[:2]) < _SMALLEST:
        raise ShapeError(
            f"a spectrum needs a picture of at least {_SMALLEST}x{_SMALLEST} pixels, got "
            f"{levels.shape[1]}x{levels.shape[0]}"
        )
    y = luma(levels, rounded=False)[..., 0] if levels.shape[2] == 3 else levels[..., 0]
    window = np.hanning(len(y) + 1)[:-1, np.newaxis] * np.hanning(y.shape[1] + 1)[:-1]
    values = np.fft.fft2((y - y.mean()) * window)
    power: NDArray[np.float64] = np.abs(values) ** 2 / np.sum(window**2)
    return power
