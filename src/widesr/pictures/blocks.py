"""Decodes strips and tiles of TIFF files, each completely or with an error.

libtiff only warns of a tile that it cannot decode, and libvips fills the tile with zeros. So each
block is decoded here on its own. Raw blocks, and those that Python has a codec for, are decoded
directly, and their checksums are verified. Other blocks go to libvips as the strips of a file made
for them, whose directory gives no cause for a warning: so any warning there means damage.
"""

import lzma
from collections import deque
from collections.abc import Iterator
from itertools import chain
from math import prod
from typing import Any

import numpy as np
import pyvips
from isal import isal_zlib
from numpy.typing import NDArray

from widesr.pictures.feed import rows_of_image
from widesr.pictures.jpegrows import rows_of_jpeg
from widesr.pictures.jpegs import jpeg_of_block, whole_jpeg
from widesr.pictures.raster import (
    DEFLATE,
    DRAWN,
    LOSSY,
    LZMA,
    LZW,
    NONE,
    OLD_JPEG,
    WEBP,
    Raster,
)
from widesr.pictures.tiff import Sliceable, Tree, head_of_strips, integers
from widesr.pixels.rows import Band, Rows

Bytes = NDArray[np.uint8]

_STEP = 2**20
"""The approximate number of bytes that are unpacked together."""
_BATCH = 2**22
"""The approximate size of the strips that libvips decodes in one go, in bytes."""
_FROM_BELOW = bytes(int(f"{n:08b}"[::-1], 2) for n in range(256))
"""Each byte with its bits reversed."""
_MOST_MEMORY = 2**28
"""The most memory that LZMA may use, in bytes."""


def decoded_plane(raster: Raster, file: Sliceable, plane: int) -> Rows:
    """Decode the sample values of a page, or of one of its planes.

    Returns:
        (H, W, C) of uint8, or of uint16 for more than 8 bits, with the values of the file. Missing
        data are detected when the rows are read.

    Raises:
        ValueError: A block is damaged; also raised while rows are read.
        pyvips.Error: The same.
    """
    places = raster.places[plane]
    shape = (raster.height, raster.width, raster.block_samples)
    stream = whole_jpeg(raster, file) if raster.compression == OLD_JPEG else None
    if stream is not None:
        bands = _drawn(stream, "jpeg", shape)
    elif not raster.is_tiled:
        bands = _strips(raster, file, places)
    else:
        bands = _tiles(raster, file, places)
    return Rows(bands, shape=shape, dtype=_dtype(raster))


def _dtype(raster: Raster) -> np.dtype[Any]:
    return np.dtype(np.uint8 if raster.bits <= 8 else np.uint16)


