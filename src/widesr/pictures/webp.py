"""Builds WebP files chunk by chunk, as libvips would join equal frames, and change EXIF.

Source: WebP Container Specification, VP8X, ANIM and ANMF.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from widesr.pictures.metadata import Metadata
from widesr.system.files import FileBytes

_MOST_BYTES = 2**32 - 2


class WebpFrame(NamedTuple):
    """The box of a frame, which replaces the pixels before it."""

    x: int
    """The left edge, an even number, as is `y`."""
    y: int
    width: int
    height: int
    milliseconds: int
    still: bytes
    """A WebP file of the box."""


def write_webp(
    file: FileBytes,
    frames: Iterable[WebpFrame],
    *,
    size: tuple[int, int],
    has_alpha: bool,
    plays: int,
    icc: bytes | None,
    metadata: Metadata,
) -> None:
    """Join WebP files into an animation.

    Args:
        file: An empty file to write to.
        frames: The frames, of which the first covers the canvas.
        size: The (height, width) of the canvas, in pixels.
        has_alpha: True if any frame has alpha.
        plays: The number of times that the animation is shown; 0 means for ever.
        icc: The profile of all frames.
        metadata: EXIF and XMP of the animation.

    Raises:
        OverflowError: The file would be larger than the format allows.
    """
    height, width = size
    exif, xmp, _ = metadata
    flags = 0x02 | 0x20 * bool(icc) | 0x10 * has_alpha | 0x08 * bool(exif) | 0x04 * bool(xmp)
    file.append(b"RIFF\0\0\0\0WEBP")
    file.append(_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + _three(width - 1) + _three(height - 1)))
    if icc:
        file.append(_chunk(b"ICCP", icc))
    file.append(_chunk(b"ANIM", struct.pack("<IH", 0, plays)))
    for frame in frames:
        file.append(_chunk(b"ANMF", _frame(frame)))
        if len(file) > _MOST_BYTES:
            raise OverflowError
    if exif:
        file.append(_chunk(b"EXIF", exif))
    if xmp:
        file.append(_chunk(b"XMP ", xmp))
    file.put(4, struct.pack("<I", len(file) - 8))


def webp_with_exif(encoded: bytes, exif: bytes) -> bytes:
    """Replace the EXIF block that libvips wrote."""
    chunks = (
        _chunk(name, exif if name == b"EXIF" else body) for name, body in _walk_chunks(encoded)
    )
    return _chunk(b"RIFF", b"WEBP" + b"".join(chunks))


_REPLACES = 0x02
"""The frame replaces the pixels before it, and stays for the next one."""


def _frame(frame: WebpFrame) -> bytes:
    places = (frame.x // 2, frame.y // 2, frame.width - 1, frame.height - 1, frame.milliseconds)
    pixels = (
        _chunk(name, body)
        for name, body in _walk_chunks(frame.still)
        if name in (b"ALPH", b"VP8 ", b"VP8L")
    )
    return b"".join([*map(_three, places), bytes([_REPLACES]), *pixels])


def _walk_chunks(webp: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at < len(webp):
        name, size = struct.unpack_from("<4sI", webp, at)
        yield name, webp[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", name, len(body)) + body + bytes(len(body) % 2)


def _three(number: int) -> bytes:
    """Pack a number in 24 bits."""
    return number.to_bytes(3, "little")
