"""Completes JPEG streams of TIFF files, which keep parts of them in tags.

Source: TIFF 6.0, section 22, and its Technical Note 2.
"""

import struct
from collections.abc import Iterable, Iterator

from widesr.pictures.jpeg import FRAMES, segment
from widesr.pictures.raster import JPEG, YCBCR, OldJpeg, Raster
from widesr.pictures.tiff import Sliceable

_START, _SCAN, _END = b"\xff\xd8", 0xDA, b"\xff\xd9"
_ALONE = {0x01, *range(0xD0, 0xD9)}
"""The markers without a length."""
_MOST = 65535
"""The most that a size or a restart interval in a JPEG can be."""
_MOST_HEAD = 2**17
"""The most bytes before the first scan, more than any old-style file has."""


def jpeg_of_block(raster: Raster, file: Sliceable, data: bytes, *, height: int) -> bytes:
    """Build the JPEG stream of a strip or tile.

    Args:
        raster: The layout of the page.
        file: The file, which holds the tables of old-style JPEG.
        data: The bytes of the block.
        height: The number of rows in the block.

    Raises:
        ValueError: Parts are missing.
    """
    is_stream = raster.compression == JPEG or data.startswith(_START)
    if is_stream and _END not in data:  # nothing else reveals zeros in place of its last part
        raise ValueError("a block lacks its end")
    if raster.compression == JPEG:
        return _stream(raster, [*_segments(raster.tables), *_segments(data)])
    if is_stream:
        return _stream(raster, _segments(data))
    old, width = raster.old_jpeg, raster.block[1]
    assert old is not None, "the compression is that of old-style JPEG"
    if max(height, width, old.restart) > _MOST:
        raise ValueError("a side or a restart interval is more than JPEG can hold")
    head = list(_segments(file[old.start : old.start + _MOST_HEAD])) if old.start else []
    if head and head[-1][1] == _SCAN:
        parts = [_resized(part, height, width) for part in head[:-1]]
        parts.append(head[-1][: 2 + int.from_bytes(head[-1][2:4], "big")])
    else:
        parts = _parts_of_tags(old, file, raster.samples, height, width)
    return _stream(raster, [*parts, data, _END])


def whole_jpeg(raster: Raster, file: Sliceable) -> bytes | None:
    """Give the single stream that an old-style file may have for the whole picture."""
    old = raster.old_jpeg
    if old is None or not old.start or raster.planes > 1:
        return None
    stop = old.start + old.size if old.size else len(file)
    parts = list(_segments(file[old.start : stop]))
    frames = [part for part in parts if part[1] in FRAMES and len(part) > 9]
    if not frames or parts[-1][1] != _SCAN or _END not in parts[-1]:
        return None
    if struct.unpack_from(">HH", frames[0], 5) != (raster.height, raster.width):
        return None
    return _stream(raster, parts)


def _stream(raster: Raster, parts: Iterable[bytes]) -> bytes:
    """Join parts, and declare the colours of three channels as the tags do.

    Four channels need no such declaration, as libjpeg does not guess theirs. The parts' own
    declarations are dropped: other readers ignore them too.
    """
    parts = (part for part in parts if part[:2] not in (b"\xff\xe0", b"\xff\xee"))
    colours = b""
    if raster.planes == 1 and raster.samples == 3:
        is_ycc = raster.photometric == YCBCR
        colours = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + (b"\1" if is_ycc else b"\0")
    return b"".join([_START, colours, *parts])


def _resized(part: bytes, height: int, width: int) -> bytes:
    """Set the size in a frame's header."""
    if part[1] not in FRAMES:
        return part
    return part[:5] + struct.pack(">HH", height, width) + part[9:]


def _parts_of_tags(
    old: OldJpeg, file: Sliceable, samples: int, height: int, width: int
) -> list[bytes]:
    """Make the segments before the data from tables that lie scattered in the file."""
    if not min(map(len, old[2:5])) >= samples:
        raise ValueError("JPEG tables are missing")
    parts = []
    for n in range(samples):
        at = old.quantisation[n]
        parts.append(segment(0xDB, bytes([n]) + file[at : at + 64]))
        for kind, at in ((0x00, old.dc[n]), (0x10, old.ac[n])):
            lengths = file[at : at + 16]
            codes = file[at + 16 : at + 16 + sum(lengths)]
            parts.append(segment(0xC4, bytes([kind | n]) + lengths + codes))
    across, down = old.subsampling if samples == 3 else (1, 1)
    factors = [across << 4 | down, *[0x11] * (samples - 1)]
    channels = b"".join(bytes([n + 1, factor, n]) for n, factor in enumerate(factors))
    parts.append(segment(0xC0, struct.pack(">BHHB", 8, height, width, samples) + channels))
    if old.restart:
        parts.append(segment(0xDD, struct.pack(">H", old.restart)))
    chosen = b"".join(bytes([n + 1, n << 4 | n]) for n in range(samples))
    return [*parts, segment(_SCAN, bytes([samples]) + chosen + b"\0\x3f\0")]


def _segments(stream: bytes) -> Iterator[bytes]:
    """Cut a stream into its segments; the last one runs from the scan to the end."""
    at = 2 if stream.startswith(_START) else 0
    while at + 4 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker == 0xFF:  # a filler
            at += 1
        elif marker == _SCAN:
            yield stream[at:]
            return
        elif marker in _ALONE:
            at += 2
        elif marker == 0xD9:
            return
        else:
            size = 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
            yield stream[at : at + size]
            at += size
