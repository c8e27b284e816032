"""Picture in, larger picture out: tiles, self-ensemble, grey, 16 bit, alpha.

Pictures pass row by row, in bands as high as a tile; those that are whole in memory too, so that
they come out the same.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from math import isqrt
from typing import Any, Literal, TypedDict, TypeVar, Unpack

import numpy as np
from numpy.typing import NDArray

from widesr.engine import (
    Backend,
    Device,
    Engine,
    Precision,
    find_model,
    load_engine,
)
from widesr.engine.tuned import recall_best
from widesr.errors import ShapeError, UsageError
from widesr.models.catalog import BICUBIC, ModelCard
from widesr.pictures.picture import Picture, PictureStream
from widesr.pixels.alpha import bled
from widesr.pixels.resize import resize_rows
from widesr.pixels.rows import Band, Rows
from widesr.pixels.tiling import Tile, plan_tiles
from widesr.system.threads import in_threads
from widesr.upscaling.self_ensemble import ensemble

Pixels = TypeVar("Pixels", bound=np.uint8 | np.uint16)
Progress = Callable[[float, float], None]
"""Called after each tile with the work done and the work in all, in tiles or shares of them."""

MIN_TILE = 16
"""LR pixels; below it nearly all the work is halo."""

MARGIN = 4
"""Mirrored LR pixels around a picture. Our networks have learned with zeros around their patches,
and draw what they see there, darkness, into the corners of bright pictures; from behind so many
pixels next to nothing of it arrives. Chosen on held-out photographs and on flat colours."""

MAX_MEMORY = 2**30
"""Bytes that a program with one upscaler takes at most, about."""
_FOR_ENGINE = 0.4
"""Share of them that the engine may hold at once with tile="auto"."""
_FOR_BAND = 1 / 32
"""Share for a band of finished rows; some of them are under way at once."""


class AnyUpscaler(ABC):
    """What makes larger pictures of arrays, pictures and rows that pass."""

    model: str
    """Name for reports; a "+" at its end is the self-ensemble."""

    @abstractmethod
    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of what becomes of a picture of this size."""

    @abstractmethod
    def rows(self, lr: Rows, *, progress: Progress | None = None) -> Rows:
        """Upscale grey or RGB rows as they come, to the same values as a whole picture."""

    @abstractmethod
    def seconds_for(self, height: int, width: int) -> float:
        """How long a picture of this size will take, about; measured on a small one, once."""

    @abstractmethod
    def made_by(self, height: int, width: int) -> str:
        """What a picture of this size goes through, for reports."""

    @property
    @abstractmethod
    def weights_sha256(self) -> str | None:
        """Of the network, as on its card; None without a card."""

    def __call__(
        self, pixels: NDArray[Pixels], *, progress: Progress | None = None
    ) -> NDArray[Pixels]:
        """Upscale a picture.

        Beside the result, only a row of tiles is held in memory.

        Args:
            pixels: uint8 or uint16; RGB (H, W, 3), or grey (H, W, 1) or (H, W).
            progress: Called after each tile.

        Returns:
            A new array of the same type and channels, of `output_size`, rounded half up.

        Raises:
            ShapeError: `pixels` is no such array.
            UsageError: This picture is too small for the size that was asked for.
        """
        _check(pixels)
        if pixels.ndim == 2:
            return self(pixels[..., np.newaxis], progress=progress)[..., 0]
        return self.rows(Rows.of(pixels), progress=progress).whole()

    def upscale_picture(self, picture: Picture, *, progress: Progress | None = None) -> Picture:
        """Upscale a picture with its alpha; profile and metadata go along unchanged.

        Alpha goes by `imresize`, at once to the last size, not through the network. Colours that
        no one sees (alpha 0) are first replaced by those beside them, so that they do not shine
        through at the edges. A band that is no alpha goes through the network as grey does.
        """
        return self.upscale_stream(picture.stream(), progress=progress).whole()

    def upscale_stream(
        self, stream: PictureStream, *, progress: Progress | None = None
    ) -> PictureStream:
        """Upscale a picture as it passes, to the same values as `upscale_picture`."""
        if not stream.has_alpha:
            return replace(stream, rows=self.rows(stream.rows, progress=progress))
        first, second = stream.rows.twice()
        if stream.has_band:
            n = stream.colours
            colours = first.map(lambda band: band[..., :n], channels=n)
            band = second.map(lambda band: band[..., n:], channels=1)
            rows = self.rows(colours, progress=progress).beside(self.rows(band))
            return replace(stream, rows=rows)
        colours = self.rows(bled(first), progress=progress)
        alpha = second.map(lambda band: band[..., -1:], channels=1)
        alpha = resize_rows(alpha, size=colours.shape[:2])
        return replace(stream, rows=colours.beside(alpha))


