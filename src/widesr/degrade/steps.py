"""Degrades pictures in single steps: blur, resizing, noise, JPEG.

Between the steps, pictures are float32 (H, W, C) in 0..255, neither rounded nor clipped, so that
each step gets the full result of the one before. All steps are centred: the middle of a picture
stays its middle.
"""

from math import ceil, cos, sin
from typing import Literal, TypeVar

import numpy as np
import pyvips
from numpy.typing import NDArray

from widesr.errors import ShapeError
from widesr.pixels.resize import imresize

Floats = NDArray[np.float32]
Lines = TypeVar("Lines", NDArray[np.float32], NDArray[np.float64])
Resampling = Literal["bicubic", "bilinear", "area"]

_REACH = 3.0
"""Number of standard deviations at which a Gaussian is cut off: 0.3 % of it lies beyond."""
_STRIP = 512
"""Number of rows that are blurred at once, so that memory does not grow with the picture."""
_LONGEST_JPEG = 65_500


def gaussian(
    sigmas: tuple[float, float], *, angle: float, centre: tuple[float, float] = (0.0, 0.0)
) -> Floats:
    """Make a blur kernel (n, n) of odd side and sum 1: an elliptic Gaussian, turned.

    Args:
        sigmas: Standard deviations along its two axes, in pixels; less than 0.1 counts as 0.1.
        angle: The angle of the first axis, in radians from the rows' direction.
        centre: (y, x) of the Gaussian's centre, in pixels from the kernel's middle.
    """
    first, second = (max(sigma, 0.1) for sigma in sigmas)
    radius = max(1, ceil(_REACH * max(first, second) + max(map(abs, centre))))
    at = np.arange(-radius, radius + 1.0)
    y, x = at[:, np.newaxis] - centre[0], at - centre[1]
    along, across = x * cos(angle) + y * sin(angle), y * cos(angle) - x * sin(angle)
    exponent = (along / first) ** 2 + (across / second) ** 2
    kernel = np.exp(-(exponent - exponent.min()) / 2)  # the nearest pixel never vanishes
    weights: Floats = (kernel / kernel.sum()).astype(np.float32)
    return weights


def blurred(image: Floats, kernel: Floats) -> Floats:
    """Correlate with a kernel of odd sides; the picture is mirrored beyond the border."""
    height, width, _ = image.shape
    down, across = (side // 2 for side in kernel.shape)
    padded = np.pad(image, ((down, down), (across, across), (0, 0)), mode="symmetric")
    shape = (_quick(min(height, _STRIP) + 2 * down), _quick(width + 2 * across))
    spectrum = np.conj(np.fft.rfft2(kernel, shape))  # the conjugate correlates, and wraps around
    out = np.empty_like(image)
    for top in range(0, height, _STRIP):
        strip = padded[top : top + _STRIP + 2 * down]
        rows = len(strip) - 2 * down  # only these are free of wrap-around
        for channel in range(image.shape[2]):
            product = np.fft.rfft2(strip[..., channel], shape) * spectrum
            out[top : top + rows, :, channel] = np.fft.irfft2(product, shape)[:rows, :width]
    return out


def _quick(n: int) -> int:
    """Find the next length without a prime factor above 5, whose Fourier transforms are fast."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1


def resized(image: Floats, size: tuple[int, int], *, by: Resampling) -> Floats:
    """Resize to (height, width), at least one pixel each.

    Args:
        image: The picture to resize, float32 (H, W, C).
        size: The (height, width) of the result.
        by: `"bicubic"` is `imresize`, antialiased; `"bilinear"` mixes the two nearest lines and
            lets finer detail alias, as hasty programs do; `"area"` averages the area of a pixel.
    """
    if by == "bicubic":
        return imresize(image, size=size)
    along = _bilinear if by == "bilinear" else _area
    columns = along(image, size[0]).swapaxes(0, 1)
    return np.ascontiguousarray(along(columns, size[1]).swapaxes(0, 1))


def _bilinear(lines: Floats, n_out: int) -> Floats:
    n = len(lines)
    return _between(lines, np.clip((np.arange(n_out) + 0.5) * (n / n_out) - 0.5, 0, n - 1))


def _area(lines: Floats, n_out: int) -> Floats:
    """Average over equal stretches, by differences of the integral, which is linear in between."""
    n, height, channels = lines.shape
    out = np.empty((n_out, height, channels), np.float32)
    integral = np.zeros((n + 1, height, 1))
    for channel in range(channels):  # one at a time, for the integral takes twice the space
        each = slice(channel, channel + 1)
        np.cumsum(lines[..., each], axis=0, dtype=np.float64, out=integral[1:])
        edges = _between(integral, np.linspace(0, n, n_out + 1))
        out[..., each] = np.diff(edges, axis=0) * (n_out / n)
    return out


def _between(lines: Lines, at: NDArray[np.float64]) -> Lines:
    """Interpolate between the two lines of (n, H, C) around each place, from 0 to n - 1."""
    before = np.minimum(at.astype(np.intp), max(len(lines) - 2, 0))
    share = (at - before).astype(lines.dtype).reshape(-1, 1, 1)
    low, high = lines[before], lines[np.minimum(before + 1, len(lines) - 1)]
    mixed: Lines = low + (high - low) * share
    return mixed


def gaussian_noise(
    image: Floats, random: np.random.Generator, *, sigma: float, grey: bool
) -> Floats:
    """Add noise of `sigma` levels everywhere, the same in all channels if `grey` is true."""
    return image + np.float32(sigma) * _normal(image, random, grey=grey)


def shot_noise(image: Floats, random: np.random.Generator, *, sigma: float, grey: bool) -> Floats:
    """Add noise like that of few photons: `sigma` levels at white, less in the dark, none at black.

    Its variance is proportional to the light, as in a Poisson distribution, but the noise is
    normal: how many random numbers it takes does not depend on the last bit of a pixel, which makes
    it reproducible.
    """
    light = np.clip(image, 0, 255)
    if grey:
        light = light.mean(axis=2, keepdims=True)
    return image + np.float32(sigma / 255**0.5) * np.sqrt(light) * _normal(image, random, grey=grey)


def _normal(image: Floats, random: np.random.Generator, *, grey: bool) -> Floats:
    height, width, channels = image.shape
    return random.standard_normal((height, width, 1 if grey else channels), np.float32)


def through_jpeg(pixels: NDArray[np.uint8], *, quality: int, subsampled: bool) -> NDArray[np.uint8]:
    """Encode with libvips' JPEG encoder in memory, and decode.

    Args:
        pixels: uint8 (H, W, 1 or 3).
        quality: 1 to 100.
        subsampled: True keeps colour at half the resolution (4:2:0), as in most files.

    Raises:
        ShapeError: A side is longer than JPEG can hold.
    """
    height, width, channels = pixels.shape
    if max(height, width) > _LONGEST_JPEG:
        raise ShapeError(f"{width}x{height} pixels are more than JPEG holds, 65,500 a side")
    kind = "b-w" if channels == 1 else "srgb"
    image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels), interpretation=kind)
    mode = "on" if subsampled else "off"
    data = image.jpegsave_buffer(Q=quality, subsample_mode=mode, keep="none")
    decoded: NDArray[np.uint8] = pyvips.Image.jpegload_buffer(data).numpy()
    return decoded.reshape(pixels.shape)


def rounded(image: Floats) -> NDArray[np.uint8]:
    """Round to the nearest of 256 levels, halves up, and clip."""
    levels: NDArray[np.uint8] = np.clip(np.floor(image + 0.5), 0, 255).astype(np.uint8)
    return levels
