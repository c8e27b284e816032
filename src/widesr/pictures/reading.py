"""Files to pixels, with nothing lost on the way: depth, profile, alpha, metadata.

A file is what its content says. Its size is checked on the header, and its pixels come upright,
row by row, so that no more of it need be in memory than is worked on; of WebP, AVIF, GIF, BMP,
Netpbm, interlaced PNG and progressive JPEG more is, as their decoders hold the whole picture.

libvips decodes, its untrusted loaders blocked; of TIFF, strips and tiles on their own. EXIF is ours
to read: libvips passes it through libexif, which loses maker notes, ratings and private tags.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyvips

from widesr.errors import (
    ImageFormatError,
    ImageReadError,
    ImageTooLargeError,
    WidesrError,
    last_line,
)
from widesr.pictures.colour import inks_to_srgb, meant_profile
from widesr.pictures.containers import metadata_of_png, named_colours
from widesr.pictures.density import Density, density_of_exif, density_of_jpeg, density_of_png
from widesr.pictures.heic import closest_suffix
from widesr.pictures.jpeg import exif_of_jpeg, is_arithmetic, is_without_end
from widesr.pictures.jpegrows import rows_of_jpeg
from widesr.pictures.levels import true_levels
from widesr.pictures.metadata import Metadata, cleaned, on_its_side, orientation_of_exif
from widesr.pictures.picture import MAX_PIXELS, Picture, PictureStream
from widesr.pictures.profiles import profile_of
from widesr.pictures.scan import Scan, open_scan, pages_of_tiff
from widesr.pictures.sniff import ONE_FRAME, frames_of_png, kind_of, title
from widesr.pictures.sources import PictureFile, Source, opened
from widesr.pictures.turning import upright
from widesr.pictures.turns import turn_of_avif, without_turns
from widesr.pictures.whole import WHOLE, open_whole
from widesr.pixels.rows import Band, Rows

pyvips.block_untrusted_set(True)
pyvips.logger.disabled = True  # GLib ends the process if a log call frees what logs in its turn
pyvips.cache_set_max(0)  # a file that changed on disk is read anew, and memory stays bounded

_log = logging.getLogger(__name__)
_BAND = 2**22
"""Bytes that are decoded at once, about."""


def read_picture(source: Source, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a still picture, whole, whatever its name says it is.

    The source is a path, the bytes of a file, or a file object in binary mode.

    Palettes become RGB, fewer than 8 bits become 8, more become 16. CMYK becomes sRGB through its
    profile, YCbCr becomes RGB by what the file says of it. Colours that a file names by codes or a
    gamma (AVIF, PNG) get the ICC profile that says the same.

    Raises:
        ImageReadError: The file is missing, empty, damaged, cut short or not a picture.
        ImageFormatError: A picture of a kind that is not read; the message says what to do.
        ImageTooLargeError: The header claims more than `max_pixels`; nothing was decoded.
    """
    with open_picture(source, max_pixels=max_pixels) as stream:
        return stream.whole()


@contextmanager
def open_picture(source: Source, *, max_pixels: int = MAX_PIXELS) -> Iterator[PictureStream]:
    """Open a still picture, to be read row by row while the file is open; as `read_picture`.

    What is wrong with the pixels is raised when they are read.
    """
    with opened(source) as file:
        kind = kind_of(file)
        if kind in WHOLE:
            yield _decode_bitmap(file, kind, max_pixels=max_pixels)
            return
        try:
            pages = pages_of(file, kind)
        except (pyvips.Error, ValueError) as error:
            raise damaged(file, kind, error) from error
        _check_one(file, len(pages))
        stream = open_page(file, kind, pages[0], max_pixels=max_pixels)
        tell(file, stream.notices)
        yield stream


def tell(file: PictureFile, notices: Iterable[str]) -> None:
    """Log what of a file is not kept."""
    for notice in notices:
        _log.warning("%s: %s", file.path, notice)


