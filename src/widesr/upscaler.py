"""Picture in, larger picture out: tiles, self-ensemble, grey, 16 bit, alpha."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce
from math import isqrt, prod
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from widesr.catalog import BICUBIC, LADDER, ModelCard, find_model, native_scales
from widesr.engine import Engine, load_engine
from widesr.errors import ShapeError, UsageError
from widesr.picture import Picture
from widesr.resize import imresize
from widesr.sizing import Target, plan_scales
from widesr.tiling import plan_tiles

Pixels = TypeVar("Pixels", bound=np.uint8 | np.uint16)
Progress = Callable[[int, int], None]
"""Called after each tile with the work done and the work in all, in tiles or shares of them."""

MIN_TILE = 16
"""LR pixels; below it nearly all the work is halo."""

_BUDGET = 400 * 2**20
"""Bytes that the engine may hold at once with tile="auto"."""
_BYTES_PER_PIXEL = 1536
"""What a WDSR-A of 24 features, expansion 4, takes per LR pixel in fp32, measured at its worst."""


class Upscaler:
    """Upscales pictures by a network, `upscaler(pixels)`; tiled and whole give the same picture."""

    model: str
    """Name for reports; a "+" at its end is the self-ensemble."""
    scale: int
    card: ModelCard | None
    """None for bicubic and for an engine of one's own."""

    def __init__(
        self,
        engine: Engine,
        *,
        tile: int | Literal["auto"] | None = "auto",
        self_ensemble: bool = False,
        card: ModelCard | None = None,
    ) -> None:
        """Use any engine.

        Args:
            engine: The network.
            tile: Largest side of a tile's core, LR pixels, from 16; None is the whole picture at
                once; "auto" keeps the engine to about 400 MiB with the models in the package.
            self_ensemble: Take the mean over the eight flips and turns: eight times the work.
            card: What is known about the network.

        Raises:
            UsageError: `tile` is below 16.
        """
        self.model = (card.name if card else engine.name) + ("+" if self_ensemble else "")
        self.scale = engine.scale
        self.card = card
        self._run = _ensemble(engine.run) if self_ensemble else engine.run
        self._halo = engine.receptive_radius
        self._tile = _auto_tile(self._halo) if tile == "auto" else tile
        if self._tile is not None and self._tile < MIN_TILE:
            raise UsageError(f"expected a tile of at least {MIN_TILE} pixels, got {tile}")

    @classmethod
    def load(
        cls,
        name: str = "default",
        *,
        scale: int,
        tile: int | Literal["auto"] | None = "auto",
        self_ensemble: bool = False,
        threads: int | None = None,
    ) -> "Upscaler":
        """Load a model by name: "default", one of `list_models()`, a path, or "bicubic".

        Args:
            name: As `find_model` takes it; "bicubic" is `imresize`, and ignores what follows
                `scale`.
            scale: Output pixels per input pixel, along each axis.
            tile: As for `Upscaler`.
            self_ensemble: As for `Upscaler`.
            threads: For the runtime; None is one per CPU that this process may use.

        Raises:
            ModelNotFoundError: There is no such model, or none for this scale.
            ModelFileError: The model file cannot be used.
            UsageError: A value that cannot be meant.
        """
        if name == BICUBIC:
            return _Bicubic(scale)
        model = find_model(name, scale=scale)
        engine = load_engine(model, threads=threads)
        return cls(engine, tile=tile, self_ensemble=self_ensemble, card=model.card)

    @property
    def weights_sha256(self) -> str | None:
        """Of the network, as on its card; None without a card."""
        return self.card.weights_sha256 if self.card else None

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of what becomes of a picture of this size."""
        return height * self.scale, width * self.scale

    def __call__(
        self, pixels: NDArray[Pixels], *, progress: Progress | None = None
    ) -> NDArray[Pixels]:
        """Upscale a picture.

        Beside the result, only one tile is held in memory.

        Args:
            pixels: uint8 or uint16; RGB (H, W, 3), or grey (H, W, 1) or (H, W).
            progress: Called after each tile.

        Returns:
            A new array of the same type and channels, (sH, sW, ...), rounded half up.

        Raises:
            ShapeError: `pixels` is no such array.
        """
        _check(pixels)
        if pixels.ndim == 2:
            return self(pixels[..., np.newaxis], progress=progress)[..., 0]
        height, width, channels = pixels.shape
        sr = np.empty((height * self.scale, width * self.scale, channels), pixels.dtype)
        tiles = plan_tiles(height, width, tile=self._tile, halo=self._halo)
        for done, tile in enumerate(tiles, 1):
            part = self._run(_to_network(pixels[tile.read_y, tile.read_x]))
            rows, columns = tile.kept(self.scale)
            sr[tile.placed(self.scale)] = _from_network(part[:, :, rows, columns], like=sr)
            if progress is not None:
                progress(done, len(tiles))
        return sr

    def made_by(self, _height: int, _width: int) -> str:
        """What a picture of this size goes through, for reports: here always the model."""
        return self.model

    def upscale_picture(self, picture: Picture, *, progress: Progress | None = None) -> Picture:
        """Upscale a picture with its alpha; profile and metadata go along unchanged.

        Alpha goes by `imresize`, not through the network. Colours that no one sees (alpha 0) are
        first replaced by those beside them, so that they do not shine through at the edges.
        """
        size = (picture.height * self.scale, picture.width * self.scale)
        pixels, alpha = _without_hidden_colours(picture), _resized_alpha(picture, size=size)
        return replace(picture, pixels=self(pixels, progress=progress), alpha=alpha)


class _Bicubic(Upscaler):
    """MATLAB's bicubic under the face of a model: the baseline of every table."""

    def __init__(self, scale: int) -> None:
        if scale < 1:
            raise UsageError(f"expected a scale of at least 1, got {scale}")
        self.model, self.scale, self.card = BICUBIC, scale, None

    def __call__(
        self, pixels: NDArray[Pixels], *, progress: Progress | None = None
    ) -> NDArray[Pixels]:
        _check(pixels)
        sr = imresize(pixels, scale=self.scale)
        if progress is not None:
            progress(1, 1)
        return sr


