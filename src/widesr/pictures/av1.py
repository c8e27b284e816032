"""Reads the colour description in the sequence header of an AV1 picture.

Source: AV1 Bitstream & Decoding Process Specification, 5.5 (sequence header).
"""

from typing import NamedTuple


class Av1Colours(NamedTuple):
    """The codes of ITU-T H.273, 2 if not stated, and whether the levels use the full range."""

    primaries: int
    transfer: int
    matrix: int
    full_range: bool


def av1_colours(data: bytes) -> Av1Colours | None:
    """Read the beginning of a coded picture; give None if it holds no complete header."""
    at = 0
    try:
        while True:
            head = data[at]
            at += 2 if head & 4 else 1  # an extension byte, for layers
            size = len(data) - at
            if head & 2:
                size, at = _leb128(data, at)
            if head >> 3 & 15 == _SEQUENCE_HEADER:
                return _colours(_Bits(data[at : at + size]))
            at += size
    except IndexError:
        return None


_SEQUENCE_HEADER = 1


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for n in range(8):
        byte = data[at + n]
        value |= (byte & 127) << 7 * n
        if byte < 128:
            break
    return value, at + n + 1


class _Bits:
    """The bits of a byte string, most significant bit first."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, n: int) -> int:
        value = 0
        for at in range(self._at, self._at + n):
            value = value << 1 | self._data[at >> 3] >> 7 - (at & 7) & 1
        self._at += n
        return value

    def skip_uvlc(self) -> None:
        zeros = 0
        while not self.take(1):
            zeros += 1
        self._at += zeros if zeros < 32 else 0


def _colours(bits: _Bits) -> Av1Colours:
    take = bits.take
    profile, _, reduced = take(3), take(1), take(1)
    if reduced:
        take(5)
    else:
        _skip_operating_points(bits)
    widths = take(4) + 1, take(4) + 1
    take(widths[0]), take(widths[1])
    if not reduced and take(1):  # frame numbers
        take(7)
    take(3)
    if not reduced:
        _skip_tools(bits)
    take(3)
    high = take(1)
    if profile == 2 and high:
        take(1)
    monochrome = profile != 1 and take(1)
    codes = (take(8), take(8), take(8)) if take(1) else (2, 2, 2)
    if not monochrome and codes == (1, 13, 0):  # sRGB, stored as RGB
        return Av1Colours(*codes, full_range=True)
    return Av1Colours(*codes, full_range=bool(take(1)))


def _skip_operating_points(bits: _Bits) -> None:
    take = bits.take
    delay = 0
    if take(1):  # timing
        take(64)
        if take(1):
            bits.skip_uvlc()
        if take(1):  # a decoder model
            delay = take(5) + 1
            take(42)
    shown_late = take(1)
    for _ in range(take(5) + 1):
        take(12)
        if take(5) > 7:
            take(1)
        if delay and take(1):
            take(2 * delay + 1)
        if shown_late and take(1):
            take(4)


def _skip_tools(bits: _Bits) -> None:
    take = bits.take
    take(4)
    order = take(1)
    if order:
        take(2)
    screen = 2 if take(1) else take(1)
    if screen and not take(1):
        take(1)
    if order:
        take(3)
