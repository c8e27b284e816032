"""Files to pixels and back, with nothing lost on the way: depth, profile, alpha, metadata.

`read_picture` decides by a file's content what it is, checks its size on the header, and gives
upright pixels. `write_picture` makes the whole file or none.

libvips decodes and encodes, its untrusted loaders blocked. EXIF is ours to read and to write:
libvips passes it through libexif, which loses maker notes, ratings and private tags.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray

from widesr.bitmaps import Bitmap, open_bitmap
from widesr.containers import (
    JPEG_BLOCK,
    add_metadata_to_tiff,
    exif_and_iptc_of_tiff,
    is_monochrome_avif,
    jpeg_segments,
    png_chunk,
    set_exif_of_avif,
    webp_with_exif,
)
from widesr.errors import (
    ImageFormatError,
    ImageReadError,
    ImageTooLargeError,
    ImageWriteError,
    OutputExistsError,
    ShapeError,
    UsageError,
    WidesrError,
)
from widesr.files import FileBytes, whole_file
from widesr.metadata import (
    Metadata,
    cleaned,
    exif_of_resolution,
    resolution_of_exif,
    sized,
    sound_profile,
)
from widesr.sniff import ONE_FRAME, kind_of, title

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
    """One still picture in memory, upright, with what its file said about it."""

    pixels: Pixels
    """uint8 or uint16, (H, W, 1) grey or (H, W, 3) RGB, in the colours of `icc`."""
    alpha: Pixels | None = None
    """Opacity, (H, W), of the pixels' type; the colours are not premultiplied by it."""
    icc: bytes | None = None
    """Colour profile, as it was in the file; None: sRGB is meant."""
    exif: bytes | None = None
    """A TIFF structure, no "Exif" before it; orientation 1, no thumbnail."""
    xmp: bytes | None = None
    """An XMP packet; orientation 1, no thumbnail."""
    iptc: bytes | None = None
    """IPTC-IIM records, without Photoshop's wrapping."""
    pixels_per_mm: tuple[float, float] | None = None
    """Resolution, horizontal and vertical, where the file states one."""
    format: str = ""
    """Of the file it came from: of `sniff.KINDS`; empty if from no file."""

    def __post_init__(self) -> None:
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

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])


# Reading


