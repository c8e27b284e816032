"""Measures PSNR and SSIM under a named protocol, without which a number cannot be compared."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ShapeError, UsageError
from widesr.pixels.depth import in_levels
from widesr.pixels.rows import check_array
from widesr.system.arguments import shown, whole_number

Channel = Literal["y", "rgb"]

_PEAK = 255.0
_WINDOW = 11
"""The side of SSIM's Gaussian window, in pixels; its sigma is 1.5."""
_BAND = 256
"""Rows that are compared at once, so that memory does not grow with the height."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Every choice that moves a published number."""

    name: str
    channel: Channel
    """`"y"` is BT.601 luma in MATLAB's studio range [16, 235]; `"rgb"` is all three channels."""
    border_per_scale: int
    """The border left out on each side, in HR pixels, for each unit of scale."""
    border_extra: int
    """The border left out on each side in addition to that, in HR pixels."""
    y_rounded: bool
    """True if luma is rounded to whole levels, as by MATLAB's rgb2ycbcr of uint8."""
    source: str

    def shave(self, scale: int) -> int:
        """Give the border left out on each side, in HR pixels."""
        return self.border_per_scale * scale + self.border_extra

    def __str__(self) -> str:
        channel = "PSNR-RGB" if self.channel == "rgb" else "PSNR-Y"
        return f"{channel}, {self.name}"


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="benchmark-y",
            channel="y",
            border_per_scale=1,
            border_extra=0,
            y_rounded=False,
            source="EDSR-PyTorch utility.py, ychfan/wdsr, BasicSR test_y_channel: border = scale",
        ),
        Protocol(
            name="matlab-y",
            channel="y",
            border_per_scale=1,
            border_extra=0,
            y_rounded=True,
            source="RCAN Evaluate_PSNR_SSIM.m: rgb2ycbcr of uint8, border = scale",
        ),
        Protocol(
            name="div2k-rgb",
            channel="rgb",
            border_per_scale=1,
            border_extra=6,
            y_rounded=False,
            source="JiahuiYu/wdsr_ntire2018, EDSR-PyTorch utility.py on DIV2K: border = scale + 6",
        ),
        Protocol(
            name="basicsr-rgb",
            channel="rgb",
            border_per_scale=1,
            border_extra=0,
            y_rounded=False,
            source="BasicSR psnr_ssim.py without test_y_channel, crop_border = scale",
        ),
        Protocol(
            name="krasserm",
            channel="rgb",
            border_per_scale=0,
            border_extra=0,
            y_rounded=False,
            source="krasserm/super-resolution model/common.py: tf.image.psnr of the whole picture",
        ),
    )
}


def find_protocol(wanted: Protocol | str) -> Protocol:
    """Look up a protocol by its name in `PROTOCOLS`; a protocol itself is returned as it is.

    Raises:
        UsageError: There is no such protocol; the message lists those that there are.
    """
    if isinstance(wanted, Protocol):
        return wanted
    if not (isinstance(wanted, str) and wanted in PROTOCOLS):
        raise UsageError(
            f"protocol {shown(wanted)} is not known; expected one of {', '.join(PROTOCOLS)}"
        )
    return PROTOCOLS[wanted]


def psnr(sr: NDArray[Any], hr: NDArray[Any], *, protocol: Protocol | str, scale: int) -> float:
    """Compute the peak signal-to-noise ratio in decibels; it is `inf` for equal pictures.

    Args:
        sr: Super-resolved picture, uint8 or uint16 (read as levels of 1/257), (H, W, 3) RGB or
            (H, W, 1) or (H, W) grey. Grey is compared as it is, under every protocol.
        hr: Ground truth, of the same shape and type.
        protocol: The channel, border and rounding: a name from `PROTOCOLS`, or a protocol.
        scale: The factor between LR and HR; it sets the border.

    Raises:
        ShapeError: The shapes or types differ or are not a picture's, or the border leaves no
            pixel.
        UsageError: A picture is not an array, there is no such protocol, or `scale` is not a whole
            number of at least 1.
    """
    protocol = find_protocol(protocol)
    squares, count = 0.0, 0
    for x, y in _bands(*_inside_border(sr, hr, protocol, scale), protocol):
        squares += float(np.sum((x - y) ** 2))
        count += x.size
    return float("inf") if squares == 0 else float(10 * np.log10(_PEAK**2 * count / squares))


