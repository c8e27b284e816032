"""Converts the planes of video frames to RGB and back, by the colours that their stream states.

Every step is exact to half a level, so a flat colour comes back within one level. FFmpeg's own
conversion is not: in full range and beyond 8 bits it is up to a whole 8-bit level off, and in
4:4:4 it overflows for colours outside RGB.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from widesr.errors import VideoFormatError

Plane = NDArray[Any]
"""uint8 or uint16, (H, W) of one component, or (H, W, C) of pixels."""

UNSPECIFIED = 2
"""H.273's code for a matrix, primaries or transfer that the stream does not state."""
LIMITED, FULL = 1, 2
"""FFmpeg's codes of the ranges; 0 means that none is stated."""
_MATRICES = {
    1: ("BT.709", 0.2126, 0.0722),
    4: ("FCC", 0.30, 0.11),
    5: ("BT.601", 0.299, 0.114),
    6: ("BT.601", 0.299, 0.114),
    7: ("SMPTE 240M", 0.212, 0.087),
    9: ("BT.2020", 0.2627, 0.0593),
}
"""The weights of red and blue in luma, by H.273's code."""
_REFUSED = {8: "YCgCo", 10: "BT.2020 constant luminance", 14: "ICtCp", 15: "IPT-C2"}
_NOT_YUV = (0, UNSPECIFIED, 3)
"""H.273's codes that name no matrix: RGB, no statement, and a reserved one."""
_HD = 576
"""Largest height, in rows, at which a picture without a stated matrix is taken as BT.601."""
_HDR = {16: "PQ (SMPTE 2084)", 18: "HLG (ARIB STD-B67)"}
"""The transfers of HDR, by H.273's code."""
_SITINGS: dict[str, tuple[float, float]] = {
    "left": (0, 0.5),
    "center": (0.5, 0.5),
    "topleft": (0, 0),
    "top": (0.5, 0),
    "bottomleft": (0, 1),
    "bottom": (0.5, 1),
}
"""The place of a chroma sample among its luma samples, across and down: 0 at the first, 1 at the
last."""
_BAND = 2**17
"""Pixels converted at a time, so that they stay in the cache."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The planes of a pixel format."""

    name: str
    """FFmpeg's name of the planar format: "yuv420p10le"."""
    kind: Literal["yuv", "gray", "rgb"]
    bits: int
    """The bits of a sample, 8 to 16."""
    across: int = 1
    """Luma columns for each chroma sample."""
    down: int = 1
    """Luma rows for each chroma sample."""

    @property
    def top(self) -> int:
        """The largest sample."""
        return int(2**self.bits - 1)


@dataclass(frozen=True, kw_only=True)
class Mastering:
    """The display on which a film was mastered, and the film's light levels, as in HDR10."""

    display: tuple[float, ...] | None
    """x and y of red, green, blue and white, then the least and greatest luminance, cd/m2."""
    light: tuple[int, int] | None
    """The light levels of the brightest pixel and of the frame with the highest mean, cd/m2."""


