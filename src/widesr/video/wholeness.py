"""Finds whether a file is complete by the sizes that it states."""

import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path

from widesr.video.ebml import element_at, elements

_MATROSKA = b"\x1a\x45\xdf\xa3"
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"sidx", b"moof", b"pnot")
_KNOWN = frozenset(
    (
        *(0x1A45DFA3, 0x114D9B74, 0x1549A966, 0x1654AE6B),
        *(0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367),
        *(0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF),  # in clusters
        *(0xEC, 0xBF),  # padding, and checksums
    )
)
"""The Matroska elements that lie beside and inside segments and clusters."""
_OGG, _MXF, _FRAME, _RIFF = b"OggS", b"\x06\x0e\x2b\x34", b"FRAME\n", b"RIFF"
_TS, _TS_BYTES = b"\x47", 188
"""The first byte of a packet of an MPEG transport stream, and the bytes of a packet."""
_LISTS = (_RIFF, b"LIST")
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")


def missing_bytes(path: Path) -> int:
    """Count the bytes by which a file is shorter than it states; 0 if it states no size.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(16)
        ends = next((ends for start, ends in _UNITS.items() if head.startswith(start)), None)
        if head[4:8] in _BOXES:
            ends = _box_ends
        if ends is None:
            return 0
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            return max(max(ends(data), default=0) - len(data), 0)


def first_break(path: Path) -> int | None:
    """Find the byte at which the parts of a file no longer follow one another.

    FFmpeg goes on after such a place in Matroska, AVI, Ogg, MXF, FLV and MPEG-TS, and does not
    report that frames are lost.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(4)
        ends = next((ends for start, ends in _CHAINS.items() if head.startswith(start)), None)
        if ends is None and head != _MATROSKA:
            return None
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            if ends is None:
                return _break_of_matroska(data)
            end = max(ends(data), default=0)
            stated = max(_riff_ends(data)) if head == _RIFF else len(data)
            return end if end < min(stated, len(data)) else None


def _break_of_matroska(data: mmap) -> int | None:
    at, end = 0, len(data)
    while at < end:
        element = element_at(data, at)
        if element and element.id == _SEGMENT:
            at, end = element.start, min(element.end or end, end)
        elif element and element.id == _CLUSTER:
            at = element.start
        elif element and element.id in _KNOWN and element.end:
            at = element.end
        else:
            return at
    return None


def _box_ends(data: mmap) -> Iterator[int]:
    """Walk the top-level boxes of an MP4 or MOV file, and yield where each ends."""
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16])
        end = at + length if length else len(data)
        if end < at + 8:
            return  # not a box, and what follows is not ours to judge
        yield end
        at = end


def _matroska_ends(data: mmap) -> Iterator[int]:
    """Yield where the head and the segment of a Matroska file end, if they state that."""
    return (each.end for each in islice(elements(data), 2) if each.end)


def _riff_ends(data: mmap) -> Iterator[int]:
    """Walk the chunks of an AVI file, which has a new one after each gigabyte; yield their ends."""
    at = 0
    while data[at : at + 4] == _RIFF:
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        yield at


def _chunk_ends(data: mmap) -> Iterator[int]:
    """Walk the chunks of an AVI file, also those in lists, and yield where each ends."""
    at = 0
    while len(name := data[at : at + 4]) == 4 and name.isascii() and name.decode().isprintable():
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 12 if name in _LISTS else 8 + length + length % 2
        yield at


def _asf_ends(data: mmap) -> Iterator[int]:
    """Yield where the head and the data of an ASF file, such as WMV, end."""
    at = 0
    for _ in range(2):
        at += int.from_bytes(data[at + 16 : at + 24], "little")
        yield at


def _flv_ends(data: mmap) -> Iterator[int]:
    """Walk the tags of an FLV file, each with its length at both ends; yield where each ends."""
    at = int.from_bytes(data[5:9]) + 4
    while at < len(data) and data[at] & 0x1F in (8, 9, 18):  # sound, video and metadata
        at += 11 + int.from_bytes(data[at + 1 : at + 4]) + 4
        yield at


def _ts_ends(data: mmap) -> Iterator[int]:
    """Yield where the packets of an MPEG transport stream end, or where one is damaged."""
    begins = data[::_TS_BYTES]
    n_whole = len(begins) - len(begins.lstrip(_TS))
    yield min(n_whole * _TS_BYTES, len(data))  # many recordings end within a packet


def _ogg_ends(data: mmap) -> Iterator[int]:
    """Walk the pages of an Ogg file up to one that is damaged, and yield where each ends."""
    at = 0
    while data[at : at + 4] == _OGG:
        n_segments = int.from_bytes(data[at + 26 : at + 27])
        end = at + 27 + n_segments + sum(data[at + 27 : at + 27 + n_segments])
        if end <= len(data) and data[at + 22 : at + 26] != _ogg_checksum(data[at:end]):
            return
        yield end
        at = end


def _ogg_checksum(page: bytes) -> bytes:
    """Compute a page's CRC-32, which has the bits of each byte in the other order than zlib's."""
    zeroed = page[:22] + bytes(4) + page[26:]
    value = zlib.crc32(zeroed.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return value.to_bytes(4).translate(_REVERSED)


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


_Ends = Callable[[mmap], Iterator[int]]
_CHAINS: dict[bytes, _Ends] = {
    _RIFF: _chunk_ends,
    _OGG: _ogg_ends,
    _MXF: _mxf_ends,
    _TS: _ts_ends,
    b"FLV": _flv_ends,
}
"""Functions that yield where the units of a file end, which follow one another up to its end."""
_UNITS: dict[bytes, _Ends] = _CHAINS | {
    _RIFF: _riff_ends,
    _MATROSKA: _matroska_ends,
    _ASF: _asf_ends,
    b"YUV4MPEG2": _y4m_ends,
}
"""Functions that yield where the units of a file end, by the first bytes of the format."""
