"""Still pictures that are decoded whole, by others than the loaders of libvips."""

from pathlib import Path

from widesr.files import FileBytes
from widesr.pictures.bitmaps import open_bitmap
from widesr.pictures.gif import read_gif
from widesr.pictures.picture import Bitmap, Pixels

WHOLE = ("bmp", "netpbm", "gif")
"""Kinds of files that `open_whole` takes."""


def open_whole(path: Path, fd: int, kind: str) -> Bitmap:
    """Read the header of an open file that is of a kind of `WHOLE` by its content.

    Raises:
        ImageReadError: It is damaged or cut short.
        ImageFormatError: A variant that is not read.
        ValueError: It is damaged; the cause alone.
    """
    if kind == "gif":
        return _open_gif(path, fd)
    return open_bitmap(path, FileBytes(fd), kind)


def _open_gif(path: Path, fd: int) -> Bitmap:
    gif = read_gif(fd)

    def decode() -> Pixels:
        return list(gif.drawn(path, fd))[0]

    return Bitmap(
        width=gif.width,
        height=gif.height,
        pixel_bytes=4,
        decode=decode,
        count=len(gif.frames),
    )
