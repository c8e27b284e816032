"""Finds folders, and the pictures in them by name; no file is opened."""

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
"""Endings of pictures, including kinds that are not read: such files are refused by name, while
other files, such as text, are passed over."""

CLIP_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg"),
        *(".mpeg", ".wmv", ".asf", ".flv", ".3gp", ".ogv", ".mxf", ".vob", ".y4m", ".nut"),
    )
)
"""The endings by which a file is taken for a clip."""


def is_folder(path: Path) -> bool:
    """Tell whether a path is a folder; unlike `Path.is_dir`, also if the name is too long."""
    return os.path.isdir(path)  # noqa: PTH112


def nearest_there(path: Path) -> Path:
    """Go up from a path to the first one that exists: the place where a new folder is made."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


_WEB_ADDRESS = re.compile("([a-z][a-z0-9+.-]+):/+(?=[^/])", re.IGNORECASE)
"""Pattern of a web address in a `Path`, which has one slash where the user wrote two."""


def web_address(path: Path) -> str | None:
    """Return the web address that a path was meant as; None if it is not one, or is a file."""
    found = _WEB_ADDRESS.match(str(path))
    if not found or os.path.lexists(path):
        return None
    return f"{found[1]}://{str(path)[found.end() :]}"


def frames_in(folder: Path) -> list[Path]:
    """List the pictures of a folder as frames of a clip, by name, 9.png before 10.png.

    Raises:
        ImageReadError: The folder cannot be listed.
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
    """List the pictures of a folder in the order of their names, without hidden ones.

    Args:
        folder: An existing folder.
        recursive: Also list the pictures of its subfolders; a folder's own pictures come first.
        but: A folder to leave out, with everything in it.
        unlisted: Called with each folder that cannot be listed, and the reason, while the others
            are listed; if None, an error is raised.
        suffixes: The endings of the files to list, in lower case.

    Raises:
        ImageReadError: A folder cannot be listed, and `unlisted` is None.
    """

    def refuse(error: OSError) -> None:
        refusal = ImageReadError(f"{error.filename}: cannot be listed: {error.strerror}")
        if unlisted is None:
            raise refusal from error
        unlisted(Path(error.filename), refusal)

    files = _visible(folder, recursive=recursive, but=but, on_error=refuse)
    return [file for file in files if file.suffix.lower() in suffixes]


def count_others(folder: Path, *, recursive: bool = False, but: Path | None = None) -> int:
    """Count the files that `pictures_in` passes over, without hidden ones."""
    files = _visible(folder, recursive=recursive, but=but, on_error=None)
    return sum(file.suffix.lower() not in PICTURE_SUFFIXES for file in files)


def _visible(
    folder: Path, *, recursive: bool, but: Path | None, on_error: Callable[[OSError], None] | None
) -> Iterator[Path]:
    """Yield the files of a folder that are not hidden, in the order of their names."""
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
