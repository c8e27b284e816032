"""Reads and writes animated PNG chunk by chunk.

libvips, which does not support animated PNG, decodes the frames one by one.

Source: W3C, Portable Network Graphics (PNG) Specification, third edition, acTL, fcTL and fdAT.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pyvips

from widesr.errors import last_line
from widesr.pictures.png import MARK, Chunk, chunk, walk_chunks
from widesr.pictures.tiff import Sliceable
from widesr.pixels.rows import Band
from widesr.system.files import FileBytes

_AS_IT_IS, _CLEARED, _AS_BEFORE = 0, 1, 2
"""The ways to leave a frame's box before the next frame is drawn."""
_CONTROL = ">IIIIHHBB"
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""The channels of each colour type; a palette becomes RGB."""


class Control(NamedTuple):
    """The contents of fcTL after its number: a frame's place, timing and drawing mode."""

    width: int
    height: int
    x: int
    y: int
    delay: int
    per: int
    """The delay's units per second; 0 means 100."""
    dispose: int = _AS_IT_IS
    blends: int = False


@dataclass(frozen=True)
class _Frame:
    control: Control
    chunks: list[int] = field(default_factory=list)
    """The offsets at which the contents of its pixel chunks begin."""

    @property
    def box(self) -> tuple[slice, slice]:
        width, height, x, y, *_ = self.control
        return slice(y, y + height), slice(x, x + width)


@dataclass(frozen=True, kw_only=True)
class Apng:
    """An animated PNG file whose structure was read, but no pixels."""

    file: FileBytes
    header: bytes
    """The contents of IHDR."""
    palette: bytes
    """The chunks PLTE and tRNS, if any."""
    has_clear: bool
    """True if a colour stands for transparency."""
    frames: tuple[_Frame, ...]
    plays: int
    """The number of times that the animation is shown; 0 means for ever."""

    @property
    def durations(self) -> tuple[Fraction, ...]:
        """The seconds for which each frame is shown."""
        controls = (frame.control for frame in self.frames)
        return tuple(Fraction(control.delay, control.per or 100) for control in controls)

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """The type of the frames' values."""
        return np.uint16 if self.header[8] == 16 else np.uint8

    @property
    def shape(self) -> tuple[int, int, int]:
        """The (H, W, C) of the frames as shown, with alpha if they leave pixels uncovered."""
        width, height = struct.unpack_from(">II", self.header)
        channels = self._channels
        controls = [frame.control for frame in self.frames]
        partial = [(each.width, each.height) != (width, height) for each in controls]
        uncovers = controls[0].dispose or any(each.dispose == _CLEARED for each in controls)
        shows_through = partial[0] or (uncovers and any(partial))
        return height, width, channels + (shows_through and channels in (1, 3))

    @property
    def _channels(self) -> int:
        """The number of channels that are decoded."""
        return _CHANNELS[self.header[9]] + self.has_clear

    def drawn(self) -> Iterator[Band]:
        """Draw the frames in turn, (H, W, C), each as it is shown.

        Raises:
            ValueError: The pixels of a frame are damaged.
        """
        canvas = np.zeros(self.shape, self.dtype)
        for number, frame in enumerate(self.frames):
            part, box = self._decoded(frame), canvas[frame.box]
            before = box.copy()
            if canvas.shape[2] > part.shape[2]:
                opaque = np.full_like(part[..., :1], np.iinfo(part.dtype).max)
                part = np.concatenate([part, opaque], axis=2)
            blends = frame.control.blends and part.shape[2] in (2, 4)
            box[...] = _over(part, box) if blends else part
            yield canvas.copy()
            dispose = frame.control.dispose
            if dispose == _AS_BEFORE and number:
                box[...] = before
            elif dispose != _AS_IT_IS:
                box[...] = 0

    def _decoded(self, frame: _Frame) -> Band:
        """Decode the pixels of a frame's box, (H, W, C), by way of a PNG file made for it."""
        width, height, *_ = frame.control
        header = struct.pack(">II", width, height) + self.header[8:]
        pixels = (_pixels(self.file, at) for at in frame.chunks)
        parts = (chunk(b"IHDR", header), self.palette, chunk(b"IDAT", b"".join(pixels)))
        png = b"".join([MARK, *parts, chunk(b"IEND", b"")])
        try:
            image = pyvips.Image.pngload_buffer(png, access="sequential", fail_on="error")
            values = np.frombuffer(image.write_to_memory(), self.dtype)
        except pyvips.Error as error:
            raise ValueError(f"the pixels of a frame: {last_line(error)}") from error
        return values.reshape(height, width, self._channels)


