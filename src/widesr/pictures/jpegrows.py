"""Decodes all pixels of a JPEG, or raises an error, even if its data end too early.

libjpeg fills missing pixels with grey, and warns. libvips checks for its warnings before each group
of eight rows that it decodes, and so misses those of the last group. The frame is therefore
declared one row too high: by the time that row is asked for, all warnings are known.

Source: ITU-T T.81 (JPEG), annexes B (structure), F and G (what is in a scan).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyvips

from widesr.pictures.jpeg import FRAMES, end_of_scan, segment, segments
from widesr.pictures.tiff import Sliceable
from widesr.pixels.rows import Band, Rows

_END = b"\xff\xd9"
_BAND = 2**22
"""The approximate number of bytes that are decoded at once."""
_LINES = 8
"""The number of rows that libvips decodes between two checks of libjpeg's warnings."""
_MOST_LINES = 65_500
"""The most rows that libjpeg accepts."""
_NEAR, _STEP = 4096, 8
"""The last `_NEAR` bytes are given `_STEP` at a time, to see how far libjpeg has read."""
_ARITHMETIC, _PROGRESSIVE = {0xC9, 0xCA}, {0xC2, 0xCA}
_FILLERS = tuple(bytes(4) + bytes(n * k % 251 for n in range(1, 200)) for k in (7, 101))
"""Bytes in place of the zeros that may follow arithmetic codes, of which four at most are used."""


class _Jpeg(NamedTuple):
    """A file, cut into the head, which is changed, and the data, which are not."""

    head: bytes
    """Everything before the data of the first scan, without markers that mean nothing."""
    frame: int
    """The offset in `head` at which the contents of the frame's header begin."""
    coding: int
    """The marker of the frame."""
    data: tuple[int, int]
    """The span of the remaining bytes in the file, without the end marker."""
    is_buffered: bool
    """True if there are several scans, all of which must be read before the first pixel."""

    @property
    def height(self) -> int:
        return int.from_bytes(self.head[self.frame + 1 : self.frame + 3], "big")

    @property
    def sampling(self) -> list[tuple[int, int]]:
        """The sampling of each component, across and down."""
        factors = self.head[self.frame + 7 : self.frame + 6 + 3 * self.head[self.frame + 5] : 3]
        return [(each >> 4, each & 15) for each in factors]

    def higher(self, height: int) -> "_Jpeg":
        """Give the same file with another height in its header."""
        at = self.frame + 1
        return self._replace(head=self.head[:at] + height.to_bytes(2, "big") + self.head[at + 2 :])


def rows_of_jpeg(file: Sliceable) -> Rows:
    """Give the pixels of a JPEG as libvips does: grey, RGB or inverted CMYK.

    Args:
        file: The file, which may lack its end marker, or hold other data after it.

    Returns:
        (H, W, C) of uint8. Missing data are detected when the rows are read.

    Raises:
        ValueError: The file is damaged; also raised while rows are read.
        pyvips.Error: The same.
    """
    jpeg = _parsed(file)
    image = _Stream(file, jpeg).image("error")
    shape = (image.height, image.width, image.bands)
    return Rows(_bands(file, jpeg, shape), shape=shape, dtype=np.uint8)


