"""Pixels to files: the whole file or none, and all that its format can hold.

libvips encodes, but for PNG, row by row where the format allows it: of WebP and AVIF it holds the
whole picture.
EXIF is ours to write, as it is ours to read.
"""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips

from widesr.errors import ImageFormatError, UsageError, write_error
from widesr.pictures.colour import meant_profile, space_of, to_srgb
from widesr.pictures.containers import (
    LONGEST_IN_JPEG,
    add_tags_to_tiff,
    jpeg_segments,
    png_chunks,
    set_exif_of_avif,
    webp_with_exif,
)
from widesr.pictures.feed import Feed, Splice
from widesr.pictures.metadata import Metadata, cleaned, exif_of, sized, tags_of_resolution
from widesr.pictures.picture import Picture, PictureStream
from widesr.pictures.png import stream_png
from widesr.pictures.sniff import title
from widesr.pictures.sources import Target, name_of, whole_target
from widesr.pictures.tiff import Tree
from widesr.pixels.rows import Band, Rows
from widesr.system.files import FileBytes

FORMATS = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jfif": "jpeg",
    ".jpe": "jpeg",
    ".mpo": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".avif": "avif",
    ".apng": "png",
}
"""What can be written, by suffix; the first suffix of a format is the one to give new files."""
_GIF = {".gif": "gif"}
"""Of animations alone: a still picture would lose its colours for nothing."""


class _Encoder(NamedTuple):
    options: dict[str, Any]
    longest: int
    """Pixels a side that the format, or libvips, can hold."""
    bits: int
    """Of a channel, at most."""
    alpha: bool = True
    grey: bool = True


_ENCODERS = {
    "png": _Encoder({}, 2**31 - 1, bits=16),
    "jpeg": _Encoder({"subsample_mode": "off"}, 65500, bits=8, alpha=False),
    "webp": _Encoder({"smart_subsample": True}, 16383, bits=8, grey=False),
    # Deflate's level 3 gains nearly all that its default 6 does, in about half the time, which is a
    # good part of that of a network.
    "tiff": _Encoder(
        {"compression": "deflate", "level": 3, "predictor": "horizontal", "resunit": "inch"},
        2**31 - 1,
        bits=16,
    ),
    "avif": _Encoder({"compression": "av1", "subsample_mode": "off"}, 16384, bits=12, grey=False),
}


def output_format(
    target: Target,
    *,
    format: str | None = None,  # noqa: A002 (users' word)
    animated: bool = False,
) -> str:
    """Say which of `FORMATS` a file is written in: by `format`, else by the path's suffix.

    Args:
        target: Where the output goes; for a file object the format must be given.
        format: A suffix, with or without its dot.
        animated: GIF is a format too.

    Raises:
        ImageFormatError: There is no writer for it.
    """
    path = name_of(target)
    if not format and not isinstance(target, str | os.PathLike):
        raise UsageError(
            f"{path}: a file object has no suffix that says its format; name one of "
            f"{', '.join(FORMATS)}",
            options=['format="png"'],
        )
    suffix = f".{format.lower().removeprefix('.')}" if format else path.suffix.lower()
    formats = FORMATS | _GIF if animated else FORMATS
    if suffix not in formats:
        found = repr(format or path.suffix) if format or path.suffix else "a name without suffix"
        of_what = "" if animated or suffix not in _GIF else " of a still picture"
        raise ImageFormatError(
            f"{path}: {found} cannot be written{of_what}; expected one of {', '.join(formats)}"
        )
    return formats[suffix]


