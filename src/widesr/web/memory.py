"""Memory of the server: how the limit is shared out, and what a picture takes of it beside tiles.

One part of the limit is the process itself with its runtimes, one is what networks may hold and the
bands of rows that pass, and the rest is for pictures that a decoder or an encoder holds whole. What
a picture takes of the rest is forecast from its header; together they never get more.
"""

import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from widesr.pictures.reading import Header

_BASE = 450 * 2**20
"""Bytes of the process with both runtimes, libvips and one network, before any picture."""
_NETWORK = 0.12
"""Share of the rest that one network may reckon with. Two pictures at once take 0.4 of it twice for
tiles, and bands beside it; three networks are kept loaded."""
_FOR_PICTURES = 0.45
"""Share of the rest for pictures that are held whole."""
LOADED = 3
"""Networks that are kept; x8 takes two at once."""

_DECODED = {"jpeg": 4.0, "png": 1.5, "tiff": 1.0, "webp": 3.2, "avif": 4.0, "heic": 4.0}
"""Bytes that a decoder may hold, in those of the picture's pixels: a progressive JPEG all
coefficients, an interlaced PNG all rows."""
_ENCODED = {"webp": 6.6, "avif": 12.0, "gif": 3.0}
"""The same for an encoder that takes the whole picture."""
_OTHER = 2.0
_SMALL = 8 * 2**20
"""The memory that any picture takes."""


@dataclass(frozen=True)
class Shares:
    """The shares of the limit, in bytes."""

    network: int
    """The most that each network is told to take."""
    pictures: int
    """The most that all pictures together may take."""

    @classmethod
    def of(cls, max_memory: int) -> Self:
        """Share out what the process does not need for itself."""
        rest = max_memory - _BASE
        return cls(network=int(rest * _NETWORK), pictures=int(rest * _FOR_PICTURES))


def bytes_held(header: Header, *, kind: str, output: str, size: tuple[int, int]) -> int:
    """Forecast what a picture takes beside tiles and bands.

    Args:
        header: The header of the picture.
        kind: The kind of its file, one of `sniff.KINDS`.
        output: The kind of file that is written.
        size: (height, width) of the output.
    """
    pixels, made = header.height * header.width, size[0] * size[1]
    decoded = pixels * header.pixel_bytes * _DECODED.get(kind, _OTHER)
    encoded = made * header.pixel_bytes * _ENCODED.get(output, 0.0)
    if header.pages > 1:  # frames are held whole, some at once, before and after
        decoded += 4 * pixels * header.pixel_bytes
        encoded += 4 * made * header.pixel_bytes
    return int(decoded + encoded) + _SMALL


def resident_bytes() -> int:
    """Memory that this process has now; what it had at most where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        per_unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * per_unit
    return pages * os.sysconf("SC_PAGE_SIZE")
