"""Runs a network over a streamed picture: tile by tile, one band of finished rows at a time."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import groupby
from typing import Any

import numpy as np

from widesr.engine import Tensor
from widesr.pixels.consistency import piece_height
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
        run: The network, (1, 3, H, W) to (1, 3, sH, sW), in [0, 1]; noise takes extra channels.
        scale: Output pixels per input pixel.
        margin: Mirrored pixels beyond the border that tiles may read.
        streams: The number of concurrent calls of `run`.
        dtype: Type of the values in the bands: that of `lr`, clipped and rounded, or float32,
            neither clipped nor rounded.
        noise: Rows of float32 noise, passed with the pixels to a network that reads noise.
        progress: Called after each tile.

    Yields:
        All rows of the output from the top, (rows, sW, C): one row of tiles at a time for
        integers, bands of fewer rows for floats.
    """
    width, channels, top = lr.width, lr.channels, np.iinfo(lr.dtype).max
    floats = dtype == np.float32
    inputs = [rows.pad_symmetric(margin) for rows in (lr, noise) if rows is not None]

    def pieces() -> Iterator[tuple[Tile, list[Band], Band | None]]:
        """Yield each tile with its network inputs and the integer band that it is written to."""
        for _, beside in groupby(tiles, key=lambda tile: tile.core_y.start):
            first, *others = beside
            rows = first.read_y.start + margin, first.read_y.stop + margin
            windows = [each.read(*rows) for each in inputs]
            height = (first.core_y.stop - first.core_y.start) * scale
            sr = None if floats else np.empty((height, width * scale, channels), dtype)
            for tile in (first, *others):
                columns = slice(tile.read_x.start + margin, tile.read_x.stop + margin)
                yield tile, [window[:, columns] for window in windows], sr

    def fill(piece: tuple[Tile, list[Band], Band | None]) -> tuple[Tile, Band | Tensor]:
        tile, read, sr = piece
        part = run(to_network(*read))[(..., *tile.kept(scale))]
        if sr is None:
            return tile, part
        _, columns = tile.placed(scale)
        from_network(part, top=top, into=sr[:, columns])
        return tile, sr

    parts = list[Tensor]()
    filled = in_threads(pieces(), fill, threads=streams, waiting=streams)
    with closing(filled):
        for done, (tile, made) in enumerate(filled, start=1):
            if progress is not None:
                progress(done, len(tiles))
            parts.append(made)
            if tile.core_x.stop == width:
                row = tile.core_y.start * scale
                yield from _levels(parts, channels, scale, row=row, top=top) if floats else [made]
                parts.clear()


def _levels(
    parts: list[Tensor], channels: int, scale: int, *, row: int, top: int
) -> Iterator[Band]:
    """Convert tiles side by side, (1, 3, H, W) each, to float levels, a few rows at a time.

    The consistency correction reads these rows at once, while they are in the cache; a whole band
    would not fit. Like the network, the correction works on planes, so the channels stay apart in
    memory. The tiles begin at SR row `row`. They are cut at the same rows as the correction cuts
    the picture, so that it has nothing to join.
    """
    height, width = parts[0].shape[2], sum(part.shape[3] for part in parts)
    step = piece_height(scale) * scale
    for first in range(-(row % step), height, step):
        rows, column = slice(max(first, 0), min(first + step, height)), 0
        planes = np.empty((rows.stop - rows.start, channels, width), np.float32)
        sr = planes.transpose(0, 2, 1)
        for part in parts:
            end = column + part.shape[3]
            from_network(part[:, :, rows], top=top, into=sr[:, column:end])
            column = end
        yield sr
