"""Files to pixels and back, with nothing lost on the way: depth, profile, alpha, metadata.

`read_picture` decides by a file's content what it is, checks its size on the header, and gives
upright pixels. `write_picture` makes the whole file or none.

Decoding and encoding is libvips' work; its loaders for untrusted formats are blocked.
"""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray

from widesr.errors import (
    ImageFormatError,
    ImageReadError,
    ImageTooLargeError,
    ImageWriteError,
    OutputExistsError,
    ShapeError,
)

pyvips.block_untrusted_set(True)
pyvips.cache_set_max(0)  # a file that changed on disk is read anew, and memory stays bounded

Pixels = NDArray[np.uint8 | np.uint16]

MAX_PIXELS = 2**28
"""Pixels of a picture that is read without being asked twice: 16384x16384."""

FORMATS = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".avif": "avif",
}
"""What can be written, by suffix; the first suffix of a format is the one to give new files."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One still picture in memory, upright, with all that its file said about it."""

    pixels: Pixels
    """uint8 or uint16, (H, W, 1) grey or (H, W, 3) RGB."""
    alpha: Pixels | None = None
    """Opacity, (H, W), of the pixels' type; the colours are not premultiplied by it."""
    icc: bytes | None = None
    """The colour profile that the numbers in `pixels` are meant in; None is sRGB."""
    exif: bytes | None = None
    """A TIFF structure without the "Exif" prefix; orientation 1, no thumbnail."""
    xmp: bytes | None = None
    iptc: bytes | None = None
    pixels_per_mm: tuple[float, float] | None = None
    """Resolution, horizontal and vertical, where the file states one."""
    format: str = ""
    """Of the file it came from, as in `FORMATS` or "gif"; empty for pixels from elsewhere."""

    def __post_init__(self) -> None:
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if dtype not in (np.uint8, np.uint16) or len(shape) != 3 or shape[2] not in (1, 3):
            raise ShapeError(
                f"pixels are {dtype} {shape}, not uint8 or uint16 (height, width, 1 or 3)"
            )
        if 0 in shape:
            raise ShapeError(f"pixels are {shape}, a picture has at least one pixel")
        alpha = self.alpha
        if alpha is not None and (alpha.shape != shape[:2] or alpha.dtype != dtype):
            raise ShapeError(
                f"alpha is {alpha.dtype} {alpha.shape}, the pixels want {dtype} {shape[:2]}"
            )

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])


# ---- reading -------------------------------------------------------------------------------


