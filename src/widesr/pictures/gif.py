"""Reads GIF files: their frames as shown, their durations, and whether the file is complete.

libvips decodes only the colour indices of each frame. On its own, it would give black for pixels
that no frame has drawn and for those that a truncated frame lacks, and 100 ms for a duration of 0.

Source: GIF89a Specification (CompuServe, 1990); disposal as in browsers.
"""

import logging
import struct
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import BinaryIO, NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray

from widesr.errors import last_line
from widesr.pictures.picture import Bitmap
from widesr.pictures.sources import PictureFile
from widesr.pixels.rows import Band, Pixels
from widesr.system.files import FileBytes

Numbers = NDArray[np.uint8]
_log = logging.getLogger(__name__)


class GifFrame(NamedTuple):
    """One frame of a file, with its place and duration."""

    x: int
    y: int
    width: int
    height: int
    duration: Fraction
    """The seconds for which it is shown."""
    clear: int | None
    """The index of the colour that draws nothing."""
    disposal: int
    """The way to dispose of it after its time: 2 clears it, 3 restores the canvas before it."""
    palette: bytes
    """Red, green and blue of each colour."""
    is_interlaced: bool
    start: int
    """The offset in the file at which its compressed indices begin."""
    stop: int


class Gif(NamedTuple):
    """The frames of a file, not yet decoded."""

    width: int
    height: int
    frames: tuple[GifFrame, ...]
    plays: int
    """The number of times that the animation is shown; 0 means for ever."""
    is_ended: bool
    """True if the file has its end marker."""

    @property
    def has_alpha(self) -> bool:
        """Say whether pixels may be transparent: of a clear colour, or drawn by no frame."""
        if any(frame.clear is not None for frame in self.frames):
            return True
        first = self.frames[0]
        covers = first.width >= self.width and first.height >= self.height
        is_whole = covers and first.x == first.y == 0
        if is_whole and all(frame.disposal < 2 for frame in self.frames):
            return False
        seen = np.zeros((self.height, self.width), bool)
        for frame in self.frames:
            before = seen.copy() if frame.disposal == 3 else None
            seen[self._box(frame)] = True
            if not seen.all():
                return True
            if frame.disposal == 2:
                seen[self._box(frame)] = False
            elif before is not None:
                seen = before
        return False

    def _box(self, frame: GifFrame) -> tuple[slice, slice]:
        return slice(frame.y, frame.y + frame.height), slice(frame.x, frame.x + frame.width)

    def drawn(self, file: PictureFile) -> Iterator[Band]:
        """Draw each frame over those before it; warn if the end marker is missing.

        Args:
            file: The file that holds the frames.

        Yields:
            (H, W, 3), or (H, W, 4) if `has_alpha`.

        Raises:
            ValueError: A frame is damaged, or some of its pixels are missing.
        """
        has_alpha = self.has_alpha
        canvas = np.zeros((self.height, self.width, 4), np.uint8)
        for frame in self.frames:
            before = canvas.copy() if frame.disposal == 3 else None
            place = canvas[self._box(frame)]
            if place.size:
                part = self._numbers(frame, file)[: place.shape[0], : place.shape[1]]
                colours = np.frombuffer(frame.palette.ljust(768, b"\0"), np.uint8).reshape(256, 3)
                palette = np.insert(colours, 3, 255, axis=1)
                if frame.clear is None:
                    place[:] = palette[part]
                else:
                    seen = part != frame.clear
                    place[seen] = palette[part[seen]]
            yield canvas.copy() if has_alpha else canvas[..., :3].copy()
            if frame.disposal == 2:
                place[:] = 0
            elif before is not None:
                canvas = before
        if not self.is_ended:
            _log.warning(
                "%s: ends without the mark of its end, after %d frames",
                file.path,
                len(self.frames),
            )

    def _numbers(self, frame: GifFrame, file: FileBytes) -> Numbers:
        """Decode the colour index of each pixel, (H, W)."""
        if frame.width * frame.height > max(4 * self.width * self.height, 2**22):
            raise ValueError("a frame is far larger than the picture")
        data = file[frame.start : frame.stop]
        size = struct.pack("<HH", frame.width, frame.height)
        flags = 0x40 if frame.is_interlaced else 0
        head = b"GIF89a" + size + b"\xf7\0\0" + _COUNTED
        alone = head + b"," + bytes(4) + size + bytes([flags]) + data + b"\0;"
        try:
            values = pyvips.Image.gifload_buffer(alone, fail_on="error").numpy()
        except pyvips.Error as error:
            raise ValueError(last_line(error)) from error
        if (values[..., 2] != 1).any():  # the decoder leaves 0 where nothing was drawn
            raise ValueError("the pixels of a frame are not all there")
        return np.ascontiguousarray(values[..., 0])


