"""Reads still pictures from files without losing depth, profile, alpha or metadata.

A file's content decides its format. Its size is checked on the header, and its pixels come
upright, row by row, so that memory need only hold the rows in use. The exceptions are WebP, AVIF,
HEIC, GIF, BMP, Netpbm, interlaced PNG and progressive JPEG, whose decoders hold the whole picture.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyvips

from widesr.errors import ImageFormatError, WidesrError
from widesr.pictures.bmp import open_bmp
from widesr.pictures.colour import meant_profile
from widesr.pictures.decoding import (
    check_header,
    check_size,
    damaged,
    decode_image,
    decode_page_of_tiff,
    load_image,
    number_of,
    orientation_of,
)
from widesr.pictures.gif import open_gif
from widesr.pictures.heic import closest_suffix, open_heic
from widesr.pictures.netpbm import open_netpbm
from widesr.pictures.picture import MAX_PIXELS, Picture, PictureStream
from widesr.pictures.scan import open_scan, pages_of_tiff
from widesr.pictures.sniff import ONE_FRAME, frames_of_png, kind_of
from widesr.pictures.sources import PictureFile, Source, opened
from widesr.pixels.rows import Rows

_log = logging.getLogger(__name__)

_AT_ONCE = {"bmp": open_bmp, "netpbm": open_netpbm, "gif": open_gif, "heic": open_heic}
"""The kinds whose decoders give all pixels at once, each with the reader of its header.

The readers raise ValueError with the cause if a file is damaged or cut short."""


def read_picture(source: Source, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a still picture into memory, whatever the suffix of its name.

    The source is a path, the bytes of a file, or a file object in binary mode.

    Palettes become RGB, fewer than 8 bits become 8, and more become 16. CMYK becomes sRGB through
    its profile, and YCbCr becomes RGB as the file states. Colours that a file names by codes or a
    gamma (AVIF, PNG) get the equivalent ICC profile.

    Raises:
        ImageReadError: The file is missing, empty, damaged, cut short or not a picture.
        ImageFormatError: The picture is of an unsupported kind; the message says what to do.
        ImageTooLargeError: The header claims more than `max_pixels`; nothing was decoded.
    """
    with open_picture(source, max_pixels=max_pixels) as stream:
        return stream.whole()


@contextmanager
def open_picture(source: Source, *, max_pixels: int = MAX_PIXELS) -> Iterator[PictureStream]:
    """Open a still picture as `read_picture` does, to be read by rows while the file is open.

    Errors in the pixels are raised when they are read.
    """
    with opened(source) as file:
        kind = kind_of(file)
        if kind in _AT_ONCE:
            yield _decode_bitmap(file, kind, max_pixels=max_pixels)
            return
        try:
            pages = pages_of(file, kind)
        except (pyvips.Error, ValueError) as error:
            raise damaged(file, kind, error) from error
        _check_one(file, len(pages))
        stream = open_page(file, kind, pages[0], max_pixels=max_pixels)
        log_notices(file, stream.notices)
        yield stream


def log_notices(file: PictureFile, notices: Iterable[str]) -> None:
    """Log which parts of a file are not kept."""
    for notice in notices:
        _log.warning("%s: %s", file.path, notice)


def pages_of(file: PictureFile, kind: str) -> Sequence[int]:
    """Number the pages or frames of a file from 0, without the smaller copies in a TIFF."""
    if kind == "avif":  # other images are its parts, or smaller copies
        return [number_of(load_image(file, kind), "heif-primary", 0)]
    if kind == "tiff":
        return pages_of_tiff(file)
    frames = number_of(load_image(file, kind), "n-pages", 1)
    return range(max(frames_of_png(file), 1) if kind == "png" else frames)


def open_page(file: PictureFile, kind: str, number: int, *, max_pixels: int) -> PictureStream:
    """Open one page of a file, as `open_picture` does."""
    if kind == "tiff":
        return decode_page_of_tiff(file, number, max_pixels=max_pixels)
    try:
        image = load_image(file, kind, page=number)
        check_header(file.path, image, max_pixels=max_pixels)
        return decode_image(file, image, kind)
    except (pyvips.Error, ValueError) as error:
        raise damaged(file, kind, error) from error


class Header(NamedTuple):
    """The size that a file states before anything is decoded."""

    height: int
    """The rows of the upright picture."""
    width: int
    pixel_bytes: int
    """The bytes of one decoded pixel, all channels together."""
    pages: int = 1
    """The number of pages or frames; other pages of a TIFF file may differ in size."""


def read_header(source: Source) -> Header:
    """Read a picture's size, and decode nothing; raises the errors of `read_picture`."""
    with opened(source) as file:
        kind = kind_of(file)
        try:
            if kind in _AT_ONCE:
                bitmap = _AT_ONCE[kind](file)
                return Header(bitmap.height, bitmap.width, bitmap.pixel_bytes, bitmap.count)
            pages = pages_of(file, kind)
            if kind == "tiff":
                scan = open_scan(file, pages[0])
                height, width = scan.raster.height, scan.raster.width
                orientation = scan.orientation
                pixel_bytes = scan.channels * scan.raster.dtype.itemsize
            else:
                image = load_image(file, kind, page=pages[0])
                height, width = image.height, image.width
                orientation = orientation_of(file, image, kind)
                pixel_bytes = image.bands * (2 if image.format == "ushort" else 1)
        except (pyvips.Error, ValueError) as error:
            raise damaged(file, kind, error) from error
        if orientation > 4:
            height, width = width, height
        return Header(height, width, pixel_bytes, len(pages))


def closest_ending(path: Path) -> str | None:
    """Give the suffix with which the result of a HEIC file is written, by the file's content.

    None means PNG, or that the file is not HEIC or cannot be read.
    """
    if path.suffix.lower() not in (".heic", ".heif", ".hif"):
        return None
    try:
        with opened(path) as file:
            kind = kind_of(file)
            return closest_suffix(file.heif) if kind == "heic" else {"jpeg": ".jpg"}.get(kind)
    except WidesrError:
        return None


def _check_one(file: PictureFile, count: int) -> None:
    if count > 1:
        raise ImageFormatError(
            f"{file.path}: holds {count} pages or frames, one was expected; {ONE_FRAME}"
        )


def _decode_bitmap(file: PictureFile, kind: str, *, max_pixels: int) -> PictureStream:
    try:
        bitmap = _AT_ONCE[kind](file)
        _check_one(file, bitmap.count)
        check_size(file.path, bitmap.width, bitmap.height, max_pixels=max_pixels)
        rows = Rows.of(bitmap.decode())
    except ValueError as error:
        raise damaged(file, kind, error) from error
    icc = meant_profile(bitmap.icc, channels=1 if rows.channels < 3 else 3)
    return PictureStream(rows=rows, **bitmap.about | {"icc": icc, "format": kind})
