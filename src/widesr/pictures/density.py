"""Reads the pixel density that the files of each format state, where libvips cannot tell.

libvips gives 1 pixel per mm if none is stated, and has no aspect without a length.
"""

import struct
from typing import NamedTuple

from widesr.pictures.jpeg import segments_before_pixels
from widesr.pictures.png import chunks_before_pixels
from widesr.pictures.tiff import Field, Sliceable, Tiff


class Density(NamedTuple):
    """The density that a file states; each value is None if it is not stated."""

    pixels_per_mm: tuple[float, float] | None = None
    """Across and down."""
    aspect: tuple[float, float] | None = None
    """Pixels per length across and down, if they differ and the length is not stated."""

    def turned(self) -> "Density":
        """Swap across and down, for a picture that was turned on its side."""
        return Density(*(pair and pair[::-1] for pair in self))


def _density(across: float, down: float, per_mm: float | None) -> Density:
    """Make a density from two numbers and the units in a mm; None means no unit."""
    if not across > 0 or not down > 0:
        return Density()
    if per_mm:
        return Density((across * per_mm, down * per_mm))
    return Density(aspect=(across, down)) if across != down else Density()


def density_of_png(file: Sliceable) -> Density:
    """Read the chunk pHYs."""
    for name, at, size in chunks_before_pixels(file):
        if name == b"pHYs" and size == 9 and len(body := file[at : at + 9]) == 9:
            across, down, unit = struct.unpack(">IIB", body)
            return _density(across, down, {1: 0.001}.get(unit))
    return Density()


def density_of_jpeg(file: Sliceable) -> Density:
    """Read the JFIF segment."""
    for segment in segments_before_pixels(file):
        body = file[segment.at : segment.at + min(segment.size, 12)]
        if segment.marker == 0xE0 and body[:5] == b"JFIF\0" and len(body) == 12:
            unit, across, down = struct.unpack(">BHH", body[7:])
            return _density(across, down, {1: 1 / 25.4, 2: 0.1}.get(unit))
    return Density()


def density_of_tiff(tiff: Tiff, fields: dict[int, Field]) -> Density:
    """Read the tags of a TIFF file's page, or of cleaned EXIF."""
    across, down = tiff.ratio(fields, 0x011A), tiff.ratio(fields, 0x011B)
    unit = tiff.number(fields, 0x0128, default=2)
    if not across or not down or unit not in (1, 2, 3):
        return Density()
    return _density(across, down, {2: 1 / 25.4, 3: 0.1}.get(unit))


def density_of_exif(exif: bytes) -> Density:
    """Read the tags of a cleaned EXIF block."""
    tiff = Tiff.open(exif)
    return density_of_tiff(tiff, tiff.directory(tiff.first))
