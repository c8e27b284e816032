"""Files that hold several pictures: animations, and TIFF files of several pages."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from widesr.pictures.animate import check_animation, write_animation
from widesr.pictures.animation import Animation, is_animation, open_animation
from widesr.pictures.pages import Pages, check_pages, has_pages, open_pages, write_pages
from widesr.pictures.picture import MAX_PIXELS, PictureStream
from widesr.pictures.writing import write_stream

Several = Animation | Pages
"""Both have a `count`, the `size` of the first, and are changed one by one with `map`."""


def holds_several(path: Path) -> bool:
    """Say whether a file holds several pictures; not so what cannot be read."""
    return is_animation(path) or has_pages(path)


def open_several(path: Path, *, max_pixels: int = MAX_PIXELS) -> AbstractContextManager[Several]:
    """Open what holds several; as `open_animation` or `open_pages`."""
    opening = open_animation if is_animation(path) else open_pages
    return opening(path, max_pixels=max_pixels)


def check_several(path: Path, several: Several, *, lossless: bool = False) -> None:
    """Refuse a format that cannot hold them all.

    Raises:
        ImageFormatError: As `check_animation` and `check_pages` say.
    """
    if isinstance(several, Animation):
        check_animation(path, several, lossless=lossless)
    else:
        check_pages(path, several)


def write_pictures(
    path: Path,
    pictures: PictureStream | Several,
    *,
    quality: int = 95,
    lossless: bool = False,
    overwrite: bool = False,
    sealed: Callable[[int], None] = lambda _fd: None,
) -> None:
    """Write one or several into one file, or none; as `write_stream` and those of the several."""
    if isinstance(pictures, Pages):
        write_pages(path, pictures, overwrite=overwrite, sealed=sealed)
        return
    how: dict[str, Any] = {"quality": quality, "lossless": lossless}
    how |= {"overwrite": overwrite, "sealed": sealed}
    if isinstance(pictures, Animation):
        write_animation(path, pictures, **how)
    else:
        write_stream(path, pictures, **how)
