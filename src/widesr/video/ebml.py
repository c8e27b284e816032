"""Reads the elements of EBML, of which Matroska and WebM files consist."""

from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple


class Element(NamedTuple):
    """An element of EBML."""

    id: int
    start: int
    """Offset of its content."""
    end: int | None
    """Offset of the byte after it; None if its size is unknown, as in live streams."""


def element_at(data: bytes | mmap, at: int) -> Element | None:
    """Read the head of the element at an offset; None if there is no whole head."""
    id_bytes = _length(data, at)
    size_bytes = _length(data, at + id_bytes)
    start = at + id_bytes + size_bytes
    if max(id_bytes, size_bytes) > 8 or start > len(data):
        return None
    size = int.from_bytes(data[at + id_bytes : start]) & (2 ** (7 * size_bytes) - 1)
    is_unknown = size == 2 ** (7 * size_bytes) - 1
    return Element(
        int.from_bytes(data[at : at + id_bytes]), start, None if is_unknown else start + size
    )


def elements(data: bytes | mmap, start: int = 0, end: int | None = None) -> Iterator[Element]:
    """Walk through consecutive elements, up to one of unknown size."""
    at, end = start, len(data) if end is None else end
    while at < end and (element := element_at(data, at)):
        yield element
        if element.end is None:
            return
        at = element.end


def _length(data: bytes | mmap, at: int) -> int:
    """Give the number of bytes of an id or a size by its first byte; 9 if it has none."""
    return 9 - data[at].bit_length() if at < len(data) else 9
