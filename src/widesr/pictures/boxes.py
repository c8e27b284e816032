"""Reads the boxes of HEIF files, such as AVIF and HEIC: pictures, and the properties of each.

Source: ISO/IEC 14496-12 (boxes, items and their places) and 23008-12 (pictures as items).
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from widesr.pictures.tiff import Sliceable
from widesr.system.files import FileBytes

Entry = TypeVar("Entry")
Box = tuple[bytes, bytes]
"""The name and the contents of a box."""

_MOST_META = 2**24
"""The most bytes of the box that describes the items; a grid of 1000 tiles takes some 100,000."""
_MOST_BOXES = 10_000
"""The most boxes at one level; a crafted file must not keep us busy."""


class Heif:
    """The items of a file. A broken or missing item reads as empty; libheif will refuse it."""

    def __init__(self, file: FileBytes) -> None:
        """Read the descriptions of the items, but not their data."""
        self._file = file
        meta = dict(_walk_boxes(_meta(file)))
        properties = dict(_walk_boxes(meta.get(b"iprp", b"")))
        self._idat = meta.get(b"idat", b"")
        self._kinds = dict(_read(_kinds, meta.get(b"iinf", b"")))
        self._references = list(_read(_references, meta.get(b"iref", b"")))
        self._places = dict(_read(_places, meta.get(b"iloc", b"")))
        self._numbers = dict(_read(_numbers, properties.get(b"ipma", b"")))
        self._properties = list(_walk_boxes(properties.get(b"ipco", b"")))
        self.primary = next(_read(_primary, meta.get(b"pitm", b"")), 0)
        """The number of the item that is the picture."""

    def kind(self, item: int) -> bytes:
        """Give the type of an item: "av01" and "hvc1" are coded, "grid" is made of other items."""
        return self._kinds.get(item, b"")

    def properties(self, item: int) -> list[Box]:
        """List the properties of an item, in order."""
        numbers = self._numbers.get(item, [])
        return [self._properties[n - 1] for n in numbers if 0 < n <= len(self._properties)]

    def named(self, item: int, name: bytes) -> list[bytes]:
        """List the contents of an item's properties with this name."""
        return [body for each, body in self.properties(item) if each == name]

    def coded(self, item: int) -> int:
        """Follow an item that is made of others to the first of them that is coded."""
        for _ in range(_DEEPEST):
            parts = [to for kind, one, to in self._references if (kind, one) == (b"dimg", item)]
            if not parts or not parts[0]:
                break
            item = parts[0][0]
        return item

    def refers(self, kind: bytes, item: int) -> bool:
        """Say whether an item refers to any other by this kind of reference."""
        return any((each, one) == (kind, item) for each, one, _ in self._references)

    def alpha(self) -> int | None:
        """Find the item that holds the opacity of the primary item."""
        for kind, item, to in self._references:
            names = self.named(item, b"auxC") if kind == b"auxl" and self.primary in to else []
            if any(body[4:].split(b"\0")[0] in _ALPHA for body in names):
                return item
        return None

    def data(self, item: int, *, most: int) -> bytes:
        """Read the first `most` bytes of an item's data."""
        in_box, extents = self._places.get(item, (False, []))
        data = b""
        for at, size in extents:
            stop = at + min(size or most, most - len(data))
            data += self._idat[at:stop] if in_box else self._file[at:stop]
            if len(data) >= most:
                break
        return data


_DEEPEST = 8
_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")


def _walk_boxes(data: bytes) -> Iterator[Box]:
    """Walk through the boxes of one level, by name and contents; the last may be cut short."""
    return ((name, data[start:end]) for name, start, end in _walk_spans(data))


def _meta(file: FileBytes) -> bytes:
    """Find the contents of the box that describes the items, wherever it lies."""
    for name, start, end in _walk_spans(file):
        if name == b"meta":
            return file[start + 4 : min(end, start + _MOST_META)]
    return b""


def _walk_spans(data: Sliceable) -> Iterator[tuple[bytes, int, int]]:
    """Walk through the boxes of one level, by name and span of their contents."""
    at = 0
    for _ in range(_MOST_BOXES):
        head = data[at : at + 16]
        if len(head) < 8:
            return
        size, start = int.from_bytes(head[:4], "big"), at + 8
        if size == 1:
            size, start = int.from_bytes(head[8:], "big"), at + 16
        end = at + size if size else len(data)
        if end < start:
            return
        yield head[4:8], start, end
        at = end


def _read(reader: Callable[[bytes], Iterator[Entry]], body: bytes) -> Iterator[Entry]:
    """Read the entries of a box up to the first that is cut short."""
    try:
        yield from reader(body)
    except IndexError:
        return


def _number(body: bytes, at: int, size: int) -> int:
    if at + size > len(body):
        raise IndexError
    return int.from_bytes(body[at : at + size], "big")


def _primary(body: bytes) -> Iterator[int]:
    yield _number(body, 4, 4 if body[0] else 2)


def _kinds(body: bytes) -> Iterator[tuple[int, bytes]]:
    for name, entry in _walk_boxes(body[8 if body[0] else 6 :]):
        if name == b"infe" and entry[0] in (2, 3):
            wide = 4 if entry[0] == 3 else 2
            yield _number(entry, 4, wide), entry[6 + wide : 10 + wide]


def _references(body: bytes) -> Iterator[tuple[bytes, int, list[int]]]:
    wide = 4 if body[0] else 2
    for kind, entry in _walk_boxes(body[4:]):
        n = _number(entry, wide, 2)
        to = [_number(entry, wide + 2 + wide * k, wide) for k in range(n)]
        yield kind, _number(entry, 0, wide), to


def _numbers(body: bytes) -> Iterator[tuple[int, list[int]]]:
    """Read the numbers of each item's properties, counted from 1."""
    wide, step = 4 if body[0] else 2, 2 if body[3] & 1 else 1
    at = 8
    for _ in range(_number(body, 4, 4)):
        item, n = _number(body, at, wide), _number(body, at + wide, 1)
        at += wide + 1
        top = 1 << 8 * step - 1  # says whether the property is essential
        yield item, [_number(body, at + step * k, step) % top for k in range(n)]
        at += step * n


def _places(body: bytes) -> Iterator[tuple[int, tuple[bool, list[tuple[int, int]]]]]:
    """Read where each item lies: whether in the box `idat`, and in which spans."""
    version, wide = body[0], 4 if body[0] == 2 else 2
    of_offset, of_length, of_base = body[4] >> 4, body[4] & 15, body[5] >> 4
    of_index = body[5] & 15 if version else 0
    at = 6 + wide
    for _ in range(_number(body, 6, wide)):
        item, at = _number(body, at, wide), at + wide
        in_box = bool(version) and _number(body, at, 2) & 15 == 1
        at += 4 if version else 2
        base, n = _number(body, at, of_base), _number(body, at + of_base, 2)
        at += of_base + 2
        extents = []
        for _ in range(n):
            at += of_index
            offset, size = _number(body, at, of_offset), _number(body, at + of_offset, of_length)
            extents.append((base + offset, size))
            at += of_offset + of_length
        yield item, (in_box, extents)
