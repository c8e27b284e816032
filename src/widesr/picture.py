"""Files to pixels and back, with nothing lost on the way: depth, profile, alpha, metadata.

`read_picture` decides by a file's content what it is, checks its size on the header, and gives
upright pixels. `write_picture` makes the whole file or none.

libvips decodes and encodes, its untrusted loaders blocked. EXIF is ours to read and to write:
libvips passes it through libexif, which loses maker notes, ratings and private tags.
"""

import os
import re
import stat
import struct
import zlib
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

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
    UsageError,
    WidesrError,
)
from widesr.files import whole_file

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
    """Of the file it came from: a value of `FORMATS` or "gif"; empty if from no file."""

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
        file = _Bytes(fd)
        kind = _kind(path, file)
        if kind == "tiff":
            _check_tiff(path, file)
        try:
            image = _load(fd, kind)
            _check_header(path, image, max_pixels=max_pixels)
            return _decode(image, kind, file)
        except pyvips.Error as error:
            raise ImageReadError(
                f"{path}: this {_title(kind)} file is damaged or cut short ({_reason(error)}); "
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


def _title(kind: str) -> str:
    return "WebP" if kind == "webp" else kind.upper()


class _Bytes:
    """A file as a byte string that is read slice by slice."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __len__(self) -> int:
        return os.fstat(self._fd).st_size

    def __getitem__(self, span: slice) -> bytes:
        start, stop, _ = span.indices(len(self))
        return os.pread(self._fd, max(stop - start, 0), start)


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


_READABLE = "PNG, JPEG, WebP, TIFF, AVIF and GIF"
_ELSEWHERE = "open it in another program and save it as PNG or TIFF"
_DEVELOP = "develop it in a raw converter and save a 16-bit TIFF"
_REFUSED = (
    (b"\xff\x0a", "JPEG XL", _ELSEWHERE),
    (b"\0\0\0\x0cJXL ", "JPEG XL", _ELSEWHERE),
    (b"\0\0\0\x0cjP  ", "JPEG 2000", _ELSEWHERE),
    (b"\xff\x4f\xff\x51", "JPEG 2000", _ELSEWHERE),
    (b"BM", "BMP", _ELSEWHERE),
    (b"8BPS", "a Photoshop document", _ELSEWHERE),
    (b"\0\0\1\0", "an icon", _ELSEWHERE),
    (b"\x76\x2f\x31\x01", "OpenEXR", _ELSEWHERE),
    (b"#?RADIANCE", "Radiance HDR", _ELSEWHERE),
    (b"%PDF", "PDF", "render its page as PNG at the size you need"),
    (b"%!PS", "PostScript", "render its page as PNG at the size you need"),
    (b"FUJIFILMCCD-RAW", "a camera raw file", _DEVELOP),
    (b"IIRO", "a camera raw file", _DEVELOP),
    (b"IIRS", "a camera raw file", _DEVELOP),
    (b"MMOR", "a camera raw file", _DEVELOP),
    (b"IIU\0", "a camera raw file", _DEVELOP),
    (b"II*\0\x10\0\0\0CR", "a camera raw file", _DEVELOP),
)
"""First bytes of what people try, its name, and the way out."""


def _kind(path: Path, file: _Bytes) -> str:
    """Tell a format, a key of `_LOADERS`, by the content alone."""
    head = file[:1024]
    for start, name, way_out in _REFUSED:
        if head.startswith(start):
            raise _unread(path, name, way_out)
    if re.match(rb"P[1-7][\s#]", head):
        raise _unread(path, "a Netpbm picture", _ELSEWHERE)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        if _has_chunk_before_pixels(file, b"acTL"):
            raise _unread(path, "an animated PNG", _ONE_FRAME)
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if head[4:8] == b"ftyp":
        return _kind_of_box_file(path, head)
    if re.search(rb"<svg[\s>]", head):
        raise _unread(path, "SVG", "render it as PNG at the size you need")
    raise ImageReadError(f"{path}: not a picture; expected one of {_READABLE}")


_ONE_FRAME = "save the one that you want as PNG"


def _unread(path: Path, name: str, way_out: str) -> ImageFormatError:
    return ImageFormatError(f"{path}: this is {name}; widesr reads {_READABLE}; {way_out}")


def _kind_of_box_file(path: Path, head: bytes) -> str:
    """AVIF and its relatives begin with a box that lists their brands."""
    size = int.from_bytes(head[:4], "big")
    major = head[8:12]
    brands = {major} | {head[at : at + 4] for at in range(16, min(size, len(head)), 4)}
    if major == b"avis":
        raise _unread(path, "an AVIF animation", _ONE_FRAME)
    if b"avif" in brands:
        return "avif"
    if brands & {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}:
        raise _unread(path, "HEIC", _ELSEWHERE)
    if major == b"crx ":
        raise _unread(path, "a camera raw file", _DEVELOP)
    raise ImageReadError(f"{path}: not a picture but a film or sound; expected {_READABLE}")


def _has_chunk_before_pixels(file: _Bytes, name: bytes) -> bool:
    at = 8
    while len(head := file[at : at + 8]) == 8 and head[4:] != b"IDAT":
        if head[4:] == name:
            return True
        at += 12 + int.from_bytes(head[:4], "big")
    return False


def _check_tiff(path: Path, file: _Bytes) -> None:
    """Refuse by its tags what libvips would take for another kind of picture."""
    try:
        tiff = _Tiff.open(file)
        tags = tiff.directory(tiff.first)
        photometric = tiff.number(tags, 262, default=1)
        preview = tiff.number(tags, 254, default=0) & 1 == 1 and 330 in tags
    except _BAD_TIFF as error:
        raise ImageReadError(
            f"{path}: this TIFF file is damaged or cut short; get a whole copy of it"
        ) from error
    if photometric in (32803, 34892) or 50706 in tags or preview:
        raise _unread(path, "a camera raw file", _DEVELOP)
    if photometric not in (0, 1, 2, 3, 5, 6):
        name = "Lab" if photometric in (8, 9, 10) else f"of photometric type {photometric}"
        raise ImageFormatError(
            f"{path}: the colours are {name}, RGB, grey or CMYK was expected; save it as RGB"
        )


def _load(fd: int, kind: str) -> pyvips.Image:
    """Read the header. At the level "truncated", strips beyond a TIFF's end would read as black."""
    load = getattr(pyvips.Image, _LOADERS[kind])
    return load(pyvips.Source.new_from_descriptor(fd), access="sequential", fail_on="error")


def _check_header(path: Path, image: pyvips.Image, *, max_pixels: int) -> None:
    width, height, bands = image.width, image.height, image.bands
    if width * height > max_pixels:
        raise ImageTooLargeError(name=str(path), width=width, height=height, max_pixels=max_pixels)
    pages = _number(image, "n-pages", 1)
    if pages > 1:
        raise ImageFormatError(
            f"{path}: holds {pages} pages or frames, one was expected; {_ONE_FRAME}"
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


def _decode(image: pyvips.Image, kind: str, file: _Bytes) -> Picture:
    orientation = _number(image, "orientation", 1)
    icc = _blob(image, "icc-profile-data")
    exif, xmp, iptc = (_blob(image, f"{name}-data") for name in ("exif", "xmp", "iptc"))
    if kind == "tiff":
        exif, iptc = _metadata_of_tiff(file)
    exif = exif and _clean_exif(exif)
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
    if kind == "avif" and _is_monochrome(file) and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
    return Picture(
        pixels=np.ascontiguousarray(pixels),
        alpha=None if alpha is None else np.ascontiguousarray(alpha),
        icc=icc if icc and _space(icc) in _SPACES[pixels.shape[2]] else None,
        exif=exif,
        xmp=xmp and _clean_xmp(xmp),
        iptc=iptc and _unwrapped_iptc(iptc),
        pixels_per_mm=dots[::-1] if dots and orientation > 4 else dots,
        format=kind,
    )


def _resolution(image: pyvips.Image, exif: bytes | None) -> tuple[float, float] | None:
    """Pixels per mm from the file's own header, else from EXIF, its only place in WebP and AVIF."""
    if (image.xres, image.yres) != (1.0, 1.0):  # what libvips says where it knows nothing
        return image.xres, image.yres
    if not exif:
        return None
    tiff = _Tiff.open(exif)
    fields = tiff.directory(tiff.first)
    per_unit = {2: 25.4, 3: 10.0}.get(tiff.number(fields, 0x0128, default=2))
    across, down = tiff.ratio(fields, 0x011A), tiff.ratio(fields, 0x011B)
    return (across / per_unit, down / per_unit) if per_unit and across and down else None


_SPACES = {1: (b"GRAY", b"RGB "), 3: (b"RGB ",)}
"""Profiles that mean something for so many channels; others are as good as none."""


def _is_monochrome(file: _Bytes) -> bool:
    """Tell grey AVIF, which libvips reads as RGB, by the configuration of its codec."""
    configuration = re.search(rb"av1C..(.)", file[:65536], flags=re.DOTALL)
    return configuration is not None and configuration[1][0] & 0x10 != 0


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


# Metadata


class _Sliceable(Protocol):
    def __len__(self) -> int: ...
    def __getitem__(self, span: slice) -> bytes: ...


class _Field(NamedTuple):
    type: int
    n_values: int
    entry: int
    """Where its directory entry lies."""
    at: int
    """Where its value lies."""


_Tree = dict[int, "tuple[int, bytes] | _Tree"]
"""A directory by tags: type and little-endian value, or the directory that the tag points to."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_WORDS = _SIZES | {5: 4, 10: 4}
"""Bytes that turn round together between byte orders: a rational is two words."""
_EXIF_POINTER, _GPS_POINTER, _INTEROP_POINTER = 0x8769, 0x8825, 0xA005
_POINTERS = {_EXIF_POINTER, _GPS_POINTER, _INTEROP_POINTER}
_BAD_TIFF = (ValueError, struct.error)


@dataclass(frozen=True)
class _Tiff:
    """The directories of a TIFF file or of an EXIF block; BigTIFF too."""

    data: _Sliceable
    order: str
    big: bool

    @classmethod
    def open(cls, data: _Sliceable) -> "_Tiff":
        marks = {b"II*\0": ("<", False), b"MM\0*": (">", False)}
        marks |= {b"II+\0": ("<", True), b"MM\0+": (">", True)}
        if (mark := bytes(data[:4])) not in marks:
            raise ValueError(f"not a TIFF structure: it starts with {mark!r}")
        return cls(data, *marks[mark])

    @property
    def first(self) -> int:
        return self.unpack("Q", 8) if self.big else self.unpack("I", 4)

    def unpack(self, code: str, at: int) -> int:
        size = struct.calcsize(code)
        return int(struct.unpack(self.order + code, self.data[at : at + size])[0])

    def directory(self, at: int) -> dict[int, _Field]:
        """Fields of the directory at `at`; those of unknown type or outside the data left out.

        All together are no longer than the data: in an honest file no two fields share bytes.
        """
        head, step, word = (8, 20, 8) if self.big else (2, 12, 4)
        if not 0 < at <= len(self.data) - head:
            return {}
        count = self.unpack("Q" if self.big else "H", at)
        table = self.data[at + head : at + head + min(count, 0xFFFF) * step]
        code = self.order + ("HHQ" if self.big else "HHI")
        fields, room = {}, len(self.data)
        for n in range(len(table) // step):
            tag, type_, n_values = struct.unpack_from(code, table, n * step)
            entry = at + head + n * step
            size = _SIZES.get(type_, 0) * n_values
            value = entry + step - word
            if size > word:
                value = self.unpack("Q" if self.big else "I", value)
            if 0 < size <= min(room, len(self.data) - value):
                room -= size
                fields[tag] = _Field(type_, n_values, entry, value)
        return fields

    def number(self, fields: dict[int, _Field], tag: int, *, default: int) -> int:
        field = fields.get(tag)
        code = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(field.type if field else 0)
        return self.unpack(code, field.at) if field and code else default

    def ratio(self, fields: dict[int, _Field], tag: int) -> float | None:
        """A RATIONAL; None where there is none, or it is divided by zero."""
        field = fields.get(tag)
        if field is None or field.type != 5:
            return None
        above, below = self.unpack("I", field.at), self.unpack("I", field.at + 4)
        return above / below if below else None

    def tree(self, at: int, *, only: Container[int] | None = None, depth: int = 2) -> _Tree:
        """The directory, or `only` these tags of it, and all EXIF, GPS and such below it."""
        fields = self.directory(at)
        tree: _Tree = {}
        for tag, (type_, count, _, value) in fields.items():
            if only is not None and tag not in only:
                continue
            if tag in _POINTERS:
                if depth:  # a directory that points to itself ends here
                    at = self.number(fields, tag, default=0)
                    tree[tag] = self.tree(at, depth=depth - 1)
                continue
            data = self.data[value : value + count * _SIZES[type_]]
            if self.order == ">" and (word := _WORDS[type_]) > 1:
                data = np.frombuffer(data, f">u{word}").astype(f"<u{word}").tobytes()
            tree[tag] = (type_, data)
        return tree


def _packed(tree: _Tree, start: int, *, big: bool = False) -> bytes:
    """A little-endian directory with all below it, to lie at `start`."""
    head, step, word = ("<Q", 20, "<Q") if big else ("<H", 12, "<I")
    size = struct.calcsize(word)
    beyond = start + struct.calcsize(head) + step * len(tree) + size
    rows, values = bytearray(), bytearray()
    for tag in sorted(tree):
        value = tree[tag]
        at = beyond + len(values)
        if isinstance(value, dict):
            values += _packed(value, at, big=big)
            type_, data = (16 if big else 4), struct.pack(word, at)
        else:
            type_, data = value
        count = len(data) // _SIZES[type_]
        if len(data) > size:
            values += data + bytes(len(data) % 2)  # values begin at even places
            data = struct.pack(word, at)
        rows += struct.pack("<HH", tag, type_) + struct.pack(word, count) + data.ljust(size, b"\0")
    return struct.pack(head, len(tree)) + bytes(rows) + bytes(size) + bytes(values)


_IPTC = 0x83BB
_DESCRIPTIVE = {0x010D, 0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C}  # camera, date
_DESCRIPTIVE |= {0x011A, 0x011B, 0x0128}  # resolution
_DESCRIPTIVE |= {0x4746, 0x4749, 0x8298, *range(0x9C9B, 0x9CA0)}  # rating, copyright, Windows'
_DESCRIPTIVE |= {_EXIF_POINTER, _GPS_POINTER}
"""Tags of a TIFF file's first directory that speak of the photograph, not of the file."""


def _descriptive(tiff: _Tiff) -> _Tree:
    return tiff.tree(tiff.first, only=_DESCRIPTIVE)


def _exif_of(tree: _Tree) -> bytes | None:
    return b"II*\0\x08\0\0\0" + _packed(tree, 8) if tree else None


def _metadata_of_tiff(file: _Bytes) -> tuple[bytes | None, bytes | None]:
    """EXIF and IPTC, which libvips does not read, or not whole, from a TIFF."""
    tiff = _Tiff.open(file)
    iptc = tiff.directory(tiff.first).get(_IPTC)
    records = iptc and file[iptc.at : iptc.at + iptc.n_values * _SIZES[iptc.type]]
    return _exif_of(_descriptive(tiff)), records


def _clean_exif(exif: bytes) -> bytes | None:
    """Set the orientation to 1 and drop the thumbnail; None for what is not EXIF.

    All else stays where it is, byte for byte: maker notes hold offsets into the block.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    try:
        tiff = _Tiff.open(exif)
        fields = tiff.directory(tiff.first)
        after = tiff.first + 2 + 12 * tiff.unpack("H", tiff.first)
    except _BAD_TIFF:
        return None
    if tiff.big or not fields:
        return None
    clean = bytearray(exif)
    _set_number(clean, tiff, fields.get(0x0112), 1)
    if after + 4 > len(exif):  # some writers leave out the offset of a second directory
        return bytes(clean)
    following = tiff.unpack("I", after)
    thumbnail = tiff.directory(following)
    start = tiff.number(thumbnail, 0x0201, default=0)
    stop = start + tiff.number(thumbnail, 0x0202, default=0)
    clean[after : after + 4] = bytes(4)
    if start > following and stop >= len(exif) - 1:  # last in the block, as a rule
        del clean[start:]
    elif 0 < start < stop <= len(exif):
        clean[start:stop] = bytes(stop - start)
    return bytes(clean)


class _Blocks(NamedTuple):
    """Metadata as it is to be written."""

    exif: bytes | None
    xmp: bytes | None
    iptc: bytes | None


def _sized_blocks(picture: Picture, kind: str) -> _Blocks:
    """The picture's metadata with its size; where EXIF alone can tell, the resolution too."""
    width, height, dots = picture.width, picture.height, picture.pixels_per_mm
    exif = picture.exif and _clean_exif(picture.exif)
    if exif:
        exif = _sized_exif(exif, width=width, height=height)
    elif dots and kind in ("webp", "avif"):
        across, down = (struct.pack("<II", round(25400 * n), 1000) for n in dots)
        exif = _exif_of({0x011A: (5, across), 0x011B: (5, down), 0x0128: (3, b"\2\0")})
    xmp = picture.xmp and _sized_xmp(picture.xmp, width=width, height=height)
    return _Blocks(exif, xmp, picture.iptc)


def _sized_exif(exif: bytes, *, width: int, height: int) -> bytes:
    """Set the tags that state the picture's size, where there are any."""
    tiff = _Tiff.open(exif)
    fields = tiff.directory(tiff.first)
    sized = bytearray(exif)
    _set_number(sized, tiff, fields.get(0x0100), width)
    _set_number(sized, tiff, fields.get(0x0101), height)
    if _EXIF_POINTER in fields:
        fields = tiff.directory(tiff.number(fields, _EXIF_POINTER, default=0))
        _set_number(sized, tiff, fields.get(0xA002), width)
        _set_number(sized, tiff, fields.get(0xA003), height)
    return bytes(sized)


def _set_number(exif: bytearray, tiff: _Tiff, field: _Field | None, value: int) -> None:
    """Overwrite a single SHORT or LONG; a SHORT that is too short becomes a LONG."""
    if field is None or field.n_values != 1 or field.type not in (3, 4):
        return
    code = "H2x" if field.type == 3 and value < 2**16 else "I"
    struct.pack_into(tiff.order + "H", exif, field.entry + 2, 3 if code == "H2x" else 4)
    struct.pack_into(tiff.order + code, exif, field.at, value)


def _clean_xmp(xmp: bytes) -> bytes:
    xmp = re.sub(rb"<(xmp|xap):Thumbnails\b.*?</\1:Thumbnails>", b"", xmp, flags=re.DOTALL)
    return _with_xmp_number(xmp, rb"tiff:Orientation", 1)


def _sized_xmp(xmp: bytes, *, width: int, height: int) -> bytes:
    xmp = _with_xmp_number(xmp, rb"tiff:ImageWidth|exif:PixelXDimension", width)
    return _with_xmp_number(xmp, rb"tiff:ImageLength|exif:PixelYDimension", height)


def _with_xmp_number(xmp: bytes, names: bytes, value: int) -> bytes:
    """Set properties, be they written as attributes or as elements."""
    pattern = rb"\b(%s)(\s*=\s*[\"']|\s*>\s*)\d+" % names
    return re.sub(pattern, lambda found: found[1] + found[2] + str(value).encode(), xmp)


_PHOTOSHOP = b"Photoshop 3.0\0"
_IPTC_RESOURCE = b"8BIM\x04\x04"


def _unwrapped_iptc(data: bytes) -> bytes | None:
    """The IPTC records among the Photoshop resources of a JPEG; a TIFF has them bare."""
    if not data.startswith(_PHOTOSHOP):
        return data
    at = len(_PHOTOSHOP)
    while data[at : at + 4] == b"8BIM" and len(data) > at + 6:
        name = data[at + 6] + 1
        body = at + 6 + name + name % 2 + 4
        size = int.from_bytes(data[body - 4 : body], "big")
        if data[at : at + 6] == _IPTC_RESOURCE:
            return data[body : body + size]
        at = body + size + size % 2
    return None


def _wrapped_iptc(records: bytes) -> bytes:
    header = _PHOTOSHOP + _IPTC_RESOURCE + struct.pack(">HI", 0, len(records))
    return header + records + bytes(len(records) % 2)


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
    # without filters a photograph takes 1.8 times the bytes
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
_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_BLOCK = 65533 - len(_XMP_NAME)
"""Bytes of metadata in a JPEG segment behind the longest of the names that begin one."""


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
) -> None:
    """Write the whole file or none.

    16 bits stay 16 in PNG and TIFF, and are rounded to 12 in AVIF, to 8 in JPEG and WebP. IPTC
    goes into JPEG and TIFF, which alone have a place for it.

    Args:
        path: Where to; its folder is there.
        picture: What to write.
        format: A key or a value of `FORMATS`; by default the path's suffix decides.
        quality: 1 to 100, of JPEG, WebP and AVIF.
        lossless: WebP and AVIF keep every 8-bit value.
        overwrite: Replace a file that is there.

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
    image, blocks = _to_vips(picture, kind), _sized_blocks(picture, kind)
    try:
        with whole_file(path, overwrite=overwrite) as file:
            _encode(image, file.fileno(), kind, blocks, options)
    except (pyvips.Error, OSError) as error:
        raise _write_error(path, error) from error


def _check_fits(path: Path, picture: Picture, kind: str) -> None:
    encoder, name = _ENCODERS[kind], _title(kind)
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
        if kind == "jpeg" and data and len(data) > _JPEG_BLOCK:
            raise ImageFormatError(
                f"{path}: the {block} metadata is {len(data):,} bytes, JPEG holds at most "
                f"{_JPEG_BLOCK:,}; write PNG or TIFF (-f png)"
            )


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
    if grey and _space(picture.icc) == b"RGB ":  # such a profile is refused for one channel
        colours = image.extract_band(0)
        image = colours.bandjoin([colours, colours, *image.bandsplit()[1:]])
        image = image.copy(interpretation="rgb16" if deep else "srgb")
    dots = picture.pixels_per_mm or (72 / 25.4, 72 / 25.4)  # PNG and TIFF always state some
    image = image.copy(xres=dots[0], yres=dots[1])
    if picture.icc:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", picture.icc)
    if grey and not encoder.grey and _space(picture.icc) == b"GRAY":
        return _srgb(image)
    return image


def _space(icc: bytes | None) -> bytes:
    """What a profile's numbers are: b"RGB ", b"GRAY", b"CMYK", ..."""
    return icc[16:20] if icc else b""


def _encode(
    image: pyvips.Image, fd: int, kind: str, blocks: _Blocks, options: dict[str, Any]
) -> None:
    """Encode with libvips, and bring the metadata to its places in the file.

    What libvips would do to it: re-make EXIF by libexif, leave it out of TIFF, cut IPTC in TIFF
    to a quarter, drop XMP of more than 60,000 bytes from JPEG.
    """
    exif, xmp, _ = blocks
    keep = pyvips.ForeignKeep.ICC | pyvips.ForeignKeep.XMP
    target = pyvips.Target.new_to_descriptor(fd)
    if kind == "jpeg":
        splice = _Splice(fd, at=2, extra=_jpeg_segments(image, blocks))
        splice.take(image.jpegsave_target, keep=keep, **options)
        return
    if xmp:
        image.set_type(pyvips.GValue.blob_type, "xmp-data", xmp)
    if exif and kind in ("webp", "avif"):  # makes the place for it
        image.set_type(pyvips.GValue.blob_type, "exif-data", b"Exif\0\0" + exif)
        keep |= pyvips.ForeignKeep.EXIF
    if kind == "png":
        splice = _Splice(fd, at=33, extra=_png_exif(exif))  # behind the header chunk
        splice.take(image.pngsave_target, keep=keep, **options)
    elif kind == "webp":
        encoded = image.webpsave_buffer(keep=keep, **options)
        _write_all(fd, _webp_with_exif(encoded, exif) if exif else encoded)
    elif kind == "tiff":
        image.tiffsave_target(target, keep=keep, **options)
        _add_metadata_to_tiff(fd, blocks)
    else:
        image.heifsave_target(target, keep=keep, **options)
        if exif:
            _set_exif_of_avif(fd, exif)


class _Splice:
    """What libvips encodes, into a file, with `extra` put in behind the first `at` bytes."""

    def __init__(self, fd: int, *, at: int, extra: bytes) -> None:
        self._fd, self._at, self._extra = fd, at, extra
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
            _write_all(self._fd, data)
        except BaseException as error:  # none may cross C, not even Ctrl-C: `take` raises it
            self._failure = error
            return -1
        return len(chunk)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _jpeg_segments(image: pyvips.Image, blocks: _Blocks) -> bytes:
    """All that lies before a JPEG's profile and tables: resolution, EXIF, XMP, IPTC."""
    dots = (min(max(round(25.4 * res), 1), 65535) for res in (image.xres, image.yres))
    bodies = [(b"\xe0", b"JFIF\0\1\1\1" + struct.pack(">HHxx", *dots))]
    if blocks.exif:
        bodies.append((b"\xe1", b"Exif\0\0" + blocks.exif))
    if blocks.xmp:
        bodies.append((b"\xe1", _XMP_NAME + blocks.xmp))
    if blocks.iptc:
        bodies.append((b"\xed", _wrapped_iptc(blocks.iptc)))
    return b"".join(
        b"\xff" + name + struct.pack(">H", len(body) + 2) + body for name, body in bodies
    )


def _png_exif(exif: bytes | None) -> bytes:
    if not exif:
        return b""
    chunk = b"eXIf" + exif
    return struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk))


