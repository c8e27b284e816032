"""Reads Netpbm pictures, which libvips' wheel does not: first the header, then the pixels."""

import re

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ImageFormatError
from widesr.pictures.picture import Bitmap
from widesr.pictures.sources import PictureFile
from widesr.pixels.depth import stretched
from widesr.pixels.rows import Pixels
from widesr.system.files import FileBytes

_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(
    rb"P(?:([14])%b(\d{1,9})%b(\d{1,9})|([2356])%b(\d{1,9})%b(\d{1,9})%b(\d{1,9}))\s"
    % ((_GAP,) * 5)
)
_PAM_HEADER = re.compile(rb"P7\s(?:[^\n]*\n){1,64}?\s*ENDHDR[^\S\n]*\n")


def open_netpbm(file: PictureFile) -> Bitmap:
    """Read the header of a file whose first bytes mark it as Netpbm.

    Raises:
        ValueError: The file is damaged or cut short; also raised while its pixels are decoded.
        ImageFormatError: The file is of an unsupported variant.
    """
    if file[:2] == b"P7":
        return _open_pam(file)
    found = _HEADER.match(file[:65536])
    if found is None:
        raise ValueError("its header is not whole")
    variant, width, height, top = (
        (*map(int, found.group(1, 2, 3)), 1) if found[1] else map(int, found.group(4, 5, 6, 7))
    )
    if not (width and height and 0 < top < 65536):
        raise ValueError(f"it claims {width}x{height} pixels up to {top}")
    shape = (height, width, 3 if variant in (3, 6) else 1)

    def decode() -> Pixels:
        read = {1: _plain_bits, 2: _plain_numbers, 3: _plain_numbers, 4: _raw_bits}
        values, end = read.get(variant, _raw_numbers)(file, found.end(), shape, top)
        _check_last(file, end)
        return _checked(1 - values if variant in (1, 4) else values, top)

    pixel_bytes = shape[2] * (2 if top > 255 else 1)
    return Bitmap(width=width, height=height, pixel_bytes=pixel_bytes, decode=decode)


def _open_pam(file: PictureFile) -> Bitmap:
    """Open PAM like PGM or PPM, with or without alpha; its tuple type adds nothing to its depth."""
    found = _PAM_HEADER.match(file[:65536])
    if found is None:
        raise ValueError("its header is not whole")
    lines = (line.split(None, 1) for line in found[0].split(b"\n") if line[:1] != b"#")
    said = {line[0]: line[1].strip() for line in lines if len(line) == 2}
    names = (b"HEIGHT", b"WIDTH", b"DEPTH", b"MAXVAL")
    numbers = [said.get(name, b"") for name in names]
    if not all(re.fullmatch(rb"\d{1,9}", number) for number in numbers):
        raise ValueError("its header has no number for each of its sides")
    height, width, channels, top = map(int, numbers)
    if not (width and height and channels and 0 < top < 65536):
        raise ValueError(f"it claims {width}x{height}x{channels} values up to {top}")
    if channels > 4:
        raise ImageFormatError(
            f"{file.path}: has {channels} channels, expected grey or RGB, with or without alpha; "
            "save it as RGB"
        )
    shape = (height, width, channels)

    def decode() -> Pixels:
        values, end = _raw_numbers(file, found.end(), shape, top)
        _check_last(file, end)
        return _checked(values, top)

    pixel_bytes = channels * (2 if top > 255 else 1)
    return Bitmap(width=width, height=height, pixel_bytes=pixel_bytes, decode=decode)


def _check_last(file: PictureFile, end: int) -> None:
    if re.match(rb"\s*P[1-7]\s", file[end : end + 64]):
        raise ImageFormatError(
            f"{file.path}: holds more than one picture, one was expected; save the one that you "
            "want as PNG"
        )


def _checked(values: NDArray[np.unsignedinteger], top: int) -> Pixels:
    if values.max() > top:
        raise ValueError(f"a value is above {top}, its maximum")
    return stretched(values, top)


_Shape = tuple[int, int, int]
_Values = tuple[NDArray[np.unsignedinteger], int]
"""The values of a picture, and the offset at which they end in the file."""


def _taken(file: FileBytes, at: int, size: int) -> bytes:
    if len(file) - at < size:
        raise ValueError("its pixels are not all there")
    return file[at : at + size]


def _raw_bits(file: FileBytes, at: int, shape: _Shape, _: int) -> _Values:
    height, width, _ = shape
    row = -(-width // 8)
    data = np.frombuffer(_taken(file, at, row * height), np.uint8).reshape(height, row)
    return np.unpackbits(data, axis=1, count=width)[..., None], at + row * height


def _raw_numbers(file: FileBytes, at: int, shape: _Shape, top: int) -> _Values:
    dtype = np.dtype(">u2" if top > 255 else "u1")
    size = shape[0] * shape[1] * shape[2] * dtype.itemsize
    return np.frombuffer(_taken(file, at, size), dtype).reshape(shape), at + size


_BLOCK = 2**20
"""Bytes of text that are read at once; a list of all numbers would be 20 times the file's size."""
_LONGEST = 20


def _plain_bits(file: FileBytes, at: int, shape: _Shape, _: int) -> _Values:
    count, parts = shape[0] * shape[1], []
    _taken(file, at, count)
    while count > 0 and (block := file[at : at + _BLOCK]):
        digits = np.frombuffer(block.translate(None, b" \t\n\r\v\f"), np.uint8) - 48
        parts.append(digits[:count])
        count -= len(digits)
        at += len(block)
    return _joined(parts, shape), len(file)


def _plain_numbers(file: FileBytes, at: int, shape: _Shape, _: int) -> _Values:
    count, parts, rest = shape[0] * shape[1] * shape[2], [], b""
    _taken(file, at, 2 * count - 1)
    while count > 0:
        block = file[at : at + _BLOCK]
        at += len(block)
        numbers = (rest + block).split()
        rest = numbers.pop() if numbers and block and not block[-1:].isspace() else b""
        if len(rest) > _LONGEST or any(
            len(each) > _LONGEST or not each.isdigit() for each in numbers
        ):
            raise ValueError("a value is not a number")
        parts.append(np.array([min(int(each), 65536) for each in numbers[:count]], np.uint32))
        count -= len(numbers)
        if not block:
            break
    return _joined(parts, shape), len(file)


def _joined(parts: list[NDArray[np.unsignedinteger]], shape: _Shape) -> NDArray[np.unsignedinteger]:
    if sum(map(len, parts)) < shape[0] * shape[1] * shape[2]:
        raise ValueError("its pixels are not all there")
    return np.concatenate(parts).reshape(shape)
