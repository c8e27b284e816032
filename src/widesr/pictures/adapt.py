"""Converts or drops the colour profile, and drops metadata, as users ask."""

from dataclasses import replace
from functools import lru_cache
from typing import Literal

import numpy as np

from widesr.pictures.colour import in_srgb, space_of
from widesr.pictures.picture import Picture, PictureStream

Icc = Literal["keep", "srgb", "strip"]
Kept = Literal["keep", "strip"]


def adapted(picture: Picture, *, icc: Icc = "keep", metadata: Kept = "keep") -> Picture:
    """Convert or drop the colour profile, and drop metadata, as the user asked.

    Args:
        picture: The picture that was read.
        icc: "srgb" converts the colours to sRGB and attaches its profile, which a grey picture
            does not need; a damaged profile is dropped. "strip" drops any profile and leaves the
            values, so that viewers take them for sRGB.
        metadata: "strip" drops EXIF, XMP, IPTC, the GeoTIFF tags and the resolution.
    """
    return adapted_stream(picture.stream(), icc=icc, metadata=metadata).whole()


def adapted_stream(
    stream: PictureStream, *, icc: Icc = "keep", metadata: Kept = "keep"
) -> PictureStream:
    """Adapt a streamed picture as `adapted` does one in memory."""
    if icc == "srgb":
        stream = in_srgb(stream)
    elif icc == "strip":
        stream = replace(stream, icc=None)
    if metadata == "strip":
        stream = replace(stream, exif=None, xmp=None, iptc=None, place=None)
        stream = replace(stream, pixels_per_mm=None, aspect=None)
    return stream


@lru_cache
def means_srgb(icc: bytes | None) -> bool:
    """Say whether a profile means sRGB, as no profile does, up to one level of rounding."""
    if icc is None:
        return True
    steps = np.arange(0, 256, 17).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 16, 3)
    colours = cube[..., :1] if space_of(icc) == b"GRAY" else cube
    converted = adapted(Picture(pixels=np.ascontiguousarray(colours), icc=icc), icc="srgb").pixels
    return bool(np.abs(converted.astype(int) - colours).max() <= 1)
