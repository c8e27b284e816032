"""Chooses tiles: as large as memory and speed suggest, and none that would show in the picture."""

from dataclasses import dataclass
from math import isqrt
from typing import Literal

from widesr.engine import MAX_MEMORY, Engine
from widesr.errors import UsageError
from widesr.pixels.rows import Rows
from widesr.pixels.tiling import Tile, plan_tiles
from widesr.system.arguments import whole_number

MIN_TILE = 16
"""Smallest side of a tile, LR pixels; below it, nearly all the work is halo."""

MARGIN = 4
"""Mirrored LR pixels around a picture. Our networks were trained with zero padding, and would draw
its darkness into the corners of bright pictures; through this margin, next to none of it reaches
the picture. The width was chosen on held-out photographs and on flat colours."""

_FOR_ENGINE = 0.4
"""Share of the memory that the engine may hold at once with tile="auto"."""
_FOR_BAND = 1 / 32
"""Share of the memory for one band of finished rows; several bands are in progress at once."""


@dataclass(frozen=True, kw_only=True)
class TilePolicy:
    """The requested tiles, and the limits on them."""

    model: str
    """The name of the model, for messages."""
    tile: int | Literal["auto"] | None = "auto"
    """See `EngineOptions.tile`."""
    max_memory: int = MAX_MEMORY
    """See `EngineOptions.max_memory`."""
    margin: int = MARGIN
    """Mirrored LR pixels around the picture for the network; 0 if its graph adds them itself."""
    fastest: int | None = None
    """The side found to be fastest on this machine, LR pixels; "auto" is at most this large."""

    def side(self, engine: Engine) -> int | None:
        """Return the largest side of a core, such that tiles give the same picture as the whole.

        Returns:
            LR pixels; None means the whole picture at once.

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
        """Cut a picture into tiles, without reading any of its rows."""
        tile = self.side(engine)
        least = max(MIN_TILE, engine.smallest_tile or 0)
        row_bytes = lr.nbytes // lr.height * engine.scale**2
        # In a wide picture cores are low, which bounds the memory for a band.
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
        """Return the largest side of a core that keeps all streams together within their share."""
        share = int(self.max_memory * _FOR_ENGINE)
        read = isqrt(share // (engine.bytes_per_pixel * engine.streams))
        return max(read - 2 * engine.receptive_radius, 128)
