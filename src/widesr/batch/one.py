"""Upscale one picture file, on its own or for whoever has many of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from widesr.batch.settings import UpscaleSettings
from widesr.errors import WidesrError
from widesr.pictures.adapt import adapted_stream
from widesr.pictures.animation import is_animation
from widesr.pictures.heic import closest_suffix
from widesr.pictures.picture import PictureStream
from widesr.pictures.reading import open_picture
from widesr.pictures.sequence import PictureSequence
from widesr.pictures.several import (
    check_several,
    holds_several,
    open_several,
    write_pictures,
)
from widesr.pictures.sniff import kind_of
from widesr.pictures.sources import Source, opened
from widesr.pictures.writing import FORMATS, check_lossless, check_opaque, output_format
from widesr.system.progress import OnProgress, ignore
from widesr.upscaling.base import AnyUpscaler


class Upscaled(NamedTuple):
    """The sizes and the number of what was made of a file."""

    input_size: tuple[int, int]
    """(height, width), of the first where there are several pictures in it."""
    output_size: tuple[int, int]
    n_pictures: int
    """The number of frames or pages; 1 for a still picture."""


class UpscaledBytes(NamedTuple):
    """A file that was made in memory."""

    data: bytes
    suffix: str
    """The end of its name, with the dot: ".png"."""
    upscaled: Upscaled


def upscale_one(
    settings: UpscaleSettings,
    source: Path,
    output: Path,
    *,
    overwrite: bool = False,
    upscaler: AnyUpscaler | None = None,
    on_progress: OnProgress = ignore,
) -> Upscaled:
    """Upscale a file of one or several pictures into another, which is written whole or not at all.

    Pictures pass row by row, so that memory does not grow with them.

    Args:
        settings: All that decides the output.
        source: A picture, an animation, or a TIFF file of several pages.
        output: The file to be; its suffix decides the format.
        overwrite: Replace a file that is there.
        upscaler: The upscaler from `settings.load()`; by default loaded once in each process.
        on_progress: Told of the pictures done, parts of one too, and of all of them.

    Raises:
        WidesrError: The errors of `read_picture`, `Upscaler` and `write_picture`.
    """
    made_by = upscaler or loaded(settings)
    quality, lossless = settings.quality, settings.lossless
    with open_any(source, max_pixels=settings.max_pixels) as lr:
        count = check_output(output, lr, lossless=lossless)
    with open_any(source, max_pixels=settings.max_pixels) as lr:  # checking may have read it

        def change(each: PictureStream, number: int) -> PictureStream:
            def on_tile(done: float, total: float) -> None:
                on_progress(number + done / total, count)

            return upscaled_stream(each, settings, made_by, on_tile)

        with changed(lr, change) as sr:
            write_pictures(output, sr, quality=quality, lossless=lossless, overwrite=overwrite)
            return Upscaled(lr.size, sr.size, count)


def upscale_bytes(
    settings: UpscaleSettings, data: bytes, *, name: str, upscaler: AnyUpscaler | None = None
) -> UpscaledBytes:
    """Upscale the bytes of a picture file; what is decoded passes row by row.

    Args:
        settings: All that decides the output; without a format, the name's suffix decides it.
        data: A file of any format that is read.
        name: The name of the file, which errors begin with, and whose suffix says the format.
        upscaler: The upscaler, as for `upscale_one`.

    Raises:
        WidesrError: The errors of `upscale_one`.
    """
    made_by, output = upscaler or loaded(settings), BytesIO()
    try:
        suffix = _suffix_of(data, name, settings.format)
        with open_any(data, max_pixels=settings.max_pixels) as lr:

            def change(each: PictureStream, _: int) -> PictureStream:
                return upscaled_stream(each, settings, made_by, ignore)

            sr = lr.map(change)
            quality, lossless = settings.quality, settings.lossless
            write_pictures(output, sr, format=suffix, quality=quality, lossless=lossless)
            return UpscaledBytes(output.getvalue(), suffix, Upscaled(lr.size, sr.size, lr.count))
    except WidesrError as error:
        error.message = f"{name}: {error.message.removeprefix('<bytes>: ')}"
        raise


def _suffix_of(data: bytes, name: str, format: str | None) -> str:  # noqa: A002 (users' word)
    """End the name of an output as `plan_jobs` does, by the name and the bytes of its input."""
    kept = PurePosixPath(name).suffix
    if format is not None:
        wanted = f".{format.lower().removeprefix('.')}"
        return kept if FORMATS.get(kept.lower()) == FORMATS.get(wanted, wanted) else wanted
    if kept.lower() in FORMATS or (kept.lower() == ".gif" and is_animation(data)):
        return kept
    with opened(data) as file:
        return closest_suffix(file.heif) if kind_of(file) == "heic" else ".png"


@lru_cache(maxsize=1)
def loaded(settings: UpscaleSettings) -> AnyUpscaler:
    """Load the networks that this process works with, once."""
    return settings.load()


def upscaled_stream(
    lr: PictureStream, settings: UpscaleSettings, upscaler: AnyUpscaler, on_tile: OnProgress
) -> PictureStream:
    """Upscale a picture as it passes, and adapt what goes along with it."""
    lr = adapted_stream(lr, icc=settings.icc, metadata=settings.metadata)
    return upscaler.upscale_stream(lr, progress=on_tile)


@contextmanager
def open_any(source: Source, *, max_pixels: int) -> Iterator[PictureStream | PictureSequence]:
    """Open a file of one or of several pictures; as `open_picture` and `open_several`."""
    opening = open_several if holds_several(source) else open_picture
    with opening(source, max_pixels=max_pixels) as pictures:
        yield pictures


def check_output(output: Path, lr: PictureStream | PictureSequence, *, lossless: bool) -> int:
    """Refuse an output that cannot hold what becomes of these pictures, and count them.

    Raises:
        ImageFormatError: Its format is not written, or cannot hold them.
    """
    if isinstance(lr, PictureStream):
        check_still(output, lossless=lossless)
        check_opaque(output, lr)
    else:
        check_several(output, lr, lossless=lossless)
    return lr.count


def check_still(output: Path, *, lossless: bool) -> None:
    """Refuse a format that is not one of a still picture, or that loses what must be kept.

    Raises:
        ImageFormatError: It is such a format.
    """
    output_format(output)
    if lossless:
        check_lossless(output)


@contextmanager
def changed(
    lr: PictureStream | PictureSequence, change: Callable[[PictureStream, int], PictureStream]
) -> Iterator[PictureStream | PictureSequence]:
    """Change pictures as they pass; each step works while the one behind it uses what it made.

    Args:
        lr: The pictures that were opened.
        change: Gets each picture and its number, from 0.
    """
    with lr.ahead() as given, given.map(change).ahead() as sr:
        yield sr
