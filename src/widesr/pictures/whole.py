"""Decodes still pictures that cannot be read row by row: BMP, Netpbm, GIF, HEIC."""

from widesr.pictures.bmp import open_bmp
from widesr.pictures.gif import read_gif
from widesr.pictures.heic import open_heic
from widesr.pictures.netpbm import open_netpbm
from widesr.pictures.picture import Bitmap
from widesr.pictures.sources import PictureFile
from widesr.pixels.rows import Pixels


def open_whole(file: PictureFile, kind: str) -> Bitmap:
    """Read the header of an open file whose content is of a kind in `WHOLE`.

    Raises:
        ImageFormatError: The file is of an unsupported variant.
        MissingExtraError: The decoder of this format is not installed.
        ValueError: The file is damaged or cut short; the message is the cause alone.
    """
    return _OPENERS[kind](file)


def _open_gif(file: PictureFile) -> Bitmap:
    gif = read_gif(file)

    def decode() -> Pixels:
        (pixels,) = gif.drawn(file)  # to its end, where it may warn
        return pixels

    return Bitmap(
        width=gif.width,
        height=gif.height,
        pixel_bytes=4,
        decode=decode,
        count=len(gif.frames),
    )


_OPENERS = {"bmp": open_bmp, "netpbm": open_netpbm, "gif": _open_gif, "heic": open_heic}
WHOLE = tuple(_OPENERS)
"""The kinds of files that `open_whole` takes."""