def pages_of(file: PictureFile, kind: str) -> Sequence[int]:
    """Number the pages or frames of a file, from 0; smaller copies in a TIFF are left out."""
    if kind == "avif":  # others are its parts, or smaller copies
        return [_number(load_image(file, kind), "heif-primary", 0)]
    if kind == "tiff":
        return pages_of_tiff(file)
    frames = _number(load_image(file, kind), "n-pages", 1)
    return range(max(frames_of_png(file), 1) if kind == "png" else frames)


def open_page(file: PictureFile, kind: str, number: int, *, max_pixels: int) -> PictureStream:
    """Open one page of a file, as `open_picture`."""
    if kind == "tiff":
        return _open_page_of_tiff(file, number, max_pixels=max_pixels)
    try:
        image = load_image(file, kind, page=number)
        _check_header(file.path, image, max_pixels=max_pixels)
        return decode_image(file, image, kind)
    except (pyvips.Error, ValueError) as error:
        raise damaged(file, kind, error) from error


def _open_page_of_tiff(file: PictureFile, number: int, *, max_pixels: int) -> PictureStream:
    try:
        scan = open_scan(file, number)
        check_size(file.path, scan.raster.width, scan.raster.height, max_pixels=max_pixels)
        rows, icc = scan.rows()
    except (pyvips.Error, ValueError) as error:
        raise damaged(file, "tiff", error) from error
    stream = _stream(
        file,
        _whole_or_error(file, rows, "tiff"),
        "tiff",
        scan.metadata,
        icc=icc,
        orientation=scan.orientation,
        density=scan.density,
    )
    return replace(stream, has_band=scan.has_band, place=scan.place, notices=_notices_of_tiff(scan))


def _notices_of_tiff(scan: Scan) -> tuple[str, ...]:
    if not scan.lost:
        return ()
    return (f"{', '.join(scan.lost)} left out, which would not be true of the larger picture",)


class Header(NamedTuple):
    """What a file says about its picture before anything is decoded."""

    height: int
    """Upright, as `width`."""
    width: int
    pixel_bytes: int
    """Of one decoded pixel, all channels together."""
    pages: int = 1
    """Or frames, of this size or, in TIFF, of another."""


def read_header(source: Source) -> Header:
    """Read how large a picture is, and decode nothing; raises as `read_picture`."""
    with opened(source) as file:
        kind = kind_of(file)
        try:
            if kind in WHOLE:
                bitmap = open_whole(file, kind)
                return Header(bitmap.height, bitmap.width, bitmap.pixel_bytes, bitmap.count)
            pages = pages_of(file, kind)
            if kind == "tiff":
                scan = open_scan(file, pages[0])
                height, width = scan.raster.height, scan.raster.width
                if scan.orientation in range(5, 9):
                    height, width = width, height
                itemsize = scan.raster.dtype.itemsize
                return Header(height, width, scan.channels * itemsize, len(pages))
            image = load_image(file, kind, page=pages[0])
        except (pyvips.Error, ValueError) as error:
            raise damaged(file, kind, error) from error
        height, width = image.height, image.width
        if orientation_of(file, image, kind) > 4:
            height, width = width, height
        pixel_bytes = image.bands * (2 if image.format == "ushort" else 1)
        return Header(height, width, pixel_bytes, len(pages))


def closest_ending(path: Path) -> str | None:
    """Name the suffix of the format nearest to one that is read and not written, where PNG is not.

    It goes by the content; None for PNG, and for what cannot be read.
    """
    if path.suffix.lower() not in (".heic", ".heif", ".hif"):
        return None
    try:
        with opened(path) as file:
            kind = kind_of(file)
            return closest_suffix(file.heif) if kind == "heic" else {"jpeg": ".jpg"}.get(kind)
    except WidesrError:
        return None


