"""Defines pictures, whole in memory or streamed row by row, with what their files state of them."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields, replace
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np

from widesr.errors import ShapeError, UsageError
from widesr.pictures.geo import Place
from widesr.pixels.rows import Band, Pixels, Rows, check_array
from widesr.system.threads import ahead

MAX_PIXELS = 2**28
"""The most pixels of a picture that is read, unless more are allowed: 16384x16384."""


@dataclass(frozen=True, kw_only=True)
class About:
    """The statements of a file about its picture, besides the pixels."""

    icc: bytes | None = None
    """The colour profile as it was in the file; None means sRGB."""
    exif: bytes | None = None
    """A TIFF structure without "Exif" before it; orientation 1, no thumbnail."""
    xmp: bytes | None = None
    """An XMP packet; orientation 1, no thumbnail."""
    iptc: bytes | None = None
    """IPTC-IIM records, without Photoshop's wrapping."""
    pixels_per_mm: tuple[float, float] | None = None
    """The horizontal and vertical resolution, if the file states one."""
    aspect: tuple[float, float] | None = None
    """Pixels per length across and down, if they differ and the length is not stated."""
    has_band: bool = False
    """True if the last channel is a band of its own, such as near infrared, and not opacity."""
    place: Place | None = None
    """The place on the earth, from GeoTIFF tags."""
    notices: tuple[str, ...] = ()
    """Sentences that say which parts of the file are not kept."""
    format: str = ""
    """The kind of the file it came from, one of `sniff.KINDS`; empty if there was no file."""

    @property
    def about(self) -> dict[str, Any]:
        """These fields by name, for another picture that is to state the same."""
        return {field.name: getattr(self, field.name) for field in fields(About)}


@dataclass(frozen=True, kw_only=True)
class Picture(About):
    """One still picture in memory, upright."""

    pixels: Pixels
    """uint8 or uint16, (H, W, 1) grey or (H, W, 3) RGB, in the colours of `icc`."""
    alpha: Pixels | None = None
    """Opacity, (H, W), of the pixels' type; the colours are not premultiplied by it.

    With `has_band` it is not opacity, but a band that has nothing to do with the colours."""

    def __post_init__(self) -> None:
        self._check_about()
        check_array(self.pixels)
        if self.alpha is not None:
            check_array(self.alpha)
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if dtype not in (np.uint8, np.uint16) or len(shape) != 3 or shape[2] not in (1, 3):
            raise ShapeError(
                f"pixels are {dtype} {shape}, expected uint8 or uint16 (height, width, 1 or 3)"
            )
        if 0 in shape:
            raise ShapeError(f"pixels are {shape}, a picture has at least one pixel")
        alpha = self.alpha
        if alpha is not None and (alpha.shape != shape[:2] or alpha.dtype != dtype):
            raise ShapeError(
                f"alpha is {alpha.dtype} {alpha.shape}, expected {dtype} {shape[:2]} as the pixels"
            )

    def _check_about(self) -> None:
        """Refuse values that would otherwise be dropped, or fail, only when they are written."""
        for name in ("icc", "exif", "xmp", "iptc"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, bytes):
                raise UsageError(f"{name} is of type {type(value).__name__}, expected bytes")
        if not isinstance(self.place, Place | None):
            raise UsageError(f"place is of type {type(self.place).__name__}, expected a Place")
        for name in ("pixels_per_mm", "aspect"):
            value = getattr(self, name)
            if value is None:
                continue
            is_pair = isinstance(value, tuple | list) and len(value) == 2
            if not is_pair or not all(isinstance(number, Real) for number in value):
                raise UsageError(f"{name} is {value!r}, expected two numbers")
        if self.aspect and not all(isfinite(number) and number > 0 for number in self.aspect):
            raise UsageError(f"aspect is {self.aspect!r}, expected two numbers above 0")

    @property
    def height(self) -> int:
        """The number of rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """The number of columns."""
        return int(self.pixels.shape[1])

    def with_planes(self, change: Callable[[Pixels], Pixels]) -> "Picture":
        """Apply the same change to the colours, (H, W, C), and to alpha, (H, W)."""
        alpha = None if self.alpha is None else change(self.alpha)
        return replace(self, pixels=change(self.pixels), alpha=alpha)

    def stream(self) -> "PictureStream":
        """Stream the picture row by row, as a large one comes from its file."""
        rows = Rows.of(self.pixels)
        if self.alpha is not None:
            rows = rows.beside(Rows.of(self.alpha[..., np.newaxis]))
        return PictureStream(rows=rows, **self.about)


def check_picture(value: object) -> None:
    """Refuse what is no picture, such as an array.

    Raises:
        UsageError: It is none.
    """
    if not isinstance(value, Picture):
        raise UsageError(
            f"{type(value).__name__} was given, expected a Picture; Picture(pixels=...) makes one "
            "of an array"
        )


@dataclass(frozen=True, kw_only=True)
class PictureStream(About):
    """One still picture, upright, that is read once, from top to bottom."""

    rows: Rows
    """uint8 or uint16, (H, W, C) in the colours of `icc`: grey or RGB, then alpha if it has any."""

    @property
    def colours(self) -> int:
        """The number of channels without alpha: 1 or 3."""
        return 1 if self.rows.channels < 3 else 3

    @property
    def has_alpha(self) -> bool:
        """True if the last channel is opacity, or a band in its place."""
        return self.rows.channels > self.colours

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.rows.shape[:2]

    @property
    def count(self) -> int:
        """The number of pictures, as in `PictureSequence`."""
        return 1

    def map(self, change: Callable[["PictureStream", int], "PictureStream"]) -> "PictureStream":
        """Change the picture as `PictureSequence.map` changes each of several; its number is 0."""
        return change(self, 0)

    @contextmanager
    def ahead(self) -> Iterator["PictureStream"]:
        """Make rows in advance, while earlier rows are used."""
        rows = self.rows
        with closing(ahead(rows)) as bands:
            yield replace(self, rows=Rows(bands, shape=rows.shape, dtype=rows.dtype))

    def with_colours(
        self, change: Callable[[Band], Band], *, channels: int, icc: bytes | None
    ) -> "PictureStream":
        """Convert the colours, pixel by pixel, to `channels` channels in the profile `icc`."""
        n = self.colours

        def changed(band: Band) -> Band:
            colours = change(band[..., :n])
            return np.concatenate([colours, band[..., n:]], axis=2) if self.has_alpha else colours

        rows = self.rows.map(changed, channels=self.rows.channels - n + channels)
        return replace(self, rows=rows, icc=icc)

    def whole(self) -> Picture:
        """Read the picture into memory."""
        array = self.rows.whole()
        pixels, alpha = array[..., : self.colours], array[..., -1] if self.has_alpha else None
        return Picture(
            pixels=np.ascontiguousarray(pixels),
            alpha=None if alpha is None else np.ascontiguousarray(alpha),
            **self.about,
        )


@dataclass(frozen=True, kw_only=True)
class Bitmap(About):
    """A picture whose decoder gives all pixels at once; only its header was read so far."""

    width: int
    """The columns of the upright picture."""
    height: int
    pixel_bytes: int
    """The most bytes of one decoded pixel."""
    decode: Callable[[], Pixels]
    """Decodes to (H, W, C), upright: grey or RGB, then alpha if there is any.

    Raises ValueError with the cause, or ImageReadError, if the pixels are damaged."""
    count: int = 1
    """The number of frames, of which this is the first."""