@dataclass(frozen=True, kw_only=True)
class Colour:
    """The colours of a stream as it states them, in FFmpeg's and H.273's codes."""

    matrix: int = UNSPECIFIED
    range: int = 0
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    siting: str | None = None
    """The place of chroma samples, in FFmpeg's words; None if it is not stated."""
    mastering: Mastering | None = None

    @property
    def hdr(self) -> str | None:
        """Name the transfer of HDR; None if this is SDR."""
        return _HDR.get(self.transfer)

    def check(self, *, found: str) -> None:
        """Refuse colours that would come out wrong; `found` names the stream.

        Raises:
            VideoFormatError: The matrix is not supported.
        """
        if self.matrix not in _MATRICES and self.matrix not in _NOT_YUV:
            coding = _REFUSED.get(self.matrix, f"the matrix {self.matrix} of H.273")
            raise VideoFormatError(
                f"{found}: its colours are coded by {coding}, expected a YUV matrix such as BT.601 "
                "or BT.709; convert it first"
            )

    def guesses(self, layout: Layout, height: int) -> str:
        """Name what is guessed because the stream does not state it; empty if nothing is."""
        if layout.kind == "rgb":
            return ""
        guessed = []
        if layout.kind == "yuv" and self.matrix not in _MATRICES:
            guessed.append(f"matrix {_MATRICES[self.matrix_or_guess(height)][0]}")
        if self.range == 0:
            guessed.append("limited range")
        if self.siting not in _SITINGS and (layout.across, layout.down) != (1, 1):
            guessed.append("chroma left" if layout.across > 1 else "chroma centred")
        return ", ".join(guessed)

    def conversion(self, layout: Layout, height: int) -> "Conversion":
        """Choose the conversion for frames of this layout and height."""
        _, red, blue = _MATRICES[self.matrix_or_guess(height)]
        across, down = _SITINGS[self.siting_or_guess]
        return Conversion(
            layout=layout,
            red=red,
            blue=blue,
            full=self.range == FULL or layout.kind == "rgb",
            across=across * (layout.across - 1),
            down=down * (layout.down - 1),
        )

    def matrix_or_guess(self, height: int) -> int:
        """Give the matrix's code; if none is stated, BT.601 or BT.709 by the height."""
        return self.matrix if self.matrix in _MATRICES else 1 if height > _HD else 6

    @property
    def siting_or_guess(self) -> str:
        """Name the place of chroma samples; the usual one if none is stated."""
        return self.siting if self.siting in _SITINGS else "left"


