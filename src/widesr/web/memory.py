"""Memory of the server: how the limit is shared out, and what a picture takes of it beside tiles.

One part of the limit is for the process itself with its runtimes, one for networks and the bands of
rows that pass through them, and the rest for pictures that a decoder or an encoder holds whole. The
need of each picture is forecast from its header, and all pictures together never exceed this part.
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
"""Share of the limit beyond `_BASE` that one network may count on. Each of two pictures at once
takes 0.4 of that for tiles, and bands beside it; three networks are kept loaded."""
_FOR_PICTURES = 0.45
"""Share of the limit beyond `_BASE` for pictures that are held whole."""
LOADED = 3
"""The number of networks that are kept loaded; x8 takes two at once."""

_DECODED = {"jpeg": 4.0, "png": 1.5, "tiff": 1.0, "webp": 3.2, "avif": 4.0, "heic": 4.0}
"""Memory that a decoder may hold, as a multiple of the bytes of the picture's pixels: that of all
coefficients for a progressive JPEG, and of all rows for an interlaced PNG."""
_ENCODED = {"webp": 6.6, "avif": 12.0, "gif": 3.0}
"""The same multiple for an encoder that takes the whole picture."""
_OTHER = 2.0
_SMALL = 8 * 2**20
"""Bytes that any picture takes."""


@dataclass(frozen=True)
class Shares:
    """The shares of the memory limit, in bytes."""

    network: int
    """The most that each network is told to take."""
    pictures: int
    """The most that all pictures together may take."""

    @classmethod
    def of(cls, max_memory: int) -> Self:
        """Share out the memory that the process does not need for itself."""
        rest = max_memory - _BASE
        return cls(network=int(rest * _NETWORK), pictures=int(rest * _FOR_PICTURES))


def bytes_held(header: Header, *, kind: str, output: str, size: tuple[int, int]) -> int:
    """Forecast the memory that a picture takes beside tiles and bands, in bytes.

    Args:
        header: The header of the picture.
        kind: The kind of its file, one of `sniff.KINDS`.
        output: The kind of file that is written.
        size: (height, width) of the output.
    """
    pixels, made = header.height * header.width, size[0] * size[1]
    decoded = pixels * header.pixel_bytes * _DECODED.get(kind, _OTHER)
    encoded = made * header.pixel_bytes * _ENCODED.get(output, 0.0)
    if header.pages > 1:  # several whole frames are held at once, of the input and of the output
        decoded += 4 * pixels * header.pixel_bytes
        encoded += 4 * made * header.pixel_bytes
    return int(decoded + encoded) + _SMALL


def resident_bytes() -> int:
    """Return the bytes that this process holds now, or its peak if the system tells only that."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        per_unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * per_unit
    return pages * os.sysconf("SC_PAGE_SIZE")
