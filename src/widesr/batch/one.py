"""Upscales one picture file, on its own or for callers with many files."""

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
    """The sizes and the number of the pictures that were made from a file."""

    input_size: tuple[int, int]
    """The (height, width) of the input; of its first picture, if it holds several."""
    output_size: tuple[int, int]
    n_pictures: int
    """The number of frames or pages; 1 for a still picture."""


class UpscaledBytes(NamedTuple):
    """A file that was made in memory."""

    data: bytes
    suffix: str
    """The suffix of the file's name, with the dot: ".png"."""
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
    """Upscale a file of one or several pictures to another, which is written whole or not at all.

    Pictures are streamed row by row, so that memory does not grow with their size.

    Args:
        settings: All that decides the output.
        source: A picture, an animation, or a TIFF file of several pages.
        output: The file to write; its suffix decides the format.
        overwrite: Replace an existing file.
        upscaler: The upscaler from `settings.load()`; by default it is loaded once per process.
        on_progress: Called with the number of pictures done, including parts of a picture, and the
            number of all.

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
    """Upscale the bytes of a picture file; its pixels are streamed row by row.

    Args:
        settings: All that decides the output; without a format, the suffix of `name` decides it.
        data: A file of any format that is read.
        name: The name of the file, with which errors begin, and whose suffix gives the format.
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
    """Choose the suffix of an output as `plan_jobs` does, by the name and bytes of its input."""
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
    """Load the networks of this process, once."""
    return settings.load()


def upscaled_stream(
    lr: PictureStream, settings: UpscaleSettings, upscaler: AnyUpscaler, on_tile: OnProgress
) -> PictureStream:
    """Upscale a picture as its rows arrive, and adapt its profile and metadata."""
    lr = adapted_stream(lr, icc=settings.icc, metadata=settings.metadata)
    return upscaler.upscale_stream(lr, progress=on_tile)


@contextmanager
def open_any(source: Source, *, max_pixels: int) -> Iterator[PictureStream | PictureSequence]:
    """Open a file of one or several pictures, as `open_picture` and `open_several` do."""
    opening = open_several if holds_several(source) else open_picture
    with opening(source, max_pixels=max_pixels) as pictures:
        yield pictures


def check_output(output: Path, lr: PictureStream | PictureSequence, *, lossless: bool) -> int:
    """Refuse an output that cannot hold the result for these pictures; return their number.

    Raises:
        ImageFormatError: The output's format is not written, or cannot hold the pictures.
    """
    if isinstance(lr, PictureStream):
        check_still(output, lossless=lossless)
        check_opaque(output, lr)
    else:
        check_several(output, lr, lossless=lossless)
    return lr.count


def check_still(output: Path, *, lossless: bool) -> None:
    """Refuse a format that is not for still pictures, or that loses values that must be kept.

    Raises:
        ImageFormatError: The output has such a format.
    """
    output_format(output)
    if lossless:
        check_lossless(output)


@contextmanager
def changed(
    lr: PictureStream | PictureSequence, change: Callable[[PictureStream, int], PictureStream]
) -> Iterator[PictureStream | PictureSequence]:
    """Change pictures as they stream by; each step works while the next one uses its last result.

    Args:
        lr: The opened pictures.
        change: Function of each picture and its number, from 0.
    """
    with lr.ahead() as given, given.map(change).ahead() as sr:
        yield sr
