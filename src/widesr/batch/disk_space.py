"""Tells whether the disk has room for the outputs, before hours of work and not after."""

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
"""Function from the (height, width) of an input to that of its output."""

_LOSSLESS = 1 / 4
"""Smallest ratio of an output's bytes per pixel to those of its input's file. Photographs and scans
measured at least 0.5 in PNG and TIFF by bicubic x4, which is smoothest."""
_LOSSY = 1 / 40
"""Smallest ratio of a lossy output at quality 100, reduced in proportion at lower qualities. JPEG
and WebP measured at least 0.08 at 95, and 0.009 at 1."""
_LOSSY_MOST = 1 / 2
"""Largest ratio of a lossy output's bytes to those of its pixels, which noise reaches at 95."""
_SQUEEZED = 1 / 4
"""Largest share of its decoded bytes that an input counts for, if it is hardly compressed."""
_NOT_PIXELS = 2**16
"""Bytes of an input that may be its header, profile and metadata, which do not grow."""


def check_space(
    pairs: Iterable[tuple[Path, Path]],
    *,
    resize: Resize,
    quality: int = 95,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Refuse a run whose outputs certainly do not fit on their disks.

    Args:
        pairs: Inputs and outputs; outputs that exist already are left out.
        resize: Function from the size of an input to that of its output.
        quality: The quality of lossy outputs, 1 to 100.
        max_pixels: The largest picture that is read; larger inputs are left out.

    Raises:
        ImageWriteError: Even by the lowest estimate, the outputs take more than the free space.
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
        if disk.total and needed[device] > disk.free:  # some file systems report no sizes
            least, free = readable_size(needed[device]), readable_size(disk.free)
            raise ImageWriteError(
                f"{folder}: the outputs need at least {least}, and {free} is free there; make "
                "room, or name a folder on another disk",
                options=["output"],
            )


def header_of(source: Path, *, max_pixels: int) -> Header:
    """Read the header of a picture, and refuse it if the header already shows that it must be.

    Raises:
        WidesrError: The errors of `read_picture` that a header shows.
    """
    header = read_header(source)
    check_size(source, header.width, header.height, max_pixels=max_pixels)
    return header


def decoded_bytes(source: Path, *, resize: Resize, max_pixels: int = MAX_PIXELS) -> int:
    """Return the decoded bytes of a picture and its output; 0 if the header is not readable."""
    try:
        header = header_of(source, max_pixels=max_pixels)
        height, width = resize(header.height, header.width)
    except WidesrError:
        return 0  # its error is reported when its turn comes
    return (header.height * header.width + height * width) * header.pixel_bytes


def _least(source: Path, target: Path, resize: Resize, quality: int, max_pixels: int) -> int:
    try:
        header = header_of(source, max_pixels=max_pixels)
        size = resize(header.height, header.width)
        return bytes_to_come(source, target, header, size=size, quality=quality)[0]
    except (WidesrError, OSError):
        return 0  # its error is reported when its turn comes


def bytes_to_come(
    source: Path, target: Path, header: Header, *, size: tuple[int, int], quality: int
) -> tuple[int, int]:
    """Estimate the smallest and the largest size of an output file, in bytes.

    Args:
        source: The input.
        target: The output; its name decides the format.
        header: The header of the input.
        size: (height, width) of the output.
        quality: The quality of a lossy output, 1 to 100.
    """
    pixels, grown = header.height * header.width, size[0] * size[1]
    decoded = pixels * header.pixel_bytes
    lossless = output_format(target, animated=True) in ("png", "tiff")
    share = _LOSSLESS if lossless else _LOSSY * quality / 100
    squeezed = min(source.stat().st_size - _NOT_PIXELS, decoded * _SQUEEZED)
    least = max(int(squeezed * grown / max(pixels, 1) * share), 0)
    most = grown * header.pixel_bytes
    return least, max(most if lossless else int(most * _LOSSY_MOST), least) + _NOT_PIXELS
