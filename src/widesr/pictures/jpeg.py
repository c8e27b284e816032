"""The segments of JPEG files: EXIF in several of them, and whether a file is whole without its end.

Source: ITU-T T.81 (JPEG), annex B.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from widesr.files import FileBytes

EXIF = b"Exif\0\0"
"""Begins a segment of EXIF."""
END = b"\xff\xd9"
FILLERS = tuple(
    bytes((first + 41 * n * n + first * n) % 255 for n in range(4096))
    for first in (0xFE, 0xA6, 0x33, 0xC9, 0x6D, 0x92, 0xE4, 0xDB)
)
"""Of no meaning: read behind the data of a scan, they change pixels, unless all are there."""
_BLOCK = 2**20
_MOST = 10_000
"""Segments; a made-up file must not keep us busy."""


class Segment(NamedTuple):
    """A marker and what belongs to it."""

    marker: int
    at: int
    """Where its contents begin."""
    size: int


def exif_of_jpeg(file: FileBytes) -> bytes | None:
    """Join the segments of the first EXIF block; another block that follows it is left out.

    A block of more than 64 kB goes on in further segments, which begin with the same name.
    """
    exif = b""
    for segment in _segments(file):
        if segment.marker == 0xDA:
            break
        body = file[segment.at : segment.at + segment.size] if segment.marker == 0xE1 else b""
        if body.startswith(EXIF):
            part = body.removeprefix(EXIF)
            if exif and part[:4] in (b"II*\0", b"MM\0*"):
                break
            exif += part
    return exif or None


def is_without_end(file: FileBytes) -> bool:
    """Say whether a file lacks the mark of its end, and may have all scans that its pixels take.

    Whether the last of them is whole its decoder has to tell.
    """
    if file[len(file) - 2 :] == END:
        return False
    missing: dict[int, list[int]] = {}  # by component: bits not known of its 64 coefficients
    head, interval, scan = b"", 0, (0, b"")
    try:
        for marker, at, size in _segments(file):
            body = file[at : at + min(size, 1024)]
            if marker == 0xD9:
                return False
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                head = body
                missing = {body[6 + 3 * n]: [_NEVER] * 64 for n in range(body[5])}
            elif marker == 0xDD:
                interval = int.from_bytes(body[:2], "big")
            elif marker == 0xDA:
                _note_scan(body, missing)
                scan = at + size, body
        if not missing or any(map(any, missing.values())):
            return False
        return not interval or _restarts(file, scan[0]) == _units(head, scan[1]) // interval
    except (IndexError, KeyError, ZeroDivisionError):
        return False


_NEVER = 99


def _note_scan(body: bytes, missing: dict[int, list[int]]) -> None:
    n = body[0]
    first, last, precision = body[1 + 2 * n], body[2 + 2 * n], body[3 + 2 * n]
    for component in (body[1 + 2 * k] for k in range(n)):
        known = missing[component]
        for k in range(first, min(last, 63) + 1):
            known[k] = precision & 15


def _units(head: bytes, scan: bytes) -> int:
    """How many units of a scan are followed by another."""
    height, width = int.from_bytes(head[1:3], "big"), int.from_bytes(head[3:5], "big")
    sampled = {
        head[6 + 3 * n]: (head[7 + 3 * n] >> 4, head[7 + 3 * n] & 15) for n in range(head[5])
    }
    across, down = (max(each[n] for each in sampled.values()) for n in (0, 1))
    if scan[0] == 1:  # of one component, each block is a unit
        own = sampled[scan[1]]
        width, height = -(-width * own[0] // across), -(-height * own[1] // down)
        across = down = 1
    return -(-width // (8 * across)) * -(-height // (8 * down)) - 1


def _restarts(file: FileBytes, at: int) -> int:
    return len(re.findall(rb"\xff[\xd0-\xd7]", file[at:]))


def _segments(file: FileBytes) -> Iterator[Segment]:
    """All segments, to the end of the picture or of the file."""
    at = 2
    for _ in range(_MOST):
        head = file[at : at + 4]
        if len(head) < 2 or head[0] != 0xFF:
            return
        if head[1] == 0xFF:  # a byte that fills
            at += 1
            continue
        marker = head[1]
        if marker == 0xD9:
            yield Segment(marker, at + 2, 0)
            return
        size = int.from_bytes(head[2:], "big")
        if len(head) < 4 or size < 2 or at + 2 + size > len(file):
            return
        yield Segment(marker, at + 4, size - 2)
        at += 2 + size
        if marker == 0xDA:
            at = _end_of_scan(file, at)


_MARK = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def _end_of_scan(file: FileBytes, at: int) -> int:
    """Where the next marker stands, or the file ends."""
    while at < len(file):
        found = _MARK.search(file[at : at + _BLOCK])
        if found:
            return at + found.start()
        at += _BLOCK - 1
    return len(file)
