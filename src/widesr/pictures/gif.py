"""The structure of GIF files: how many frames, when they are shown, and whether all of it is there.

libvips decodes a file that is cut short as far as it goes, and says 100 ms for a duration of 0.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO, NamedTuple


class GifTiming(NamedTuple):
    """When the frames of a file are shown."""

    durations: tuple[Fraction, ...]
    """In seconds, a frame each."""
    plays: int
    """How often all of them are; 0 is for ever."""


def gif_timing(fd: int) -> GifTiming:
    """Walk through a whole open file.

    Raises:
        ValueError: It is damaged or cut short.
    """
    durations, plays = [], 1
    for block in _blocks(fd):
        if isinstance(block, Fraction):
            durations.append(block)
        else:
            plays = block
    return GifTiming(tuple(durations), plays)


def is_animated_gif(fd: int) -> bool:
    """Say whether an open file has a second frame, or the beginning of one."""
    images = 0
    try:
        for block in _blocks(fd):
            images += isinstance(block, Fraction)
            if images == 2:
                return True
    except ValueError:
        pass
    return False


def _blocks(fd: int) -> Iterator[Fraction | int]:
    """The duration of each frame, and how often all of them are to be shown where that is said."""
    with open(fd, "rb", closefd=False) as file:
        file.seek(0)
        _skip_palette(file, _exactly(file, 13)[10])
        duration = Fraction(0)
        while (mark := _exactly(file, 1)) != b";":
            if mark == b",":
                yield duration
                duration = Fraction(0)
                _skip_palette(file, _exactly(file, 9)[8])
                _exactly(file, 1)
                _skip_chain(file)
            elif mark == b"!":
                label, first = _exactly(file, 1), _sub_block(file)
                if label == b"\xf9" and len(first) == 4:
                    duration = Fraction(int.from_bytes(first[1:3], "little"), 100)
                elif label == b"\xff" and first in (b"NETSCAPE2.0", b"ANIMEXTS1.0"):
                    first = _sub_block(file)
                    if len(first) == 3 and first[0] == 1:
                        again = int.from_bytes(first[1:], "little")
                        yield again + 1 if again else 0
                if first:
                    _skip_chain(file)
            elif mark != b"\0":  # which some writers leave between blocks
                raise ValueError("a block is of unknown kind")


def _skip_palette(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        _exactly(file, 3 * 2 ** ((flags & 7) + 1))


def _skip_chain(file: BinaryIO) -> None:
    while _sub_block(file):
        pass


def _sub_block(file: BinaryIO) -> bytes:
    return _exactly(file, _exactly(file, 1)[0])


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise ValueError("the file ends too early")
    return data
