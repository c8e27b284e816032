"""Parses the structure that TIFF files and EXIF blocks share: directories of tagged values.

Nothing here trusts the bytes: a field that claims more data than there are is left out.
"""

import struct
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Sliceable(Protocol):
    """Bytes, or a file read slice by slice."""

    def __len__(self) -> int: ...
    def __getitem__(self, span: slice) -> bytes: ...


class Field(NamedTuple):
    """An entry of a directory."""

    type: int
    """A key of `SIZES`."""
    n_values: int
    entry: int
    """The place of its directory entry."""
    at: int
    """The place of its value."""


Tree = dict[int, "tuple[int, bytes] | Tree"]
"""A directory by tags: type and little-endian value, or the directory that the tag points to."""

MARKS = {
    b"II*\0": ("<", False),
    b"MM\0*": (">", False),
    b"II+\0": ("<", True),
    b"MM\0+": (">", True),
}
"""The first bytes of TIFF files: the byte order that each means, and True for BigTIFF."""
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
SIZES |= {16: 8, 17: 8, 18: 8}
"""Bytes of a value of each type."""
_WORDS = SIZES | {5: 4, 10: 4}
"""The number of bytes that are reversed together between byte orders: a rational is two words."""
_FLOATS = {11: "f4", 12: "f8"}
EXIF_POINTER, GPS_POINTER, INTEROP_POINTER = 0x8769, 0x8825, 0xA005
_MOST_PAGES = 2**13
"""The most pages, far more than any file has: a crafted file must not keep us busy."""
_POINTERS = {EXIF_POINTER, GPS_POINTER, INTEROP_POINTER}