def _over(part: Band, below: Band) -> Band:
    """Composite a picture with alpha over another; neither is premultiplied."""
    top = int(np.iinfo(part.dtype).max)
    ours, theirs = part.astype(np.int64), below.astype(np.int64)
    weight = ours[..., -1:] * top
    under = (top - ours[..., -1:]) * theirs[..., -1:]
    both = weight + under
    colours = ours[..., :-1] * weight + theirs[..., :-1] * under
    colours = (colours + both // 2) // np.maximum(both, 1)
    return np.concatenate([colours, (both + top // 2) // top], axis=2).astype(part.dtype)


def claimed_frames(file: FileBytes) -> tuple[int, int, int]:
    """Read the number of frames that a PNG file claims, 1 for a still, and its height and width.

    Raises:
        ValueError: The file is damaged before its pixels.
    """
    n_frames, size_of_all = 1, (0, 0)
    for name, at, size in _whole_chunks(file):
        if name == b"IHDR":
            size_of_all = struct.unpack_from(">II", _body(file, at, size, expected=13))
        elif name == b"acTL":
            n_frames, _ = struct.unpack(">II", _body(file, at, size, expected=8))
        elif name == b"IDAT":
            break
    width, height = size_of_all
    return n_frames, height, width


def open_apng(file: FileBytes) -> Apng:
    """Read the structure of an animated PNG file, to its end.

    Raises:
        ValueError: The file is damaged or cut short.
    """
    n_frames, height, width = claimed_frames(file)
    header, palette, has_clear, plays = b"", b"", False, 0
    frames: list[_Frame] = []
    number = 0  # the sequence number, which fcTL and fdAT share
    for name, at, size in _whole_chunks(file):
        if name == b"IHDR":
            header = _body(file, at, size, expected=13)
        elif not header:
            raise ValueError("it does not begin with a header")
        elif name in (b"PLTE", b"tRNS"):
            palette += chunk(name, _body(file, at, size))
            has_clear |= name == b"tRNS" and header[9] < 4
        elif name == b"acTL":
            _, plays = struct.unpack(">II", _body(file, at, size, expected=8))
        elif name in (b"fcTL", b"fdAT"):
            if int.from_bytes(file[at : at + 4], "big") != number:
                raise ValueError(f"frame data number {number} is missing")
            number += 1
        if name == b"fcTL":
            control = Control(*struct.unpack(_CONTROL, _body(file, at, size, expected=26)[4:]))
            _check_box(control, width, height)
            frames.append(_Frame(control))
        elif name == b"fdAT" or (name == b"IDAT" and frames):
            if not frames:
                raise ValueError("pixels come before their frame")
            frames[-1].chunks.append(at)
    if len(frames) != n_frames or header[9] not in _CHANNELS:
        raise ValueError(f"{n_frames} frames are claimed, {len(frames)} are there")
    return Apng(
        file=file,
        header=header,
        palette=palette,
        has_clear=has_clear,
        frames=tuple(frames),
        plays=plays,
    )


def _check_box(control: Control, width: int, height: int) -> None:
    box = control
    if 0 in box[:2] or box.x + box.width > width or box.y + box.height > height:
        raise ValueError("a frame does not lie within the picture")


def _whole_chunks(file: Sliceable) -> Iterator[Chunk]:
    """Walk through all chunks up to IEND; raise ValueError if one of them is not whole."""
    for name, at, size in walk_chunks(file):
        if at + size + 4 > len(file):
            break
        yield name, at, size
        if name == b"IEND":
            return
    raise ValueError("the file ends too early")


def _body(file: Sliceable, at: int, size: int, *, expected: int | None = None) -> bytes:
    """Read the contents of a chunk, and check them against their checksum."""
    data = file[at - 4 : at + size + 4]
    if len(data) < size + 8 or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
        raise ValueError(f"chunk {data[:4]!r} is damaged")
    if expected is not None and size != expected:
        raise ValueError(f"chunk {data[:4]!r} has {size} bytes, expected {expected}")
    return data[4:-4]


def _pixels(file: FileBytes, at: int) -> bytes:
    size = int.from_bytes(file[at - 8 : at - 4], "big")
    data = _body(file, at, size)
    return data[4:] if file[at - 4 : at] == b"fdAT" else data


def write_apng(
    file: FileBytes, frames: Iterable[tuple[Control, bytes]], *, n_frames: int, plays: int
) -> None:
    """Join PNG files into an animated one, each as the pixels of one frame.

    Args:
        file: An empty file to write to.
        frames: The place and time of each frame, and its PNG file. The first frame covers the
            canvas, and its other chunks become those of the animation.
        n_frames: The number of frames.
        plays: The number of times that the animation is shown; 0 means for ever.
    """
    file.append(MARK)
    number = 0  # the sequence number, which fcTL and fdAT share
    for control, png in frames:
        is_first = number == 0
        control_chunk = chunk(b"fcTL", struct.pack(">I", number) + struct.pack(_CONTROL, *control))
        number += 1
        for name, at, size in _whole_chunks(png):
            data = png[at : at + size]
            if name == b"IDAT":
                file.append(control_chunk)
                control_chunk = b""
                if is_first:
                    file.append(chunk(name, data))
                else:
                    file.append(chunk(b"fdAT", struct.pack(">I", number) + data))
                    number += 1
            elif is_first and name != b"IEND":
                file.append(chunk(name, data))
            if is_first and name == b"IHDR":
                file.append(chunk(b"acTL", struct.pack(">II", n_frames, plays)))
    file.append(chunk(b"IEND", b""))
