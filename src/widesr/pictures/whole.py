"""Decodes still pictures that cannot pass row by row: BMP, Netpbm, GIF, HEIC."""

from widesr.pictures.bitmaps import open_bitmap
from widesr.pictures.gif import read_gif
from widesr.pictures.heic import open_heic
from widesr.pictures.picture import Bitmap
from widesr.pictures.sources import PictureFile
from widesr.pixels.rows import Pixels

WHOLE = ("bmp", "netpbm", "gif", "heic")
"""The kinds of files that `open_whole` takes."""


def open_whole(file: PictureFile, kind: str) -> Bitmap:
    """Read the header of an open file that is of a kind of `WHOLE` by its content.

    Raises:
        ImageFormatError: A variant that is not read.
        MissingExtraError: What decodes it is not installed.
        ValueError: It is damaged or cut short; the cause alone.
    """
    if kind == "gif":
        return _open_gif(file)
    return open_heic(file) if kind == "heic" else open_bitmap(file, kind)


def _open_gif(file: PictureFile) -> Bitmap:
    gif = read_gif(file)

    def decode() -> Pixels:
        (pixels,) = gif.drawn(file)  # all of it: a warning comes at its end
        return pixels

    return Bitmap(
        width=gif.width,
        height=gif.height,
        pixel_bytes=4,
        decode=decode,
        count=len(gif.frames),
    )