def damaged(
    file: PictureFile, kind: str, error: pyvips.Error | ValueError
) -> ImageReadError | ImageFormatError:
    """Say that a file of this kind cannot be decoded: it is damaged, or of a variant not read."""
    why = last_line(error)
    if _VARIANT.search(why):
        return ImageFormatError(
            f"{file.path}: this is a variant of {title(kind)} that is not read ({why}); open it in "
            "another program and save it as PNG or TIFF with 8 or 16 bits"
        )
    return ImageReadError(
        f"{file.path}: this {title(kind)} file is damaged or cut short ({why}); get a whole copy "
        "of it"
    )


_VARIANT = re.compile("not supported|not configured|nsupported|not a whole number of bytes")
"""What decoders say of files that are whole."""


_LOADERS = {
    "png": "pngload_source",
    "jpeg": "jpegload_source",
    "webp": "webpload_source",
    "avif": "heifload_source",
}


def load_image(file: PictureFile, kind: str, **pages: int) -> pyvips.Image:
    """Read the header; the picture comes as it is stored, to be turned by `orientation_of`."""
    pages = {name: number for name, number in pages.items() if number}  # JPEG takes none
    options = {"access": "sequential", "fail_on": "error", **pages}
    if kind == "avif" and turn_of_avif(file.heif) != 1:
        return pyvips.Image.heifload_buffer(without_turns(file), **options)
    load = getattr(pyvips.Image, _LOADERS[kind])
    return load(pyvips.Source.new_from_descriptor(file.fd), **options)


def check_size(path: Path, width: int, height: int, *, max_pixels: int) -> None:
    """Refuse a picture of more than `max_pixels` before it is decoded."""
    if width * height > max_pixels:
        found = f"{path}: image is {width}x{height}"
        raise ImageTooLargeError(found=found, pixels=width * height, max_pixels=max_pixels)


def _check_header(path: Path, image: pyvips.Image, *, max_pixels: int) -> None:
    check_size(path, image.width, image.height, max_pixels=max_pixels)
    bands = image.bands
    if image.format not in ("uchar", "ushort"):
        raise ImageFormatError(
            f"{path}: the values are of type {image.format}, unsigned 8-bit or 16-bit integers "
            "were expected; save it as a 16-bit TIFF or PNG"
        )
    expected = {"cmyk": (4, 5), "b-w": (1, 2), "grey16": (1, 2)}.get(image.interpretation, (3, 4))
    if bands not in expected:
        raise ImageFormatError(
            f"{path}: has {bands} channels, expected grey, RGB or CMYK, with or without alpha; "
            "save it as RGB"
        )


def _check_one(file: PictureFile, count: int) -> None:
    if count > 1:
        raise ImageFormatError(
            f"{file.path}: holds {count} pages or frames, one was expected; {ONE_FRAME}"
        )


def _decode_bitmap(file: PictureFile, kind: str, *, max_pixels: int) -> PictureStream:
    try:
        bitmap = open_whole(file, kind)
        _check_one(file, bitmap.count)
        check_size(file.path, bitmap.width, bitmap.height, max_pixels=max_pixels)
        rows = Rows.of(bitmap.decode())
    except ValueError as error:
        raise damaged(file, kind, error) from error
    icc = meant_profile(bitmap.icc, channels=1 if rows.channels < 3 else 3)
    return PictureStream(rows=rows, **bitmap.about | {"icc": icc, "format": kind})


def decode_image(file: PictureFile, image: pyvips.Image, kind: str) -> PictureStream:
    """Give what libvips loaded as a picture, upright, to be read while the file is open."""
    icc = _blob(image, "icc-profile-data")
    exif, xmp, iptc = (_blob(image, f"{name}-data") for name in ("exif", "xmp", "iptc"))
    if kind == "png":
        exif, xmp, iptc = metadata_of_png(file)
    elif kind == "jpeg":
        exif = exif_of_jpeg(file)
    bits = _number(image, "bits-per-sample", 16) if image.format == "ushort" else 8
    rows = rows_of_jpeg(file) if kind == "jpeg" else _rows(image)
    if image.interpretation == "cmyk":
        rows, icc = inks_to_srgb(rows, icc)
    rows = _whole_or_error(file, rows, kind)
    if kind == "jpeg":
        rows = _told_of_jpeg(file, rows)
    if kind == "avif":
        rows = true_levels(file, rows, bits=bits)
    named = named_colours(file, kind)
    if named is not None:
        icc = profile_of(named, grey=rows.channels < 3)
    density = {"png": density_of_png, "jpeg": density_of_jpeg}.get(kind, lambda _: Density())(file)
    orientation = orientation_of(file, image, kind)
    metadata = Metadata(exif, xmp, iptc)
    return _stream(file, rows, kind, metadata, icc=icc, orientation=orientation, density=density)


