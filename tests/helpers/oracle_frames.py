"""The frames of GIF and animated PNG as their specifications, and browsers, put them together.

Pillow decodes each frame as a file of its own; it is known to blend and to dispose of some in
other ways.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from oracle_png import deep_png, has_alpha
from seen import DamagedError, NoOracleError, Seen, rgba

_LOOPS = (b"NETSCAPE2.0\1", b"ANIMEXTS1.0\1")
MOST_FRAMES = 40
"""Frames of an animation whose pixels are compared."""


def apng_frames(data: bytes) -> tuple[list[np.ndarray], tuple[int, ...], int] | None:
    """Frames as RGBA, their milliseconds, and how often all are shown; None of a still PNG."""
    head, parts, plays, claimed, at = b"", [], 0, 0, 8
    while at + 8 <= len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + size]
        if name == b"acTL":
            claimed, plays = struct.unpack(">II", body)
        elif name == b"fcTL":
            parts.append((body, []))
        elif name == b"IDAT" and parts:
            parts[-1][1].append(body)
        elif name == b"fdAT" and parts:
            parts[-1][1].append(body[4:])
        elif name in (b"IHDR", b"PLTE", b"tRNS"):
            head += _chunk(name, body)
        at += 12 + size
    if claimed < 2:
        return None
    if len(parts) != claimed or not all(pieces for _, pieces in parts):
        raise DamagedError("the frames of an animated PNG are not those that it claims")
    width, height = struct.unpack_from(">II", head, 8)
    canvas, frames, times = np.zeros((height, width, 4), np.float32), [], []
    for number, (body, pieces) in enumerate(parts):
        _, wide, high, left, top, delay, unit, disposal, blend = struct.unpack(">5IHHBB", body)
        times.append(round(1000 * delay / (unit or 100)))
        if number >= MOST_FRAMES:
            continue
        drawn = _png_frame(head, pieces, wide, high)
        before, box = canvas.copy(), canvas[top : top + high, left : left + wide]
        box[:] = _over(drawn, box) if blend == 1 else drawn
        frames.append(canvas.copy())
        if disposal == 1 or (disposal == 2 and number == 0):
            box[:] = 0
        elif disposal == 2:
            canvas = before
    return frames, tuple(times), plays


def _png_frame(head: bytes, pieces: list[bytes], width: int, height: int) -> np.ndarray:
    rest = head[25:]  # behind the header's size, name, body and check
    header = struct.pack(">II", width, height) + head[16:21]
    whole = (
        _chunk(b"IHDR", header) + rest + _chunk(b"IDAT", b"".join(pieces)) + _chunk(b"IEND", b"")
    )
    data = b"\x89PNG\r\n\x1a\n" + whole
    deep = deep_png(data)
    if deep is not None:
        return deep
    with Image.open(io.BytesIO(data)) as image:
        levels = np.asarray(image.convert("RGBA" if has_alpha(image) else "RGB"), np.float32)
    return rgba(levels / 255)


def _over(drawn: np.ndarray, below: np.ndarray) -> np.ndarray:
    upper, lower = drawn[..., 3:], below[..., 3:] * (1 - drawn[..., 3:])
    alpha = upper + lower
    colours = drawn[..., :3] * upper + below[..., :3] * lower
    return np.concatenate([colours / np.maximum(alpha, 1e-6), alpha], axis=2)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def see_gif(data: bytes) -> Seen:
    frames, times, plays = [], [], 1
    try:
        for part in _gif_parts(data):
            if isinstance(part, int):
                plays = part
            else:
                times.append(part[1])
                if len(frames) < MOST_FRAMES:
                    frames.append(part[0])
    except (IndexError, struct.error, OSError, SyntaxError, ValueError) as error:
        raise DamagedError(f"GIF: {error!r}") from error
    if not frames:
        raise DamagedError("GIF without a frame")
    several = len(times) > 1
    return Seen(
        frames=frames,
        bits=8,
        alpha=any((frame[..., 3] < 1).any() for frame in frames),
        times=tuple(times) if several else None,
        plays=plays if several else None,
    )


def _gif_parts(data: bytes) -> Iterator[Any]:
    """Each frame as it is shown, with its milliseconds; and how often all are, where it is said."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at, everywhere = 13, None
    if flags & 0x80:
        at, everywhere = _colour_table(data, at, flags)
    canvas, delay, disposal, clear = None, 0, 0, None
    while at < len(data) and data[at] != 0x3B:
        if data[at] == 0x21:
            label, at = data[at + 1], at + 2
            at, body = _chain(data, at)
            if label == 0xF9 and len(body) >= 4:
                disposal, delay = body[0] >> 2 & 7, int.from_bytes(body[1:3], "little")
                clear = body[3] if body[0] & 1 else None
            elif label == 0xFF and body[:12] in _LOOPS and len(body) >= 14:
                again = int.from_bytes(body[12:14], "little")
                yield again + 1 if again else 0
        elif data[at] == 0x2C:
            left, top, wide, high, flags = struct.unpack_from("<4HB", data, at + 1)
            at, table = at + 10, everywhere
            if flags & 0x80:
                at, table = _colour_table(data, at, flags)
            end, _ = _chain(data, at + 1)
            indices = _gif_indices(data[at:end], wide, high, interlaced=flags & 0x40)
            at = end
            if canvas is None:
                if not width or not height:
                    width, height = left + wide, top + high
                canvas = np.zeros((height, width, 4), np.float32)
            before = canvas.copy()
            box = canvas[top : top + high, left : left + wide]
            drawn = indices[: box.shape[0], : box.shape[1]]
            if table is None:
                raise NoOracleError("a GIF without a table of colours")
            shown = drawn != (-1 if clear is None else clear)
            box[shown] = rgba(table[np.minimum(drawn, len(table) - 1)])[shown]
            yield canvas.copy(), delay * 10
            if disposal == 2:
                box[:] = 0
            elif disposal == 3:
                canvas = before
            delay, disposal, clear = 0, 0, None
        elif data[at] == 0:
            at += 1
        else:
            raise ValueError("a block of unknown kind")


def _colour_table(data: bytes, at: int, flags: int) -> tuple[int, np.ndarray]:
    size = 3 * 2 ** ((flags & 7) + 1)
    table = np.frombuffer(data, np.uint8, size, at).reshape(-1, 3)
    return at + size, table.astype(np.float32) / 255


def _chain(data: bytes, at: int) -> tuple[int, bytes]:
    """Return the end of a chain of sub-blocks, and its contents."""
    body = bytearray()
    while size := data[at]:
        body += data[at + 1 : at + 1 + size]
        at += 1 + size
    return at + 1, bytes(body)


def _gif_indices(lzw: bytes, width: int, height: int, *, interlaced: int) -> np.ndarray:
    """Decode one frame as a GIF of its own, by Pillow."""
    table = bytes(n for n in range(256) for _ in range(3))
    head = b"GIF87a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0) + table
    frame = b"," + struct.pack("<4HB", 0, 0, width, height, interlaced)
    with Image.open(io.BytesIO(head + frame + lzw + b";")) as image:
        image.load()
        return np.asarray(image).astype(np.int64)
