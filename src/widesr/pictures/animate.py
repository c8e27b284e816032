"""Animations to files, frame by frame: GIF, animated WebP and animated PNG.

Durations, repetition, profile and metadata go along where the format has a place for them.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyvips

from widesr.errors import ImageFormatError, UsageError, write_error
from widesr.pictures.adapt import adapted_stream
from widesr.pictures.animation import Animation
from widesr.pictures.apng import Control, write_apng
from widesr.pictures.feed import Feed
from widesr.pictures.frames import changes, ticks
from widesr.pictures.picture import PictureStream
from widesr.pictures.png import stream_png
from widesr.pictures.sniff import title
from widesr.pictures.sources import Target, name_of, whole_target
from widesr.pictures.webp import WebpFrame, write_webp
from widesr.pictures.writing import (
    check_fits,
    check_lossless_picture,
    encode_png,
    metadata_to_write,
    output_format,
    prepared,
)
from widesr.pixels.rows import Band, Rows
from widesr.system.files import FileBytes

_FORMATS = ("gif", "webp", "png")
_LONGEST_GIF = 65535
_MOST_PLAYS = 65535
"""That GIF and WebP can count."""


def check_animation(
    target: Target,
    animation: Animation,
    *,
    format: str | None = None,  # noqa: A002 (users' word)
    lossless: bool = False,
) -> str:
    """Say in which format an animation is written: "gif", "webp" or "png".

    Args:
        target: The output.
        animation: What is to be written.
        format: As for `output_format`.
        lossless: Every value is to be kept.

    Raises:
        ImageFormatError: It holds no animations, or not this one.
    """
    path, still = name_of(target), animation.still
    kind = output_format(target, format=format, animated=True)
    if kind not in _FORMATS:
        raise ImageFormatError(
            f"{path}: this is an animation of {len(animation.durations)} frames, {title(kind)} "
            "holds one; write WebP, GIF or PNG (-f webp, -f gif or -f png)"
        )
    if kind != "gif":
        check_fits(path, still, kind)
        if lossless:
            check_lossless_picture(path, still, kind)
    elif lossless:
        raise ImageFormatError(
            f"{path}: GIF has 256 colours a frame and is not lossless; write WebP or PNG (-f webp)"
        )
    elif max(still.rows.shape) > _LONGEST_GIF:
        raise ImageFormatError(
            f"{path}: the frames are {still.rows.width}x{still.rows.height}, GIF holds at most "
            f"{_LONGEST_GIF} pixels a side; write PNG (-f png)"
        )
    return kind


def write_animation(
    target: Target,
    animation: Animation,
    *,
    format: str | None = None,  # noqa: A002 (users' word)
    quality: int = 95,
    lossless: bool = False,
    overwrite: bool = False,
    sealed: Callable[[int], None] = lambda _fd: None,
) -> None:
    """Write an animation while it passes, the whole file or none.

    WebP and PNG keep frames, durations, profile, EXIF and XMP; WebP milliseconds and 8 bits. GIF
    keeps hundredths of a second, sRGB of 256 colours a frame, and what is transparent by half.

    Args:
        target: As for `write_picture`.
        animation: What to write.
        format: A suffix; by default that of the path.
        quality: 1 to 100, of WebP.
        lossless: Every value is kept, or the animation refused.
        overwrite: Replace a file that is there.
        sealed: Called with the descriptor of the whole file just before it takes its name.

    Raises:
        Exception: As `write_stream`, with what comes while the frames are made.
    """
    if not 1 <= quality <= 100:
        raise UsageError(f"the quality is {quality}, expected 1 to 100 (-q)")
    kind = check_animation(target, animation, format=format, lossless=lossless)
    path = name_of(target)
    try:
        with whole_target(target, overwrite=overwrite) as data:
            file = FileBytes(data.fileno())
            if kind == "gif":
                _write_gif(data.fileno(), animation)
            elif kind == "webp":
                animation = animation.map(lambda frame, _: prepared(path, frame, kind))
                _write_webp(path, file, animation, quality=quality, lossless=lossless)
            else:
                _write_png(file, animation.map(lambda frame, _: prepared(path, frame, kind)))
            sealed(data.fileno())
    except pyvips.Error as error:
        raise write_error(path, error) from error


def _write_gif(fd: int, animation: Animation) -> None:
    animation = animation.map(lambda frame, _: _in_8_bit_srgb(frame))
    n_frames, (height, width, channels) = len(animation.durations), animation.shape
    roll = Rows(animation.frames, shape=(n_frames * height, width, channels), dtype=np.uint8)
    feed = Feed(roll)
    image = feed.image.copy(interpretation="srgb")
    # Frames shorter than 2/100 s are shown for 10/100 s nearly everywhere.
    delays = ticks(animation.durations, per_second=100, most=65535, least=2)
    image.set_type(pyvips.GValue.gint_type, "page-height", height)
    image.set_type(pyvips.GValue.gint_type, "loop", min(animation.plays, _MOST_PLAYS))
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
        if band.dtype == np.uint16:
            band = ((band.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
        colours = np.broadcast_to(band[..., : frame.colours], (*band.shape[:2], 3))
        return np.concatenate([colours, band[..., frame.colours :]], axis=2)

    rows = frame.rows.map(rgb, channels=3 + frame.has_alpha, dtype=np.uint8)
    return replace(frame, rows=rows, icc=None)


def _write_webp(
    path: Path, file: FileBytes, animation: Animation, *, quality: int, lossless: bool
) -> None:
    still = animation.still
    options = {"Q": quality, "lossless": lossless, "exact": lossless, "keep": "none"}

    def frames() -> Iterator[WebpFrame]:
        times = ticks(animation.durations, per_second=1000, most=2**24 - 1)
        for part, time in zip(changes(animation.frames, even=True), times, strict=True):
            height, width, _ = part.pixels.shape
            encoded = _image(part.pixels).webpsave_buffer(**options)
            yield WebpFrame(part.x, part.y, width, height, time, encoded)

    try:
        write_webp(
            file,
            frames(),
            size=still.rows.shape[:2],
            has_alpha=still.has_alpha,
            plays=min(animation.plays, _MOST_PLAYS),
            icc=still.icc,
            metadata=metadata_to_write(still, "webp"),
        )
    except OverflowError as error:
        raise ImageFormatError(
            f"{path}: the animation takes more than 4 GB, which WebP cannot hold; write PNG "
            "(-f png)"
        ) from error


def _write_png(file: FileBytes, animation: Animation) -> None:
    still = animation.still
    metadata = metadata_to_write(still, "png")

    def frames() -> Iterator[tuple[Control, bytes]]:
        for number, part in enumerate(changes(animation.frames)):
            rows = Rows.of(part.pixels)
            # What is true of all stands before the first.
            pieces = stream_png(rows) if number else encode_png(replace(still, rows=rows), metadata)
            encoded = b"".join(pieces)
            height, width, _ = part.pixels.shape
            delay, per = _fraction_of_words(animation.durations[number])
            yield Control(width, height, part.x, part.y, delay, per), encoded

    write_apng(file, frames(), n_frames=len(animation.durations), plays=animation.plays)


def _fraction_of_words(duration: Fraction) -> tuple[int, int]:
    """Numerator and denominator, each of 16 bits."""
    nearest = duration.limit_denominator(int(65534 / max(duration, Fraction(1))) or 1)
    return min(nearest.numerator, 65535), nearest.denominator


def _image(pixels: Band) -> pyvips.Image:
    """An image of libvips, in memory."""
    grey, deep = pixels.shape[2] < 3, pixels.dtype == np.uint16
    names = {(True, False): "b-w", (True, True): "grey16", (False, True): "rgb16"}
    return pyvips.Image.new_from_array(pixels, interpretation=names.get((grey, deep), "srgb"))