def ssim(sr: NDArray[Any], hr: NDArray[Any], *, protocol: Protocol | str, scale: int) -> float:
    """Compute the structural similarity over whole 11x11 Gaussian windows; 1 for equal pictures.

    The value of a colour picture is the mean over its channels. Arguments and errors are those of
    `psnr`; the picture inside the border must also be large enough for the window.

    Source: Wang et al., "Image quality assessment: from error visibility to structural
    similarity", 2004, and the authors' ssim_index.m with K = [0.01 0.03], L = 255.
    """
    protocol = find_protocol(protocol)
    sr, hr = _inside_border(sr, hr, protocol, scale)
    if min(sr.shape[:2]) < _WINDOW:
        raise ShapeError(
            f"SSIM's window is {_WINDOW}x{_WINDOW}, but {sr.shape[1]}x{sr.shape[0]} pixels are "
            f"left inside the border of {protocol.shave(scale)}"
        )
    indices, count = 0.0, 0
    for x, y in _bands(sr, hr, protocol, overlap=_WINDOW - 1):
        index = _ssim_index(x, y)
        indices += float(np.sum(index))
        count += index.size
    return indices / count


def luma(rgb: NDArray[Any], *, rounded: bool) -> NDArray[np.float64]:
    """Compute the luma of RGB levels 0..255, (H, W, 3) to (H, W, 1), in 16..235.

    Source: ITU-R BT.601 as in MATLAB's rgb2ycbcr. Full-range luma (piq, pyiqa, OpenCV) reads
    20 log10(255 / 219) = 1.32 dB lower: never put both in one table.
    """
    y: NDArray[np.float64] = 16.0 + (rgb @ np.array([65.481, 128.553, 24.966]))[..., None] / 255.0
    return np.floor(y + 0.5) if rounded else y


def _inside_border(
    sr: NDArray[Any], hr: NDArray[Any], protocol: Protocol, scale: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cut the protocol's border off two comparable pictures: (h, w, channels) each."""
    scale = whole_number(scale, "a whole number of at least 1 as the scale", least=1)
    check_array(sr)
    check_array(hr)
    if sr.shape != hr.shape or sr.dtype != hr.dtype:
        raise ShapeError(
            f"pictures to compare must be alike, got {sr.shape} {sr.dtype} "
            f"and {hr.shape} {hr.dtype}"
        )
    if sr.ndim not in (2, 3) or (sr.ndim == 3 and sr.shape[2] not in (1, 3)):
        raise ShapeError(f"expected grey or RGB pictures, got {sr.shape}")
    if sr.dtype not in (np.uint8, np.uint16):
        raise ShapeError(f"expected uint8 or uint16 pictures, got {sr.dtype}")
    shave = protocol.shave(scale)
    height, width = sr.shape[:2]
    if min(height, width) <= 2 * shave:
        raise ShapeError(f"a border of {shave} leaves nothing of {width}x{height} pixels")
    inside = slice(shave, height - shave), slice(shave, width - shave)
    return np.atleast_3d(sr)[inside], np.atleast_3d(hr)[inside]


def _bands(
    sr: NDArray[Any], hr: NDArray[Any], protocol: Protocol, *, overlap: int = 0
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield bands of rows of both pictures as the protocol sees them, float64.

    Each band but the first begins with the last `overlap` rows of the one before.
    """

    def seen(rows: NDArray[Any]) -> NDArray[np.float64]:
        levels = in_levels(rows)
        if protocol.channel == "y" and levels.shape[2] == 3:
            return luma(levels, rounded=protocol.y_rounded)
        return levels

    for top in range(0, len(sr) - overlap, _BAND):
        rows = slice(top, top + _BAND + overlap)
        yield seen(sr[rows]), seen(hr[rows])


def _ssim_index(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute SSIM wherever the whole window fits: (H, W, C) to (H - 10, W - 10, C)."""
    c1, c2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x = _blurred(x * x) - mean_x**2
    variance_y = _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    index: NDArray[np.float64] = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )
    return index


def _blurred(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blur (H, W, C) by the Gaussian window wherever it fits whole: (H - 10, W - 10, C)."""
    taps = np.exp(-((np.arange(_WINDOW) - _WINDOW // 2) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()
    height, width = (side - _WINDOW + 1 for side in image.shape[:2])
    rows = sum(tap * image[i : i + height] for i, tap in enumerate(taps))
    blurred: NDArray[np.float64] = sum(tap * rows[:, i : i + width] for i, tap in enumerate(taps))
    return blurred
