"""Cuts a picture into tiles, and says what to keep of each.

A tile is read with a halo around its core. The halo ends `margin` pixels beyond the picture's
border: there the network must see its own zero padding, as it does in the whole picture. With a
halo of at least the network's receptive radius, every kept pixel depends on the same input as in
the whole picture.

All tiles of a picture are read in one size, because runtimes allocate memory anew for each new
size. A tile at the border has no halo outside the picture, and so has a larger core.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from widesr.errors import ShapeError, UsageError


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A piece of work; all its fields are in LR pixels of the whole picture."""

    core_y: slice
    core_x: slice
    """The part that is kept; the cores of all tiles cover the picture, each pixel once."""
    read_y: slice
    read_x: slice
    """The core and its halo, which the network sees; in the margin, below 0 or past the end."""

    def kept(self, scale: int) -> tuple[slice, slice]:
        """Find the rows and columns of the core within the network's output for this tile."""
        return (
            _scaled(self.core_y, scale, origin=self.read_y.start),
            _scaled(self.core_x, scale, origin=self.read_x.start),
        )

    def placed(self, scale: int) -> tuple[slice, slice]:
        """Find the rows and columns of the core within the whole SR picture."""
        return _scaled(self.core_y, scale, origin=0), _scaled(self.core_x, scale, origin=0)


def plan_tiles(
    height: int,
    width: int,
    *,
    tile: int | None,
    halo: int,
    margin: int = 0,
    highest: int | None = None,
    least: int = 1,
    streams: int = 1,
) -> list[Tile]:
    """Cut a picture into as few tiles as `tile` allows, all read in one size, row by row.

    Args:
        height: The height of the picture, LR pixels.
        width: The width of the picture, LR pixels.
        tile: Largest side of a core with a halo on every side, LR pixels; None makes the whole
            picture one tile.
        halo: Context read on each side of a core, LR pixels.
        margin: Pixels beyond the picture's border that can be read.
        highest: Largest height of such a core, where that is less than `tile`.
        least: Smallest side of a core that is cut for the sake of `streams`.
        streams: Number of tiles that are computed at once; the longer side is cut a little finer
            where that leaves no stream idle at the end.

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
    margin = min(margin, halo)  # nothing farther out is read
    inner = [max(1, side + 2 * margin - 2 * halo) for side in (height, width)]
    most = min(limits, default=inner[0]), inner[1] if tile is None else tile
    n = [ceil(side / core) for side, core in zip(inner, most, strict=True)]
    longer = int(width > height)
    while tile is not None and n[0] * n[1] % streams and inner[longer] // (n[longer] + 1) >= least:
        n[longer] += 1
    return [
        Tile(core_y=core_y, core_x=core_x, read_y=read_y, read_x=read_x)
        for core_y, read_y in _cut(height, n[0], halo, margin)
        for core_x, read_x in _cut(width, n[1], halo, margin)
    ]


def _cut(length: int, n: int, halo: int, margin: int) -> list[tuple[slice, slice]]:
    """Cut an axis into `n` pieces; return the core of each and the part that is read."""
    read = length + 2 * margin
    side = read if n == 1 else ceil((read - 2 * halo) / n) + 2 * halo
    # The last piece ends with the picture. The starts are never farther apart than `side` less two
    # halos, so each core ends where the leading halo of the next piece ends, or after it.
    starts = [(read - side) * i // max(1, n - 1) - margin for i in range(n)]
    edges = [0, *(start + side - halo for start in starts[:-1]), length]
    return [
        (slice(*core), slice(start, start + side))
        for core, start in zip(pairwise(edges), starts, strict=True)
    ]


def _scaled(part: slice, scale: int, *, origin: int) -> slice:
    return slice((part.start - origin) * scale, (part.stop - origin) * scale)
