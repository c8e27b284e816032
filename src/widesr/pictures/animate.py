"""Writes animations frame by frame: GIF, animated WebP and animated PNG.

Durations, repetition, profile and metadata are kept where the format has a place for them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyvips

from widesr.errors import ImageFormatError, write_error
from widesr.pictures.adapt import adapted_stream
from widesr.pictures.apng import Control, write_apng
from widesr.pictures.colour import image_of
from widesr.pictures.encoding import (
    encode_png,
    metadata_to_write,
    options_of,
    prepared,
    shallower,
)
from widesr.pictures.feed import Feed
from widesr.pictures.picture import PictureStream
from widesr.pictures.png import stream_png
from widesr.pictures.sequence import PictureSequence, Timing
from widesr.pictures.sniff import title
from widesr.pictures.webp import WebpFrame, write_webp
from widesr.pictures.writing import check_fits, check_lossless_picture
from widesr.pixels.rows import Band, Rows
from widesr.system.files import FileBytes

_FORMATS = ("gif", "webp", "png")
_LONGEST_GIF = 65535
_MOST_PLAYS = 65535
"""The most plays that GIF and WebP can state."""


def check_animation(path: Path, animation: PictureSequence, kind: str, *, lossless: bool) -> None:
    """Refuse a format that cannot hold animations, or cannot hold this one.

    Args:
        path: The output's name in messages.
        animation: The animation to be written.
        kind: The format, as `output_format` names it.
        lossless: True if every value is to be kept.

    Raises:
        ImageFormatError: The format cannot hold the animation.
    """
    still = animation.still
    if kind not in _FORMATS:
        raise ImageFormatError(
            f"{path}: this is an animation of {animation.count} frames, {title(kind)} holds one; "
            "write WebP, GIF or PNG",
            options=[f'format="{each}"' for each in ("webp", "gif", "png")],
        )
    if kind != "gif":
        check_fits(path, still, kind)
        if lossless:
            check_lossless_picture(path, still, kind)
    elif lossless:
        raise ImageFormatError(
            f"{path}: GIF has 256 colours a frame and is not lossless; write WebP or PNG",
            options=['format="webp"'],
        )
    elif max(still.size) > _LONGEST_GIF:
        raise ImageFormatError(
            f"{path}: the frames are {still.rows.width}x{still.rows.height}, GIF holds at most "
            f"{_LONGEST_GIF} pixels a side; write PNG",
            options=['format="png"'],
        )


def encode_animation(
    path: Path, animation: PictureSequence, fd: int, kind: str, *, quality: int, lossless: bool
) -> None:
    """Encode an animation, frame by frame, into an empty file.

    Args:
        path: The file's name in messages.
        animation: The animation to write, which has passed `check_animation`.
        fd: The file's descriptor.
        kind: "gif", "webp" or "png".
        quality: The quality of WebP, 1 to 100.
        lossless: True if WebP is to keep every value.
    """
    assert animation.timing is not None, "pages have no durations"
    file, timing = FileBytes(fd), animation.timing
    try:
        if kind == "gif":
            _write_gif(fd, animation, timing)
            return
        animation = animation.map(lambda frame, _: prepared(path, frame, kind))
        if kind == "webp":
            _write_webp(path, file, animation, timing, quality=quality, lossless=lossless)
        else:
            _write_png(file, animation, timing)
    except pyvips.Error as error:
        raise write_error(path, error) from error


def _write_gif(fd: int, animation: PictureSequence, timing: Timing) -> None:
    animation = animation.map(lambda frame, _: _in_8_bit_srgb(frame))
    height, width, channels = animation.still.rows.shape
    shape = (animation.count * height, width, channels)
    roll = Rows(animation.frames, shape=shape, dtype=np.uint8)
    feed = Feed(roll)
    image = feed.image.copy(interpretation="srgb")
    # Frames shorter than 2/100 s are shown for 10/100 s nearly everywhere.
    delays = ticks(timing.durations, per_second=100, most=65535, least=2)
    image.set_type(pyvips.GValue.gint_type, "page-height", height)
    image.set_type(pyvips.GValue.gint_type, "loop", min(timing.plays, _MOST_PLAYS))
    image.set_type(pyvips.GValue.array_int_type, "delay", [10 * delay for delay in delays])
    try:
        image.gifsave_target(
            pyvips.Target.new_to_descriptor(fd), keep="none", keep_duplicate_frames=True
        )
    except pyvips.Error as error:
        raise feed.failure or error from error


def _in_8_bit_srgb(frame: PictureStream) -> PictureStream:
    frame = adapted_stream(frame, icc="srgb", metadata="strip")

    def rgb(band: Band) -> Band:
        colours = np.broadcast_to(band[..., : frame.colours], (*band.shape[:2], 3))
        return np.concatenate([colours, band[..., frame.colours :]], axis=2)

    rows = frame.rows if frame.rows.dtype == np.uint8 else shallower(frame.rows, bits=8)
    rows = rows.map(rgb, channels=3 + frame.has_alpha)
    return replace(frame, rows=rows, icc=None)


def _write_webp(
    path: Path,
    file: FileBytes,
    animation: PictureSequence,
    timing: Timing,
    *,
    quality: int,
    lossless: bool,
) -> None:
    still = animation.still
    options = options_of("webp", quality=quality, lossless=lossless)

    def frames() -> Iterator[WebpFrame]:
        times = ticks(timing.durations, per_second=1000, most=2**24 - 1)
        for part, time in zip(changes(animation.frames, even=True), times, strict=True):
            height, width, _ = part.pixels.shape
            encoded = image_of(part.pixels).webpsave_buffer(keep="none", **options)
            yield WebpFrame(part.x, part.y, width, height, time, encoded)

    try:
        write_webp(
            file,
            frames(),
            size=still.rows.shape[:2],
            has_alpha=still.has_alpha,
            plays=min(timing.plays, _MOST_PLAYS),
            icc=still.icc,
            metadata=metadata_to_write(still, "webp"),
        )
    except OverflowError as error:
        raise ImageFormatError(
            f"{path}: the animation takes more than 4 GB, which WebP cannot hold; write PNG",
            options=['format="png"'],
        ) from error


def _write_png(file: FileBytes, animation: PictureSequence, timing: Timing) -> None:
    still = animation.still
    metadata = metadata_to_write(still, "png")

    def frames() -> Iterator[tuple[Control, bytes]]:
        for number, part in enumerate(changes(animation.frames)):
            rows = Rows.of(part.pixels)
            # The chunks that apply to all frames stand before the first one.
            pieces = stream_png(rows) if number else encode_png(replace(still, rows=rows), metadata)
            encoded = b"".join(pieces)
            height, width, _ = part.pixels.shape
            delay, per = _fraction_of_words(timing.durations[number])
            yield Control(width, height, part.x, part.y, delay, per), encoded

    write_apng(file, frames(), n_frames=animation.count, plays=timing.plays)


def _fraction_of_words(duration: Fraction) -> tuple[int, int]:
    """Give the numerator and denominator nearest to a duration, each of 16 bits."""
    nearest = duration.limit_denominator(int(65534 / max(duration, Fraction(1))) or 1)
    return min(nearest.numerator, 65535), nearest.denominator


class Part(NamedTuple):
    """The box in which a frame differs from the one before it."""

    x: int
    y: int
    pixels: Band
    """uint8 or uint16, (H, W, C)."""


def changes(frames: Iterable[Band], *, even: bool = False) -> Iterator[Part]:
    """Cut from each frame the box in which it differs from the one before, at least one pixel.

    Args:
        frames: Frames of the same shape, (H, W, C).
        even: True if boxes are to begin at even coordinates, as WebP requires.
    """
    step = 2 if even else 1
    before = None
    for frame in frames:
        box = slice(0, frame.shape[0]), slice(0, frame.shape[1])
        if before is not None:
            differs = (frame != before).any(axis=2)
            box = _span(differs.any(axis=1), step), _span(differs.any(axis=0), step)
        before = frame
        yield Part(box[1].start, box[0].start, np.ascontiguousarray(frame[box]))


def _span(differs: np.ndarray, step: int) -> slice:
    at = np.flatnonzero(differs)
    return slice(int(at[0]) // step * step, int(at[-1]) + 1) if len(at) else slice(0, 1)


def ticks(
    durations: Sequence[Fraction], *, per_second: int, most: int, least: int = 1
) -> Iterator[int]:
    """Round durations to whole ticks, and keep their sum as far as possible.

    Args:
        durations: The durations of the frames, in seconds.
        per_second: The number of ticks in a second.
        most: The most ticks that a frame may last.
        least: The fewest ticks that a frame may last, unless its own duration is shorter.
    """
    late = Fraction(0)
    for duration in durations:
        exact = duration * per_second
        whole = min(max(round(exact - late), min(least, ceil(exact))), most)
        late = max(min(late + whole - exact, Fraction(1)), Fraction(-1))
        yield whole
