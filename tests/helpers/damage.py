"""Damage to picture files as disks, networks and attackers do it: traps, and damage by a seed."""

import random
import re
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from samples import RGB, by_pillow, chunk, pillow_image, png, smooth, tiff

MIB = 2**20


def jpeg_of(width: int, height: int, **options: object) -> bytes:
    """Make a JPEG whose header claims a size that its data do not have."""
    data = bytearray(by_pillow(pillow_image(smooth()), "JPEG", **options))
    at = re.search(rb"\xff[\xc0\xc2]", data).start() + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_of_many_scans(width: int, height: int) -> bytes:
    """A progressive JPEG whose last scan comes 2000 times: each is a way through the picture."""
    data = jpeg_of(width, height, progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 2000 + data[-2:]


def tiff_of(entries: list[tuple[int, int, int, int]], *, following: int = 0) -> bytes:
    """Make a TIFF with one directory of (tag, type, count, value)."""
    rows = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return (
        b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + rows + struct.pack("<I", following)
    )


PLAIN = {256: 9, 257: 9, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 9, 279: 81}
_SHORTS = {258, 259, 262, 277}


def plain_tiff(**changed: int) -> list[tuple[int, int, int, int]]:
    """Return the directory of a 9x9 picture, with other values for tags, named as t256."""
    values = PLAIN | {int(tag[1:]): value for tag, value in changed.items()}
    return [(tag, 3 if tag in _SHORTS else 4, 1, value) for tag, value in values.items()]


def strips_on_the_same_bytes(rows: int = 16_000) -> bytes:
    """A TIFF of 256 megapixels in 200 kB, as each of its strips is the same."""
    shared = b"II*\0" + bytes(4 + rows)
    offsets = struct.pack(f"<{rows}I", *[8] * rows) + struct.pack(f"<{rows}I", *[rows] * rows)
    table = {entry[0]: entry for entry in plain_tiff(t256=rows, t257=rows)}
    table |= {273: (273, 4, rows, len(shared)), 278: (278, 4, 1, 1)}
    table |= {279: (279, 4, rows, len(shared) + 4 * rows)}
    bomb = shared + offsets + tiff_of(list(table.values()))[8:]
    return bomb[:4] + struct.pack("<I", len(shared) + 8 * rows) + bomb[8:]


def many_directories(n: int = 30_000) -> bytes:
    """Make a TIFF of so many pages, one after the other."""
    one = tiff_of(plain_tiff())[8:-4]
    step = len(one) + 4
    pages = (one + struct.pack("<I", 8 + (i + 1) * step if i < n - 1 else 0) for i in range(n))
    return b"II*\0\x08\0\0\0" + b"".join(pages)


def many_frames(n: int = 100_000) -> bytes:
    """Make a GIF of so many frames of one pixel."""
    frame = b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    return b"GIF89a\x40\0\x40\0\x80\0\0\0\0\0\xff\xff\xff" + frame * n + b";"


def traps() -> list[bytes]:
    """Files made to cost much: claims, loops, and little that unpacks to a lot."""
    head, body = by_pillow(pillow_image(RGB), "PNG")[:33], by_pillow(pillow_image(RGB), "PNG")[33:]
    one_pixel = np.zeros((1, 1, 3))
    zeros = zlib.compress(bytes(300 * MIB))
    exif_loop = b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x8769, 4, 1, 8, 8)
    deflated = tiff(np.zeros((64, 64), np.uint8), compression="zlib", rowsperstrip=64)
    height = struct.pack("<HHII", 257, 4, 1, 64)
    tiled = [*plain_tiff()[:5], (322, 4, 1, 2**20), (323, 4, 1, 2**20), (324, 4, 1, 8)]
    interlaced = bytearray(png(one_pixel, bits=8, colour_type=2, width=1900, height=1900))
    interlaced[28] = 1
    avif = by_pillow(pillow_image(smooth()), "AVIF")
    size = avif.index(b"ispe") + 8
    return [
        png(one_pixel, bits=8, colour_type=2, width=60_000, height=50_000),
        png(one_pixel, bits=8, colour_type=2, width=16_000, height=16_000),
        png(one_pixel, bits=8, colour_type=2, width=1900, height=1900),
        png(one_pixel, bits=16, colour_type=6, width=2**31 - 1, height=1),
        with_checksums(bytes(interlaced)),
        png(one_pixel, bits=8, colour_type=2)[:16] + bytes(8) + body,
        head + chunk(b"IDAT", zeros) + chunk(b"IEND"),
        head + chunk(b"prVt") * 500_000 + body,
        head + chunk(b"IDAT") * 300_000 + body,
        head + chunk(b"zTXt", b"Raw profile type exif\0\0" + zeros[:20_000]) * 500 + body,
        head + chunk(b"iCCP", b"icc\0\0" + zeros) + body,
        head + chunk(b"zTXt", b"Comment\0\0" + zeros) + body,
        head + chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zeros) + body,
        head + chunk(b"eXIf", exif_loop) + body,
        jpeg_of(65_500, 65_500),
        jpeg_of(16_000, 16_000),
        jpeg_of(1900, 1900),
        jpeg_of(1900, 1900, progressive=True),
        jpeg_of(0, 40),
        jpeg_of_many_scans(1900, 1900),
        by_pillow(pillow_image(smooth()), "JPEG", exif=b"Exif\0\0" + exif_loop),
        by_pillow(pillow_image(smooth()), "JPEG", xmp=b"<xmp:Thumbnails " * 4000),
        tiff_of(plain_tiff(), following=8) + bytes(81),
        tiff_of([*plain_tiff(), (34665, 4, 1, 8), (34853, 4, 1, 8)], following=8) + bytes(81),
        tiff_of([*plain_tiff(), (330, 4, 1, 8)]) + bytes(81),
        tiff_of(plain_tiff(t256=0)) + bytes(81),
        tiff_of(plain_tiff(t277=65_535)) + bytes(81),
        tiff_of(plain_tiff(t278=2**32 - 1)) + bytes(300),
        tiff_of(plain_tiff(t256=16_000, t257=16_000, t278=16_000)),
        tiff_of(plain_tiff(t256=1900, t257=1900, t278=1900, t279=2**31)),
        tiff_of(plain_tiff(t257=2**32 - 1, t278=1)),
        tiff_of([*tiled, (325, 4, 1, 81)]) + bytes(81),
        tiff_of([(tag, 7, 2**31, 8) for tag in range(256, 4000)]),
        strips_on_the_same_bytes(),
        many_directories(),
        deflated.replace(height, struct.pack("<HHII", 257, 4, 1, 9**6)),
        many_frames(),
        b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\2\x4c\1\0;",
        b"GIF89a\x08\x07\x08\x07\0\0\0,\0\0\0\0\x08\x07\x08\x07\0\2\2\x4c\1\0;",
        b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\x0f" + bytes(9),
        b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff",
        avif[:size] + struct.pack(">II", 60_000, 60_000) + avif[size + 8 :],
        avif[:size] + bytes(8) + avif[size + 8 :],
        b"P1 9999999 9999999\n",
        b"P3 16000 16000 255\n" + b"1 " * 1000,
        b"P2 1 1 255\n" + b"9" * 4 * MIB,
        b"P5\n" + b"#\n" * 40_000 + b"1 1 255\n\0",
        b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 2**31 - 1, -(2**31), 1, 32, 0) + bytes(20),
        tiff(smooth(), photometric="rgb")[:-1],
        b"\0" * 100,
        b"<svg " + b"a" * 2000,
    ]


