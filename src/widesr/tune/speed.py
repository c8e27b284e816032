"""Measures how fast a model is on this machine, by which runtime and in which tiles."""

import time
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from widesr.engine import (
    Backend,
    Choice,
    Engine,
    Precision,
    choose,
    is_lossless,
    load_engine,
    measure_peak,
    usable_cpus,
)
from widesr.engine.tuned import Best
from widesr.errors import MissingExtraError, UsageError
from widesr.models.catalog import ModelFile
from widesr.system.machine import cpu_name
from widesr.system.progress import OnNotice, ignore
from widesr.system.threads import in_threads

_SIDE = 256
"""Side of the tile's core on which back ends are compared, in LR pixels."""
_TILES = (96, 128, 192, 256, 384, 512)
"""Tile sides to try, in LR pixels; `Upscaler` takes the best, or what its memory allows."""
_ROUNDS = 5
_PATIENCE = 20.0
"""Seconds for each of the two comparisons; at least one round is made."""


_Inputs = list[NDArray[np.float32]]
"""An array for each input of a network: the picture, and a state if it is recurrent."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Speed(_Frozen):
    """The speed of one way to compute, or of one size of tile."""

    backend: str
    precision: str
    tile: int
    """Side of the core, LR pixels."""
    seconds_per_megapixel: float
    """The time for a megapixel of output."""
    share_of_peak: float
    """The speed as a share of the fastest matrix product's in this precision, halos not counted."""


class Bench(_Frozen):
    """The speeds that were found."""

    model: str
    scale: int
    weights_sha256: str
    cpu: str
    threads: int
    backends: list[Speed]
    """The fastest first."""
    tiles: list[Speed]
    """The speeds of the fastest runtime that costs no quality, by tile; the fastest first."""

    @property
    def best(self) -> Best:
        """The fastest settings, for `keep_best`."""
        first = self.tiles[0]
        return Best.model_validate(first.model_dump(include={"backend", "precision", "tile"}))


class _Contender(NamedTuple):
    choice: Choice
    engine: Engine
    tile: int


def bench(
    model: ModelFile,
    *,
    backend: Backend = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
    on_notice: OnNotice = ignore,
) -> Bench:
    """Measure a model on this machine, for about a minute.

    Args:
        model: A model from `find_model` that runs in tiles.
        backend: The runtime to measure; "auto" measures all.
        precision: The precision to measure; "auto" measures all.
        threads: Threads of the runtimes; None is one per CPU that this process may use.
        on_notice: Told what is being measured.

    Raises:
        ModelFileError: No runtime can run the model.
        MissingExtraError: The runtime is not installed.
        UsageError: The runtime does not compute in this precision on this machine.
    """
    threads = threads or usable_cpus()
    engines = {
        choice: load_engine(
            model,
            backend=choice.backend,
            precision=choice.precision,
            threads=threads,
            streams="auto",
        )
        for choice in _choices(model, backend, precision)
    }
    on_notice("the peak of the machine")
    peaks = {
        precision: measure_peak(precision, threads=threads)
        for precision in {choice.precision for choice in engines}
    }

    def speeds(contenders: Sequence[_Contender]) -> list[Speed]:
        found = [
            _speed(contender, seconds, model, peaks[contender.choice.precision])
            for contender, seconds in zip(contenders, _in_turn(contenders), strict=True)
        ]
        return sorted(found, key=lambda speed: speed.seconds_per_megapixel)

    on_notice("the back ends")
    backends = speeds([_Contender(choice, engine, _SIDE) for choice, engine in engines.items()])
    lossless = [speed for speed in backends if is_lossless(model.card, speed.precision)]
    first = (lossless or backends)[0]
    fastest = Choice(first.backend, first.precision)  # type: ignore[arg-type]
    engine = engines[fastest]
    on_notice("the tiles")
    sides = sorted({max(side, engine.smallest_tile or 1) for side in _TILES})
    return Bench(
        model=model.card.name,
        scale=model.card.scale,
        weights_sha256=model.card.weights_sha256,
        cpu=cpu_name(),
        threads=threads,
        backends=backends,
        tiles=speeds([_Contender(fastest, engine, side) for side in sides]),
    )


def _choices(model: ModelFile, backend: Backend, precision: Precision) -> list[Choice]:
    """List the requested runtimes and precisions in which this machine's CPU can run a model."""
    found = [
        each
        for each in _all_choices(model)
        if backend in ("auto", each.backend) and precision in ("auto", each.precision)
    ]
    return found or [choose(backend=backend, precision=precision)]  # the error says why


def _all_choices(model: ModelFile) -> list[Choice]:
    found = [Choice("onnxruntime", "fp32")]
    precisions: list[Precision] = ["fp32", "bf16", "fp16"]
    if model.card.ranges:
        precisions.append("int8")
    for each in precisions:
        try:
            found.append(choose(backend="openvino", precision=each))
        except (MissingExtraError, UsageError):
            continue
    return found


def _in_turn(contenders: Sequence[_Contender]) -> list[float]:
    """Measure each contender's seconds for a tile: the median of rounds in which all take turns."""
    tiles = [_noise(each) for each in contenders]
    for each, tile in zip(contenders, tiles, strict=True):
        _run(each.engine, tile)  # the first run prepares
    seconds: list[list[float]] = [[] for _ in contenders]
    start = time.perf_counter()
    for done in range(_ROUNDS):
        if done and time.perf_counter() - start > _PATIENCE:
            break
        for each, tile, its in zip(contenders, tiles, seconds, strict=True):
            began = time.perf_counter()
            _run(each.engine, tile)
            its.append((time.perf_counter() - began) / each.engine.streams)
    return [median(its) for its in seconds]


def _run(engine: Engine, tile: _Inputs) -> None:
    """Compute one tile in each stream, all at once."""
    streams = engine.streams
    for _ in in_threads([tile] * streams, lambda each: engine.run(*each), threads=streams):
        pass


def _noise(contender: _Contender) -> _Inputs:
    """Draw random inputs for a tile with its whole halo, as in the middle of a picture."""
    side = contender.tile + 2 * contender.engine.receptive_radius
    random = np.random.default_rng(0)
    return [
        random.random((1, port.channels or 3, side, side), np.float32)
        for port in contender.engine.inputs
    ]


def _speed(contender: _Contender, seconds: float, model: ModelFile, peak: float) -> Speed:
    core = contender.tile**2
    flops = 2 * (model.card.parameters_fused or model.card.parameters) * core
    return Speed(
        backend=contender.choice.backend,
        precision=contender.choice.precision,
        tile=contender.tile,
        seconds_per_megapixel=seconds / (core * model.card.scale**2) * 1e6,
        share_of_peak=flops / seconds / peak,
    )
