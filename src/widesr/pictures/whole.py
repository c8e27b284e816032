"""Still pictures that are decoded whole, by others than the loaders of libvips."""

from pathlib import Path

from widesr.pictures.bitmaps import open_bitmap
from widesr.pictures.gif import read_gif
from widesr.pictures.heic import open_heic
from widesr.pictures.picture import Bitmap, Pixels
from widesr.system.files import FileBytes

WHOLE = ("bmp", "netpbm", "gif", "heic")
"""Kinds of files that `open_whole` takes."""


def open_whole(path: Path, fd: int, kind: str) -> Bitmap:
    """Read the header of an open file that is of a kind of `WHOLE` by its content.

    Raises:
        ImageReadError: It is damaged or cut short.
        ImageFormatError: A variant that is not read.
        MissingExtraError: What decodes it is not installed.
        ValueError: It is damaged; the cause alone.
    """
    if kind == "gif":
        return _open_gif(path, fd)
    file = FileBytes(fd)
    return open_heic(path, file) if kind == "heic" else open_bitmap(path, file, kind)


def _open_gif(path: Path, fd: int) -> Bitmap:
    gif = read_gif(fd)

    def decode() -> Pixels:
        (pixels,) = gif.drawn(path, fd)  # all of it: a warning comes at its end
        return pixels

    return Bitmap(
        width=gif.width,
        height=gif.height,
        pixel_bytes=4,
        decode=decode,
        count=len(gif.frames),
    )