def write_picture(
    target: Target,
    picture: Picture,
    *,
    format: str | None = None,  # noqa: A002 (users' word)
    quality: int = 95,
    lossless: bool = False,
    overwrite: bool = False,
    sealed: Callable[[int], None] = lambda _fd: None,
) -> None:
    """Write the whole file or none.

    16 bits stay 16 in PNG and TIFF, and are rounded to 12 in AVIF, to 8 in JPEG and WebP. IPTC
    goes into JPEG, TIFF and PNG, which alone have a place for it.

    Args:
        target: A path whose folder exists, or a file object that is open for writing in binary
            mode: nothing is written to it before the picture is complete.
        picture: What to write.
        format: A key or a value of `FORMATS`; by default the path's suffix decides.
        quality: 1 to 100, of JPEG, WebP and AVIF.
        lossless: Every value is kept, or the picture refused.
        overwrite: Replace a file that is there.
        sealed: Called with the descriptor of the whole file just before it takes its name.

    Raises:
        UsageError: `quality` is not from 1 to 100.
        ImageFormatError: No such format, or it cannot hold this picture.
        OutputExistsError: `path` is there, and `overwrite` is not set.
        ImageWriteError: The folder is missing, full, or takes no file.
    """
    write_stream(
        target,
        picture.stream(),
        format=format,
        quality=quality,
        lossless=lossless,
        overwrite=overwrite,
        sealed=sealed,
    )


def write_stream(
    target: Target,
    stream: PictureStream,
    *,
    format: str | None = None,  # noqa: A002 (users' word)
    quality: int = 95,
    lossless: bool = False,
    overwrite: bool = False,
    sealed: Callable[[int], None] = lambda _fd: None,
) -> None:
    """Write a picture while it passes; arguments and errors as for `write_picture`.

    Raises:
        Exception: Also what comes while its rows are made; no file is left then.
    """
    path, kind = name_of(target), output_format(target, format=format)
    if not 1 <= quality <= 100:
        raise UsageError(f"the quality is {quality}, expected 1 to 100 (-q)")
    check_fits(path, stream, kind)
    if lossless:
        check_lossless(path, format=kind)
        check_lossless_picture(path, stream, kind)
    with whole_target(target, overwrite=overwrite) as file:
        encode_stream(path, stream, file.fileno(), kind, quality=quality, lossless=lossless)
        sealed(file.fileno())


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
    """Encode a picture while it passes, into an empty file.

    Args:
        path: What the file is called.
        stream: What to write.
        fd: The file.
        kind: Of the values of `FORMATS`.
        quality: As for `write_picture`.
        lossless: The same.
        in_all: Decoded bytes of all that comes into one TIFF file; None is this alone.
    """
    options = dict(_ENCODERS[kind].options)
    if kind in ("jpeg", "webp", "avif"):
        options["Q"] = quality
    if kind in ("webp", "avif"):
        options["lossless"] = lossless
    if kind == "webp":
        options["exact"] = lossless  # the colours under transparent pixels too
    if kind == "avif":
        options["bitdepth"] = 12 if stream.rows.dtype == np.uint16 else 8
    if kind == "tiff":  # offsets have 32 bits
        options["bigtiff"] = (in_all or stream.rows.nbytes) * 4 / 3 > 3 * 2**30
    stream, metadata = prepared(path, stream, kind), metadata_to_write(stream, kind)
    if stream.place and kind != "tiff":
        _LOG.warning("%s: GeoTIFF left out, for which %s has no place", path, title(kind))
    if kind == "png":
        for piece in encode_png(stream, metadata):
            FileBytes(fd).append(piece)
        return
    feed = Feed(stream.rows)
    image = _labelled(feed.image, stream)
    try:
        if kind == "jpeg":
            dots = _stated_resolution(stream)
            segments = jpeg_segments(metadata, pixels_per_mm=dots, aspect=stream.aspect)
            _encode_jpeg(image, fd, segments, options)
        else:
            _encode(image, fd, kind, metadata, options)
        if kind == "tiff":
            add_tags_to_tiff(FileBytes(fd), metadata, tags=_own_tags(stream), unstated=_RESOLUTION)
    except pyvips.Error as error:
        raise feed.failure or write_error(path, error) from error


_LOG = logging.getLogger("widesr")
_RESOLUTION = (282, 283, 296)
"""libvips always states one."""


