"""Run a network over a picture as it passes: tile by tile, one band of finished rows at a time."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import groupby
from typing import Any

import numpy as np

from widesr.engine import Tensor
from widesr.pixels.rows import Band, Rows
from widesr.pixels.tiling import Tile
from widesr.system.threads import in_threads
from widesr.upscaling.base import Progress
from widesr.upscaling.conversion import from_network, to_network


def upscale_bands(
    lr: Rows,
    tiles: list[Tile],
    run: Callable[[Tensor], Tensor],
    *,
    scale: int,
    margin: int,
    streams: int,
    dtype: np.dtype[Any],
    noise: Rows | None = None,
    progress: Progress | None = None,
) -> Iterator[Band]:
    """Upscale grey or RGB rows, several tiles at once.

    Args:
        lr: The rows of the picture, integers.
        tiles: All tiles of the picture, from a `TilePolicy`.
        run: The network, (1, 3, H, W) to (1, 3, sH, sW), in [0, 1]; noise is in more channels.
        scale: Output pixels per input pixel.
        margin: Mirrored pixels beyond the border that tiles may read.
        streams: The number of calls of `run` that are under way at once.
        dtype: That of the bands: integers as in `lr`, clipped and rounded, or float32, neither.
        noise: What a network that reads noise is given beside each pixel, float32.
        progress: Called after each tile.

    Yields:
        All rows of the output from the top, (rows, sW, C), a row of tiles at a time.
    """
    width, channels, top = lr.width, lr.channels, np.iinfo(lr.dtype).max
    inputs = [rows.pad_symmetric(margin) for rows in (lr, noise) if rows is not None]

    def pieces() -> Iterator[tuple[Tile, list[Band], Band]]:
        """Give each tile, what the network reads of it, and the band that it is a part of."""
        for _, beside in groupby(tiles, key=lambda tile: tile.core_y.start):
            first, *others = beside
            rows = first.read_y.start + margin, first.read_y.stop + margin
            windows = [each.read(*rows) for each in inputs]
            height = (first.core_y.stop - first.core_y.start) * scale
            sr = np.empty((height, width * scale, channels), dtype)
            for tile in (first, *others):
                columns = slice(tile.read_x.start + margin, tile.read_x.stop + margin)
                yield tile, [window[:, columns] for window in windows], sr

    def fill(piece: tuple[Tile, list[Band], Band]) -> tuple[Tile, Band]:
        tile, read, sr = piece
        part = run(to_network(*read))[(..., *tile.kept(scale))]
        _, columns = tile.placed(scale)
        from_network(part, top=top, into=sr[:, columns])
        return tile, sr

    filled = in_threads(pieces(), fill, threads=streams)
    with closing(filled):
        for done, (tile, sr) in enumerate(filled, start=1):
            if progress is not None:
                progress(done, len(tiles))
            if tile.core_x.stop == width:
                yield sr
