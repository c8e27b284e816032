"""Encodes rows in a file's format, with all the metadata that the format can hold.

libvips encodes all formats but PNG, row by row where the format allows it; for WebP and AVIF it
holds the whole picture. EXIF is written here, as it is read here.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips

from widesr.errors import ImageFormatError, write_error
from widesr.pictures.colour import in_srgb, meant_profile, space_of
from widesr.pictures.containers import (
    add_tags_to_tiff,
    jpeg_segments,
    png_chunks,
    set_exif_of_avif,
)
from widesr.pictures.feed import Feed, Splice
from widesr.pictures.metadata import Metadata, cleaned, exif_of, sized, tags_of_resolution
from widesr.pictures.picture import PictureStream
from widesr.pictures.png import MOST_ASPECT, stream_png
from widesr.pictures.sniff import title
from widesr.pictures.tiff import Tree
from widesr.pictures.webp import webp_with_exif
from widesr.pixels.rows import Band, Rows
from widesr.system.files import FileBytes

_log = logging.getLogger(__name__)

_LARGEST_IN_JFIF = 65535
_RESOLUTION = (282, 283, 296)
"""Tags of the resolution, which libvips states even where there is none."""


class Encoder(NamedTuple):
    """The limits of a format, and the options by which libvips writes it."""

    options: dict[str, Any]
    longest: int
    """The most pixels a side that the format, or libvips, can hold."""
    bits: int
    """The most bits of a channel."""
    alpha: bool = True
    grey: bool = True


ENCODERS = {
    "png": Encoder({}, 2**31 - 1, bits=16),
    "jpeg": Encoder({"subsample_mode": "off"}, 65500, bits=8, alpha=False),
    "webp": Encoder({"smart_subsample": True}, 16383, bits=8, grey=False),
    # Deflate's level 3 saves nearly as much as its default of 6, in about half the time. The
    # time matters: it is a good part of the time that a network takes.
    "tiff": Encoder(
        {"compression": "deflate", "level": 3, "predictor": "horizontal", "resunit": "inch"},
        2**31 - 1,
        bits=16,
    ),
    "avif": Encoder({"compression": "av1", "subsample_mode": "off"}, 16384, bits=12, grey=False),
}


def encode_stream(
    path: Path,
    stream: PictureStream,
    fd: int,
    kind: str,
    *,
    quality: int = 95,
    lossless: bool = False,
    in_all: int | None = None,
) -> None:
    """Encode a streamed picture into an empty file.

    Args:
        path: The file's name in messages.
        stream: The picture to write.
        fd: The file's descriptor.
        kind: The format, a key of `ENCODERS`.
        quality: The quality of JPEG, WebP and AVIF, 1 to 100.
        lossless: True if WebP and AVIF are to keep every value.
        in_all: The decoded bytes of all pictures in the TIFF file; None if this is the only one.
    """
    stream, metadata = prepared(path, stream, kind), metadata_to_write(stream, kind)
    options = options_of(kind, quality=quality, lossless=lossless)
    if kind == "avif":
        options["bitdepth"] = 12 if stream.rows.dtype == np.uint16 else 8
    if kind == "tiff":  # offsets of plain TIFF have 32 bits
        options["bigtiff"] = (in_all or stream.rows.nbytes) * 4 / 3 > 3 * 2**30
    if stream.place and kind != "tiff":
        _log.warning("%s: GeoTIFF left out, for which %s has no place", path, title(kind))
    file = FileBytes(fd)
    if kind == "png":
        for piece in encode_png(stream, metadata):
            file.append(piece)
        return
    feed = Feed(stream.rows)
    try:
        _encode(feed.image.copy(), stream, file, kind, metadata, options)
    except pyvips.Error as error:
        raise feed.failure or write_error(path, error) from error


def options_of(kind: str, *, quality: int, lossless: bool) -> dict[str, Any]:
    """Give the options by which libvips writes a format, as for `encode_stream`."""
    options = dict(ENCODERS[kind].options)
    if kind in ("jpeg", "webp", "avif"):
        options["Q"] = quality
    if kind in ("webp", "avif"):
        options["lossless"] = lossless
    if kind == "webp":
        options["exact"] = lossless  # the colours under transparent pixels too
    return options


def _encode(
    image: pyvips.Image,
    stream: PictureStream,
    file: FileBytes,
    kind: str,
    metadata: Metadata,
    options: dict[str, Any],
) -> None:
    """Encode the pixels of `image` with libvips, and set what libvips would leave out or change."""
    exif, xmp, _ = metadata
    if stream.icc:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", stream.icc)
    if kind == "jpeg":
        dots, aspect = _stated_density(stream)
        segments = jpeg_segments(metadata, pixels_per_mm=dots, aspect=aspect)
        splice = Splice(file, at=2, extra=segments)
        splice.take(image.jpegsave_target, keep=pyvips.ForeignKeep.ICC, **options)
        return
    keep = pyvips.ForeignKeep.ICC | pyvips.ForeignKeep.XMP
    if xmp:
        image.set_type(pyvips.GValue.blob_type, "xmp-data", xmp)
    if exif and kind in ("webp", "avif"):  # libvips makes the place for it
        image.set_type(pyvips.GValue.blob_type, "exif-data", b"Exif\0\0" + exif)
        keep |= pyvips.ForeignKeep.EXIF
    target = pyvips.Target.new_to_descriptor(file.fd)
    if kind == "webp":
        encoded = image.webpsave_buffer(keep=keep, **options)
        file.append(webp_with_exif(encoded, exif) if exif else encoded)
    elif kind == "tiff":
        image.tiffsave_target(target, keep=keep, **options)
        add_tags_to_tiff(file, metadata, tags=_own_tags(stream), unstated=_RESOLUTION)
    else:
        image.heifsave_target(target, keep=keep, **options)
        if exif:
            set_exif_of_avif(file, exif)


def _own_tags(stream: PictureStream) -> Tree:
    """Make the TIFF tags that libvips cannot write, which replace its own."""
    tags = tags_of_resolution(*_stated_density(stream))
    if stream.has_band:
        tags[338] = (3, b"\0\0")
    if stream.place:
        tags |= stream.place.scaled(height=stream.rows.height, width=stream.rows.width)
    return tags


def encode_png(stream: PictureStream, metadata: Metadata) -> Iterator[bytes]:
    """Encode a streamed picture that PNG can hold; yield the pieces of the file."""
    dots, aspect = _stated_density(stream)
    chunks = png_chunks(metadata)
    return stream_png(stream.rows, icc=stream.icc, pixels_per_mm=dots, aspect=aspect, chunks=chunks)


def prepared(path: Path, stream: PictureStream, kind: str) -> PictureStream:
    """Convert a picture to channels, a depth and a profile that the format can hold.

    Raises:
        ImageFormatError: The picture is partly transparent, and the format has no alpha; raised
            when rows are read.
    """
    encoder = ENCODERS[kind]
    stream = replace(stream, icc=meant_profile(stream.icc, channels=stream.colours))
    if stream.has_alpha and not encoder.alpha:
        stream = replace(stream, rows=opaque(path, stream, kind))
    if stream.colours == 1 and space_of(stream.icc) == b"RGB ":  # it is refused for one channel
        stream = stream.with_colours(_tripled, channels=3, icc=stream.icc)
    if stream.colours == 1 and not encoder.grey:
        stream = in_srgb(stream)
    if stream.rows.dtype == np.uint16 and encoder.bits < 16:
        stream = replace(stream, rows=shallower(stream.rows, bits=encoder.bits))
    return stream


def opaque(path: Path, stream: PictureStream, kind: str) -> Rows:
    """Drop the alpha of a picture that is opaque.

    Raises:
        ImageFormatError: The picture is partly transparent; raised when rows are read.
    """
    top = np.iinfo(stream.rows.dtype).max

    def colours(band: Band) -> Band:
        if (band[..., -1] != top).any():
            raise ImageFormatError(
                f"{path}: the picture is partly transparent, which {title(kind)} cannot hold; "
                "write PNG, WebP, TIFF or AVIF",
                options=['format="png"'],
            )
        return band[..., :-1]

    return stream.rows.map(colours, channels=stream.colours)


def _tripled(band: Band) -> Band:
    return np.repeat(band, 3, axis=2)


def shallower(rows: Rows, *, bits: int) -> Rows:
    """Round 16 bits to 8, or to 12 in the upper bits of 16, where libvips expects them."""
    top = 2**bits - 1
    dtype = np.uint8 if bits == 8 else np.uint16
    shift = 8 * dtype().itemsize - bits

    def rounded(band: Band) -> Band:
        values = (band.astype(np.uint32) * top + 32767) // 65535 << shift
        return np.asarray(values, dtype)

    return rows.map(rounded, channels=rows.channels, dtype=dtype)


def metadata_to_write(stream: PictureStream, kind: str) -> Metadata:
    """Set the picture's size in its metadata, and the resolution if only EXIF can state it."""
    metadata = cleaned(Metadata(stream.exif, stream.xmp, stream.iptc))
    dots = tags_of_resolution(*_stated_density(stream))
    if not metadata.exif and dots and kind in ("webp", "avif"):
        metadata = metadata._replace(exif=exif_of(dots))
    return sized(metadata, width=stream.rows.width, height=stream.rows.height)


def _stated_density(
    stream: PictureStream,
) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """Give the resolution and the aspect, unless they are implausible: files may claim anything.

    The aspect is in numbers that every format can hold.
    """
    dots, aspect = stream.pixels_per_mm, stream.aspect
    if dots and not all(0.001 <= n <= 100_000 for n in dots):
        dots = None
    if aspect:
        least, most = sorted(aspect)
        if not 0 < least <= most <= MOST_ASPECT * least:
            return dots, None
        times = min(max(1 / least, 1), _LARGEST_IN_JFIF / most)
        aspect = aspect[0] * times, aspect[1] * times
    return dots, aspect