@dataclass(frozen=True)
class Tiff:
    """The directories of a TIFF file or of an EXIF block; BigTIFF too."""

    data: Sliceable
    order: str
    big: bool

    @classmethod
    def open(cls, data: Sliceable) -> "Tiff":
        """Read the first bytes.

        Raises:
            ValueError: They are not those of a TIFF structure.
        """
        if (mark := bytes(data[:4])) not in MARKS:
            raise ValueError(f"not a TIFF structure: it starts with {mark!r}")
        return cls(data, *MARKS[mark])

    @property
    def first(self) -> int:
        """The place of the first directory."""
        return self._offset(8 if self.big else 4)

    def directories(self) -> list[int]:
        """Find the directories, one per page; one that leads back to another is the last.

        Raises:
            ValueError: One lies beyond the end, or there are more than any file has.
        """
        found: dict[int, None] = {}
        at = self.first
        while at and at not in found:
            if len(found) == _MOST_PAGES:
                raise ValueError(f"more than {_MOST_PAGES:,} pages")
            found[at] = None
            at = self._offset(self.link(at))
        return list(found)

    def link(self, at: int) -> int:
        """Find where the directory at `at` ends with the offset of the next one."""
        head, step = (8, 20) if self.big else (2, 12)
        return at + head + step * self.unpack("Q" if self.big else "H", at)

    def _offset(self, at: int) -> int:
        return self.unpack("Q" if self.big else "I", at)

    def unpack(self, code: str, at: int) -> int:
        """Read an integer by its `struct` code.

        Raises:
            ValueError: The data end before the integer does.
        """
        size = struct.calcsize(code)
        data = self.data[at : at + size]
        if len(data) < size:
            raise ValueError("the TIFF structure is cut short")
        return int(struct.unpack(self.order + code, data)[0])

    def directory(self, at: int) -> dict[int, Field]:
        """Read the fields of the directory at `at` that are of known type and within the data.

        Together the fields are no longer than the data: in an honest file no two share bytes.
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
            size = SIZES.get(type_, 0) * n_values
            value = entry + step - word
            if size > word:
                value = self._offset(value)
            if 0 < size <= min(room, len(self.data) - value):
                room -= size
                fields[tag] = Field(type_, n_values, entry, value)
        return fields

    def number(self, fields: dict[int, Field], tag: int, *, default: int) -> int:
        """Read the first value of an integer field, or the default if there is none."""
        field = fields.get(tag)
        code = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(field.type if field else 0)
        return self.unpack(code, field.at) if field and code else default

    def ratio(self, fields: dict[int, Field], tag: int) -> float | None:
        """Read a RATIONAL; None if there is none, or it is divided by zero."""
        field = fields.get(tag)
        if field is None or field.type != 5:
            return None
        above, below = self.unpack("I", field.at), self.unpack("I", field.at + 4)
        return above / below if below else None

    def raw(self, fields: dict[int, Field], tag: int) -> bytes:
        """Read a field as it stands in the file; empty if there is none."""
        field = fields.get(tag)
        return self.data[field.at : field.at + field.n_values * SIZES[field.type]] if field else b""

    def values(self, fields: dict[int, Field], tag: int) -> NDArray[Any]:
        """Read all numbers of a field: integers, or float64; none if there is no such field."""
        data, kind = self.raw(fields, tag), fields[tag].type if tag in fields else 0
        if kind in (5, 10):
            words = np.frombuffer(data, f"{self.order}{'u' if kind == 5 else 'i'}4").reshape(-1, 2)
            return words[:, 0] / np.where(words[:, 1] == 0, np.nan, words[:, 1])
        if kind in _FLOATS:
            return np.frombuffer(data, self.order + _FLOATS[kind]).astype(np.float64)
        sign = "i" if kind in (6, 8, 9, 17) else "u"
        size = SIZES.get(kind, 1)
        return np.frombuffer(data, f"{self.order}{sign}{size}").astype(f"{sign}{size}")

    def tree(self, at: int, *, only: Container[int] | None = None, depth: int = 2) -> Tree:
        """Read the directory, or `only` these tags, with the EXIF, GPS and such trees below it."""
        fields = self.directory(at)
        tree: Tree = {}
        for tag, (type_, count, _, value) in fields.items():
            if only is not None and tag not in only:
                continue
            if tag in _POINTERS:
                if depth:  # a directory that points to itself ends here
                    at = self.number(fields, tag, default=0)
                    tree[tag] = self.tree(at, depth=depth - 1)
                continue
            data = self.data[value : value + count * SIZES[type_]]
            if self.order == ">" and (word := _WORDS[type_]) > 1:
                data = np.frombuffer(data, f">u{word}").astype(f"<u{word}").tobytes()
            tree[tag] = (type_, data)
        return tree


def packed(tree: Tree, start: int, *, big: bool = False) -> bytes:
    """Pack a little-endian directory, with all directories below it, to lie at `start`."""
    head, step, word = ("<Q", 20, "<Q") if big else ("<H", 12, "<I")
    size = struct.calcsize(word)
    beyond = start + struct.calcsize(head) + step * len(tree) + size
    rows, values = bytearray(), bytearray()
    for tag in sorted(tree):
        value = tree[tag]
        at = beyond + len(values)
        if isinstance(value, dict):
            values += packed(value, at, big=big)
            type_, data = (16 if big else 4), struct.pack(word, at)
        else:
            type_, data = value
        count = len(data) // SIZES[type_]
        if len(data) > size:
            values += data + bytes(len(data) % 2)  # values begin at even places
            data = struct.pack(word, at)
        rows += struct.pack("<HH", tag, type_) + struct.pack(word, count) + data.ljust(size, b"\0")
    return struct.pack(head, len(tree)) + bytes(rows) + bytes(size) + bytes(values)


def head_of_strips(tree: Tree, sizes: Sequence[int]) -> bytes:
    """Make the part of a BigTIFF file before its strips, which follow in order.

    Args:
        tree: The tags of the page, without those of the strips.
        sizes: The bytes of each strip.
    """
    starts = np.cumsum([0, *sizes[:-1]], dtype=np.uint64)

    def head(end: int) -> bytes:
        strips = {273: integers(16, *(starts + np.uint64(end))), 279: integers(16, *sizes)}
        return b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) + packed(tree | strips, 16, big=True)

    return head(len(head(0)))  # the offsets take the same space whatever they are


def integers(type_: int, *numbers: int) -> tuple[int, bytes]:
    """Make a value of unsigned integers: SHORT is 3, LONG 4 and LONG8 16."""
    return type_, np.array(numbers, f"<u{SIZES[type_]}").tobytes()
