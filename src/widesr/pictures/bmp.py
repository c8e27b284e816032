"""Reads BMP pictures, which libvips' wheel does not: first the header, then the pixels."""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ImageFormatError
from widesr.pictures.picture import Bitmap
from widesr.pictures.sources import PictureFile
from widesr.pictures.tiff import Sliceable
from widesr.pixels.depth import stretched
from widesr.pixels.rows import Pixels


class _Dib(NamedTuple):
    """The header after the first 14 bytes, in any of its versions."""

    size: int
    width: int
    height: int
    """The height of the picture; rows run upwards unless `downwards`."""
    downwards: bool
    bits: int
    """The number of bits per pixel."""
    packing: int
    """0: none, 1: RLE8, 2: RLE4, 3 and 6: channels by masks."""
    n_colours: int
    """The number of colours in the palette; 0 means as many as there can be."""
    dots: tuple[int, int]
    """Pixels per metre; 0 if not stated."""


_DIB_SIZES = (12, 40, 52, 56, 64, 108, 124)


class _Headed:
    """A bare DIB, presented as the BMP file that it would be."""

    def __init__(self, file: Sliceable) -> None:
        self._file = file
        size, bits, packing, n_colours = struct.unpack("<I10xHI12xI", file[:36])
        masks = {3: 12, 6: 16}.get(packing, 0) if size == 40 else 0
        palette = 4 * (n_colours or 2**bits) if bits <= 8 else 4 * n_colours
        self._head = struct.pack("<2sI4xI", b"BM", len(self), 14 + size + masks + palette)

    def __len__(self) -> int:
        return 14 + len(self._file)

    def __getitem__(self, span: slice) -> bytes:
        start, stop, _ = span.indices(len(self))
        return self._head[start:stop] + self._file[max(start - 14, 0) : max(stop - 14, 0)]


def open_bmp(given: PictureFile) -> Bitmap:
    """Read the header of a file whose first bytes mark it as BMP.

    Raises:
        ValueError: The file is damaged or cut short; also raised while its pixels are decoded.
        ImageFormatError: The file is of an unsupported variant.
    """
    file = given if given[:2] == b"BM" else _Headed(given)
    head = file[: 14 + max(_DIB_SIZES) + 16]
    try:
        dib = _dib(head)
        start = struct.unpack_from("<I", head, 10)[0]
        masks = _masks(dib, head)
    except struct.error as error:
        raise ValueError("its header is not whole") from error
    if not (dib.width > 0 and dib.height > 0):
        raise ValueError(f"it claims {dib.width}x{dib.height} pixels")
    known = {0: (1, 2, 4, 8, 16, 24, 32), 1: (8,), 2: (4,), 3: (16, 32), 6: (16, 32)}
    if dib.bits not in known.get(dib.packing, ()) or (dib.size == 64 and dib.packing):
        raise ImageFormatError(
            f"{given.path}: this is BMP of {dib.bits} bits packed by method {dib.packing}, which "
            "is not read; open it in another program and save it as PNG or TIFF"
        )

    def decode() -> Pixels:
        is_packed = dib.packing in (1, 2)
        numbers = _unpacked(file[start:], dib) if is_packed else _plain(file, start, dib)
        if dib.bits > 8:
            return _channels(numbers, dib, masks)
        palette = _palette(file, dib)
        if numbers.max() >= len(palette):
            raise ValueError("a pixel has a colour that is not in its palette")
        if (palette == palette[:, :1]).all():
            palette = palette[:, :1]
        return palette[numbers]

    across, down = dib.dots
    return Bitmap(
        width=dib.width,
        height=dib.height,
        pixel_bytes=len(masks) * (2 if max(map(int.bit_count, masks)) > 8 else 1),
        decode=decode,
        icc=_profile(dib, file, head),
        pixels_per_mm=(across / 1000, down / 1000) if across > 0 and down > 0 else None,
    )


def _dib(head: bytes) -> _Dib:
    size = struct.unpack_from("<I", head, 14)[0]
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HhHH", head, 18)
        return _Dib(size, width, abs(height), height < 0, bits, 0, 0, (0, 0))
    if size not in _DIB_SIZES:
        raise ValueError(f"its header of {size} bytes is of no known kind")
    width, height, _, bits, packing, _, across, down, n_colours = struct.unpack_from(
        "<iiHHIIiiI", head, 18
    )
    return _Dib(size, width, abs(height), height < 0, bits, packing, n_colours, (across, down))