class SizedUpscaler:
    """Gives each picture the size that a `Target` asks for: networks in turn, then `imresize`.

    It is used as an `Upscaler`, but the scale is each picture's own.
    """

    model: str
    """The names of all the networks it may run; "bicubic" if none."""

    def __init__(self, target: Target, *, networks: Mapping[int, Upscaler]) -> None:
        """Use any networks.

        Args:
            target: The size to reach.
            networks: By their scale; none is interpolation alone.
        """
        self._target, self._networks = target, networks
        self.model = ", ".join(network.model for network in networks.values()) or BICUBIC

    @classmethod
    def load(
        cls,
        name: str = "default",
        *,
        target: Target,
        tile: int | Literal["auto"] | None = "auto",
        self_ensemble: bool = False,
        threads: int | None = None,
    ) -> "SizedUpscaler":
        """Load the networks that `target` may need; arguments and errors as `Upscaler.load`.

        Raises:
            UsageError: Also if the scale is more than the model called `name` gives.
        """
        native = native_scales(name)
        if target.scale is not None:  # the same for every picture, so refused before the first
            native = plan_scales(target.factor(1, 1), native=native)
        networks = {
            scale: Upscaler.load(
                name, scale=scale, tile=tile, self_ensemble=self_ensemble, threads=threads
            )
            for scale in native
        }
        return cls(target, networks=networks)

    @property
    def weights_sha256(self) -> str | None:
        """Of all the networks it may run; None if none."""
        hashes = (network.weights_sha256 for network in self._networks.values())
        return ", ".join(each for each in hashes if each) or None

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of what becomes of a picture of this size; raises as `Target.size`."""
        return self._target.size(height, width)

    def __call__(
        self, pixels: NDArray[Pixels], *, progress: Progress | None = None
    ) -> NDArray[Pixels]:
        """Upscale, or shrink, a picture; between two steps it is rounded to its own type.

        Args:
            pixels: As `Upscaler` takes them.
            progress: Called after each tile of each network.

        Returns:
            A new array of the same type and channels, of the size that was asked for.

        Raises:
            ShapeError: `pixels` is no such array.
            UsageError: This picture is too small for that size.
        """
        _check(pixels)
        height, width = pixels.shape[:2]
        size, scales = self._target.size(height, width), self._scales(height, width)
        for step, scale in enumerate(scales):
            on_tile = progress and _share(progress, scales, step)
            pixels = self._networks[scale](pixels, progress=on_tile)
        if not scales or pixels.shape[:2] != size:
            pixels = imresize(pixels, size=size)
        if not scales and progress is not None:
            progress(1, 1)
        return pixels

    def upscale_picture(self, picture: Picture, *, progress: Progress | None = None) -> Picture:
        """Upscale a picture with its alpha, which goes to the last size at once."""
        size = self._target.size(picture.height, picture.width)
        pixels, alpha = _without_hidden_colours(picture), _resized_alpha(picture, size=size)
        return replace(picture, pixels=self(pixels, progress=progress), alpha=alpha)

    def made_by(self, height: int, width: int) -> str:
        """What a picture of this size goes through: "wdsr-a8-x4 then wdsr-a8-x2 then bicubic"."""
        scales = self._scales(height, width)
        reached = (height * prod(scales), width * prod(scales))
        names = [self._networks[scale].model for scale in scales]
        if not scales or reached != self._target.size(height, width):
            names.append(BICUBIC)
        return " then ".join(names)

    def _scales(self, height: int, width: int) -> tuple[int, ...]:
        return plan_scales(self._target.factor(height, width), native=self._networks)


def load_upscaler(
    name: str = "default",
    *,
    target: Target,
    tile: int | Literal["auto"] | None = "auto",
    self_ensemble: bool = False,
    threads: int | None = None,
) -> Upscaler | SizedUpscaler:
    """Load what gives the size asked for: at x2, x3 and x4 one network and nothing after it.

    Arguments and errors are those of `Upscaler.load` and `SizedUpscaler.load`.
    """
    if target.scale is not None and target.scale in LADDER["default"]:
        return Upscaler.load(
            name, scale=int(target.scale), tile=tile, self_ensemble=self_ensemble, threads=threads
        )
    return SizedUpscaler.load(
        name, target=target, tile=tile, self_ensemble=self_ensemble, threads=threads
    )


def _share(progress: Progress, scales: tuple[int, ...], step: int) -> Progress:
    """Tell of one step's tiles as a share of the work of all steps, which grows with the area."""
    costs = [prod(scales[:i]) ** 2 for i in range(len(scales))]
    before, cost = sum(costs[:step]), costs[step]
    return lambda done, tiles: progress(before * tiles + cost * done, sum(costs) * tiles)


