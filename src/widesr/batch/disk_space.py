"""Tell before hours of work, and not after, whether the disk has room for what is to be made."""

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable
from os.path import lexists  # unlike Path.exists, False also for a name that is too long
from pathlib import Path

from widesr.errors import ImageWriteError, WidesrError
from widesr.pictures.decoding import check_size
from widesr.pictures.picture import MAX_PIXELS
from widesr.pictures.reading import Header, read_header
from widesr.pictures.writing import output_format
from widesr.system.folders import nearest_there
from widesr.system.text import readable_size

Resize = Callable[[int, int], tuple[int, int]]
"""Gives the (height, width) of an output from that of its input."""

_LOSSLESS = 1 / 4
"""Bytes per pixel of an output in those of its input's file, at the least. Measured on photographs
and scans by bicubic x4, which is smoothest: from 0.5 in PNG and TIFF."""
_LOSSY = 1 / 40
"""The same at quality 100, and less in proportion; measured in JPEG and WebP: from 0.08 at 95, from
0.009 at 1."""
_LOSSY_MOST = 1 / 2
"""Bytes of an output that loses some, in those of its pixels, at the most; noise at 95 takes so
much."""
_SQUEEZED = 1 / 4
"""The share that counts of an input that is hardly compressed, in its decoded bytes."""
_NOT_PIXELS = 2**16
"""Bytes of an input that may be its header, profile and metadata, which do not grow."""


def check_space(
    pairs: Iterable[tuple[Path, Path]],
    *,
    resize: Resize,
    quality: int = 95,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Refuse a run whose outputs surely do not fit on their disks.

    Args:
        pairs: Inputs and outputs; outputs that are there already are left out.
        resize: Gives the size of the output for that of an input.
        quality: The quality of lossy outputs, 1 to 100.
        max_pixels: The largest picture that is read; larger inputs are left out.

    Raises:
        ImageWriteError: The least that the outputs may take is more than is free.
    """
    needed: defaultdict[int, int] = defaultdict(int)
    folders: dict[int, Path] = {}
    for source, target in pairs:
        if not lexists(target):
            folder = nearest_there(target.parent)
            device = folder.stat().st_dev
            folders.setdefault(device, folder)
            needed[device] += _least(source, target, resize, quality, max_pixels)
    for device, folder in folders.items():
        disk = shutil.disk_usage(folder)
        if disk.total and needed[device] > disk.free:  # some file systems do not count
            least, free = readable_size(needed[device]), readable_size(disk.free)
            raise ImageWriteError(
                f"{folder}: the outputs need at least {least}, and {free} is free there; make "
                "room, or name a folder on another disk",
                options=["output"],
            )


def header_of(source: Path, *, max_pixels: int) -> Header:
    """Read the header of a picture that will not be refused by it.

    Raises:
        WidesrError: The errors of `read_picture`, as far as a header tells.
    """
    header = read_header(source)
    check_size(source, header.width, header.height, max_pixels=max_pixels)
    return header


def decoded_bytes(source: Path, *, resize: Resize, max_pixels: int = MAX_PIXELS) -> int:
    """Give the memory that a picture and its output take, decoded; 0 if the file does not tell."""
    try:
        header = header_of(source, max_pixels=max_pixels)
        height, width = resize(header.height, header.width)
    except WidesrError:
        return 0  # its error is told when its turn comes
    return (header.height * header.width + height * width) * header.pixel_bytes


def _least(source: Path, target: Path, resize: Resize, quality: int, max_pixels: int) -> int:
    try:
        header = header_of(source, max_pixels=max_pixels)
        size = resize(header.height, header.width)
        return bytes_to_come(source, target, header, size=size, quality=quality)[0]
    except (WidesrError, OSError):
        return 0  # its error is told when its turn comes


def bytes_to_come(
    source: Path, target: Path, header: Header, *, size: tuple[int, int], quality: int
) -> tuple[int, int]:
    """Say how much an output takes at the least, and at the most.

    Args:
        source: The input.
        target: The output; its name says the format.
        header: The header of the input.
        size: (height, width) of the output.
        quality: 1 to 100, of an output that loses some.
    """
    pixels, grown = header.height * header.width, size[0] * size[1]
    decoded = pixels * header.pixel_bytes
    lossless = output_format(target, animated=True) in ("png", "tiff")
    share = _LOSSLESS if lossless else _LOSSY * quality / 100
    squeezed = min(source.stat().st_size - _NOT_PIXELS, decoded * _SQUEEZED)
    least = max(int(squeezed * grown / max(pixels, 1) * share), 0)
    most = grown * header.pixel_bytes
    return least, max(most if lossless else int(most * _LOSSY_MOST), least) + _NOT_PIXELS
