"""Find folders, and the pictures in them by their names; no file is opened."""

import os
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from widesr.errors import ImageReadError

PICTURE_SUFFIXES = frozenset(
    (
        *(".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif", ".gif"),
        *(".apng", ".bmp", ".dib", ".jfif", ".jpe", ".mpo", ".pam", ".pbm", ".pgm", ".pnm"),
        *(".ppm", ".heic", ".heif", ".hif", ".jxl"),
        *(".arw", ".avifs", ".cr2", ".cr3", ".dng", ".jp2", ".nef", ".pfm", ".psd"),
    )
)
"""Includes kinds that are not read: those are refused by name, where a text file is passed over."""

CLIP_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg"),
        *(".mpeg", ".wmv", ".asf", ".flv", ".3gp", ".ogv", ".mxf", ".vob", ".y4m", ".nut"),
    )
)
"""The endings by which a file is taken for a clip."""


def is_folder(path: Path) -> bool:
    """Say whether this is a folder; unlike `Path.is_dir`, also of a name too long for any file."""
    return os.path.isdir(path)  # noqa: PTH112


def nearest_there(path: Path) -> Path:
    """Go up from a path to the first that is there: what a folder that is to be made lies in."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


_WEB_ADDRESS = re.compile("([a-z][a-z0-9+.-]+):/+(?=[^/])", re.IGNORECASE)
"""A `Path` has one slash where the user wrote two."""


def web_address(path: Path) -> str | None:
    """Return the web address that a path was meant as; None if it is a file, or no address."""
    found = _WEB_ADDRESS.match(str(path))
    if not found or os.path.lexists(path):
        return None
    return f"{found[1]}://{str(path)[found.end() :]}"


def frames_in(folder: Path) -> list[Path]:
    """List the pictures of a folder as frames of a clip: by their names, 9.png before 10.png.

    Raises:
        ImageReadError: The folder may not be listed.
    """
    return sorted(pictures_in(folder), key=_by_number)


def _by_number(path: Path) -> tuple[list[str | int], str]:
    parts = re.split("([0-9]+)", path.name)  # numbers are every second part, in any name
    return [int(part) if n % 2 else part for n, part in enumerate(parts)], path.name


def pictures_in(
    folder: Path,
    *,
    recursive: bool = False,
    but: Path | None = None,
    unlisted: Callable[[Path, ImageReadError], None] | None = None,
    suffixes: Collection[str] = PICTURE_SUFFIXES,
) -> list[Path]:
    """List the pictures of a folder in the order of their names, hidden ones left out.

    Args:
        folder: An existing folder.
        recursive: List the pictures of the folders in it too; a folder's own pictures come first.
        but: A folder that is left out, with all that is in it.
        unlisted: Told of a folder that may not be listed, and why; the others are. None raises.
        suffixes: The endings of what is listed, in lower case.

    Raises:
        ImageReadError: A folder may not be listed.
    """

    def refuse(error: OSError) -> None:
        refusal = ImageReadError(f"{error.filename}: cannot be listed: {error.strerror}")
        if unlisted is None:
            raise refusal from error
        unlisted(Path(error.filename), refusal)

    files = _visible(folder, recursive=recursive, but=but, on_error=refuse)
    return [file for file in files if file.suffix.lower() in suffixes]


def count_others(folder: Path, *, recursive: bool = False, but: Path | None = None) -> int:
    """Count the files that `pictures_in` passes over, hidden ones left out."""
    files = _visible(folder, recursive=recursive, but=but, on_error=None)
    return sum(file.suffix.lower() not in PICTURE_SUFFIXES for file in files)


def _visible(
    folder: Path, *, recursive: bool, but: Path | None, on_error: Callable[[OSError], None] | None
) -> Iterator[Path]:
    """List the files of a folder that are not hidden, in the order of their names."""
    for parent, folders, names in os.walk(folder, onerror=on_error):
        here = Path(parent)
        folders[:] = sorted(
            name
            for name in folders
            if recursive and name[0] != "." and not (but and _same(here / name, but))
        )
        yield from (here / name for name in sorted(names) if name[0] != ".")


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
