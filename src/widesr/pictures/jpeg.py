"""Walks the segments of JPEG files, joins EXIF from several, and looks for the end marker.

Source: ITU-T T.81 (JPEG), annex B.
"""

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple

from widesr.pictures.tiff import Sliceable
from widesr.system.files import FileBytes

EXIF = b"Exif\0\0"
"""The beginning of an EXIF segment."""
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""The markers of frames, one for each coding."""
_BLOCK = 2**20
_MOST = 10_000
"""The most segments; a crafted file must not keep us busy."""


class Segment(NamedTuple):
    """A marker, and the place and size of its contents."""

    marker: int
    at: int
    """The offset at which its contents begin."""
    size: int


def segment(marker: int, body: bytes) -> bytes:
    """Build a segment."""
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def exif_of_jpeg(file: FileBytes) -> bytes | None:
    """Join the segments of the first EXIF block; another block that follows it is left out.

    A block of more than 64 kB continues in further segments, which begin with the same name.
    """
    exif = b""
    for marker, at, size in segments_before_pixels(file):
        body = file[at : at + size] if marker == 0xE1 else b""
        if body.startswith(EXIF):
            part = body.removeprefix(EXIF)
            if exif and part[:4] in (b"II*\0", b"MM\0*"):
                break
            exif += part
    return exif or None


def is_without_end(file: FileBytes) -> bool:
    """Say whether a file lacks its end marker."""
    return file[len(file) - 2 :] != b"\xff\xd9" and all(
        each.marker != 0xD9 for each in segments(file)
    )


def is_arithmetic(file: Sliceable) -> bool:
    """Say whether a file uses arithmetic coding."""
    return any(each.marker in (0xC9, 0xCA) for each in segments(file))


def segments(file: Sliceable) -> Iterator[Segment]:
    """Walk through all segments, to the end of the picture or of the file."""
    at = 2
    for _ in range(_MOST):
        head = file[at : at + 4]
        if not _MARK.match(head):
            at = end_of_scan(file, at)
            head = file[at : at + 4]
        if len(head) < 2:
            return
        marker = head[1]
        if marker == 0x01:  # means nothing
            at += 2
            continue
        if marker == 0xD9:
            yield Segment(marker, at + 2, 0)
            return
        size = int.from_bytes(head[2:], "big")
        if len(head) < 4 or size < 2 or at + 2 + size > len(file):
            return
        yield Segment(marker, at + 4, size - 2)
        at += 2 + size


def segments_before_pixels(file: Sliceable) -> Iterator[Segment]:
    """Walk through the segments that stand before the first scan."""
    return takewhile(lambda each: each.marker != 0xDA, segments(file))


_MARK = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def end_of_scan(file: Sliceable, at: int) -> int:
    """Find where the next marker stands, or the file ends."""
    while at < len(file):
        found = _MARK.search(file[at : at + _BLOCK])
        if found:
            return at + found.start()
        at += _BLOCK - 1
    return len(file)
