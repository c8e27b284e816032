"""Finds whether a file is complete by the sizes that it states, and whether it is encrypted."""

import os
from collections.abc import Callable, Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

_MATROSKA = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"sidx", b"moof", b"pnot")
_ENCRYPTED = (b"encv", b"enca")
_ENTERED = frozenset((0x18538067, 0x1F43B675))
"""The Matroska elements that are looked into: the segment and clusters."""
_KNOWN = frozenset(
    (
        *(0x1A45DFA3, 0x114D9B74, 0x1549A966, 0x1654AE6B),
        *(0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367),
        *(0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF),  # in clusters
        *(0xEC, 0xBF),  # padding, and checksums
    )
)
"""The Matroska elements that lie beside and inside those of `_ENTERED`."""
_OGG, _MXF, _FRAME = b"OggS", b"\x06\x0e\x2b\x34", b"FRAME\n"
_SEARCHED = 2**24
"""Bytes of a `moov` box that are searched."""


def missing_bytes(path: Path) -> int:
    """Count the bytes by which a file is shorter than it states; 0 if it states no size.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if head[:4] == _MATROSKA:
            return max(_matroska_end(file) - size, 0)
        if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            return max(8 + int.from_bytes(head[4:8], "little") - size, 0)
        if head[4:8] in _BOXES:
            return max(max((end for _, _, end in _boxes(file, size)), default=0) - size, 0)
        ends = next((ends for start, ends in _UNITS.items() if head.startswith(start)), None)
        if ends is not None:
            with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                return max(max(ends(data), default=0) - size, 0)
    return 0


def first_break(path: Path) -> int | None:
    """Find the byte at which the parts of a Matroska file no longer follow one another.

    FFmpeg goes on after such a place, and does not report that frames are lost.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        if file.read(4) != _MATROSKA:
            return None
        end = _matroska_end(file) or os.fstat(file.fileno()).st_size
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            at, end = 0, min(end, len(data))
            while at < end:
                head = data[at : at + 12]
                id_bytes = 9 - head[0].bit_length()
                size_bytes = 9 - head[id_bytes].bit_length() if len(head) > id_bytes else 9
                number = int.from_bytes(head[:id_bytes], "big")
                inside = at + id_bytes + size_bytes
                if number in _ENTERED:
                    at = inside
                elif number in _KNOWN and size_bytes < 9:
                    size = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big")
                    at = inside + (size & (2 ** (7 * size_bytes) - 1))
                else:
                    return at
    return None


def is_encrypted(path: Path) -> bool:
    """Say whether an MP4 or MOV file marks a stream as encrypted.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(8)[4:8] not in _BOXES:
            return False
        for kind, start, end in _boxes(file, size):
            if kind == b"moov":
                file.seek(start)
                data = file.read(min(end - start, _SEARCHED))
                return any(each in data for each in _ENCRYPTED)
    return False


def _boxes(file: BinaryIO, size: int) -> list[tuple[bytes, int, int]]:
    """List the kind, start and end of each top-level box, as the file states them."""
    boxes, at = [], 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        end = size if length == 0 else at + length
        if end < at + 8:
            break  # not a box, and what follows is not ours to judge
        boxes.append((kind, at, end))
        at = end
    return boxes


def _ogg_ends(data: mmap) -> Iterator[int]:
    """Walk the pages of an Ogg file, and yield where each ends."""
    at = 0
    while data[at : at + 4] == _OGG:
        n_segments = int.from_bytes(data[at + 26 : at + 27])
        at += 27 + n_segments + sum(data[at + 27 : at + 27 + n_segments])
        yield at


def _mxf_ends(data: mmap) -> Iterator[int]:
    """Walk the units of an MXF file, each a key, a length and a value; yield where each ends."""
    at = 0
    while data[at : at + 4] == _MXF:
        first = int.from_bytes(data[at + 16 : at + 17])
        n_bytes = first & 0x7F if first & 0x80 else 0
        length = int.from_bytes(data[at + 17 : at + 17 + n_bytes]) if n_bytes else first
        at += 17 + n_bytes + length
        yield at


def _y4m_ends(data: mmap) -> Iterator[int]:
    """Yield where the last frame of a YUV4MPEG2 file ends; all frames are of the same size."""
    first = data.find(b"\n" + _FRAME) + 1
    second = data.find(_FRAME, first + 1)
    if first > 0 and second > 0:
        step = second - first
        yield first + -(-(len(data) - first) // step) * step


_UNITS: dict[bytes, Callable[[mmap], Iterator[int]]] = {
    _OGG: _ogg_ends,
    _MXF: _mxf_ends,
    b"YUV4MPEG2": _y4m_ends,
}
"""Functions that yield where the units of a file end, by the first bytes of the format."""


def _matroska_end(file: BinaryIO) -> int:
    """Find the end of the segment that the file states; 0 if it states none."""
    file.seek(4)
    length = _vint(file)
    if length is None:
        return 0
    at = file.tell() + length
    file.seek(at)
    if file.read(4) != _SEGMENT:
        return 0
    length = _vint(file)
    return 0 if length is None else file.tell() + length


def _vint(file: BinaryIO) -> int | None:
    """Read an EBML size; None if it is unknown, as in live streams."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    n = 9 - first[0].bit_length()
    rest = file.read(n - 1)
    value = int.from_bytes(first + rest, "big") & (2 ** (7 * n) - 1)
    return None if value == 2 ** (7 * n) - 1 or len(rest) < n - 1 else value