def is_one_colour(pixels: Plane) -> bool:
    """Say whether a frame (H, W, C) has a single colour; the first row rules most frames out."""
    colour = pixels[0, 0]
    return bool((pixels[0] == colour).all() and (pixels == colour).all())


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """The arithmetic between planes and RGB."""

    layout: Layout
    red: float
    """The weight of red in luma."""
    blue: float
    """The weight of blue in luma."""
    full: bool
    """True if the samples fill their whole range."""
    across: float
    """Offset of a chroma sample from the first of its luma columns, in columns."""
    down: float
    """The same for rows."""

    def to_rgb(self, planes: Sequence[Plane]) -> Plane:
        """Convert planes to RGB (H, W, 3), or grey (H, W, 1): uint8 from 8 bits, uint16 from more.

        Args:
            planes: (H, W) each, chroma smaller as the layout says; RGB in the order G, B, R.
        """
        luma = planes[0]
        height, width = luma.shape
        dtype, top = (np.uint8, 255) if self.layout.bits == 8 else (np.uint16, 65535)
        rgb = np.empty((height, width, 1 if self.layout.kind == "gray" else 3), dtype)
        if self.layout.kind == "rgb":
            for channel, plane in zip((1, 2, 0), planes, strict=True):
                rgb[..., channel] = _rescaled(plane, self.layout.top, top)
            return rgb
        scale, offset = self._luma
        gain = np.float32(top / scale)
        bias = np.float32(0.5 - offset * top / scale)
        chroma = self._upsampled(planes[1:], (height, width))
        factors = self._rgb_factors(top)
        for rows in _bands(height, width):
            y = luma[rows] * gain
            y += bias
            if not chroma:
                rgb[rows, :, 0] = np.clip(y, 0, top, out=y)
                continue
            u, v = (plane[rows] for plane in chroma)
            for channel, (from_u, from_v) in enumerate(factors):
                values = y
                if from_u:
                    values = values + u * from_u
                if from_v:
                    values = values + v * from_v
                # not into `values`, which may be `y`
                rgb[rows, :, channel] = np.clip(values, 0, top)
        return rgb

    def to_planes(self, rgb: Plane) -> list[Plane]:
        """Convert RGB, or grey, to planes; the inverse of `to_rgb`."""
        height, width, channels = rgb.shape
        top = 255 if rgb.dtype == np.uint8 else 65535
        dtype = np.uint8 if self.layout.bits == 8 else np.uint16
        if self.layout.kind == "rgb":
            order = (1, 2, 0) if channels == 3 else (0, 0, 0)
            return [_rescaled(rgb[..., each], top, self.layout.top) for each in order]
        scale, offset = self._luma
        luma = np.empty((height, width), dtype)
        if self.layout.kind == "gray" or channels == 1:
            gain = np.float32(scale / top)
            for rows in _bands(height, width):
                y = rgb[rows, :, 0] * gain if channels == 1 else self._y(rgb[rows]) * gain
                y += np.float32(offset + 0.5)
                luma[rows] = y
            if self.layout.kind == "gray":
                return [luma]
            middle = 2 ** (self.layout.bits - 1)
            shape = -(-height // self.layout.down), -(-width // self.layout.across)
            return [luma, np.full(shape, middle, dtype), np.full(shape, middle, dtype)]
        return [luma, *self._split(rgb, luma, top)]

    def _split(self, rgb: Plane, luma: Plane, top: int) -> list[Plane]:
        """Fill `luma`, and return both chroma planes."""
        height, width, _ = rgb.shape
        scale, offset = self._luma
        layout = self.layout
        chroma_scale = self._chroma_scale / top
        gains = [np.float32(chroma_scale / (2 * (1 - each))) for each in (self.blue, self.red)]
        middle = np.float32(2 ** (layout.bits - 1) + 0.5)
        low = [
            np.empty((-(-height // layout.down), -(-width // layout.across)), luma.dtype)
            for _ in gains
        ]
        before, taps_down = _taps(layout.down, self.down)
        for rows in _bands(len(low[0]), width * layout.down):
            first = rows.start * layout.down
            last = min(rows.stop * layout.down, height)
            # the rows that the filter reads for this band; the border's row repeats beyond it
            reach = np.arange(
                first - before, (rows.stop - 1) * layout.down + len(taps_down) - before
            )
            wanted = np.clip(reach, 0, height - 1)
            start, stop = min(int(wanted[0]), first), max(int(wanted[-1]) + 1, last)
            part = rgb[start:stop]
            y = self._y(part)
            kept = y[first - start : last - start] * np.float32(scale / top)
            kept += np.float32(offset + 0.5)
            luma[first:last] = kept
            for channel, gain, plane in zip((2, 0), gains, low, strict=True):
                difference = part[..., channel] - y
                if layout.down > 1:
                    difference = difference[wanted - start]
                    n = rows.stop - rows.start
                    difference = _filtered(difference, taps_down, layout.down, n)
                if layout.across > 1:
                    difference = _across(difference, layout.across, self.across)
                difference *= gain
                difference += middle
                plane[rows] = np.clip(difference, 0, layout.top, out=difference)
        return low

    def _y(self, rgb: Plane) -> NDArray[np.float32]:
        """Compute the luma of RGB: (h, w), in the levels of `rgb`."""
        y = rgb[..., 0] * np.float32(self.red)
        y += rgb[..., 1] * np.float32(1 - self.red - self.blue)
        y += rgb[..., 2] * np.float32(self.blue)
        return y

    @property
    def _luma(self) -> tuple[float, float]:
        """The number of levels from black to white, and the level of black."""
        unit = 2 ** (self.layout.bits - 8)
        return (self.layout.top, 0) if self.full else (219 * unit, 16 * unit)

    @property
    def _chroma_scale(self) -> float:
        return self.layout.top if self.full else 224 * 2 ** (self.layout.bits - 8)

    def _rgb_factors(self, top: int) -> tuple[tuple[np.float32, np.float32], ...]:
        """Give the factors of U and V in R, G and B."""
        green = 1 - self.red - self.blue
        gain = top / self._chroma_scale
        v_red, u_blue = 2 * (1 - self.red) * gain, 2 * (1 - self.blue) * gain
        none = np.float32(0)
        return (
            (none, np.float32(v_red)),
            (np.float32(-u_blue * self.blue / green), np.float32(-v_red * self.red / green)),
            (np.float32(u_blue), none),
        )

    def _upsampled(
        self, planes: Sequence[Plane], size: tuple[int, int]
    ) -> list[NDArray[np.float32]]:
        """Upsample chroma to the size of luma, centred on zero."""
        middle = np.float32(2 ** (self.layout.bits - 1))
        full = []
        for plane in planes:
            values = plane.astype(np.float32)
            values -= middle
            values = _interpolated(values, self.layout.down, self.down)[: size[0]]
            full.append(
                _interpolated(values.T, self.layout.across, self.across)[: size[1]].T
                if self.layout.across > 1
                else values
            )
        return full


def _bands(height: int, width: int) -> list[slice]:
    step = max(_BAND // max(width, 1), 1)
    return [slice(top, min(top + step, height)) for top in range(0, height, step)]


def _rescaled(plane: NDArray[Any], top: int, new_top: int) -> Plane:
    """Rescale samples from one depth to another, rounding half up."""
    dtype = np.uint8 if new_top <= 255 else np.uint16
    if top == new_top:
        return np.ascontiguousarray(plane, dtype)
    return ((plane.astype(np.uint64) * (2 * new_top) + top) // (2 * top)).astype(dtype)


def _cubic(x: NDArray[Any]) -> NDArray[Any]:
    """Evaluate Keys' cubic kernel, a = -0.5."""
    x = np.abs(x)
    return np.where(
        x <= 1, (1.5 * x - 2.5) * x**2 + 1, np.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0)
    )


def _interpolated(values: NDArray[np.float32], factor: int, offset: float) -> NDArray[np.float32]:
    """Interpolate `factor` rows for each row, which lies `offset` rows after the first of them."""
    if factor == 1:
        return values
    n = len(values)
    padded = np.pad(values, ((2, 2), (0, 0)), mode="edge")
    full = np.empty((n, factor, values.shape[1]), np.float32)
    for phase in range(factor):
        at = (phase - offset) / factor
        base = int(np.floor(at))
        weights = _cubic(at - base - np.arange(-1, 3))
        weights /= weights.sum()
        parts = [
            padded[2 + base + tap : 2 + base + tap + n] * np.float32(weight)
            for tap, weight in zip(range(-1, 3), weights, strict=True)
            if weight and 2 + base + tap >= 0 and 2 + base + tap + n <= len(padded)
        ]
        full[:, phase] = sum(parts[1:], start=parts[0])
    return full.reshape(n * factor, -1)


def _taps(factor: int, offset: float) -> tuple[int, NDArray[np.float32]]:
    """Give the weights that make one sample of `factor`, and how many precede the first of these.

    The new sample lies `offset` after the first of the `factor` samples. The weights form a
    triangle as wide as two new samples, so nothing aliases.
    """
    if factor == 1:
        return 0, np.ones(1, np.float32)
    places = np.arange(-factor, 2 * factor) - offset
    weights = np.maximum(0, 1 - np.abs(places) / factor)
    used = np.flatnonzero(weights)
    kept = weights[used[0] : used[-1] + 1]
    return factor - int(used[0]), (kept / kept.sum()).astype(np.float32)


def _filtered(
    values: NDArray[np.float32], taps: NDArray[np.float32], factor: int, n: int
) -> NDArray[np.float32]:
    """Filter rows, and give `n` results, one for every `factor`-th row."""
    last = (n - 1) * factor + 1
    result: NDArray[np.float32] = values[:last:factor] * taps[0]
    for tap in range(1, len(taps)):
        result += values[tap : tap + last : factor] * taps[tap]
    return result


def _across(values: NDArray[np.float32], factor: int, offset: float) -> NDArray[np.float32]:
    """Filter along rows, and give one result for every `factor` columns."""
    before, taps = _taps(factor, offset)
    n = -(-values.shape[1] // factor)
    after = (n - 1) * factor + len(taps) - before - values.shape[1]
    padded = np.pad(values, ((0, 0), (before, max(after, 0))), mode="edge")
    return _filtered(padded.T, taps, factor, n).T