_COUNTED = b"".join(bytes((n, n, 1)) for n in range(256))
"""A palette in which each colour holds its own index, and none is black."""


def read_gif(file: FileBytes) -> Gif:
    """Walk through a whole file.

    The last frame may be cut short: only `drawn` can tell whether its pixels are all there.

    Raises:
        ValueError: The file is damaged or cut short.
    """
    walk = _Walk()
    frames = tuple(walk.frames(file.fd))
    if not frames:
        raise ValueError("no frame is there")
    if not (walk.width and walk.height):
        raise ValueError(f"it claims {walk.width}x{walk.height} pixels")
    return Gif(walk.width, walk.height, frames, walk.plays, walk.is_ended)


def open_gif(file: PictureFile) -> Bitmap:
    """Read the structure of a file, whose pixels are decoded only if it has a single frame.

    Raises:
        ValueError: The file is damaged or cut short; also raised while its pixels are decoded.
    """
    gif = read_gif(file)

    def decode() -> Pixels:
        (pixels,) = gif.drawn(file)  # to its end, where it may warn
        return pixels

    return Bitmap(
        width=gif.width,
        height=gif.height,
        pixel_bytes=4,
        decode=decode,
        count=len(gif.frames),
    )


def is_animated_gif(file: FileBytes) -> bool:
    """Say whether an open file has a second frame, or the beginning of one."""
    images = 0
    with suppress(ValueError):
        for _ in _Walk().frames(file.fd):
            images += 1
            if images == 2:
                return True
    return False


class _Walk:
    """A walk through a file, which also keeps what it finds besides the frames."""

    width = height = 0
    plays = 1
    is_ended = False

    def frames(self, fd: int) -> Iterator[GifFrame]:
        with open(fd, "rb", closefd=False) as file:
            file.seek(0)
            head = _exactly(file, 13)
            self.width, self.height = struct.unpack_from("<HH", head, 6)
            shared = _palette(file, head[10])
            control, n = bytes(4), 0
            while (mark := file.read(1)) != b";":
                if mark == b",":
                    yield self._frame(file, shared, control)
                    control, n = bytes(4), n + 1
                elif mark == b"!":
                    control, n = self._extension(file) or control, 0  # a frame is to follow
                elif not mark and n:
                    return
                elif not mark:
                    raise ValueError(_TOO_EARLY)
                elif mark != b"\0":  # some writers leave zeros between blocks
                    raise ValueError("a block is of unknown kind")
            self.is_ended = True

    def _frame(self, file: BinaryIO, shared: bytes, control: bytes) -> GifFrame:
        x, y, width, height, flags = struct.unpack("<HHHHB", _exactly(file, 9))
        palette = _palette(file, flags) or shared
        start = file.tell()
        _exactly(file, 1)
        stop = _end_of_chain(file)
        return GifFrame(
            x=x,
            y=y,
            width=width,
            height=height,
            duration=Fraction(int.from_bytes(control[1:3], "little"), 100),
            clear=control[3] if control[0] & 1 else None,
            disposal=control[0] >> 2 & 7,
            palette=palette,
            is_interlaced=flags & 0x40 != 0,
            start=start,
            stop=stop,
        )

    def _extension(self, file: BinaryIO) -> bytes | None:
        """Read an extension, and give it if it is the graphic control of the next frame."""
        label, first = _exactly(file, 1), _sub_block(file)
        control = first if label == b"\xf9" and len(first) == 4 else None
        if label == b"\xff" and first in (b"NETSCAPE2.0", b"ANIMEXTS1.0"):
            first = _sub_block(file)
            if len(first) == 3 and first[0] == 1:
                again = int.from_bytes(first[1:], "little")
                self.plays = again + 1 if again else 0
        while first:
            first = _sub_block(file)
        return control


_TOO_EARLY = "the file ends too early"


def _palette(file: BinaryIO, flags: int) -> bytes:
    return _exactly(file, 3 * 2 ** ((flags & 7) + 1)) if flags & 0x80 else b""


def _end_of_chain(file: BinaryIO) -> int:
    """Find where the data of a chain end: before the terminating block, if the file has one."""
    while size := file.read(1):
        if not size[0]:
            return file.tell() - 1
        if len(file.read(size[0])) < size[0]:
            raise ValueError(_TOO_EARLY)
    return file.tell()


def _sub_block(file: BinaryIO) -> bytes:
    return _exactly(file, _exactly(file, 1)[0])


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise ValueError(_TOO_EARLY)
    return data
