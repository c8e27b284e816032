"""Writes PNG files piece by piece as rows arrive, and walks the chunks of any PNG file.

libvips writes PNG too, but in several times the processor time, which a fast network does not
leave; `benchmarks/png.py` compares. Most of the time goes into ISA-L's deflate; the filter before
it is chosen by trial on a sample of each piece of the picture.

Source: Portable Network Graphics (PNG) Specification, third edition (W3C, 2025).
"""

import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, takewhile

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from widesr.pictures.tiff import Sliceable
from widesr.pixels.rows import Rows

Bytes = NDArray[np.uint8]

MARK = b"\x89PNG\r\n\x1a\n"
"""The beginning of every PNG file."""
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""The colour type by channels: grey, grey and alpha, RGB, RGB and alpha."""
_PIECE = 2**18
"""The approximate number of bytes filtered together: with their result they fit in a cache."""
_SAMPLE = 16
"""One in this many rows of a piece is compressed with every filter, to choose one."""
_LEVEL = 2
"""The level of ISA-L, 0 to 3: photographs are smallest with 2, and 3 takes half as long again."""

MOST_ASPECT = 10_000
"""The largest ratio between the pixels across and down that counts as plausible."""


def stream_png(
    rows: Rows,
    *,
    icc: bytes | None = None,
    pixels_per_mm: tuple[float, float] | None = None,
    aspect: tuple[float, float] | None = None,
    chunks: bytes = b"",
) -> Iterator[bytes]:
    """Encode a streamed picture.

    Args:
        rows: uint8 or uint16, (H, W, C): grey or RGB, then alpha if there is any.
        icc: A profile for the same number of channels.
        pixels_per_mm: The resolution across and down.
        aspect: Pixels per length across and down, if the length is not known.
        chunks: Other chunks, complete, that go before the pixels.

    Yields:
        The pieces of the file, in order.
    """
    depth = 8 * rows.dtype.itemsize
    kind = _COLOUR_TYPES[rows.channels]
    yield MARK
    yield chunk(b"IHDR", struct.pack(">2I5B", rows.width, rows.height, depth, kind, 0, 0, 0))
    yield chunks
    if icc:
        yield chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if pixels_per_mm:
        yield chunk(b"pHYs", struct.pack(">2IB", *(round(1000 * n) for n in pixels_per_mm), 1))
    elif aspect:
        ratio = Fraction(aspect[0] / aspect[1]).limit_denominator(MOST_ASPECT)
        yield chunk(b"pHYs", struct.pack(">2IB", *ratio.as_integer_ratio(), 0))
    deflate = isal_zlib.compressobj(_LEVEL)
    for lines in _filtered(rows):
        if data := deflate.compress(lines):
            yield chunk(b"IDAT", data)
    yield chunk(b"IDAT", deflate.flush())
    yield chunk(b"IEND", b"")


Chunk = tuple[bytes, int, int]
"""The name of a chunk, and the place and size of its contents in the file."""
_MOST_CHUNKS = 2**20
"""The most chunks, far more than any file has: a crafted file must not keep us busy."""
_MOST_BEFORE_PIXELS = 10_000


def walk_chunks(file: Sliceable) -> Iterator[Chunk]:
    """Walk through all chunks of a PNG file; the last may be cut short."""
    at, start, block = len(MARK), 0, b""
    for _ in range(_MOST_CHUNKS):
        if at + 8 > start + len(block):
            start, block = at, file[at : at + 4096]  # thousands of empty chunks must not take long
        head = block[at - start : at - start + 8]
        if len(head) < 8:
            return
        size = int.from_bytes(head[:4], "big")
        yield head[4:], at + 8, size
        at += 12 + size


def chunks_before_pixels(file: Sliceable) -> Iterator[Chunk]:
    """Walk through the chunks that stand before the first pixels."""
    chunks = islice(walk_chunks(file), _MOST_BEFORE_PIXELS)
    return takewhile(lambda chunk: chunk[0] != b"IDAT", chunks)


def chunk(name: bytes, data: bytes) -> bytes:
    """Build a chunk."""
    return (
        struct.pack(">I", len(data))
        + name
        + data
        + struct.pack(">I", isal_zlib.crc32(data, isal_zlib.crc32(name)))
    )


def _filtered(rows: Rows) -> Iterator[Bytes]:
    """Give the filtered lines, (n, 1 + bytes of a row), each with its filter's number first."""
    step = rows.channels * rows.dtype.itemsize
    above = np.zeros((1, rows.width * step), np.uint8)
    for lines in _lines(rows):
        raw = np.concatenate([above, lines])
        least = max(len(lines) // _SAMPLE, 1)
        filter_ = min(_FILTERS, key=lambda each: _size(each, raw[: least + 1], step))
        yield _through(filter_, raw, step)
        above = lines[-1:]


def _lines(rows: Rows) -> Iterator[Bytes]:
    """Cut the picture into pieces, (n, bytes of a row), most significant byte first."""
    row_bytes = rows.width * rows.channels * rows.dtype.itemsize
    height = max(_PIECE // row_bytes, 1)
    big_endian = rows.dtype.newbyteorder(">")
    for piece in rows.chunks(height):  # the same file to the byte, whatever the bands
        ordered = np.ascontiguousarray(piece, big_endian)
        yield ordered.view(np.uint8).reshape(len(piece), row_bytes)


_NONE, _UP, _AVERAGE = _FILTERS = (0, 2, 3)
"""The filters by their numbers in the file.

Sub (1) is never much better than the best of these. Paeth (4) saves at most three hundredths of a
photograph's size, and takes three times as long as everything else."""


def _size(filter_: int, raw: Bytes, step: int) -> int:
    return len(isal_zlib.compress(_through(filter_, raw, step), _LEVEL))


def _through(filter_: int, raw: Bytes, step: int) -> Bytes:
    """Subtract a filter's prediction from each byte.

    Args:
        filter_: The filter's number.
        raw: Lines, of which the first only predicts the next.
        step: The number of bytes per pixel.
    """
    lines, above = raw[1:], raw[:-1]
    out = np.empty((len(lines), 1 + lines.shape[1]), np.uint8)
    out[:, 0] = filter_
    if filter_ == _NONE:
        out[:, 1:] = lines
        return out
    if filter_ == _UP:
        np.subtract(lines, above, out=out[:, 1:])
        return out
    left = np.zeros_like(lines)
    left[:, step:] = lines[:, :-step]
    half = left ^ above  # half the sum, rounded down, without a ninth bit
    half >>= 1
    half += left & above
    np.subtract(lines, half, out=out[:, 1:])
    return out