def _webp_with_exif(encoded: bytes, exif: bytes) -> bytes:
    """Put a block in the place of the one that libvips wrote."""
    chunks, at = [], 12
    while at < len(encoded):
        name, size = struct.unpack_from("<4sI", encoded, at)
        body = exif if name == b"EXIF" else encoded[at + 8 : at + 8 + size]
        chunks.append(struct.pack("<4sI", name, len(body)) + body + bytes(len(body) % 2))
        at += 8 + size + size % 2
    body = b"WEBP" + b"".join(chunks)
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def _add_metadata_to_tiff(fd: int, blocks: _Blocks) -> None:
    """Append a copy of the first directory that has EXIF and IPTC too."""
    tree = _descriptive(_Tiff.open(blocks.exif)) if blocks.exif else {}
    if blocks.iptc:
        tree[_IPTC] = (7, blocks.iptc)
    if not tree:
        return
    file = _Bytes(fd)
    written = _Tiff.open(file)
    end = len(file) + len(file) % 2
    packed = _packed(tree | written.tree(written.first), end, big=written.big)
    os.lseek(fd, 0, os.SEEK_END)
    _write_all(fd, bytes(end - len(file)) + packed)
    word, pointer = ("<Q", 8) if written.big else ("<I", 4)
    os.pwrite(fd, struct.pack(word, end), pointer)


def _set_exif_of_avif(fd: int, exif: bytes) -> None:
    """Append the block, and turn to it the pointer to the one that libvips wrote."""
    file = _Bytes(fd)
    head = file[:65536]
    item = re.search(rb"infe\x02...(..)..Exif", head, flags=re.DOTALL)
    places = re.search(rb"iloc\0\0\0\0\x44\x40(..)", head, flags=re.DOTALL)
    if item is None or places is None:
        return  # another layout than libheif's: what libexif made of the block stays
    payload = struct.pack(">I", 6) + b"Exif\0\0" + exif
    for n in range(int.from_bytes(places[1], "big")):
        at = places.end() + 18 * n  # item, reference, base, one extent: its offset and length
        if head[at : at + 2] == item[1]:
            os.pwrite(fd, struct.pack(">IHII", len(file) + 8, 1, 0, len(payload)), at + 4)
            os.lseek(fd, 0, os.SEEK_END)
            _write_all(fd, struct.pack(">I", len(payload) + 8) + b"mdat" + payload)
            return


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