def _bands(file: Sliceable, jpeg: _Jpeg, shape: tuple[int, int, int]) -> Iterator[Band]:
    height, width, channels = shape
    lines = _lines_needed(jpeg)
    is_exact = lines > height and max(down for _, down in jpeg.sampling) == 1
    if lines > height and not is_exact:  # rows below would change the last row's colours
        _check(file, jpeg.higher(lines), height)
    if jpeg.coding in _ARITHMETIC:
        _check_arithmetic(file, jpeg)
    stream = _Stream(file, jpeg.higher(lines) if is_exact else jpeg)
    region = pyvips.Region.new(stream.image("warning"))  # made in the reading thread
    step = max(_BAND // (width * channels) // _LINES, 1) * _LINES
    for top in range(0, height, step):
        n = min(step, height - top)
        values = np.frombuffer(region.fetch(0, top, width, n), np.uint8)
        if top + n == height:  # before the last rows are given, as no one may ask for more
            stream.check_end()
            if is_exact:
                region.fetch(0, lines - 1, width, 1)
        yield values.reshape(n, width, channels)


def _lines_needed(jpeg: _Jpeg) -> int:
    """Compute the frame height at which libvips sees all warnings, by checking once more.

    It does so by itself if the last row of units is higher than the rows between two checks, or
    if libjpeg decodes a row of units ahead, to smooth colours of half the size.
    """
    height, factors = jpeg.height, jpeg.sampling
    across, down = (max(each[n] for each in factors) for n in (0, 1))
    unit = 8 * down
    last = (height - 1) % unit + 1
    is_ahead = height > unit and (across, down) == (2, 2) and (1, 1) in factors
    is_ahead &= int.from_bytes(jpeg.head[jpeg.frame + 3 : jpeg.frame + 5], "big") > 8
    if jpeg.is_buffered or last > _LINES or is_ahead:
        return height
    return min(height - last + (last + _LINES - 1) // _LINES * _LINES + 1, _MOST_LINES)


def _check(file: Sliceable, jpeg: _Jpeg, height: int) -> None:
    """Read a frame that was made higher, only for the errors that it raises."""
    stream = _Stream(file, jpeg)
    image = stream.image("warning")
    region = pyvips.Region.new(image)
    for top in (*range(0, height, _LINES), jpeg.height - 1):
        region.fetch(0, top, image.width, 1)


def _check_arithmetic(file: Sliceable, jpeg: _Jpeg) -> None:
    """Raise ValueError if the last pixels depend on what follows the data.

    Zeros may be left out at the end of arithmetic codes, so libjpeg does not warn.
    """
    for filler in _FILLERS:
        stream, other = _Stream(file, jpeg), _Stream(file, jpeg, filler=filler)
        if (stream.image("warning") - other.image("error")).abs().max():
            raise ValueError("its data end before its pixels do")


class _Stream:
    """A JPEG for libjpeg to read, which records how far it has been read."""

    def __init__(self, file: Sliceable, jpeg: _Jpeg, *, filler: bytes = b"") -> None:
        self._file, self._head, self._tail = file, jpeg.head, filler + _END
        self._start, self._stop = jpeg.data
        self._counts = not (jpeg.is_buffered or jpeg.coding in _ARITHMETIC)
        self._behind = len(self._head) + self._stop - self._start
        self._at = 0

    def image(self, fail_on: str) -> pyvips.Image:
        """Load the image, once; it needs this object as long as pixels are decoded on demand."""
        self._source = pyvips.SourceCustom()  # kept, as its callbacks go with it
        self._source.on_read(self._read)
        self._source.on_seek(self._seek)
        return pyvips.Image.jpegload_source(self._source, access="sequential", fail_on=fail_on)

    def check_end(self) -> None:
        """Raise ValueError if much data is left: then earlier pixels were made of too little.

        Zeros count too: an interrupted download has them in place of its last part, and they
        decode to pixels.
        """
        if self._counts and self._behind - self._at > _STEP:
            raise ValueError("its data go on behind its last pixels")

    def _read(self, size: int) -> bytes:
        at = self._at
        if at < len(self._head):
            data = self._head[at : at + size]
        elif at < self._behind:
            left = self._behind - at
            start = self._stop - left
            data = self._file[start : start + min(size, max(left - _NEAR, _STEP), left)]
        else:
            data = self._tail[at - self._behind :][:size]
        self._at += len(data)
        return data

    def _seek(self, offset: int, whence: int) -> int:
        begin = (0, self._at, self._behind + len(self._tail))[whence]
        self._at = begin + offset
        return self._at


def _parsed(file: Sliceable) -> _Jpeg:
    """Take a file apart, and correct what libjpeg would warn of needlessly.

    Raises:
        ValueError: Parts are missing.
    """
    parts, length, frame, coding = [file[:2]], 2, 0, 0
    for marker, at, size in segments(file):
        body = file[at : at + size]
        if marker in FRAMES:
            frame, coding = length + 4, marker
            if size < 9 or size < 6 + 3 * body[5]:
                raise ValueError("the header of its frame is not whole")
            if body[5] == 1:  # one component has units of one block, whatever it states
                body = body[:7] + b"\x11" + body[8:]
            n_components = body[5]
        elif body.startswith(b"JFIF\0") and marker == 0xE0 and size > 5:
            body = body[:5] + b"\1" + body[6:]  # other versions mean the same
        elif marker == 0xDA and frame:
            is_buffered = coding in _PROGRESSIVE or body[0] < n_components
            if not is_buffered and len(body) > 3:
                body = body[:-3] + b"\0\x3f\0"  # the scan has all coefficients
            parts.append(segment(marker, body))
            head = b"".join(parts)
            start = at + size
            stop = _end(file) if is_buffered else end_of_scan(file, start)
            if is_buffered:
                _check_scans(file, head[frame : frame + 6 + 3 * n_components])
            while stop > start and file[stop - 1 : stop] == b"\xff":  # fillers, or half a marker
                stop -= 1
            return _Jpeg(head, frame, coding, (start, stop), is_buffered)
        parts.append(segment(marker, body))
        length += len(parts[-1])
    raise ValueError("it has no pixels")


def _end(file: Sliceable) -> int:
    """Find where the end marker stands, or the file ends."""
    return next((each.at - 2 for each in segments(file) if each.marker == 0xD9), len(file))


def _check_scans(file: Sliceable, frame: bytes) -> None:
    """Raise ValueError if a coefficient is in no scan, or lacks its last bits."""
    unknown = {frame[6 + 3 * n]: [_NEVER] * 64 for n in range(frame[5])}
    for marker, at, size in segments(file):
        body = file[at : at + size] if marker == 0xDA else b""
        if not body or size < 4 + 2 * body[0]:
            continue
        n = body[0]
        first, last, precision = body[1 + 2 * n : 4 + 2 * n]
        for component in body[1 : 1 + 2 * n : 2]:
            for k in range(first, min(last, 63) + 1):
                unknown.get(component, [0] * 64)[k] = precision & 15
    if any(map(any, unknown.values())):
        raise ValueError("its scans are not all there")


_NEVER = 99
