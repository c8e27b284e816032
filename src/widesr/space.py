"""Whether the disk has room for what is to be made, told before hours of work and not after."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from os.path import lexists  # unlike Path.exists, False also for a name that is too long
from pathlib import Path

from widesr.errors import ImageWriteError, WidesrError
from widesr.reading import read_header
from widesr.writing import output_format

Resize = Callable[[int, int], tuple[int, int]]
"""From the (height, width) of an input to that of its output."""

_LOSSLESS = 1 / 4
"""Bytes per pixel of an output in those of its input's file, at the least. Measured on photographs
and scans by bicubic x4, which is smoothest: from 0.5 in PNG and TIFF."""
_LOSSY = 1 / 40
"""At the quality 100, and less in proportion; measured in JPEG and WebP: from 0.08 at 95, from
0.009 at 1."""
_SQUEEZED = 1 / 4
"""What is taken of an input that is hardly compressed, in its decoded bytes."""
_NOT_PIXELS = 2**16
"""Bytes of an input that may be its header, profile and metadata, which do not grow."""


def check_space(pairs: Iterable[tuple[Path, Path]], *, resize: Resize, quality: int = 95) -> None:
    """Refuse a run whose outputs surely do not fit on their disks.

    Args:
        pairs: Inputs and outputs; outputs that are there already are left out.
        resize: How large an input becomes.
        quality: 1 to 100, of outputs that lose some.

    Raises:
        ImageWriteError: The least that the outputs may take is more than is free.
    """
    needed: defaultdict[int, int] = defaultdict(int)
    folders: dict[int, Path] = {}
    for source, target in pairs:
        if not lexists(target):
            folder = _existing(target.parent)
            device = folder.stat().st_dev
            folders.setdefault(device, folder)
            needed[device] += _least(source, target, resize, quality)
    for device, folder in folders.items():
        disk = os.statvfs(folder)
        free = disk.f_bavail * disk.f_frsize
        if disk.f_blocks and needed[device] > free:  # some file systems do not count
            raise ImageWriteError(
                f"{folder}: the outputs take at least {_size(needed[device])}, {_size(free)} is "
                "free there; make room, or name a folder on another disk with -o"
            )


def decoded_bytes(source: Path, *, resize: Resize) -> int:
    """Memory that a picture and its output take, decoded; 0 where the file does not tell."""
    try:
        header = read_header(source)
        height, width = resize(header.height, header.width)
    except WidesrError:
        return 0  # it will be said when its turn comes
    return (header.height * header.width + height * width) * header.pixel_bytes


def _least(source: Path, target: Path, resize: Resize, quality: int) -> int:
    try:
        header = read_header(source)
        height, width = resize(header.height, header.width)
        lossless = output_format(target) in ("png", "tiff")
        n_bytes = source.stat().st_size - _NOT_PIXELS
    except (WidesrError, OSError):
        return 0  # it will be said when its turn comes
    decoded = header.height * header.width * header.pixel_bytes
    grown = height * width / max(header.height * header.width, 1)
    share = _LOSSLESS if lossless else _LOSSY * quality / 100
    return max(int(min(n_bytes, decoded * _SQUEEZED) * grown * share), 0)


def _existing(folder: Path) -> Path:
    while not lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"