def _without_hidden_colours(picture: Picture) -> NDArray[Any]:
    """The pixels, those that alpha hides replaced if alpha varies: they would shine through."""
    alpha = picture.alpha
    if alpha is None or _is_constant(alpha):
        return picture.pixels
    return bleed(picture.pixels, hidden=alpha == 0)


def _resized_alpha(picture: Picture, *, size: tuple[int, int]) -> NDArray[Any] | None:
    alpha = picture.alpha
    if alpha is None:
        return None
    return np.full(size, alpha.flat[0]) if _is_constant(alpha) else imresize(alpha, size=size)


def _is_constant(alpha: NDArray[Any]) -> bool:
    return bool((alpha == alpha.flat[0]).all())


def bleed(pixels: NDArray[Pixels], *, hidden: NDArray[np.bool_], reach: int = 8) -> NDArray[Pixels]:
    """Replace hidden colours by those of the seen pixels beside them.

    Args:
        pixels: uint8 or uint16, (H, W, C).
        hidden: (H, W); not all True.
        reach: How far seen colours grow, pixel by pixel, each the mean of its known neighbours.
            Farther off, hidden pixels get the mean seen colour.

    Returns:
        A new array; where `hidden` is False, equal to `pixels`.
    """
    height, width, channels = pixels.shape
    # A border that is never seen spares every test for the picture's edge.
    seen = np.pad(~hidden, 1)
    colour = np.zeros((height + 2, width + 2, channels), np.float32)
    colour[1:-1, 1:-1] = pixels
    colour[1:-1, 1:-1][hidden] = pixels[~hidden].mean(axis=0)
    flat_seen, flat_colour = seen.reshape(-1), colour.reshape(-1, channels)
    stride = width + 2
    around = [dy * stride + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    for _ in range(reach):
        rows = seen[:-2] | seen[1:-1] | seen[2:]
        front = np.zeros_like(seen)
        front[1:-1, 1:-1] = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
        at = np.flatnonzero(front & ~seen)
        if len(at) == 0:
            break
        weights = np.zeros((len(at), 1), np.float32)
        sums = np.zeros((len(at), channels), np.float32)
        for offset in around:
            near = flat_seen[at + offset, np.newaxis]
            weights += near
            sums += near * flat_colour[at + offset]
        flat_colour[at] = sums / weights
        flat_seen[at] = True
    bled: NDArray[Pixels] = np.floor(colour[1:-1, 1:-1] + 0.5).astype(pixels.dtype)
    return bled


def _auto_tile(halo: int) -> int:
    read = isqrt(_BUDGET // _BYTES_PER_PIXEL)
    return max(read - 2 * halo, 128)


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


def _from_network(sr: NDArray[np.float32], *, like: NDArray[Pixels]) -> NDArray[Pixels]:
    """(1, 3, H, W) to (H, W, channels of `like`) of its type, clipped and rounded half up."""
    if like.shape[2] == 1:
        # Summed in this order always, `mean` may choose by shape: tiles must round as the whole.
        sr = (sr[:, :1] + sr[:, 1:2] + sr[:, 2:]) / np.float32(3)
    top = np.float32(np.iinfo(like.dtype).max)
    levels = np.clip(sr[0], 0, 1) * top
    levels += np.float32(0.5)
    np.floor(levels, out=levels)
    pixels: NDArray[Pixels] = levels.transpose(1, 2, 0).astype(like.dtype)
    return pixels


_AS_IS, _MIRRORED = slice(None), slice(None, None, -1)


def _ensemble(
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The mean of `run` over the eight flips and turns of its input, each turned back."""

    def turned(lr: NDArray[np.float32]) -> NDArray[np.float32]:
        def one(turns: int, flip: slice) -> NDArray[np.float32]:
            view = np.ascontiguousarray(np.rot90(lr, turns, axes=(2, 3))[..., flip])
            return np.rot90(run(view)[..., flip], -turns, axes=(2, 3))

        eight = (one(turns, flip) for turns in range(4) for flip in (_AS_IS, _MIRRORED))
        return reduce(np.add, eight) / np.float32(8)

    return turned
