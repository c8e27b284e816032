"""Choose tiles: as large as memory allows and as is fastest, and none that would show."""

from dataclasses import dataclass
from math import isqrt
from typing import Literal

from widesr.engine import MAX_MEMORY, Engine
from widesr.errors import UsageError
from widesr.pixels.rows import Rows
from widesr.pixels.tiling import Tile, plan_tiles
from widesr.system.arguments import whole_number

MIN_TILE = 16
"""LR pixels; below it nearly all the work is halo."""

MARGIN = 4
"""Mirrored LR pixels around a picture. Our networks have learned with zeros around their patches,
and draw what they see there, darkness, into the corners of bright pictures; from behind so many
pixels next to nothing of it arrives. Chosen on held-out photographs and on flat colours."""

_FOR_ENGINE = 0.4
"""Share of the memory that the engine may hold at once with tile="auto"."""
_FOR_BAND = 1 / 32
"""Share for a band of finished rows; some of them are under way at once."""


@dataclass(frozen=True, kw_only=True)
class TilePolicy:
    """The tiles that were asked for, and the limits that they are held to."""

    model: str
    """The name of the model, for messages."""
    tile: int | Literal["auto"] | None = "auto"
    """See `EngineOptions.tile`."""
    max_memory: int = MAX_MEMORY
    """See `EngineOptions.max_memory`."""
    margin: int = MARGIN
    """Mirrored LR pixels around a picture that the network is shown; 0 if its graph makes them."""
    fastest: int | None = None
    """The side that was found to be fastest here, LR pixels; "auto" is at most that."""

    def side(self, engine: Engine) -> int | None:
        """Return the largest side of a core with which an engine gives the picture as a whole.

        Returns:
            LR pixels; None is the whole picture at once.

        Raises:
            UsageError: The tile is below 16, or given for an engine that takes whole pictures only.
        """
        tile, least = self.tile, engine.smallest_tile
        if tile is not None and not (isinstance(tile, str) and tile == "auto"):
            tile = whole_number(tile, f"a tile of at least {MIN_TILE} pixels", least=MIN_TILE)
            if least is None:
                raise UsageError(
                    f"{self.model} looks at the whole picture, tiles would show",
                    options=["tile=None"],
                )
        if tile is None or least is None:
            return None
        if tile == "auto":
            most = self._within_memory(engine)
            tile = min(most, self.fastest) if self.fastest else most
        return max(tile, least)

    def plan(self, lr: Rows, engine: Engine) -> list[Tile]:
        """Cut a picture into tiles; no row of it is read."""
        tile = self.side(engine)
        least = max(MIN_TILE, engine.smallest_tile or 0)
        row_bytes = lr.nbytes // lr.height * engine.scale**2
        # Of a wide picture cores are low, so that not all too much is held at once.
        highest = max(int(self.max_memory * _FOR_BAND) // row_bytes, least)
        return plan_tiles(
            lr.height,
            lr.width,
            tile=tile,
            halo=engine.receptive_radius,
            margin=self.margin,
            highest=None if tile is None else highest,
            least=least,
            streams=engine.streams,
        )

    def _within_memory(self, engine: Engine) -> int:
        """Return the side of the largest core with all streams together within their share."""
        share = int(self.max_memory * _FOR_ENGINE)
        read = isqrt(share // (engine.bytes_per_pixel * engine.streams))
        return max(read - 2 * engine.receptive_radius, 128)