def _own_tags(stream: PictureStream) -> Tree:
    """Make the tags of a TIFF file that libvips cannot write: they go before its own."""
    tags = tags_of_resolution(_stated_resolution(stream), stream.aspect)
    if stream.has_band:
        tags[338] = (3, b"\0\0")
    if stream.place:
        tags |= stream.place.scaled(height=stream.rows.height, width=stream.rows.width)
    return tags


def encode_png(stream: PictureStream, metadata: Metadata) -> Iterator[bytes]:
    """Encode a picture that PNG can hold while it passes; yield the pieces of the file."""
    return stream_png(
        stream.rows,
        icc=stream.icc,
        pixels_per_mm=_stated_resolution(stream),
        aspect=stream.aspect,
        chunks=png_chunks(metadata),
    )


def check_fits(path: Path, stream: PictureStream, kind: str) -> None:
    """Refuse what the format has no room for.

    Raises:
        ImageFormatError: The picture or its metadata is too large.
    """
    encoder, name, rows = _ENCODERS[kind], title(kind), stream.rows
    if max(rows.width, rows.height) > encoder.longest:
        raise ImageFormatError(
            f"{path}: the picture is {rows.width}x{rows.height}, {name} holds at most "
            f"{encoder.longest} pixels a side; write PNG or TIFF (-f png)"
        )
    if stream.has_band and kind != "tiff":
        raise ImageFormatError(
            f"{path}: has a band beside its colours that is not opacity, for which {name} has no "
            "place; write TIFF (-f tiff), or leave the band out, or tag it as alpha"
        )
    blocks = {"XMP": stream.xmp, "IPTC": stream.iptc}
    for block, data in blocks.items():
        if kind == "jpeg" and data and len(data) > LONGEST_IN_JPEG[block]:
            raise ImageFormatError(
                f"{path}: the {block} metadata is {len(data):,} bytes, JPEG holds at most "
                f"{LONGEST_IN_JPEG[block]:,}; write PNG or TIFF (-f png)"
            )


def check_lossless(path: Path, *, format: str | None = None) -> None:  # noqa: A002 (users' word)
    """Refuse a format that keeps no picture whole.

    Raises:
        ImageFormatError: It is JPEG, or there is no writer for it.
    """
    if output_format(path, format=format) == "jpeg":
        raise ImageFormatError(
            f"{path}: JPEG is never lossless; write PNG, TIFF, WebP or AVIF (-f png)"
        )


def check_lossless_picture(path: Path, stream: PictureStream, kind: str) -> None:
    """Refuse a picture of which the format would lose something.

    Raises:
        ImageFormatError: Its depth or its profile.
    """
    encoder = _ENCODERS[kind]
    if stream.rows.dtype == np.uint16 and encoder.bits < 16:
        found = f"has 16 bits, of which {title(kind)} holds {encoder.bits}"
    elif stream.colours == 1 and not encoder.grey and space_of(stream.icc) == b"GRAY":
        found = f"has a grey profile, which {title(kind)} cannot hold"
    else:
        return
    raise ImageFormatError(f"{path}: the picture {found}; for no loss write PNG or TIFF (-f png)")


def prepared(path: Path, stream: PictureStream, kind: str) -> PictureStream:
    """The picture in channels, depth and profile that the format can hold."""
    encoder = _ENCODERS[kind]
    stream = replace(stream, icc=meant_profile(stream.icc, channels=stream.colours))
    if stream.has_alpha and not encoder.alpha:
        stream = replace(stream, rows=_opaque(path, stream, kind))
    if stream.colours == 1 and space_of(stream.icc) == b"RGB ":  # refused for one channel
        stream = stream.with_colours(_tripled, channels=3, icc=stream.icc)
    if stream.colours == 1 and not encoder.grey and stream.icc:
        try:
            to = to_srgb(stream.icc, channels=1, dtype=stream.rows.dtype)
            stream = stream.with_colours(to.change, channels=to.channels, icc=to.icc)
        except pyvips.Error:  # a damaged profile is as good as none
            stream = replace(stream, icc=None)
    if stream.rows.dtype == np.uint16 and encoder.bits < 16:
        stream = replace(stream, rows=_shallower(stream.rows, bits=encoder.bits))
    return stream


