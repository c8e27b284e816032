"""Reads animations frame by frame: GIF, animated WebP and animated PNG."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyvips
from numpy.typing import DTypeLike

from widesr.errors import ImageTooLargeError, WidesrError
from widesr.pictures.apng import claimed_frames, open_apng
from widesr.pictures.decoding import (
    check_size,
    damaged,
    decode_image,
    load_image,
    orientation_of,
    whole_or_error,
)
from widesr.pictures.feed import rows_of_image
from widesr.pictures.gif import is_animated_gif, read_gif
from widesr.pictures.picture import PictureStream
from widesr.pictures.png import MARK
from widesr.pictures.sequence import MOST_IN_ALL, PictureSequence, Timing
from widesr.pictures.sniff import frames_of_png
from widesr.pictures.sources import PictureFile, Source, opened
from widesr.pictures.turning import turned
from widesr.pixels.rows import Band, Rows


def is_animation(source: Source) -> bool:
    """Say whether a file holds several frames; a file that cannot be read does not."""
    try:
        with opened(source) as file:
            return animated_kind(file) is not None
    except (WidesrError, OSError):
        return False


def animated_kind(file: PictureFile) -> str | None:
    """Name an animation's format by its content, without reading it all; None for other files."""
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


def read_animation(file: PictureFile, kind: str, *, max_pixels: int) -> PictureSequence:
    """Read what applies to all frames of an animation; each is decoded when it is asked for.

    Args:
        file: The file, which must stay open until the frames are read.
        kind: The format, as `animated_kind` names it.
        max_pixels: The most pixels of a frame; all frames together may have 16 times as many.

    Raises:
        ImageReadError: The file is damaged or cut short; also raised while frames are read.
        ImageFormatError: The colours are of an unsupported kind.
        ImageTooLargeError: The file claims more pixels; nothing was decoded.
    """
    reading = {"png": _png_frames, "gif": _gif_frames, "webp": _webp_frames}[kind]
    try:
        frames, shape, dtype, timing = reading(file, max_pixels)
        still = PictureStream(rows=Rows((), shape=shape, dtype=dtype), format=kind)
        if kind != "gif":  # a GIF file says nothing else
            first = load_image(file, kind)
            about = decode_image(file, first, kind).about
            orientation = orientation_of(file, first, kind)
            if orientation != 1:
                frames = (np.ascontiguousarray(turned(each, orientation)) for each in frames)
                height, width, channels = shape
                shape = (width, height, channels) if orientation > 4 else shape
            still = PictureStream(rows=Rows((), shape=shape, dtype=dtype), **about)
    except (pyvips.Error, ValueError) as error:
        raise damaged(file, kind, error) from error
    return PictureSequence.of_frames(whole_or_error(file, frames, kind), still=still, timing=timing)


class _Read(NamedTuple):
    """The frames of a file, with their shape, type and timing."""

    frames: Iterator[Band]
    """The frames as stored, (H, W, C); a damaged one raises ValueError or pyvips.Error."""
    shape: tuple[int, int, int]
    dtype: DTypeLike
    timing: Timing


def _check_sizes(path: Path, width: int, height: int, *, frames: int, max_pixels: int) -> None:
    check_size(path, width, height, max_pixels=max_pixels)
    pixels, limit = frames * width * height, MOST_IN_ALL * max_pixels
    if pixels > limit:
        found = f"{path}: animation is {frames:,} frames of {width}x{height}"
        raise ImageTooLargeError(found=found, pixels=pixels, max_pixels=limit)


def _png_frames(file: PictureFile, max_pixels: int) -> _Read:
    n_frames, height, width = claimed_frames(file)
    _check_sizes(file.path, width, height, frames=n_frames, max_pixels=max_pixels)
    apng = open_apng(file)
    timing = Timing(durations=apng.durations, plays=apng.plays)
    return _Read(apng.drawn(), apng.shape, apng.dtype, timing)


def _gif_frames(file: PictureFile, max_pixels: int) -> _Read:
    gif = read_gif(file)
    _check_sizes(file.path, gif.width, gif.height, frames=len(gif.frames), max_pixels=max_pixels)
    shape = (gif.height, gif.width, 4 if gif.has_alpha else 3)
    timing = Timing(durations=tuple(frame.duration for frame in gif.frames), plays=gif.plays)
    return _Read(gif.drawn(file), shape, np.uint8, timing)


def _webp_frames(file: PictureFile, max_pixels: int) -> _Read:
    head = load_image(file, "webp")
    n_frames, width, height = head.get("n-pages"), head.width, head.height
    _check_sizes(file.path, width, height, frames=n_frames, max_pixels=max_pixels)
    image = load_image(file, "webp", n=-1)  # all frames, one below the other
    frames = rows_of_image(image).chunks(height)
    durations = tuple(Fraction(delay, 1000) for delay in image.get("delay"))
    timing = Timing(durations=durations, plays=head.get("loop"))
    return _Read(frames, (height, width, image.bands), np.uint8, timing)