def read_picture(path: Path, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a still picture, whole, whatever its name says it is.

    Raises:
        ImageReadError: The file is missing, empty, damaged, cut short or not a picture.
        ImageFormatError: A picture of a kind that is not read; the message says what to do.
        ImageTooLargeError: The header claims more than `max_pixels`; nothing was decoded.
    """
    with _opened(path) as fd:
        kind = _kind(path, os.pread(fd, 64, 0))
        try:
            image = _load(fd, kind)
            _check_header(path, image, max_pixels=max_pixels)
            return _decode(path, image, kind)
        except pyvips.Error as error:
            raise ImageReadError(
                f"{path}: the {_TITLES[kind]} file is damaged or cut short ({_reason(error)}); "
                "get a whole copy of it"
            ) from error


_LOADERS = {
    "png": "pngload_source",
    "jpeg": "jpegload_source",
    "webp": "webpload_source",
    "tiff": "tiffload_source",
    "avif": "heifload_source",
    "gif": "gifload_source",
}
_TITLES = {kind: {"webp": "WebP"}.get(kind, kind.upper()) for kind in _LOADERS}


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open a regular file for reading; its descriptor spares libvips the file's name."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not wait for its writer
    except FileNotFoundError as error:
        raise ImageReadError(f"{path}: no such file; check the name and the folder") from error
    except OSError as error:
        raise ImageReadError(f"{path}: cannot be opened: {error.strerror}") from error
    try:
        info = os.fstat(fd)
        if stat.S_ISDIR(info.st_mode):
            raise ImageReadError(f"{path}: is a folder, not a picture; name a file in it")
        if not stat.S_ISREG(info.st_mode):
            raise ImageReadError(f"{path}: is not a regular file; copy it to a file first")
        if info.st_size == 0:
            raise ImageReadError(f"{path}: the file is empty; get a whole copy of it")
        yield fd
    finally:
        os.close(fd)


def _kind(path: Path, head: bytes) -> str:
    """Tell a format by its first bytes, as in `_LOADERS`."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head[:4] == b"GIF8":
        return "gif"
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis", b"mif1", b"miaf"):
        return "avif"
    raise ImageReadError(
        f"{path}: not a picture that widesr can read; it reads PNG, JPEG, WebP, TIFF, AVIF, GIF"
    )


def _load(fd: int, kind: str) -> pyvips.Image:
    """Read the header; what is wrong from the level of errors up ends the decoding."""
    load = getattr(pyvips.Image, _LOADERS[kind])
    source = pyvips.Source.new_from_descriptor(fd)
    return load(source, access="sequential", fail_on="error")


def _check_header(path: Path, image: pyvips.Image, *, max_pixels: int) -> None:
    width, height = image.width, image.height
    if width * height > max_pixels:
        raise ImageTooLargeError(name=str(path), width=width, height=height, max_pixels=max_pixels)
    pages = _field(image, "n-pages", 1)
    if pages > 1:
        raise ImageFormatError(
            f"{path}: holds {pages} pages or frames, a still picture was expected; "
            "save the one that you want as a PNG"
        )
    if image.format not in ("uchar", "ushort"):
        raise ImageFormatError(
            f"{path}: its values are of type {image.format}, 8-bit or 16-bit integers were "
            "expected; save it as a 16-bit TIFF or PNG"
        )


def _decode(path: Path, image: pyvips.Image, kind: str) -> Picture:
    profile = _blob(image, "icc-profile-data")
    orientation = _field(image, "orientation", 1)
    xres, yres = image.xres, image.yres
    if image.interpretation == "cmyk":
        image = image.icc_transform(
            "srgb", embedded=True, intent="relative", black_point_compensation=True, depth=8
        )
        profile = _blob(image, "icc-profile-data")
    if image.bands > 4:
        raise ImageFormatError(f"{path}: has {image.bands} channels, at most 4 were expected")
    array = _upright(image.numpy().reshape(image.height, image.width, image.bands), orientation)
    colours = 1 if array.shape[2] < 3 else 3
    alpha = array[..., colours] if array.shape[2] > colours else None
    if orientation > 4:
        xres, yres = yres, xres
    return Picture(
        pixels=np.ascontiguousarray(array[..., :colours]),
        alpha=None if alpha is None else np.ascontiguousarray(alpha),
        icc=profile,
        exif=None,
        xmp=_blob(image, "xmp-data"),
        iptc=_blob(image, "iptc-data"),
        pixels_per_mm=None if xres == yres == 1.0 else (xres, yres),
        format=kind,
    )


def _upright(array: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation (1 to 8) of (H, W, C)."""
    if orientation > 4:
        array = array.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array


def _field(image: pyvips.Image, name: str, default: int) -> int:
    return int(image.get(name)) if image.get_typeof(name) else default


def _blob(image: pyvips.Image, name: str) -> bytes | None:
    return bytes(image.get(name)) if image.get_typeof(name) else None


def _reason(error: pyvips.Error) -> str:
    """The last line that libvips said, where it names the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "unknown cause"


# ---- writing -------------------------------------------------------------------------------


class _Encoder(NamedTuple):
    save: str
    options: dict[str, Any]
    max_side: int
    alpha: bool = True
    deep: bool = False


_ENCODERS = {
    "png": _Encoder("pngsave_target", {}, 2**31 - 1, deep=True),
    "jpeg": _Encoder("jpegsave_target", {"subsample_mode": "off"}, 65500, alpha=False),
    "webp": _Encoder("webpsave_target", {}, 16383),
    "tiff": _Encoder(
        "tiffsave_target",
        {"compression": "deflate", "predictor": "horizontal"},
        2**31 - 1,
        deep=True,
    ),
    "avif": _Encoder("heifsave_target", {"compression": "av1", "subsample_mode": "off"}, 16384),
}


def output_format(path: Path, *, format: str | None = None) -> str:  # noqa: A002 (users' word)
    """Say in which of `FORMATS` a file will be written: by `format`, else by its suffix.

    Raises:
        ImageFormatError: There is no writer for it.
    """
    suffix = f".{format.lower().removeprefix('.')}" if format else path.suffix.lower()
    if suffix not in FORMATS:
        found = f"the format {format!r}" if format else f"the suffix {path.suffix!r}"
        raise ImageFormatError(
            f"{path}: {found} cannot be written; expected one of {', '.join(FORMATS)}"
        )
    return FORMATS[suffix]


def write_picture(
    path: Path,
    picture: Picture,
    *,
    format: str | None = None,  # noqa: A002 (users' word)
    quality: int = 95,
    lossless: bool = False,
    overwrite: bool = False,
) -> None:
    """Write the whole file or none.

    Args:
        path: Where to; its folder exists.
        picture: 16 bits stay 16 in PNG and TIFF, and are rounded to 8 elsewhere.
        format: As in `FORMATS`, with or without the dot; by default the suffix decides.
        quality: 1 to 100, of JPEG, WebP and AVIF.
        lossless: WebP and AVIF keep every value; nothing to the others.
        overwrite: Replace a file that is there already.

    Raises:
        ImageFormatError: The format cannot hold this picture, or is not known.
        OutputExistsError: `path` is there, and `overwrite` is not set.
        ImageWriteError: The folder is missing, or takes no file.
    """
    kind = output_format(path, format=format)
    encoder = _ENCODERS[kind]
    _check_fits(path, picture, kind)
    options = dict(encoder.options)
    if kind in ("jpeg", "webp", "avif"):
        options["Q"] = quality
    if kind in ("webp", "avif"):
        options["lossless"] = lossless
    image = _to_vips(picture, deep=encoder.deep, alpha=encoder.alpha)
    with _replacing(path, overwrite=overwrite) as fd:
        try:
            getattr(image, encoder.save)(pyvips.Target.new_to_descriptor(fd), **options)
        except pyvips.Error as error:
            raise ImageWriteError(
                f"{path}: cannot be written ({_reason(error)}); check the free space"
            ) from error


def _check_fits(path: Path, picture: Picture, kind: str) -> None:
    limit = _ENCODERS[kind].max_side
    if max(picture.width, picture.height) > limit:
        raise ImageFormatError(
            f"{path}: the picture is {picture.width}x{picture.height}, {kind.upper()} holds at "
            f"most {limit} a side; write PNG or TIFF (-f png)"
        )
    if picture.alpha is not None and not _ENCODERS[kind].alpha:
        if (picture.alpha != np.iinfo(picture.alpha.dtype).max).any():
            raise ImageFormatError(
                f"{path}: the picture is partly transparent, {kind.upper()} is not; "
                "write PNG, WebP, TIFF or AVIF (-f png)"
            )


def _to_vips(picture: Picture, *, deep: bool, alpha: bool) -> pyvips.Image:
    array = picture.pixels
    if alpha and picture.alpha is not None:
        array = np.concatenate([array, picture.alpha[..., None]], axis=2)
    if array.dtype == np.uint16 and not deep:
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    grey, sixteen = picture.pixels.shape[2] == 1, array.dtype == np.uint16
    space = ("grey16" if sixteen else "b-w") if grey else ("rgb16" if sixteen else "srgb")
    image = pyvips.Image.new_from_array(np.ascontiguousarray(array), interpretation=space)
    if picture.pixels_per_mm:
        xres, yres = picture.pixels_per_mm
        image = image.copy(xres=xres, yres=yres)
    for name, data in (
        ("icc-profile-data", picture.icc),
        ("xmp-data", picture.xmp),
        ("iptc-data", picture.iptc),
    ):
        if data:
            image.set_type(pyvips.GValue.blob_type, name, data)
    return image


@contextmanager
def _replacing(path: Path, *, overwrite: bool) -> Iterator[int]:
    """Give a descriptor of a file that takes the name `path` when all has gone well."""
    if not overwrite and os.path.lexists(path):
        raise _exists(path)
    part = path.parent / f".widesr-{secrets.token_hex(8)}.part"
    try:
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except FileNotFoundError as error:
        raise ImageWriteError(f"{path}: its folder does not exist; make it first") from error
    except OSError as error:
        raise ImageWriteError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        try:
            yield fd
            os.fsync(fd)
        finally:
            os.close(fd)
        if overwrite:
            part.replace(path)
        else:
            _name_unless_taken(part, path)
    except OSError as error:
        raise ImageWriteError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _name_unless_taken(part: Path, path: Path) -> None:
    try:
        os.link(part, path)  # unlike a rename, fails where the name was taken meanwhile
    except FileExistsError as error:
        raise _exists(path) from error


def _exists(path: Path) -> OutputExistsError:
    return OutputExistsError(
        f"{path}: exists already; name another output, or say --overwrite (API: overwrite=True)"
    )
