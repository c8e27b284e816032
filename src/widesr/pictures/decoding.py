"""Decodes files to upright rows, with the metadata that they hold.

libvips decodes, with its untrusted loaders blocked; strips and tiles of TIFF are decoded one by
one. EXIF is read here, as libvips passes it through libexif, which loses maker notes, ratings and
private tags.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pyvips

from widesr.errors import ImageFormatError, ImageReadError, ImageTooLargeError, last_line
from widesr.pictures.colour import inks_to_srgb, meant_profile
from widesr.pictures.containers import (
    has_more_xmp,
    metadata_of_jpeg,
    metadata_of_png,
    named_colours,
)
from widesr.pictures.density import Density, density_of_exif, density_of_jpeg, density_of_png
from widesr.pictures.feed import rows_of_image
from widesr.pictures.jpeg import is_arithmetic, is_without_end
from widesr.pictures.jpegrows import rows_of_jpeg
from widesr.pictures.levels import true_levels
from widesr.pictures.metadata import Metadata, cleaned, on_its_side, orientation_of_exif
from widesr.pictures.picture import PictureStream
from widesr.pictures.profiles import profile_of
from widesr.pictures.scan import open_scan
from widesr.pictures.sniff import title
from widesr.pictures.sources import PictureFile
from widesr.pictures.turning import upright
from widesr.pictures.turns import turn_of_avif, without_turns
from widesr.pixels.rows import Band, Rows
from widesr.system.arguments import whole_number

pyvips.block_untrusted_set(True)
pyvips.logger.disabled = True  # GLib aborts if a log call frees an object that logs in turn
pyvips.cache_set_max(0)  # a file that changed on disk is read anew, and memory stays bounded

_log = logging.getLogger(__name__)

_LOADERS = {
    "png": "pngload_source",
    "jpeg": "jpegload_source",
    "webp": "webpload_source",
    "avif": "heifload_source",
}


def load_image(file: PictureFile, kind: str, **pages: int) -> pyvips.Image:
    """Read the header; the pixels come as stored, to be turned as `orientation_of` says."""
    pages = {name: number for name, number in pages.items() if number}  # JPEG takes none
    options = {"access": "sequential", "fail_on": "error", **pages}
    if kind == "avif" and turn_of_avif(file.heif) != 1:
        return pyvips.Image.heifload_buffer(without_turns(file), **options)
    load = getattr(pyvips.Image, _LOADERS[kind])
    return load(pyvips.Source.new_from_descriptor(file.fd), **options)


def number_of(image: pyvips.Image, name: str, default: int) -> int:
    """Read a number that libvips found in the header, or the default if there is none."""
    return int(image.get(name)) if image.get_typeof(name) else default


def _blob(image: pyvips.Image, name: str) -> bytes | None:
    return bytes(image.get(name)) if image.get_typeof(name) else None


def _metadata_of(file: PictureFile, image: pyvips.Image, kind: str) -> Metadata:
    if kind == "png":
        return metadata_of_png(file)
    if kind == "jpeg":
        return metadata_of_jpeg(file)
    return Metadata(*(_blob(image, f"{name}-data") for name in ("exif", "xmp", "iptc")))


def orientation_of(file: PictureFile, image: pyvips.Image, kind: str) -> int:
    """Read the picture's orientation, 1 to 8, as EXIF counts it.

    libvips is not asked: it overlooks some, and would turn what `cleaned` does not call upright.
    """
    if kind == "avif":
        return turn_of_avif(file.heif)
    return orientation_of_exif(_metadata_of(file, image, kind).exif or b"")


def decode_image(file: PictureFile, image: pyvips.Image, kind: str) -> PictureStream:
    """Make an upright picture from a libvips image, to be read while the file is open."""
    icc = _blob(image, "icc-profile-data")
    metadata = _metadata_of(file, image, kind)
    density_of = {"png": density_of_png, "jpeg": density_of_jpeg}.get(kind)
    density = density_of(file) if density_of else Density()
    bits = number_of(image, "bits-per-sample", 16) if image.format == "ushort" else 8
    rows = rows_of_jpeg(file) if kind == "jpeg" else rows_of_image(image)
    if image.interpretation == "cmyk":
        rows, icc = inks_to_srgb(rows, icc)
    if kind == "jpeg":
        rows = _with_warnings(file, rows)
    if kind == "avif":
        rows = true_levels(file, rows, bits=bits)
    named = named_colours(file, kind)
    if named is not None:
        icc = profile_of(named, grey=rows.channels < 3)
    orientation = orientation_of(file, image, kind)
    stream = _stream(file, rows, kind, metadata, icc=icc, orientation=orientation, density=density)
    if kind == "jpeg" and has_more_xmp(file):
        stream = replace(stream, notices=("XMP beyond its first 64 kB left out",))
    return stream


def decode_page_of_tiff(file: PictureFile, number: int, *, max_pixels: int) -> PictureStream:
    """Open a page of a TIFF file as an upright picture, to be read while the file is open."""
    try:
        scan = open_scan(file, number)
        check_size(file.path, scan.raster.width, scan.raster.height, max_pixels=max_pixels)
        rows, icc = scan.rows()
    except (pyvips.Error, ValueError) as error:
        raise damaged(file, "tiff", error) from error
    stream = _stream(
        file,
        rows,
        "tiff",
        scan.metadata,
        icc=icc,
        orientation=scan.orientation,
        density=scan.density,
    )
    lost = f"{', '.join(scan.lost)} left out, which would not be true of the larger picture"
    notices = (lost,) if scan.lost else ()
    return replace(stream, has_band=scan.has_band, place=scan.place, notices=notices)


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
    """Make an upright picture of stored rows and their metadata."""
    exif, xmp, iptc = cleaned(metadata)
    if density.pixels_per_mm is None and exif:  # the only place for it in WebP and AVIF
        of_exif = density_of_exif(exif)
        density = of_exif if of_exif.pixels_per_mm or not density.aspect else density
    if orientation > 4:
        density, exif = density.turned(), exif and on_its_side(exif)
    rows = Rows(whole_or_error(file, rows, kind), shape=rows.shape, dtype=rows.dtype)
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


def whole_or_error(file: PictureFile, bands: Iterable[Band], kind: str) -> Iterator[Band]:
    """Turn the exceptions that libraries raise while pixels are read into our own errors."""
    try:
        yield from bands
    except (pyvips.Error, ValueError) as error:
        raise damaged(file, kind, error) from error


def _with_warnings(file: PictureFile, rows: Rows) -> Rows:
    """Log a JPEG's irregularities once all of its pixels have been read."""

    def bands() -> Iterator[Band]:
        below = rows.height
        for band in rows:
            below -= len(band)
            if not below:  # now, as no one may ask for more
                _warn_of_jpeg(file)
            yield band

    return Rows(bands(), shape=rows.shape, dtype=rows.dtype)


def _warn_of_jpeg(file: PictureFile) -> None:
    if is_without_end(file):
        _log.warning("%s: ends without the mark of its end; all of its pixels are there", file.path)
    if is_arithmetic(file):
        _log.warning("%s: nothing in a JPEG of arithmetic codes tells of its last bytes", file.path)


def check_size(path: Path, width: int, height: int, *, max_pixels: int) -> None:
    """Refuse a picture of more than `max_pixels` before it is decoded."""
    max_pixels = whole_number(max_pixels, "max_pixels of at least 1", least=1)
    if width * height > max_pixels:
        found = f"{path}: image is {width}x{height}"
        raise ImageTooLargeError(found=found, pixels=width * height, max_pixels=max_pixels)


def check_header(path: Path, image: pyvips.Image, *, max_pixels: int) -> None:
    """Refuse a picture that is too large, or whose values or channels are not supported."""
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


def damaged(
    file: PictureFile, kind: str, error: pyvips.Error | ValueError
) -> ImageReadError | ImageFormatError:
    """Make the error for a file that cannot be decoded: damaged, or an unsupported variant."""
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
"""Words with which decoders refuse files that are not damaged."""