def _strips(raster: Raster, file: Sliceable, places: NDArray[np.uint64]) -> Iterator[Band]:
    """Give the rows of strips; several low strips are decoded together."""
    height, width = raster.block
    per = max(_BATCH // max(height * width * raster.block_samples * raster.bits // 8, 1), 1)
    for first in range(0, len(places), per):
        these = places[first : first + per]
        rows = min(raster.height - first * height, len(these) * height)
        yield from _block(raster, file, these, rows)


def _tiles(raster: Raster, file: Sliceable, places: NDArray[np.uint64]) -> Iterator[Band]:
    """Give the rows of tiles: several tile rows at once if tiles are small, else part of one."""
    (height, width), channels = raster.block, raster.block_samples
    across = -(-raster.width // width)
    row_bytes = across * height * width * channels * _dtype(raster).itemsize
    per = across * (_BATCH // row_bytes)
    for first in range(0, len(places), per or across):
        rows = raster.height - first // across * height
        if per:
            these = places[first : first + per]
            bands = _block(raster, file, these, len(these) * height)
            stack = np.concatenate(list(bands)).reshape(-1, across, height, width, channels)
            row = stack.swapaxes(1, 2).reshape(-1, across * width, channels)
            yield row[:rows, : raster.width]
        else:
            these = places[first : first + across]
            for row in _side_by_side(raster, file, these, min(rows, height)):
                yield row[:, : raster.width]


def _side_by_side(
    raster: Raster, file: Sliceable, places: NDArray[np.uint64], rows: int
) -> Iterator[Band]:
    """Give the first `rows` rows of tiles that lie side by side, a few rows at a time."""
    shape, dtype = (*raster.block, raster.block_samples), _dtype(raster)
    tiles = [
        Rows(_block(raster, file, place, shape[0]), shape=shape, dtype=dtype)
        for place in places[:, np.newaxis]
    ]
    step = max(_BATCH // (len(tiles) * prod(shape[1:]) * dtype.itemsize), 1)
    for top in range(0, rows, step):
        bottom = min(top + step, rows)
        row = np.concatenate([tile.read(top, bottom) for tile in tiles], axis=1)
        if bottom == rows:  # before the last rows are given, to check what follows them
            for tile in tiles:
                deque(tile, maxlen=0)
        yield row


def _block(
    raster: Raster, file: Sliceable, places: NDArray[np.uint64], rows: int
) -> Iterator[Band]:
    """Decode blocks that lie one below the other, (n, W, C); only the last may be lower."""
    (height, width), channels = raster.block, raster.block_samples
    pieces = (_read(raster, file, *map(int, place)) for place in places)
    if raster.compression in LOSSY:
        kind = "webp" if raster.compression == WEBP else "jpeg"
        for n, piece in enumerate(pieces):
            low = min(height, rows - n * height)
            if kind == "jpeg":
                piece = jpeg_of_block(raster, file, piece, height=low)
            yield from _drawn(piece, kind, (low, width, channels))
        return
    if raster.compression in DRAWN:
        bits = DRAWN[raster.compression]
        for band in _by_libtiff(raster, list(pieces), rows, width, height, bits=bits):
            yield band[..., np.newaxis] // (255 // (2**bits - 1))
        return
    across, down = raster.subsampling
    if (across, down) != (1, 1):
        units = -(-width // across)
        low = -(-height // down)
        lines = _lines(raster, file, places, -(-rows // down), low, units * (across * down + 2))
        left = rows
        for numbers in lines:
            band = _spread(numbers, units, across, down)[:left, :width]
            left -= len(band)
            yield band
        return
    for numbers in _lines(raster, file, places, rows, height, width * channels):
        band = numbers.reshape(len(numbers), width, channels)
        if raster.horizontal:
            band = np.add.accumulate(band, axis=1, dtype=band.dtype)
        yield band


def _spread(numbers: Band, units: int, across: int, down: int) -> Band:
    """Give each pixel its Y, and the Cb and Cr that it shares with its neighbours."""
    n, size = len(numbers), across * down
    data = numbers.reshape(n, units, size + 2)
    y = data[..., :size].reshape(n, units, down, across).swapaxes(1, 2)
    wide = data[..., size:].repeat(across, axis=1).repeat(down, axis=0)
    return np.concatenate([y.reshape(n * down, units * across, 1), wide], axis=2)


def _read(raster: Raster, file: Sliceable, offset: int, count: int) -> bytes:
    data = file[offset : offset + count]
    if len(data) < count:
        raise ValueError("the file has become shorter")
    if raster.reversed_bits and raster.compression not in LOSSY:
        data = data.translate(_FROM_BELOW)
    return data


def _lines(
    raster: Raster,
    file: Sliceable,
    places: NDArray[np.uint64],
    lines: int,
    per_block: int,
    numbers: int,
) -> Iterator[Band]:
    """Unpack `lines` lines of `numbers` values, (n, numbers); each line begins at a whole byte."""
    size = -(-numbers * raster.bits // 8)
    heights = [min(per_block, lines - top) for top in range(0, lines, per_block)]
    if raster.compression in (NONE, LZMA, *DEFLATE):
        parts: Iterator[Bytes] = chain.from_iterable(
            _unpacked(raster, file, int(offset), int(count), height, size)
            for (offset, count), height in zip(places, heights, strict=True)
        )
    else:
        blocks = [_read(raster, file, int(offset), int(count)) for offset, count in places]
        parts = _by_libtiff(raster, blocks, lines, size, per_block)
    for part in parts:
        yield _numbers(part, numbers, raster)


def _unpacked(
    raster: Raster, file: Sliceable, offset: int, count: int, lines: int, size: int
) -> Iterator[Bytes]:
    """Give a block's bytes, (n, size), piece by piece, if it is raw or Python has its codec."""
    step = max(_STEP // size, 1)
    if raster.compression == NONE:
        if count < lines * size:
            raise ValueError(_CUT_SHORT)
        for top in range(0, lines, step):
            n = min(step, lines - top)
            data = _read(raster, file, offset + top * size, n * size)
            yield np.frombuffer(data, np.uint8).reshape(n, size)
        return
    source = (
        _read(raster, file, at, min(_STEP, offset + count - at))
        for at in range(offset, offset + count, _STEP)
    )
    inflate = _Inflate(source, is_lzma=raster.compression == LZMA)
    for top in range(0, lines, step):
        n = min(step, lines - top)
        data = inflate.read(n * size)
        if top + n == lines:  # before the last piece is given, as no one may ask for more
            inflate.check_end(most=raster.block[0] * size)
        yield np.frombuffer(data, np.uint8).reshape(n, size)


class _Inflate:
    """A compressed stream that is read piece by piece."""

    def __init__(self, source: Iterator[bytes], *, is_lzma: bool) -> None:
        self._pieces = _inflated_lzma(source) if is_lzma else _inflated(source)
        self._left = b""

    def read(self, size: int) -> bytes:
        """Read exactly `size` bytes.

        Raises:
            ValueError: Fewer bytes are left, or they are damaged.
        """
        parts = [self._left[:size]]
        missing = size - len(parts[0])
        self._left = self._left[size:]
        while missing:
            piece = self._next()
            if not piece:
                raise ValueError("a block has fewer pixels than it should")
            parts.append(piece[:missing])
            self._left = piece[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def check_end(self, *, most: int) -> None:
        """Read to the end, where the checksum is; padding may follow the last rows."""
        most -= len(self._left)
        while piece := self._next():
            most -= len(piece)
            if most < 0:
                raise ValueError("a block has more pixels than it should")

    def _next(self) -> bytes:
        try:
            return next(self._pieces, b"")
        except (isal_zlib.error, lzma.LZMAError) as error:  # type: ignore[misc] # by ISA-L's stub
            raise ValueError("a block cannot be decoded") from error


def _inflated(source: Iterator[bytes]) -> Iterator[bytes]:
    """Give pieces of at most `_STEP` bytes."""
    codec = isal_zlib.decompressobj()
    while not codec.eof:
        data = codec.unconsumed_tail or next(source, b"")
        made = codec.decompress(data, _STEP)
        if made:
            yield made
        elif codec.unconsumed_tail == data and not codec.eof:
            raise ValueError(_CUT_SHORT)


def _inflated_lzma(source: Iterator[bytes]) -> Iterator[bytes]:
    codec = lzma.LZMADecompressor(memlimit=_MOST_MEMORY)
    while not codec.eof:
        data = next(source, b"") if codec.needs_input else b""
        if codec.needs_input and not data:
            raise ValueError(_CUT_SHORT)
        if made := codec.decompress(data, _STEP):
            yield made


_CUT_SHORT = "a block ends before its pixels do"


def _numbers(lines: Bytes, count: int, raster: Raster) -> Band:
    """Unpack values of any bit depth, (n, bytes) to (n, count)."""
    bits = raster.bits
    if bits == 8:
        return lines
    if bits == 16:
        return lines.view(raster.order + "u2").astype(np.uint16)
    flat = np.unpackbits(lines, axis=1, count=count * bits)
    if bits == 1:
        return flat
    wide = 8 if bits < 8 else 16
    padded = np.zeros((len(lines), count, wide), np.uint8)
    padded[..., wide - bits :] = flat.reshape(len(lines), count, bits)
    made = np.packbits(padded, axis=2)
    return made[..., 0] if wide == 8 else made.view(">u2")[..., 0].astype(np.uint16)


def _by_libtiff(
    raster: Raster, blocks: list[bytes], lines: int, width: int, per_block: int, *, bits: int = 8
) -> Iterator[Bytes]:
    """Decode blocks as strips of a grey picture, (n, width); most codecs have bytes as pixels."""
    tree: Tree = {
        256: integers(4, width),
        257: integers(4, lines),
        258: integers(3, bits),
        259: integers(3, raster.compression),
        262: integers(3, 1),
        277: integers(3, 1),
        278: integers(4, per_block),
    }
    if bits == 1:
        tree[293 if raster.compression == 4 else 292] = integers(4, raster.options)
    head = head_of_strips(tree, [len(block) for block in blocks])
    # libtiff always warns of old-style LZW, whose bits are in reverse order
    is_old = raster.compression == LZW and any(
        block[0] == 0 and block[1:2] and block[1] & 1 for block in blocks
    )
    image = pyvips.Image.tiffload_buffer(
        b"".join([head, *blocks]),
        access="sequential",
        unlimited=True,
        fail_on="error" if is_old else "warning",
    )
    for band in rows_of_image(image):
        yield band[..., 0]


def _drawn(stream: bytes, kind: str, shape: tuple[int, int, int]) -> Iterator[Band]:
    """Decode a block that is itself a picture, in another format."""
    left, width, channels = shape
    rows = rows_of_jpeg(stream) if kind == "jpeg" else _rows_of_webp(stream, channels)
    if rows.width != width or rows.height < left:
        raise ValueError(f"a block is {rows.width}x{rows.height}, expected {width}x{left}")
    if rows.channels != channels:
        raise ValueError(f"a block has {rows.channels} channels, expected {channels}")
    for band in rows:  # to the end, where missing data are detected
        if left > 0:
            band = band[:left]
            yield np.invert(band) if (kind, channels) == ("jpeg", 4) else band  # as libvips has it
        left -= len(band)


def _rows_of_webp(stream: bytes, channels: int) -> Rows:
    image = pyvips.Image.webpload_buffer(stream, access="sequential", fail_on="warning")
    if (image.bands, channels) == (3, 4):
        image = image.bandjoin(255)
    return rows_of_image(image)
