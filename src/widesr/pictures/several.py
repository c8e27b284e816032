"""Files that hold several pictures: animations, and TIFF files of several pages."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from widesr.pictures.animate import check_animation, write_animation
from widesr.pictures.animation import Animation, is_animation, open_animation
from widesr.pictures.pages import Pages, check_pages, has_pages, open_pages, write_pages
from widesr.pictures.picture import MAX_PIXELS, PictureStream
from widesr.pictures.sources import Source, Target
from widesr.pictures.writing import write_stream

Several = Animation | Pages
"""Both have a `count`, the `size` of the first, and are changed one by one with `map`."""


def holds_several(source: Source) -> bool:
    """Say whether a file holds several pictures; not so what cannot be read."""
    return is_animation(source) or has_pages(source)


def open_several(
    source: Source, *, max_pixels: int = MAX_PIXELS
) -> AbstractContextManager[Several]:
    """Open what holds several; as `open_animation` or `open_pages`."""
    opening = open_animation if is_animation(source) else open_pages
    return opening(source, max_pixels=max_pixels)


def check_several(target: Target, several: Several, *, lossless: bool = False) -> None:
    """Refuse a format that cannot hold them all.

    Raises:
        ImageFormatError: As `check_animation` and `check_pages` say.
    """
    if isinstance(several, Animation):
        check_animation(target, several, lossless=lossless)
    else:
        check_pages(target, several)


def write_pictures(
    target: Target,
    pictures: PictureStream | Several,
    *,
    format: str | None = None,  # noqa: A002 (users' word)
    quality: int = 95,
    lossless: bool = False,
    overwrite: bool = False,
    sealed: Callable[[int], None] = lambda _fd: None,
) -> None:
    """Write one or several into one file, or none; as `write_stream` and those of the several."""
    if isinstance(pictures, Pages):
        write_pages(target, pictures, format=format, overwrite=overwrite, sealed=sealed)
        return
    how: dict[str, Any] = {"format": format, "quality": quality, "lossless": lossless}
    how |= {"overwrite": overwrite, "sealed": sealed}
    if isinstance(pictures, Animation):
        write_animation(target, pictures, **how)
    else:
        write_stream(target, pictures, **how)
