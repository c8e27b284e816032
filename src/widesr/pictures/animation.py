"""Animations, frame by frame: GIF, animated WebP and animated PNG.

Every frame is a picture of its own, whole in memory while it is worked on; of how many there are,
memory does not depend.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyvips
from numpy.typing import DTypeLike

from widesr.errors import ImageReadError, ImageTooLargeError, WidesrError
from widesr.pictures.apng import claimed_frames, open_apng
from widesr.pictures.gif import is_animated_gif, read_gif
from widesr.pictures.picture import MAX_PIXELS, About, PictureStream
from widesr.pictures.png import MARK
from widesr.pictures.reading import (
    check_size,
    damaged,
    decode_image,
    load_image,
    orientation_of,
)
from widesr.pictures.sniff import frames_of_png
from widesr.pictures.sources import PictureFile, Source, opened
from widesr.pictures.turning import turned
from widesr.pixels.rows import Band, Rows
from widesr.system.threads import ahead

_FRAMES = 16
"""Pixels of all frames together, in times those that one may have."""


@dataclass(frozen=True, kw_only=True)
class Animation(About):
    """Pictures of one size, upright, that pass once and in order."""

    frames: Iterator[Band]
    """uint8 or uint16, (H, W, C), as they are shown; channels as of `PictureStream`."""
    shape: tuple[int, int, int]
    """(H, W, C) of a frame."""
    dtype: DTypeLike
    """Of the frames."""
    durations: tuple[Fraction, ...]
    """Of each frame, in seconds."""
    plays: int
    """How often all of it is shown; 0 is for ever."""

    @property
    def count(self) -> int:
        """How many frames there are."""
        return len(self.durations)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a frame."""
        return self.shape[:2]

    @property
    def still(self) -> PictureStream:
        """What is true of every frame, without pixels."""
        return PictureStream(rows=Rows((), shape=self.shape, dtype=self.dtype), **self.about)

    @contextmanager
    def ahead(self) -> Iterator["Animation"]:
        """Let each frame be made while the one before it is used."""
        with closing(ahead(self.frames)) as frames:
            yield replace(self, frames=frames)

    def map(self, change: Callable[[PictureStream, int], PictureStream]) -> "Animation":
        """Change each frame as a picture on its own; `change` gets its number, from 0, too.

        It must make each of them alike in size, channels and type, whatever the pixels are, and
        may not read any until what it gives is read.
        """
        made, still = change(self.still, 0), self.still

        def frames() -> Iterator[Band]:
            for number, frame in enumerate(self.frames):
                yield change(replace(still, rows=Rows.of(frame)), number).rows.whole()

        return replace(
            self, frames=frames(), shape=made.rows.shape, dtype=made.rows.dtype, **made.about
        )


def is_animation(source: Source) -> bool:
    """Say whether a file holds several frames; not so what cannot be read."""
    try:
        with opened(source) as file:
            return _animated_kind(file) is not None
    except (WidesrError, OSError):
        return False


def _animated_kind(file: PictureFile) -> str | None:
    """The format of an animation, by its content and not to its end; None of anything else."""
    head = file[:32]
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif" if is_animated_gif(file) else None
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20:21] and head[20] & 2:
        try:
            image = load_image(file, "webp")
        except pyvips.Error:
            return None
        return "webp" if image.get("n-pages") > 1 else None
    return "png" if head.startswith(MARK) and frames_of_png(file) > 1 else None


@contextmanager
def open_animation(source: Source, *, max_pixels: int = MAX_PIXELS) -> Iterator[Animation]:
    """Open an animation, to be read frame by frame while the file is open.

    What is wrong with the pixels is raised when they are read.

    Args:
        source: GIF, WebP or PNG, whatever its name says.
        max_pixels: The largest frame that is read; all together may have 16 times as many.

    Raises:
        ImageReadError: The file is missing, damaged, cut short or no animation.
        ImageFormatError: Its colours are of a kind that is not read.
        ImageTooLargeError: It claims more pixels; nothing was decoded.
    """
    with opened(source) as file:
        kind = _animated_kind(file)
        if kind is None:
            raise ImageReadError(
                f"{file.path}: is no animation; expected GIF, WebP or PNG with several frames"
            )
        try:
            opening = {"png": _png_frames, "gif": _gif_frames, "webp": _webp_frames}[kind]
            animation = opening(file, kind, max_pixels)
            if kind != "gif":  # which has nothing else to say
                first = load_image(file, kind)
                about = decode_image(file, first, kind).about
                orientation = orientation_of(file, first, kind)
                animation = replace(_upright(animation, orientation), **about)
        except (pyvips.Error, ValueError) as error:
            raise damaged(file, kind, error) from error
        yield animation


def _check_sizes(path: Path, width: int, height: int, *, frames: int, max_pixels: int) -> None:
    check_size(path, width, height, max_pixels=max_pixels)
    pixels, limit = frames * width * height, _FRAMES * max_pixels
    if pixels > limit:
        found = f"{path}: animation is {frames:,} frames of {width}x{height}"
        raise ImageTooLargeError(found=found, pixels=pixels, max_pixels=limit)


def _png_frames(file: PictureFile, kind: str, max_pixels: int) -> Animation:
    n_frames, height, width = claimed_frames(file)
    _check_sizes(file.path, width, height, frames=n_frames, max_pixels=max_pixels)
    apng = open_apng(file)

    def frames() -> Iterator[Band]:
        try:
            yield from apng.drawn()
        except ValueError as error:
            raise damaged(file, kind, error) from error

    return Animation(
        frames=frames(),
        shape=apng.shape,
        dtype=apng.dtype,
        durations=apng.durations,
        plays=apng.plays,
    )


def _gif_frames(file: PictureFile, kind: str, max_pixels: int) -> Animation:
    gif = read_gif(file)
    _check_sizes(file.path, gif.width, gif.height, frames=len(gif.frames), max_pixels=max_pixels)

    def frames() -> Iterator[Band]:
        try:
            yield from gif.drawn(file)
        except ValueError as error:
            raise damaged(file, kind, error) from error

    return Animation(
        frames=frames(),
        shape=(gif.height, gif.width, 4 if gif.has_alpha else 3),
        dtype=np.uint8,
        durations=tuple(frame.duration for frame in gif.frames),
        plays=gif.plays,
        format=kind,
    )


def _webp_frames(file: PictureFile, kind: str, max_pixels: int) -> Animation:
    head = load_image(file, kind)
    n_frames, width, height = head.get("n-pages"), head.width, head.height
    _check_sizes(file.path, width, height, frames=n_frames, max_pixels=max_pixels)
    image = load_image(file, kind, n=-1)
    shape = (height, width, image.bands)

    def frames() -> Iterator[Band]:
        try:
            region = pyvips.Region.new(image)  # in the thread that reads, which is its owner
            for number in range(n_frames):
                values = region.fetch(0, number * height, width, height)
                yield np.frombuffer(values, np.uint8).reshape(shape)
        except pyvips.Error as error:
            raise damaged(file, kind, error) from error

    return Animation(
        frames=frames(),
        shape=shape,
        dtype=np.uint8,
        durations=tuple(Fraction(delay, 1000) for delay in image.get("delay")),
        plays=head.get("loop"),
    )


def _upright(animation: Animation, orientation: int) -> Animation:
    if orientation not in range(2, 9):
        return animation
    height, width, channels = animation.shape
    shape = (width, height, channels) if orientation > 4 else animation.shape
    frames = (np.ascontiguousarray(turned(frame, orientation)) for frame in animation.frames)
    return replace(animation, frames=frames, shape=shape)
