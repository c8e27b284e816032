"""Where to cut a picture into tiles, and what to keep of each.

A tile is read with a halo around its core, clipped a margin beyond the picture's border: there the
network must see its own zero padding, as it does in the whole picture. With a halo of at least the
network's receptive radius every kept pixel depends on the same input as in the whole picture.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from widesr.errors import ShapeError, UsageError


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One piece of work; all in LR pixels of the whole picture."""

    core_y: slice
    core_x: slice
    """What is kept; the cores of all tiles cover the picture, each pixel once."""
    read_y: slice
    read_x: slice
    """What the network sees: the core and its halo; in the margin below 0 and above the end."""

    def kept(self, scale: int) -> tuple[slice, slice]:
        """Rows and columns of the core within the network's output for this tile."""
        return (
            _scaled(self.core_y, scale, origin=self.read_y.start),
            _scaled(self.core_x, scale, origin=self.read_x.start),
        )

    def placed(self, scale: int) -> tuple[slice, slice]:
        """Rows and columns of the core within the whole SR picture."""
        return _scaled(self.core_y, scale, origin=0), _scaled(self.core_x, scale, origin=0)


def plan_tiles(
    height: int,
    width: int,
    *,
    tile: int | None,
    halo: int,
    margin: int = 0,
    highest: int | None = None,
) -> list[Tile]:
    """Cut a picture into as few tiles as `tile` allows, as even as they can be, row by row.

    Args:
        height: Of the picture, LR pixels.
        width: Of the picture, LR pixels.
        tile: Largest side of a core, LR pixels; None is one tile, the whole picture.
        halo: Context read on each side of a core, LR pixels.
        margin: Pixels beyond the picture's border that can be read.
        highest: Rows of a core at most, where that is less than `tile`.

    Raises:
        ShapeError: The picture has no pixels.
        UsageError: `tile` or `highest` is below 1, or `halo` below 0.
    """
    if height < 1 or width < 1:
        raise ShapeError(f"expected a picture with pixels, got {width}x{height}")
    limits = [n for n in (tile, highest) if n is not None]
    if min(limits, default=1) < 1:
        raise UsageError(f"expected a tile of at least 1 pixel, got {min(limits)}")
    if halo < 0:
        raise UsageError(f"expected a halo of at least 0 pixels, got {halo}")
    return [
        Tile(core_y=core_y, core_x=core_x, read_y=read_y, read_x=read_x)
        for core_y, read_y in _cut(height, min(limits, default=None), halo, margin)
        for core_x, read_x in _cut(width, tile, halo, margin)
    ]


def _cut(length: int, tile: int | None, halo: int, margin: int) -> list[tuple[slice, slice]]:
    """Core and read range of each piece along one axis."""
    n = 1 if tile is None else ceil(length / tile)
    cuts = [length * i // n for i in range(n + 1)]
    return [
        (
            slice(start, stop),
            slice(max(-margin, start - halo), min(length + margin, stop + halo)),
        )
        for start, stop in pairwise(cuts)
    ]


def _scaled(part: slice, scale: int, *, origin: int) -> slice:
    return slice((part.start - origin) * scale, (part.stop - origin) * scale)