def _masks(dib: _Dib, head: bytes) -> tuple[int, ...]:
    """Give the masks of red, green, blue and, if there is any, alpha."""
    if dib.packing in (3, 6):
        n = 4 if dib.packing == 6 or dib.size >= 56 else 3
        masks = struct.unpack_from(f"<{n}I", head, 54)
        return masks if n == 3 or masks[3] else masks[:3]
    return (0x7C00, 0x3E0, 0x1F) if dib.bits == 16 else (0xFF0000, 0xFF00, 0xFF)


def _plain(file: Sliceable, start: int, dib: _Dib) -> NDArray[np.unsignedinteger]:
    """Read one number per pixel from the top, (H, W), or three of 8 bits for 24, (H, W, 3)."""
    row = (dib.width * dib.bits + 31) // 32 * 4
    if len(file) - start < row * (dib.height - 1) + (dib.width * dib.bits + 7) // 8:
        raise ValueError("its pixels are not all there")
    data = file[start : start + row * dib.height].ljust(row * dib.height, b"\0")
    rows = np.frombuffer(data, np.uint8).reshape(dib.height, row)
    rows = rows if dib.downwards else rows[::-1]
    if dib.bits == 24:
        return rows[:, : 3 * dib.width].reshape(dib.height, dib.width, 3)
    if dib.bits >= 8:
        return np.ascontiguousarray(rows).view(f"<u{dib.bits // 8}")[:, : dib.width]
    bits = np.unpackbits(rows, axis=1, count=dib.width * dib.bits)
    weights = 1 << np.arange(dib.bits - 1, -1, -1, dtype=np.uint8)
    bits = bits.reshape(dib.height, dib.width, dib.bits)
    numbers: NDArray[np.uint8] = bits @ weights
    return numbers


def _channels(numbers: NDArray[np.unsignedinteger], dib: _Dib, masks: tuple[int, ...]) -> Pixels:
    """Split pixels into channels: (H, W, 3), or (H, W, 4) with alpha."""
    if dib.bits == 24:
        return numbers[..., ::-1].astype(np.uint8)
    planes = []
    for mask in masks:
        unused = (mask & -mask).bit_length() - 1 if mask else 0
        shift = max(unused, mask.bit_length() - 16)
        values = (numbers & np.uint32(mask)) >> np.uint32(shift)
        planes.append(stretched(values, max(mask >> shift, 1)))
    if any(plane.dtype == np.uint16 for plane in planes):
        planes = [p if p.dtype == np.uint16 else p.astype(np.uint16) * 257 for p in planes]
    return np.stack(planes, axis=2)


def _palette(file: Sliceable, dib: _Dib) -> NDArray[np.uint8]:
    """Read the palette, (N, 3), RGB."""
    at, step, most = 14 + dib.size, 3 if dib.size == 12 else 4, 2**dib.bits
    n = min(dib.n_colours, most) or most
    data = file[at : at + n * step]
    if len(data) < n * step:
        raise ValueError("its palette is not whole")
    return np.frombuffer(data, np.uint8).reshape(n, step)[:, 2::-1]


def _profile(dib: _Dib, file: Sliceable, head: bytes) -> bytes | None:
    if dib.size < 124 or head[70:74] != b"DEBM":  # "MBED" as a little-endian number
        return None
    offset, size = struct.unpack_from("<II", head, 126)
    return file[14 + offset : 14 + offset + size] or None


def _unpacked(data: bytes, dib: _Dib) -> NDArray[np.uint8]:
    """Decode run lengths to numbers from the top, (H, W); pixels that no run covers are 0."""
    wide, rle4 = dib.width, dib.bits == 4
    out = np.zeros((dib.height, wide), np.uint8)
    x, y, at = 0, 0, 0

    def put(pixels: NDArray[np.uint8]) -> None:
        nonlocal x
        if y < dib.height:
            out[y, x : x + len(pixels)] = pixels[: max(wide - x, 0)]
        x += len(pixels)

    while True:
        if at + 2 > len(data):
            raise ValueError("its pixels are not all there")
        count, value = data[at], data[at + 1]
        at += 2
        if count:
            pair = (value >> 4, value & 15) if rle4 else (value, value)
            put(np.resize(np.array(pair, np.uint8), count))
        elif value == 0:
            x, y = 0, y + 1
        elif value == 1:
            break
        elif value == 2:
            if at + 2 > len(data):
                raise ValueError("its pixels are not all there")
            x, y, at = x + data[at], y + data[at + 1], at + 2
        else:
            size = (value + 1) // 2 if rle4 else value
            raw = np.frombuffer(data[at : at + size], np.uint8)
            if len(raw) < size:
                raise ValueError("its pixels are not all there")
            put(np.stack([raw >> 4, raw & 15], axis=1).ravel()[:value] if rle4 else raw)
            at += size + size % 2
    return out if dib.downwards else out[::-1]
