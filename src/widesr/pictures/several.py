"""Reads and writes files of several pictures: animations, and TIFF files of several pages."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyvips

from widesr.errors import ImageFormatError, ImageReadError, WidesrError
from widesr.pictures.animate import check_animation, encode_animation
from widesr.pictures.animation import animated_kind, read_animation
from widesr.pictures.pages import encode_pages, page_numbers, read_pages
from widesr.pictures.picture import MAX_PIXELS, PictureStream
from widesr.pictures.sequence import PictureSequence
from widesr.pictures.sniff import title
from widesr.pictures.sources import Source, Target, name_of, opened, whole_target
from widesr.pictures.writing import check_quality, output_format, write_stream
from widesr.system.progress import ignore


def holds_several(source: Source) -> bool:
    """Say whether a file holds several pictures; a file that cannot be read does not."""
    try:
        with opened(source) as file:
            return animated_kind(file) is not None or len(page_numbers(file)) > 1
    except (WidesrError, OSError, ValueError, pyvips.Error):
        return False


@contextmanager
def open_several(source: Source, *, max_pixels: int = MAX_PIXELS) -> Iterator[PictureSequence]:
    """Open a file of several pictures, to be read one by one while the file is open.

    Errors in the pixels are raised when they are read.

    Args:
        source: GIF, WebP or PNG of several frames, or TIFF of several pages, whatever its suffix;
            given as for `read_picture`.
        max_pixels: The most pixels of a picture; all pictures together may have 16 times as many.

    Raises:
        ImageReadError: The file is missing, damaged, cut short, or holds one picture.
        ImageFormatError: A picture is of an unsupported kind.
        ImageTooLargeError: The file claims more pixels; nothing was decoded.
    """
    with opened(source) as file:
        kind = animated_kind(file)
        if kind is not None:
            yield read_animation(file, kind, max_pixels=max_pixels)
            return
        pages = read_pages(file, max_pixels=max_pixels)
        if pages is None:
            raise ImageReadError(
                f"{file.path}: is neither an animation (GIF, WebP or PNG with several frames) nor "
                "a TIFF file of several pages"
            )
        yield pages


def check_several(
    target: Target,
    pictures: PictureSequence,
    *,
    format: str | None = None,  # noqa: A002 (users' word)
    lossless: bool = False,
) -> str:
    """Give the format in which several pictures are written, after checking that it holds them.

    Args:
        target: The output, with `format` as for `output_format`.
        pictures: The pictures to be written.
        format: A suffix; by default the path's.
        lossless: True if every value is to be kept.

    Raises:
        ImageFormatError: The format cannot hold the pictures, or not all of them.
    """
    path, kind = name_of(target), output_format(target, format=format, animated=True)
    if pictures.timing is not None:
        check_animation(path, pictures, kind, lossless=lossless)
    elif kind != "tiff":
        raise ImageFormatError(
            f"{path}: these are {pictures.count} pages, {title(kind)} holds one; write TIFF",
            options=['format="tiff"'],
        )
    return kind


def write_pictures(
    target: Target,
    pictures: PictureStream | PictureSequence,
    *,
    format: str | None = None,  # noqa: A002 (users' word)
    quality: int = 95,
    lossless: bool = False,
    overwrite: bool = False,
    sealed: Callable[[int], None] = ignore,
) -> None:
    """Write one or several streamed pictures into one file: the whole file or none.

    WebP and PNG keep frames, durations, profile, EXIF and XMP; WebP rounds to milliseconds and
    8 bits. GIF keeps hundredths of a second, 256 sRGB colours per frame, and only full or no
    transparency, with the limit at a half.

    Args:
        target: The output: a path or a file object, as for `write_picture`.
        pictures: The picture or pictures to write.
        format: A suffix; by default the path's.
        quality: The quality of JPEG, WebP and AVIF, 1 to 100.
        lossless: True to keep every value or refuse the pictures; pages are always lossless.
        overwrite: True to replace an existing file.
        sealed: Called with the descriptor of the whole file just before it takes its name.

    Raises:
        Exception: The errors of `write_stream`, and any that is raised while pictures are made.
    """
    if isinstance(pictures, PictureStream):
        write_stream(
            target,
            pictures,
            format=format,
            quality=quality,
            lossless=lossless,
            overwrite=overwrite,
            sealed=sealed,
        )
        return
    check_quality(quality)
    kind = check_several(target, pictures, format=format, lossless=lossless)
    path = name_of(target)
    with whole_target(target, overwrite=overwrite) as file:
        if pictures.timing is not None:
            encode_animation(
                path, pictures, file.fileno(), kind, quality=quality, lossless=lossless
            )
        else:
            folder = path.parent if isinstance(target, str | os.PathLike) else None
            encode_pages(path, pictures, file.fileno(), folder=folder)
        sealed(file.fileno())