class Running(TypedDict, total=False):
    """How a network is run; `Upscaler.load` says what each means."""

    tile: int | Literal["auto"] | None
    self_ensemble: bool
    threads: int | None
    backend: Backend
    precision: Precision
    device: Device
    max_memory: int
    wrap: Callable[[Engine], Engine]


class Upscaler(AnyUpscaler):
    """Upscales pictures by a network, `upscaler(pixels)`; tiled and whole give the same picture."""

    scale: int
    card: ModelCard | None
    """None for bicubic and for an engine of one's own."""
    tile: int | None
    """Largest side of a tile's core, LR pixels; None is the whole picture at once."""

    def __init__(
        self,
        engine: Engine,
        *,
        tile: int | Literal["auto"] | None = "auto",
        self_ensemble: bool = False,
        card: ModelCard | None = None,
        max_memory: int = MAX_MEMORY,
    ) -> None:
        """Use any engine.

        Args:
            engine: The network.
            tile: Largest side of a tile's core, LR pixels, from 16; None is the whole picture at
                once; "auto" is what `widesr bench` found to be fastest, at most what `max_memory`
                allows with the models in the package. An engine whose pictures smaller tiles
                would change gets its smallest.
            self_ensemble: Take the mean over the eight flips and turns: eight times the work.
            card: What is known about the network.
            max_memory: Bytes that the program may take, about, when a picture passes row by row.

        Raises:
            UsageError: `tile` is below 16, or given for an engine that takes whole pictures only.
        """
        self.model = (card.name if card else engine.name) + ("+" if self_ensemble else "")
        self.scale = engine.scale
        self.card = card
        self._engine, self._self_ensemble = engine, self_ensemble
        self._least = max(MIN_TILE, engine.smallest_tile or 0)
        self._tile, self._max_memory = tile, max_memory
        self.tile = self._settled(engine)
        self._band_bytes = max_memory * _FOR_BAND

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load the network anew; on another machine it may have to run otherwise."""
        self.__dict__.update(state)
        self.tile = self._settled(self._engine)

    @classmethod
    def load(
        cls,
        name: str = "default",
        *,
        scale: int,
        **running: Unpack[Running],
    ) -> "Upscaler":
        """Load a model by name: "default", one of `list_models()`, a path, or "bicubic".

        Args:
            name: As `find_model` takes it; "bicubic" is `imresize`, and ignores what follows
                `scale`.
            scale: Output pixels per input pixel, along each axis.
            **running: `tile`, `self_ensemble` and `max_memory` are those of `Upscaler`; `threads`,
                `backend`, `precision` and `device` those of `load_engine`. Pictures of 16 bits are
                computed in fp32 whatever the precision. `wrap` is given the engine, and gives the
                one that is used.

        Raises:
            ModelNotFoundError: There is no such model, or none for this scale.
            ModelFileError: The model file cannot be used.
            MissingExtraError: The back end is not installed.
            UsageError: A value that cannot be meant.
        """
        if name == BICUBIC:
            return _Bicubic(scale)
        model = find_model(name, scale=scale)
        with_engine, with_upscaler = _parted(running)
        streams: int | Literal["auto"] = 1 if running.get("tile", "auto") is None else "auto"
        engine = load_engine(model, streams=streams, **with_engine)
        if "wrap" in running:
            engine = running["wrap"](engine)
        return cls(engine, card=model.card, **with_upscaler)

    @property
    def weights_sha256(self) -> str | None:
        """Of the network, as on its card; None without a card."""
        return self.card.weights_sha256 if self.card else None

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width), each `scale` times larger."""
        return height * self.scale, width * self.scale

    def rows(self, lr: Rows, *, progress: Progress | None = None) -> Rows:
        """Upscale rows as they come, tile by tile."""
        shape = (lr.height * self.scale, lr.width * self.scale, lr.channels)
        return Rows(self._bands(lr, progress), shape=shape, dtype=lr.dtype)

    def plan(self, lr: Rows) -> list[Tile]:
        """Say how a picture is cut into tiles; no row of it is read."""
        engine = self._engine_for(lr.dtype)
        tile = self.tile if engine is self._engine else self._tile_of_exact
        return plan_tiles(
            lr.height,
            lr.width,
            tile=tile,
            halo=engine.receptive_radius,
            margin=MARGIN,
            highest=None if tile is None else self._highest(lr),
            least=self._least,
            streams=engine.streams,
        )

    def _bands(self, lr: Rows, progress: Progress | None) -> Iterator[Band]:
        tiles, width = self.plan(lr), lr.width
        lr, engine = lr.mirrored(MARGIN), self._engine_for(lr.dtype)
        run = ensemble(engine.run) if self._self_ensemble else engine.run

        def pieces() -> Iterator[tuple[Tile, Band, Band]]:
            """Each tile, what it reads, and the band that it is a part of."""
            for _, beside in groupby(tiles, key=lambda tile: tile.core_y.start):
                first, *others = beside
                window = lr.read(first.read_y.start + MARGIN, first.read_y.stop + MARGIN)
                height = (first.core_y.stop - first.core_y.start) * self.scale
                sr = np.empty((height, width * self.scale, lr.channels), lr.dtype)
                for tile in (first, *others):
                    columns = slice(tile.read_x.start + MARGIN, tile.read_x.stop + MARGIN)
                    yield tile, window[:, columns], sr

        def fill(piece: tuple[Tile, Band, Band]) -> tuple[Tile, Band]:
            tile, pixels, sr = piece
            part = run(_to_network(pixels))[(..., *tile.kept(self.scale))]
            _, columns = tile.placed(self.scale)
            _from_network(part, into=sr[:, columns])
            return tile, sr

        filled = in_threads(pieces(), fill, threads=engine.streams)
        with closing(filled):
            for done, (tile, sr) in enumerate(filled, start=1):
                if progress is not None:
                    progress(done, len(tiles))
                if tile.core_x.stop == width:
                    yield sr

    def _engine_for(self, dtype: np.dtype[Any]) -> Engine:
        """What tiles go through: 16 bits are more than bf16 can tell apart."""
        return self._engine if dtype == np.uint8 else self._engine.exact

    def _settled(self, engine: Engine) -> int | None:
        """The side of tiles, or None, with which an engine gives the picture as a whole."""
        tile, least = self._tile, engine.smallest_tile
        if least is None:
            if isinstance(tile, int):
                raise UsageError(
                    f"{self.model} looks at the whole picture, tiles would show; take -t 0"
                )
            return None
        if tile == "auto":
            best = recall_best(self.card.weights_sha256) if self.card else None
            most = _auto_tile(engine, self._max_memory)
            tile = min(most, best.tile) if best else most
        if tile is None:
            return None
        if tile < MIN_TILE:
            raise UsageError(f"expected a tile of at least {MIN_TILE} pixels, got {tile}")
        return max(tile, least)

    @cached_property
    def _tile_of_exact(self) -> int | None:
        return self._settled(self._engine.exact)

    def _highest(self, lr: Rows) -> int:
        """Rows of a tile's core at most: of a wide picture not all too much is held at once."""
        row_bytes = lr.nbytes // lr.height * self.scale**2
        return max(int(self._band_bytes) // row_bytes, self._least)

    def seconds_for(self, height: int, width: int) -> float:
        """As all of a picture's pixels take the same time."""
        return height * width * self._seconds_per_pixel

    @cached_property
    def _seconds_per_pixel(self) -> float:
        side = 256
        noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        self(noise)  # the first takes longer
        start = time.perf_counter()
        self(noise)
        return (time.perf_counter() - start) / side**2

    def made_by(self, _height: int, _width: int) -> str:
        """Always the model."""
        return self.model


class _Bicubic(Upscaler):
    """MATLAB's bicubic under the face of a model: the baseline of every table."""

    def __init__(self, scale: int) -> None:
        if scale < 1:
            raise UsageError(f"expected a scale of at least 1, got {scale}")
        self.model, self.scale, self.card, self.tile = BICUBIC, scale, None, None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def rows(self, lr: Rows, *, progress: Progress | None = None) -> Rows:
        sr = resize_rows(lr, size=self.output_size(lr.height, lr.width))
        return sr if progress is None else counted_rows(sr, progress)


def counted_rows(rows: Rows, progress: Progress) -> Rows:
    """Tell of rows that no network makes."""
    done = 0

    def counted(band: Band) -> Band:
        nonlocal done
        done += len(band)
        progress(done, rows.height)
        return band

    return rows.map(counted, channels=rows.channels)


def _parted(running: Running) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of it the engine takes, and what the upscaler."""
    for_engine = ("threads", "backend", "precision", "device")
    return (
        {name: value for name, value in running.items() if name in for_engine},
        {name: value for name, value in running.items() if name not in (*for_engine, "wrap")},
    )


def _auto_tile(engine: Engine, max_memory: int) -> int:
    """Side of the largest core of which all streams together stay within their share."""
    read = isqrt(int(max_memory * _FOR_ENGINE) // (engine.bytes_per_pixel * engine.streams))
    return max(read - 2 * engine.receptive_radius, 128)


def _check(pixels: NDArray[Pixels]) -> None:
    is_shape = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3))
    if not is_shape or 0 in pixels.shape or pixels.dtype not in (np.uint8, np.uint16):
        raise ShapeError(
            "expected uint8 or uint16 pixels (H, W, 3), (H, W, 1) or (H, W), got "
            f"{pixels.dtype} {pixels.shape}"
        )


def _to_network(pixels: NDArray[Pixels]) -> NDArray[np.float32]:
    """(H, W, 1 or 3) integers to (1, 3, H, W) in [0, 1]; grey goes into all three channels."""
    lr = pixels.transpose(2, 0, 1)[np.newaxis].astype(np.float32)
    lr /= np.float32(np.iinfo(pixels.dtype).max)
    return np.ascontiguousarray(np.broadcast_to(lr, (1, 3, *lr.shape[2:])))


def _from_network(sr: NDArray[np.float32], *, into: NDArray[Pixels]) -> None:
    """Write (1, 3, H, W) as (H, W, 1 or 3) integers, clipped and rounded half up."""
    if into.shape[2] == 1:
        # Summed in this order always, `mean` may choose by shape: tiles must round as the whole.
        sr = (sr[:, :1] + sr[:, 1:2] + sr[:, 2:]) / np.float32(3)
    top = np.float32(np.iinfo(into.dtype).max)
    for channel, values in enumerate(sr[0]):  # one by one: NumPy takes five times as long for all
        levels = values * top
        levels += np.float32(0.5)
        into[..., channel] = np.clip(levels, 0, top, out=levels)