def damaged(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Damage a file: one of the parts that it is made of, or bytes anywhere."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        if len(data) < 16:
            break
        by_kind = rng.random() < 0.4
        data = _parts_damaged(rng, data) if by_kind else _bytes_damaged(rng, data, other)
    return with_checksums(data) if rng.random() < 0.7 else data


LIES = (0, 1, -1, 2**31, 2**31 - 1, 2**16 - 1, 16_000, 1900, 8)


def _bytes_damaged(rng: random.Random, data: bytes, other: bytes) -> bytes:
    n = len(data)
    at = rng.randrange(min(n, 200)) if rng.random() < 0.4 else rng.randrange(n)
    size = rng.choice((1, 2, 4, 8))
    match rng.randrange(9):
        case 0:
            return data[:at]
        case 1 | 2:
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        case 3:
            return data[:at] + rng.randbytes(rng.randrange(1, 40)) + data[at + 20 :]
        case 4 | 5:  # a number that lies: sizes, counts, offsets that point back
            number = rng.choice((*LIES, n, at, n - 4)) % 256**size
            order = rng.choice(("little", "big"))
            return data[:at] + number.to_bytes(size, order) + data[at + size :]
        case 6:
            return data[:at] + data[at + rng.randrange(n) :]
        case 7:
            return data[:at] + data[at // 2 : at] * rng.choice((1, 2, 50)) + data[at:]
        case _:
            return data[:at] + other[rng.randrange(len(other)) :]


def _parts_damaged(rng: random.Random, data: bytes) -> bytes:
    """Drop, double, swap or change parts that the format names, or a number in them."""
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _entry_damaged(rng, data)
    begin, parts = _parts(data)
    if len(parts) < 2:
        return _bytes_damaged(rng, data, data)
    i, j = rng.randrange(len(parts)), rng.randrange(len(parts))
    match rng.randrange(5):
        case 0:
            del parts[i]
        case 1:
            parts.insert(j, parts[i])
        case 2:
            parts[i], parts[j] = parts[j], parts[i]
        case _:
            part, size = parts[i], rng.choice((1, 2, 4))
            at = rng.randrange(min(len(part), 32) + 1)
            number = (rng.choice(LIES) % 256**size).to_bytes(size, rng.choice(("little", "big")))
            parts[i] = part[:at] + number + part[at + size :]
    return begin + b"".join(parts)


def _entry_damaged(rng: random.Random, data: bytes) -> bytes:
    """Change a field of an entry in the first directory of a TIFF file."""
    order = "<" if data[0] == 73 else ">"
    first = struct.unpack_from(order + "I", data, 4)[0]
    if first + 14 > len(data):
        return data[:8] + rng.randbytes(40)
    n = max(struct.unpack_from(order + "H", data, first)[0], 1)
    entry = first + 2 + 12 * rng.randrange(n)
    at, letter = rng.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "H"), (12, "I")))
    lies = (*LIES, first, len(data) - 2, *range(2, 6), 256, 257, 273, 278, 279, 284, 322, 325, 330)
    number = rng.choice(lies) % 256 ** struct.calcsize(letter)
    changed = struct.pack(order + letter, number)
    return data[: entry + at] + changed + data[entry + at + len(changed) :]


