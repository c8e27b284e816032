"""Upscales pictures by one network, in tiles, to the same values as the whole picture at once."""

import os
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any, Unpack

import numpy as np

from widesr.engine import (
    Engine,
    EngineOptions,
    EngineSettings,
    describe_ports,
    find_model,
    is_rgb,
    load_tuned,
    model_name,
    noise_channels,
)
from widesr.errors import ModelFileError, UsageError
from widesr.models.catalog import BICUBIC, ModelCard, ModelFile
from widesr.pixels.noise import noise_rows
from widesr.pixels.rows import Rows
from widesr.pixels.tiling import Tile
from widesr.system.arguments import real_number, shown, whole_number
from widesr.upscaling.bands import upscale_bands
from widesr.upscaling.base import CONSISTENT, Progress, ScaleUpscaler
from widesr.upscaling.consistent import correct_rows
from widesr.upscaling.interpolation import Bicubic
from widesr.upscaling.self_ensemble import ensemble
from widesr.upscaling.tile_policy import MARGIN, TilePolicy


class Upscaler(ScaleUpscaler):
    """Upscales pictures by a network: `upscaler(pixels)`. Tiled and whole give the same picture.

    Pictures are streamed row by row, in bands as high as a tile. A picture that is whole in memory
    takes the same path, so that the result is the same.
    """

    engine: Engine
    """The network."""

    def __init__(
        self,
        engine: Engine,
        options: EngineOptions | None = None,
        *,
        card: ModelCard | None = None,
        fastest_tile: int | None = None,
        **settings: Unpack[EngineSettings],
    ) -> None:
        """Use any engine.

        Args:
            engine: The network.
            options: The settings, of which `tile`, `self_ensemble`, `consistent`, `seed`,
                `temperature` and `max_memory` apply here.
            card: The card of the network, if it has one.
            fastest_tile: The side that was found to be fastest, LR pixels; with tile="auto", no
                tile is larger.
            **settings: Single fields of `options`, by keyword.

        Raises:
            UsageError: `tile` is below 16, or given for an engine that takes whole pictures only;
                or `seed` or `temperature` is out of its range.
            ModelFileError: The engine does not map one RGB picture to one RGB picture.
        """
        if isinstance(engine, str | os.PathLike):
            raise UsageError(
                f"expected a loaded engine, got {shown(engine)}; Upscaler.load takes a name"
            )
        options = (options or EngineOptions()).but(**settings)
        self.model = (card.name if card else engine.name) + ("+" if options.self_ensemble else "")
        self.model += CONSISTENT if options.consistent else ""
        self._noise = noise_channels(engine)
        if not (self._noise or is_rgb(engine)):
            raise ModelFileError(
                f"{self.model}: expected a network from RGB to RGB, found {describe_ports(engine)}"
            )
        self.scale, self.card = engine.scale, card
        self.engine, self._self_ensemble = engine, options.self_ensemble
        self._consistent = options.consistent
        self._seed = checked_seed(options.seed)
        self._temperature = real_number(options.temperature, "a temperature from 0", least=0)
        self._policy = TilePolicy(
            model=self.model,
            tile=options.tile,
            max_memory=options.max_memory,
            margin=0 if card and card.margin else MARGIN,
            fastest=fastest_tile,
        )
        self._policy.side(engine)  # refuses a tile that is not valid
        self._loaded_from: tuple[ModelFile, EngineOptions] | None = None

    @classmethod
    def load(
        cls,
        name: str | os.PathLike[str] = "default",
        *,
        scale: int,
        options: EngineOptions | None = None,
        **settings: Unpack[EngineSettings],
    ) -> ScaleUpscaler:
        """Load a model by name: "default", one of `list_models()`, a path, or "bicubic".

        Args:
            name: The name, as for `find_model`; "bicubic" is `imresize`, which heeds only
                `consistent` of the options.
            scale: Output pixels per input pixel, along each axis.
            options: The settings for running the network.
            **settings: Single fields of `options`: `tile`, `self_ensemble`, `threads`,
                `consistent`, `seed`, `temperature`, `backend`, `precision`, `device`,
                `max_memory`.

        Raises:
            ModelNotFoundError: There is no such model, or none for this scale.
            ModelFileError: The model file cannot be used.
            MissingExtraError: The back end is not installed.
            UsageError: A value is not valid.
        """
        options = (options or EngineOptions()).but(**settings)
        name = model_name(name)
        if name == BICUBIC:
            return Bicubic(scale, consistent=options.consistent)
        return cls.of_model(find_model(name, scale=scale), options)

    @classmethod
    def of_model(cls, model: ModelFile, options: EngineOptions) -> "Upscaler":
        """Load a model file; "auto" uses the findings of `widesr bench` on this machine.

        Raises:
            WidesrError: The errors of `load`.
        """
        if model.card.frames > 1:
            raise UsageError(
                f"model {model.card.name} is for clips, as it looks at several frames; pictures "
                "need another model",
                options=['model="default"'],
            )
        engine, fastest = load_tuned(model, options)
        upscaler = cls(engine, options, card=model.card, fastest_tile=fastest)
        upscaler._loaded_from = (replace(model, path=model.path.absolute()), options)
        return upscaler

    @property
    def reads_noise(self) -> bool:
        """True if the network makes a different picture of each input for each seed."""
        return self._noise > 0

    def sample(self, seed: int) -> "Upscaler":
        """Return an upscaler with the same network and another seed.

        Raises:
            UsageError: The seed is out of its range.
        """
        seed = checked_seed(seed)
        loaded_from = self._loaded_from
        if loaded_from is not None:
            loaded_from = loaded_from[0], loaded_from[1].but(seed=seed)
        other = copy(self)
        vars(other).update(_seed=seed, _loaded_from=loaded_from)
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Keep the file's name and the options: another machine may have to run it differently."""
        return vars(self) if self._loaded_from is None else {"_loaded_from": self._loaded_from}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load the network anew."""
        loaded_from = state["_loaded_from"]
        vars(self).update(vars(self.of_model(*loaded_from)) if loaded_from else state)

    @property
    def tile(self) -> int | None:
        """The largest side of a tile's core, LR pixels; None means the whole picture at once."""
        return self._policy.side(self.engine)

    def plan(self, lr: Rows) -> list[Tile]:
        """Cut a picture into tiles, without reading any of its rows."""
        return self._policy.plan(lr, self._engine_for(lr.dtype))

    def rows(self, lr: Rows, *, progress: Progress | None = None) -> Rows:
        """Upscale rows as they arrive, tile by tile."""
        if self._consistent:
            return correct_rows(lr, lambda each: self.float_rows(each, progress=progress))
        return self.network_rows(lr, dtype=lr.dtype, progress=progress)

    def float_rows(self, lr: Rows, *, progress: Progress | None = None) -> Rows:
        """Upscale rows to float32 levels, not clipped."""
        return self.network_rows(lr, dtype=np.dtype(np.float32), progress=progress)

    def network_rows(
        self, lr: Rows, *, dtype: np.dtype[Any], progress: Progress | None = None
    ) -> Rows:
        """Upscale rows to integers, or to float32 levels for steps before the rounding."""
        engine = self._engine_for(lr.dtype)
        bands = upscale_bands(
            lr,
            self._policy.plan(lr, engine),
            ensemble(engine.run) if self._self_ensemble else engine.run,
            scale=self.scale,
            margin=self._policy.margin,
            streams=engine.streams,
            dtype=dtype,
            noise=self._noise_beside(lr) if self._noise else None,
            progress=progress,
        )
        shape = (*self.output_size(lr.height, lr.width), lr.channels)
        return Rows(bands, shape=shape, dtype=dtype)

    def _noise_beside(self, lr: Rows) -> Rows:
        """Draw the noise that the network reads along with a picture."""
        noise = noise_rows(lr.height, lr.width, channels=self._noise, seed=self._seed)
        return noise.map(partial(np.multiply, np.float32(self._temperature)), channels=self._noise)

    def _engine_for(self, dtype: np.dtype[Any]) -> Engine:
        """Return the engine for pixels of a type: bf16 cannot tell 16-bit levels apart."""
        return self.engine if dtype == np.uint8 else self.engine.fp32


def checked_seed(seed: int) -> int:
    """Return the seed of a network's noise, as Python's own `int`.

    Raises:
        UsageError: It is not a whole number from 0 to 2**128 - 1, the largest key of the noise.
    """
    return whole_number(seed, "a seed from 0 to 2**128 - 1", least=0, most=2**128 - 1)
