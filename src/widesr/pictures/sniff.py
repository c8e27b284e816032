"""Identifies a file by its content: a supported kind of picture, or why it is refused."""

import re
import struct
from pathlib import Path

from widesr.errors import ImageFormatError, ImageReadError
from widesr.pictures.png import MARK, chunks_before_pixels
from widesr.pictures.sources import PictureFile
from widesr.pictures.tiff import MARKS, Tiff
from widesr.system.files import FileBytes

KINDS = ("png", "jpeg", "webp", "tiff", "avif", "heic", "gif", "bmp", "netpbm")
"""The kinds of pictures that are read."""


def title(kind: str) -> str:
    """Spell a kind as people do."""
    return {"webp": "WebP", "netpbm": "Netpbm"}.get(kind, kind.upper())


_READABLE = "PNG, JPEG, WebP, TIFF, AVIF, HEIC, GIF, BMP and PPM"
_ELSEWHERE = "open it in another program and save it as PNG or TIFF"
_CONVERT = "convert it to animated WebP, PNG or GIF, or save the frame that you want as PNG"
_DEVELOP = "develop it in a raw converter and save a 16-bit TIFF"
_REFUSED = (
    (b"\xff\x0a", "JPEG XL", _ELSEWHERE),
    (b"\0\0\0\x0cJXL ", "JPEG XL", _ELSEWHERE),
    (b"\0\0\0\x0cjP  ", "JPEG 2000", _ELSEWHERE),
    (b"\xff\x4f\xff\x51", "JPEG 2000", _ELSEWHERE),
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
"""The first bytes of files that people try, their names, and the way out."""


def kind_of(file: PictureFile) -> str:
    """Tell which of `KINDS` a file is.

    Raises:
        ImageFormatError: The picture is of an unsupported kind; the message says what to do.
        ImageReadError: The file is not a picture, or is a TIFF file that is cut short.
    """
    path, head = file.path, file[:1024]
    for start, name, way_out in _REFUSED:
        if head.startswith(start):
            raise _unread(path, name, way_out)
    if re.match(rb"P[1-6][\s#]|P7\s", head):
        return "netpbm"
    if re.match(rb"P[Ff]\s", head):
        raise _unread(path, "a Netpbm picture of the kind PFM", _ELSEWHERE)
    if head.startswith(MARK):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"BM") or _is_bare_dib(head):
        return "bmp"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:4] in MARKS:
        _check_tiff(file)
        return "tiff"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if head[4:8] == b"ftyp":
        return _kind_of_box_file(path, head)
    if re.search(rb"<svg[\s>]", head):
        raise _unread(path, "SVG", "render it as PNG at the size you need")
    raise ImageReadError(f"{path}: not a picture; expected one of {_READABLE}")


ONE_FRAME = "`widesr upscale` takes all frames; or save the one that you want as PNG"


def _unread(path: Path, name: str, way_out: str) -> ImageFormatError:
    return ImageFormatError(f"{path}: this is {name}; widesr reads {_READABLE}; {way_out}")


def _is_bare_dib(head: bytes) -> bool:
    """Say whether a file begins as a BMP file continues after its first 14 bytes."""
    if len(head) < 40:
        return False
    size, _, _, planes, bits, packing = struct.unpack_from("<IiiHHI", head)
    is_sound = planes == 1 and bits in (1, 2, 4, 8, 16, 24, 32) and packing in (0, 1, 2, 3, 6)
    return size in (40, 52, 56, 64, 108, 124) and is_sound


def _kind_of_box_file(path: Path, head: bytes) -> str:
    """Tell AVIF and its relatives apart by the brands in their first box."""
    size = int.from_bytes(head[:4], "big")
    major = head[8:12]
    brands = {major} | {head[at : at + 4] for at in range(16, min(size, len(head)), 4)}
    if major in (b"avis", b"hevc", b"hevx", b"msf1"):
        name = "an AVIF animation" if b"avif" in brands or major == b"avis" else "a HEIC animation"
        raise _unread(path, name, _CONVERT)
    if b"avif" in brands:
        return "avif"
    if brands & {b"heic", b"heix", b"heim", b"heis", b"mif1"}:
        return "heic"
    if major == b"crx ":
        raise _unread(path, "a camera raw file", _DEVELOP)
    raise ImageReadError(f"{path}: not a picture but a film or sound; expected {_READABLE}")


def frames_of_png(file: FileBytes) -> int:
    """Read the number of frames that a PNG file claims to have; 1 if it is still."""
    for name, at, _ in chunks_before_pixels(file):
        if name == b"acTL":
            return int.from_bytes(file[at : at + 4], "big")
    return 1


def _check_tiff(file: PictureFile) -> None:
    """Refuse camera raw files, which only their tags tell from TIFF pictures."""
    try:
        tiff = Tiff.open(file)
        tags = tiff.directory(tiff.first)
        photometric = tiff.number(tags, 262, default=1)
        preview = tiff.number(tags, 254, default=0) & 1 == 1 and 330 in tags
    except ValueError as error:
        raise ImageReadError(
            f"{file.path}: this TIFF file is damaged or cut short; get a whole copy of it"
        ) from error
    if photometric in (32803, 34892) or 50706 in tags or preview:
        raise _unread(file.path, "a camera raw file", _DEVELOP)
