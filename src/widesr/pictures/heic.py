"""Decodes HEIC pictures with the extra `heic`: pillow-heif and the libheif in it.

The libheif of libvips cannot decode HEVC.
"""

import io
from typing import Any

import numpy as np

from widesr.errors import MissingExtraError
from widesr.pictures.boxes import Heif
from widesr.pictures.containers import named_colours
from widesr.pictures.density import density_of_exif
from widesr.pictures.levels import true_levels
from widesr.pictures.metadata import Metadata, cleaned
from widesr.pictures.picture import Bitmap
from widesr.pictures.profiles import profile_of
from widesr.pictures.sources import PictureFile
from widesr.pixels.rows import Pixels, Rows


def open_heic(file: PictureFile) -> Bitmap:
    """Read the header of the primary picture; others in the file are its parts or smaller copies.

    Raises:
        MissingExtraError: The extra is not installed.
        ImageFormatError: The colours are of an unsupported kind.
        ValueError: The file is damaged; the message is the cause.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise MissingExtraError(extra="heic", needed_for=f"{file.path}: reading HEIC") from error
    try:
        images = pillow_heif.open_heif(io.BytesIO(file[:]), convert_hdr_to_8bit=False)
        image = images[images.primary_index]
    except (*_DAMAGED, IndexError) as error:  # a file may hold no picture at all
        raise ValueError(str(error)) from error
    said: dict[str, Any] = image.info
    mode, _, depth = image.mode.partition(";")
    channels = {"L": 1, "I": 1, "LA": 2, "La": 2, "RGB": 3}.get(mode, 4)
    named = named_colours(file, "heic")
    icc = said.get("icc_profile")
    exif, xmp, _ = cleaned(Metadata(said.get("exif"), said.get("xmp")))

    def decode() -> Pixels:
        try:
            data, stride = image.data, image.stride
        except _DAMAGED as error:
            raise ValueError(str(error)) from error
        width, height = image.size
        dtype = np.dtype("<u2" if depth else "u1")
        values = np.frombuffer(data, dtype).reshape(height, stride // dtype.itemsize)
        pixels = values[:, : width * channels].reshape(height, width, channels)
        bits = said["bit_depth"] if depth else 8
        return true_levels(file, Rows.of(pixels), bits=bits).whole()

    return Bitmap(
        width=image.size[0],
        height=image.size[1],
        pixel_bytes=channels * (2 if depth else 1),
        decode=decode,
        icc=icc if named is None else profile_of(named, grey=channels < 3),
        exif=exif,
        xmp=xmp,
        pixels_per_mm=density_of_exif(exif).pixels_per_mm if exif else None,
    )


_DAMAGED = (ValueError, EOFError, SyntaxError, RuntimeError, OSError)
"""The errors by which pillow-heif refuses files."""


def closest_suffix(heif: Heif) -> str:
    """Give the suffix that suits a HEIC file: JPEG, or AVIF for alpha or more than 8 bits."""
    said = heif.named(heif.coded(heif.primary), b"hvcC")
    deep = any(len(body) > 17 and body[17] & 7 for body in said)
    return ".avif" if deep or heif.alpha() is not None else ".jpg"