def _stream(
    file: PictureFile,
    rows: Rows,
    kind: str,
    metadata: Metadata,
    *,
    icc: bytes | None,
    orientation: int,
    density: Density,
) -> PictureStream:
    """Turn a picture upright, with what its file said of it."""
    exif, xmp, iptc = cleaned(metadata)
    if density.pixels_per_mm is None and exif:  # in WebP and AVIF, its only place
        of_exif = density_of_exif(exif)
        density = of_exif if of_exif.pixels_per_mm or not density.aspect else density
    if orientation > 4:
        density, exif = density.turned(), exif and on_its_side(exif)
    rows = upright(file.path, rows, orientation)
    return PictureStream(
        rows=rows,
        icc=meant_profile(icc, channels=1 if rows.channels < 3 else 3),
        exif=exif,
        xmp=xmp,
        iptc=iptc,
        pixels_per_mm=density.pixels_per_mm,
        aspect=density.aspect,
        format=kind,
    )


def _rows(image: pyvips.Image) -> Rows:
    dtype = np.uint16 if image.format == "ushort" else np.uint8
    shape = (image.height, image.width, image.bands)
    height = max(_BAND // (image.width * image.bands * dtype().itemsize), 1)

    def bands() -> Iterator[Band]:
        region = pyvips.Region.new(image)  # in the thread that reads, which is its owner
        for top in range(0, image.height, height):
            n = min(height, image.height - top)
            values = np.frombuffer(region.fetch(0, top, image.width, n), dtype)
            yield values.reshape(n, *shape[1:])

    return Rows(bands(), shape=shape, dtype=dtype)


def _whole_or_error(file: PictureFile, rows: Rows, kind: str) -> Rows:
    """Say in words of ours that a file is damaged, when rows of it are read."""

    def bands() -> Iterator[Band]:
        try:
            yield from rows
        except (pyvips.Error, ValueError) as error:
            raise damaged(file, kind, error) from error

    return Rows(bands(), shape=rows.shape, dtype=rows.dtype)


def _told_of_jpeg(file: PictureFile, rows: Rows) -> Rows:
    """Log what is odd of a JPEG once all of its pixels have come, and are known to be there."""

    def bands() -> Iterator[Band]:
        below = rows.height
        for band in rows:
            below -= len(band)
            if not below:  # no one may ask for more
                notices()
            yield band

    def notices() -> None:
        if is_without_end(file):
            _log.warning(
                "%s: ends without the mark of its end; all of its pixels are there", file.path
            )
        if is_arithmetic(file):
            _log.warning(
                "%s: nothing in a JPEG of arithmetic codes tells of its last bytes", file.path
            )

    return Rows(bands(), shape=rows.shape, dtype=rows.dtype)


def orientation_of(file: PictureFile, image: pyvips.Image, kind: str) -> int:
    """How the picture lies; in a PNG the block that says so may be one that libvips overlooks."""
    if kind == "png":
        return orientation_of_exif(metadata_of_png(file).exif or b"")
    if kind == "avif":
        return turn_of_avif(file.heif)
    return _number(image, "orientation", 1)


def _number(image: pyvips.Image, name: str, default: int) -> int:
    return int(image.get(name)) if image.get_typeof(name) else default


def _blob(image: pyvips.Image, name: str) -> bytes | None:
    return bytes(image.get(name)) if image.get_typeof(name) else None