def check_opaque(path: Path, stream: PictureStream, *, format: str | None = None) -> None:  # noqa: A002
    """Read a picture to see whether its format can hold it, where that hangs on its alpha.

    Raises:
        ImageFormatError: It is partly transparent, and the format has no place for that.
    """
    kind = output_format(path, format=format)
    if stream.has_alpha and not _ENCODERS[kind].alpha:
        for _ in _opaque(path, stream, kind):
            pass


def _opaque(path: Path, stream: PictureStream, kind: str) -> Rows:
    """The colours alone, as long as nothing shines through."""
    top = np.iinfo(stream.rows.dtype).max

    def colours(band: Band) -> Band:
        if (band[..., -1] != top).any():
            raise ImageFormatError(
                f"{path}: the picture is partly transparent, which {title(kind)} cannot hold; "
                "write PNG, WebP, TIFF or AVIF (-f png)"
            )
        return band[..., :-1]

    return stream.rows.map(colours, channels=stream.colours)


def _tripled(band: Band) -> Band:
    return np.repeat(band, 3, axis=2)


def _shallower(rows: Rows, *, bits: int) -> Rows:
    """16 bits rounded to 8; or to 12, in the upper bits of 16, where libvips takes them."""
    top = 2**bits - 1

    dtype = np.uint8 if bits == 8 else np.uint16
    shift = 8 * dtype().itemsize - bits

    def rounded(band: Band) -> Band:
        values = (band.astype(np.uint32) * top + 32767) // 65535 << shift
        return np.asarray(values, dtype)

    return rows.map(rounded, channels=rows.channels, dtype=dtype)


def _labelled(image: pyvips.Image, stream: PictureStream) -> pyvips.Image:
    """The image with its profile."""
    image = image.copy()
    if stream.icc:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", stream.icc)
    return image


def metadata_to_write(stream: PictureStream, kind: str) -> Metadata:
    """The picture's metadata with its size; where EXIF alone can tell, the resolution too."""
    metadata = cleaned(Metadata(stream.exif, stream.xmp, stream.iptc))
    dots = tags_of_resolution(_stated_resolution(stream), stream.aspect)
    if not metadata.exif and dots and kind in ("webp", "avif"):
        metadata = metadata._replace(exif=exif_of(dots))
    return sized(metadata, width=stream.rows.width, height=stream.rows.height)


def _stated_resolution(stream: PictureStream) -> tuple[float, float] | None:
    """The resolution, unless it is one that no picture has: files claim anything."""
    dots = stream.pixels_per_mm
    return dots if dots and all(0.001 <= n <= 100_000 for n in dots) else None


def _encode_jpeg(image: pyvips.Image, fd: int, segments: bytes, options: dict[str, Any]) -> None:
    splice = Splice(FileBytes(fd), at=2, extra=segments)
    splice.take(image.jpegsave_target, keep=pyvips.ForeignKeep.ICC, **options)


def _encode(
    image: pyvips.Image, fd: int, kind: str, metadata: Metadata, options: dict[str, Any]
) -> None:
    """Encode with libvips, and bring to its place in the file what libvips would not."""
    exif, xmp, _ = metadata
    file = FileBytes(fd)
    keep = pyvips.ForeignKeep.ICC | pyvips.ForeignKeep.XMP
    target = pyvips.Target.new_to_descriptor(fd)
    if xmp:
        image.set_type(pyvips.GValue.blob_type, "xmp-data", xmp)
    if exif and kind in ("webp", "avif"):  # makes the place for it
        image.set_type(pyvips.GValue.blob_type, "exif-data", b"Exif\0\0" + exif)
        keep |= pyvips.ForeignKeep.EXIF
    if kind == "webp":
        encoded = image.webpsave_buffer(keep=keep, **options)
        file.append(webp_with_exif(encoded, exif) if exif else encoded)
    elif kind == "tiff":
        image.tiffsave_target(target, keep=keep, **options)
    else:
        image.heifsave_target(target, keep=keep, **options)
        if exif:
            set_exif_of_avif(file, exif)