def read_picture(path: Path, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a still picture, whole, whatever its name says it is.

    Palettes become RGB, fewer than 8 bits become 8. CMYK becomes 8-bit or 16-bit sRGB through
    its profile. 10 and 12 bits (AVIF) become 16.

    Raises:
        ImageReadError: The file is missing, empty, damaged, cut short or not a picture.
        ImageFormatError: A picture of a kind that is not read; the message says what to do.
        ImageTooLargeError: The header claims more than `max_pixels`; nothing was decoded.
    """
    with _opened(path) as fd:
        file = FileBytes(fd)
        kind = kind_of(path, file)
        if kind in ("bmp", "netpbm"):
            return _decode_bitmap(path, open_bitmap(path, file, kind), kind, max_pixels=max_pixels)
        try:
            image = _load(fd, kind)
            _check_header(path, image, max_pixels=max_pixels)
            return _decode(image, kind, file)
        except pyvips.Error as error:
            raise _damaged(path, kind, error) from error


class Header(NamedTuple):
    """What a file says about its picture before anything is decoded."""

    height: int
    """Upright, as `width`."""
    width: int
    pixel_bytes: int
    """Of one decoded pixel, all channels together."""


def read_header(path: Path) -> Header:
    """Read how large a picture is, and decode nothing; raises as `read_picture`."""
    with _opened(path) as fd:
        file = FileBytes(fd)
        kind = kind_of(path, file)
        if kind in ("bmp", "netpbm"):
            bitmap = open_bitmap(path, file, kind)
            return Header(bitmap.height, bitmap.width, bitmap.pixel_bytes)
        try:
            image = _load(fd, kind)
        except pyvips.Error as error:
            raise _damaged(path, kind, error) from error
        height, width = image.height, image.width
        if _number(image, "orientation", 1) > 4:
            height, width = width, height
        return Header(height, width, image.bands * (2 if image.format == "ushort" else 1))


def _damaged(path: Path, kind: str, error: pyvips.Error) -> ImageReadError:
    return ImageReadError(
        f"{path}: this {title(kind)} file is damaged or cut short ({_reason(error)}); "
        "get a whole copy of it"
    )


_LOADERS = {
    "png": "pngload_source",
    "jpeg": "jpegload_source",
    "webp": "webpload_source",
    "tiff": "tiffload_source",
    "avif": "heifload_source",
    "gif": "gifload_source",
}


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open a regular file; libvips gets its descriptor, and never reads options in its name."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not wait for its writer
    except FileNotFoundError as error:
        raise ImageReadError(f"{path}: no such file; check the name and the folder") from error
    except OSError as error:
        raise ImageReadError(
            f"{path}: cannot be opened ({error.strerror}); check its permissions"
        ) from error
    except ValueError as error:
        raise ImageReadError(f"{str(path)!r}: not a file name ({error})") from error
    try:
        info = os.fstat(fd)
        if stat.S_ISDIR(info.st_mode):
            raise ImageReadError(f"{path}: is a folder, a picture was expected; name a file in it")
        if not stat.S_ISREG(info.st_mode):
            raise ImageReadError(f"{path}: is not a regular file; save the picture to one first")
        if info.st_size == 0:
            raise ImageReadError(f"{path}: the file is empty; get a whole copy of it")
        yield fd
    finally:
        os.close(fd)


def _load(fd: int, kind: str) -> pyvips.Image:
    """Read the header. At the level "truncated", strips beyond a TIFF's end would read as black."""
    load = getattr(pyvips.Image, _LOADERS[kind])
    return load(pyvips.Source.new_from_descriptor(fd), access="sequential", fail_on="error")


def _check_size(path: Path, width: int, height: int, *, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageTooLargeError(name=str(path), width=width, height=height, max_pixels=max_pixels)


def _check_header(path: Path, image: pyvips.Image, *, max_pixels: int) -> None:
    _check_size(path, image.width, image.height, max_pixels=max_pixels)
    bands = image.bands
    pages = _number(image, "n-pages", 1)
    if pages > 1:
        raise ImageFormatError(
            f"{path}: holds {pages} pages or frames, one was expected; {ONE_FRAME}"
        )
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


def _decode_bitmap(path: Path, bitmap: Bitmap, kind: str, *, max_pixels: int) -> Picture:
    _check_size(path, bitmap.width, bitmap.height, max_pixels=max_pixels)
    array = bitmap.decode()
    pixels, alpha = (array[..., :3], array[..., 3]) if array.shape[2] == 4 else (array, None)
    return Picture(
        pixels=np.ascontiguousarray(pixels),
        alpha=None if alpha is None else np.ascontiguousarray(alpha),
        icc=_meant_profile(bitmap.icc, channels=pixels.shape[2]),
        pixels_per_mm=bitmap.pixels_per_mm,
        format=kind,
    )


def _decode(image: pyvips.Image, kind: str, file: FileBytes) -> Picture:
    orientation = _number(image, "orientation", 1)
    icc = _blob(image, "icc-profile-data")
    exif, xmp, iptc = (_blob(image, f"{name}-data") for name in ("exif", "xmp", "iptc"))
    if kind == "tiff":
        exif, iptc = exif_and_iptc_of_tiff(file)
    exif, xmp, iptc = cleaned(Metadata(exif, xmp, iptc))
    dots = _resolution(image, exif)
    bits = _number(image, "bits-per-sample", 16) if image.format == "ushort" else 8
    if image.interpretation == "cmyk":
        image = _srgb(image)
        icc = _blob(image, "icc-profile-data")
    array = image.numpy().reshape(image.height, image.width, image.bands)
    if kind == "avif" and bits in (10, 12):  # libvips leaves the low bits 0: white is not white
        array = array | array >> bits
    array = _upright(array, orientation)
    colours = 1 if image.bands < 3 else 3
    pixels, alpha = array[..., :colours], array[..., colours] if image.bands > colours else None
    if kind == "avif" and is_monochrome_avif(file) and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
    return Picture(
        pixels=np.ascontiguousarray(pixels),
        alpha=None if alpha is None else np.ascontiguousarray(alpha),
        icc=_meant_profile(icc, channels=pixels.shape[2]),
        exif=exif,
        xmp=xmp,
        iptc=iptc,
        pixels_per_mm=dots[::-1] if dots and orientation > 4 else dots,
        format=kind,
    )


def _resolution(image: pyvips.Image, exif: bytes | None) -> tuple[float, float] | None:
    """Pixels per mm from the file's own header, else from EXIF, its only place in WebP and AVIF."""
    if (image.xres, image.yres) != (1.0, 1.0):  # what libvips says where it knows nothing
        return image.xres, image.yres
    return resolution_of_exif(exif) if exif else None


def _meant_profile(icc: bytes | None, *, channels: int) -> bytes | None:
    """A sound profile that means something for so many channels; others are as good as none."""
    icc = sound_profile(icc)
    return icc if _space(icc) == b"RGB " or (_space(icc), channels) == (b"GRAY", 1) else None


def _srgb(image: pyvips.Image) -> pyvips.Image:
    """Convert grey or CMYK through its profile, or libvips' own CMYK where there is none."""
    cmyk = image.interpretation == "cmyk"
    colours = image.extract_band(0, n=4 if cmyk else 1).icc_transform(
        "srgb",
        embedded=True,
        input_profile="cmyk" if cmyk else "srgb",
        intent="relative",
        black_point_compensation=True,
        depth=16 if image.format == "ushort" else 8,
    )
    alpha = image.bandsplit()[4 if cmyk else 1 :]  # apart: libvips would scale that of 16-bit CMYK
    return colours.bandjoin(alpha) if alpha else colours


def _upright(array: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation, 1 to 8, to (H, W, C)."""
    if orientation > 4:
        array = array.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array


def _number(image: pyvips.Image, name: str, default: int) -> int:
    return int(image.get(name)) if image.get_typeof(name) else default


def _blob(image: pyvips.Image, name: str) -> bytes | None:
    return bytes(image.get(name)) if image.get_typeof(name) else None


def _reason(error: pyvips.Error) -> str:
    """The last line that libvips said: nearest to the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "unknown cause"


# Writing


class _Encoder(NamedTuple):
    options: dict[str, Any]
    longest: int
    """Pixels a side that the format, or libvips, can hold."""
    bits: int
    """Of a channel, at most."""
    alpha: bool = True
    grey: bool = True


_ENCODERS = {
    # without filters a photograph takes far more bytes
    "png": _Encoder({"filter": "all"}, 2**31 - 1, bits=16),
    "jpeg": _Encoder({"subsample_mode": "off"}, 65500, bits=8, alpha=False),
    "webp": _Encoder({}, 16383, bits=8, grey=False),
    "tiff": _Encoder(
        {"compression": "deflate", "predictor": "horizontal", "resunit": "inch"},
        2**31 - 1,
        bits=16,
    ),
    "avif": _Encoder({"compression": "av1", "subsample_mode": "off"}, 16384, bits=12, grey=False),
}


def output_format(path: Path, *, format: str | None = None) -> str:  # noqa: A002 (users' word)
    """Say which of `FORMATS` a file is written in: by `format`, else by the path's suffix.

    Raises:
        ImageFormatError: There is no writer for it.
    """
    suffix = f".{format.lower().removeprefix('.')}" if format else path.suffix.lower()
    if suffix not in FORMATS:
        found = repr(format or path.suffix) if format or path.suffix else "a name without suffix"
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
    sealed: Callable[[int], None] = lambda _fd: None,
) -> None:
    """Write the whole file or none.

    16 bits stay 16 in PNG and TIFF, and are rounded to 12 in AVIF, to 8 in JPEG and WebP. IPTC
    goes into JPEG and TIFF, which alone have a place for it.

    Args:
        path: Where to; its folder is there.
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
    kind = output_format(path, format=format)
    if not 1 <= quality <= 100:
        raise UsageError(f"the quality is {quality}, expected 1 to 100 (-q)")
    _check_fits(path, picture, kind)
    if lossless:
        check_lossless(path, format=format)
        _check_lossless_picture(path, picture, kind)
    options = dict(_ENCODERS[kind].options)
    if kind in ("jpeg", "webp", "avif"):
        options["Q"] = quality
    if kind in ("webp", "avif"):
        options["lossless"] = lossless
    if kind == "webp":
        options["exact"] = lossless  # the colours under transparent pixels too
    if kind == "avif":
        options["bitdepth"] = 12 if picture.pixels.dtype == np.uint16 else 8
    if kind == "tiff":  # offsets have 32 bits
        options["bigtiff"] = picture.pixels.nbytes + picture.pixels.nbytes // 3 > 3 * 2**30
    image, metadata = _to_vips(picture, kind), _metadata_to_write(picture, kind)
    try:
        with whole_file(path, overwrite=overwrite) as file:
            _encode(image, file.fileno(), kind, metadata, options)
            sealed(file.fileno())
    except (pyvips.Error, OSError) as error:
        raise _write_error(path, error) from error


def _check_fits(path: Path, picture: Picture, kind: str) -> None:
    encoder, name = _ENCODERS[kind], title(kind)
    if max(picture.width, picture.height) > encoder.longest:
        raise ImageFormatError(
            f"{path}: the picture is {picture.width}x{picture.height}, {name} holds at most "
            f"{encoder.longest} pixels a side; write PNG or TIFF (-f png)"
        )
    if not encoder.alpha and not _is_opaque(picture):
        raise ImageFormatError(
            f"{path}: the picture is partly transparent, which {name} cannot hold; "
            "write PNG, WebP, TIFF or AVIF (-f png)"
        )
    blocks = {"EXIF": picture.exif, "XMP": picture.xmp, "IPTC": picture.iptc}
    for block, data in blocks.items():
        if kind == "jpeg" and data and len(data) > JPEG_BLOCK:
            raise ImageFormatError(
                f"{path}: the {block} metadata is {len(data):,} bytes, JPEG holds at most "
                f"{JPEG_BLOCK:,}; write PNG or TIFF (-f png)"
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


def _check_lossless_picture(path: Path, picture: Picture, kind: str) -> None:
    encoder = _ENCODERS[kind]
    is_grey = picture.pixels.shape[2] == 1
    if picture.pixels.dtype == np.uint16 and encoder.bits < 16:
        found = f"has 16 bits, of which {title(kind)} holds {encoder.bits}"
    elif is_grey and not encoder.grey and _space(picture.icc) == b"GRAY":
        found = f"has a grey profile, which {title(kind)} cannot hold"
    else:
        return
    raise ImageFormatError(f"{path}: the picture {found}; for no loss write PNG or TIFF (-f png)")


def _is_opaque(picture: Picture) -> bool:
    alpha = picture.alpha
    return alpha is None or bool((alpha == np.iinfo(alpha.dtype).max).all())


def _to_vips(picture: Picture, kind: str) -> pyvips.Image:
    """The picture as libvips is to encode it, with its profile and resolution."""
    encoder, array = _ENCODERS[kind], picture.pixels
    if encoder.alpha and picture.alpha is not None:
        array = np.concatenate([array, picture.alpha[..., None]], axis=2)
    deep = array.dtype == np.uint16
    if deep and encoder.bits < 16:
        top = 2**encoder.bits - 1
        array = ((array.astype(np.uint32) * top + 32767) // 65535).astype(np.uint16)
        # libvips takes the upper 12 of 16 bits
        array, deep = (array << 4, True) if encoder.bits == 12 else (array.astype(np.uint8), False)
    grey = picture.pixels.shape[2] == 1
    space = ("grey16" if deep else "b-w") if grey else ("rgb16" if deep else "srgb")
    image = pyvips.Image.new_from_array(np.ascontiguousarray(array), interpretation=space)
    icc = _meant_profile(picture.icc, channels=picture.pixels.shape[2])
    if grey and _space(icc) == b"RGB ":  # such a profile is refused for one channel
        colours = image.extract_band(0)
        image = colours.bandjoin([colours, colours, *image.bandsplit()[1:]])
        image = image.copy(interpretation="rgb16" if deep else "srgb")
    dots = _stated_resolution(picture) or (72 / 25.4, 72 / 25.4)  # PNG and TIFF always state some
    image = image.copy(xres=dots[0], yres=dots[1])
    if icc:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    if grey and not encoder.grey and _space(icc) == b"GRAY":
        try:
            return _srgb(image)
        except pyvips.Error:  # a damaged profile is as good as none
            image.remove("icc-profile-data")
    return image


def _space(icc: bytes | None) -> bytes:
    """What a profile's numbers are: b"RGB ", b"GRAY", b"CMYK", ..."""
    return icc[16:20] if icc else b""


def _metadata_to_write(picture: Picture, kind: str) -> Metadata:
    """The picture's metadata with its size; where EXIF alone can tell, the resolution too."""
    metadata = cleaned(Metadata(picture.exif, picture.xmp, picture.iptc))
    dots = _stated_resolution(picture)
    if not metadata.exif and dots and kind in ("webp", "avif"):
        metadata = metadata._replace(exif=exif_of_resolution(dots))
    return sized(metadata, width=picture.width, height=picture.height)


def _stated_resolution(picture: Picture) -> tuple[float, float] | None:
    """The resolution, unless it is one that no picture has: files claim anything."""
    dots = picture.pixels_per_mm
    return dots if dots and all(0.001 <= n <= 100_000 for n in dots) else None


def _encode(
    image: pyvips.Image, fd: int, kind: str, metadata: Metadata, options: dict[str, Any]
) -> None:
    """Encode with libvips, and bring to its place in the file what libvips would not."""
    exif, xmp, _ = metadata
    file = FileBytes(fd)
    keep = pyvips.ForeignKeep.ICC | pyvips.ForeignKeep.XMP
    target = pyvips.Target.new_to_descriptor(fd)
    if kind == "jpeg":
        segments = jpeg_segments(metadata, pixels_per_mm=(image.xres, image.yres))
        _Splice(file, at=2, extra=segments).take(image.jpegsave_target, keep=keep, **options)
        return
    if xmp:
        image.set_type(pyvips.GValue.blob_type, "xmp-data", xmp)
    if exif and kind in ("webp", "avif"):  # makes the place for it
        image.set_type(pyvips.GValue.blob_type, "exif-data", b"Exif\0\0" + exif)
        keep |= pyvips.ForeignKeep.EXIF
    if kind == "png":
        chunk = png_chunk(exif) if exif else b""
        after_header = 33
        splice = _Splice(file, at=after_header, extra=chunk)
        splice.take(image.pngsave_target, keep=keep, **options)
    elif kind == "webp":
        encoded = image.webpsave_buffer(keep=keep, **options)
        file.append(webp_with_exif(encoded, exif) if exif else encoded)
    elif kind == "tiff":
        image.tiffsave_target(target, keep=keep, **options)
        add_metadata_to_tiff(file, metadata)
    else:
        image.heifsave_target(target, keep=keep, **options)
        if exif:
            set_exif_of_avif(file, exif)


class _Splice:
    """What libvips encodes, into a file, with `extra` put in behind the first `at` bytes."""

    def __init__(self, file: FileBytes, *, at: int, extra: bytes) -> None:
        self._file, self._at, self._extra = file, at, extra
        self._failure: BaseException | None = None

    def take(self, save: Callable[..., None], **options: Any) -> None:  # noqa: ANN401
        """Run a saver of libvips."""
        target = pyvips.TargetCustom()
        target.on_write(self._write)
        try:
            save(target, **options)
        except pyvips.Error as error:
            raise self._failure or error from None

    def _write(self, chunk: bytes) -> int:
        try:
            data = bytes(chunk)
            if self._extra and self._at <= len(data):
                data = data[: self._at] + self._extra + data[self._at :]
                self._extra = b""
            self._at -= len(chunk)
            self._file.append(data)
        except BaseException as error:  # none may cross C, not even Ctrl-C: `take` raises it
            self._failure = error
            return -1
        return len(chunk)


def _write_error(path: Path, error: pyvips.Error | OSError) -> WidesrError:
    match error:
        case FileExistsError():
            return OutputExistsError(
                f"{path}: exists already; name another output, or say --overwrite "
                "(API: overwrite=True)"
            )
        case IsADirectoryError():
            return ImageWriteError(f"{path}: is a folder, a file name was expected")
        case FileNotFoundError():
            return ImageWriteError(
                f"{path}: the folder {path.parent} does not exist; make it first"
            )
        case OSError():
            return ImageWriteError(
                f"{path}: cannot be written ({error.strerror}); name another file or folder"
            )
        case _:
            return ImageWriteError(
                f"{path}: cannot be written ({_reason(error)}); check the space left there"
            )