def _parts(data: bytes) -> tuple[bytes, list[bytes]]:
    """Split a file into its beginning and its chunks, segments, boxes or blocks."""
    for start, begin, cut in _KINDS:
        if start in (data[: len(start)], data[4:8]):
            return data[:begin], list(cut(data, begin))
    return b"", []


def _of_png(data: bytes, at: int) -> Iterator[bytes]:
    while at + 8 <= len(data):
        size = 12 + struct.unpack_from(">I", data, at)[0]
        yield data[at : at + size]
        at += size


def _of_webp(data: bytes, at: int) -> Iterator[bytes]:
    while at + 8 <= len(data):
        size = 8 + struct.unpack_from("<I", data, at + 4)[0]
        size += size % 2
        yield data[at : at + size]
        at += size


def _of_avif(data: bytes, at: int) -> Iterator[bytes]:
    while at + 8 <= len(data):
        size = max(struct.unpack_from(">I", data, at)[0], 8)
        if data[at + 4 : at + 8] in (b"meta", b"iprp", b"ipco", b"iinf"):  # look inside
            size = {b"meta": 12, b"iinf": 14}.get(data[at + 4 : at + 8], 8)
        yield data[at : at + size]
        at += size


def _of_jpeg(data: bytes, at: int) -> Iterator[bytes]:
    while at + 4 <= len(data) and data[at + 1] != 0xDA:
        size = 2 + struct.unpack_from(">H", data, at + 2)[0]
        yield data[at : at + size]
        at += size
    yield data[at:]


def _of_gif(data: bytes, at: int) -> Iterator[bytes]:
    for part in re.split(rb"(?=[\x21\x2c])", data[at:]):
        if part:
            yield part


_KINDS: tuple[tuple[bytes, int, Callable[[bytes, int], Iterator[bytes]]], ...] = (
    (b"\x89PNG", 8, _of_png),
    (b"\xff\xd8", 2, _of_jpeg),
    (b"RIFF", 12, _of_webp),
    (b"GIF8", 6, _of_gif),
    (b"ftyp", 0, _of_avif),
)


def with_checksums(data: bytes) -> bytes:
    """Make a PNG's checksums right, so that the damage gets past them."""
    if not data.startswith(b"\x89PNG"):
        return data
    made, at = data[:8], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + size]
        made += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + size
    return made
