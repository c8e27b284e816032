"""Runs a model file on a batch of pictures; the only package that knows the inference runtimes.

`find_model` finds the file: one of ours by name, or another maker's (`foreign`). `load_engine`
settles what "auto" means on this machine (`choice`), loads the network into a runtime (`ort`,
`vino`), makes it take any size (`windows`) and survive forks (`forks`), and checks its output
(`guard`). `EngineOptions` holds all that a user can set.

The base install has both runtimes on x86-64, and ONNX Runtime everywhere. In fp32 both take the
same time, and ONNX Runtime is ready three times as fast; OpenVINO runs all that is below 32 bits.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Literal, Unpack

import numpy as np
from numpy.typing import NDArray

from widesr.engine.choice import Choice, advice, choose, fastest_precision
from widesr.engine.foreign import FOREIGN
from widesr.engine.forks import Forkable
from widesr.engine.guard import Guarded
from widesr.engine.interface import NOISY, describe_ports, is_rgb, noise_channels
from widesr.engine.lookup import find_model, model_name, native_scales
from widesr.engine.options import MAX_MEMORY, EngineOptions, EngineSettings
from widesr.engine.peak import measure_peak
from widesr.engine.protocol import RGB, Backend, Device, Engine, Port, Precision, Runtime, Tensor
from widesr.engine.tuned import recall_best
from widesr.engine.windows import FixedRuntime, Windowed
from widesr.errors import UsageError
from widesr.models.catalog import ModelCard, ModelFile
from widesr.system.arguments import shown, whole_number
from widesr.system.machine import streams_of, usable_cpus

__all__ = [
    "MAX_MEMORY",
    "MOST_LOST",
    "NOISY",
    "RGB",
    "Backend",
    "Choice",
    "Device",
    "Engine",
    "EngineOptions",
    "EngineSettings",
    "Port",
    "Precision",
    "Tensor",
    "advice",
    "choose",
    "describe_ports",
    "devices",
    "fastest_precision",
    "find_model",
    "find_ranges",
    "is_lossless",
    "is_rgb",
    "load_engine",
    "load_tuned",
    "measure_peak",
    "model_name",
    "native_scales",
    "noise_channels",
    "usable_cpus",
]

_logger = logging.getLogger(__name__)

_LOSSLESS = 0.01
"""Largest loss that "auto" accepts, in dB, on the photograph that loses most."""
MOST_LOST = 0.1
"""Largest loss in int8, in dB, on that photograph; a model that loses more does not run in int8."""
_MOST_THREADS = 2**12
"""More threads than any machine has; runtimes fail at larger numbers, each in its own way."""


def load_engine(
    model: ModelFile,
    options: EngineOptions | None = None,
    *,
    streams: int | Literal["auto"] = 1,
    **settings: Unpack[EngineSettings],
) -> Engine:
    """Load a model into a runtime.

    The engine can be used after a fork, by parent and child, and can be pickled; in both cases the
    model is loaded anew.

    Args:
        model: The model, from `find_model`.
        options: The settings, of which `backend`, `precision`, `device` and `threads` apply here.
        streams: The number of concurrent calls of `run`, which share the threads. "auto" is two or
            three, whichever divides the threads; one if neither does, or without a CPU or tiles.
        **settings: Single fields of `options`, by keyword.

    Raises:
        ModelFileError: The runtime refuses the file, or the file is not a network of pictures.
        MissingExtraError: The back end is not installed.
        UsageError: `threads` is below 1 or above 4096; or `streams` is below 1 or above `threads`;
            or the back end, precision or device does not exist, or does not go with the others,
            with this machine or with this model.
    """
    if not isinstance(model, ModelFile):
        raise UsageError(f"expected a model that find_model gives, got {shown(model)}")
    options = (options or EngineOptions()).but(**settings)
    path, model = model.path, replace(model, path=model.path.absolute())  # valid from any folder
    again = partial(load_engine, model, options, streams=streams)
    threads = usable_cpus() if options.threads is None else options.threads
    expected = f"at least 1 thread and at most {_MOST_THREADS:,}"
    threads = whole_number(threads, expected, least=1, most=_MOST_THREADS)
    if not (isinstance(streams, str) and streams == "auto"):
        expected = f"1 to {threads} streams, as there are threads"
        streams = whole_number(streams, expected, least=1, most=threads)
    choice = choose(
        backend=options.backend,
        precision=options.precision,
        device=options.device,
        lossless_bf16=is_lossless(model.card, "bf16"),
    )
    if choice.precision == "int8":
        _check_int8(model.card)
    if streams == "auto":
        streams = streams_of(threads) if model.card.tiles and choice.device == "cpu" else 1
    _logger.info(
        "model %s at x%d: %s in %s on %s, %d threads for %d tiles at once",
        *(model.card.name, model.card.scale, choice.backend, choice.precision, choice.device),
        *(threads, streams),
    )
    load = partial(_load_runtime, model, threads=threads, streams=streams)
    in_fp32 = partial(load, Choice("onnxruntime", "fp32"))
    return Guarded(
        Forkable(partial(load, choice)),
        path=path,
        fp32=None if choice.precision == "fp32" else partial(Forkable, in_fp32),
        is_trusted=model.card.family != FOREIGN,
        again=again,
    )


def load_tuned(model: ModelFile, options: EngineOptions) -> tuple[Engine, int | None]:
    """Load a model for tiles; "auto" uses the findings of `widesr bench` on this machine.

    Returns:
        The engine; and the side of the fastest tiles, or None if none was found.

    Raises:
        WidesrError: The errors of `load_engine`.
    """
    best = recall_best(model.card.weights_sha256)
    streams: Literal["auto", 1] = 1 if options.tile is None else "auto"
    engine = load_engine(model, options.tuned(best), streams=streams)
    return engine, best.tile if best else None


def _check_int8(card: ModelCard) -> None:
    """Refuse a model that int8 would spoil, as far as its card tells.

    Raises:
        UsageError: The card has no ranges, or records too large a loss.
    """
    if not card.ranges:
        raise UsageError(
            f"model {card.name} was not calibrated for int8; `widesr calibrate` makes it ready",
            options=['precision="auto"'],
        )
    loss = card.loss_in("int8")
    if loss is not None and loss.worst > MOST_LOST:
        raise UsageError(
            f"model {card.name} loses {loss.worst:.2f} dB in int8, more than {MOST_LOST}",
            options=['precision="auto"'],
        )


def is_lossless(card: ModelCard, precision: str) -> bool:
    """Tell whether "auto" may take a precision: whether photographs lose at most 0.01 dB in it.

    The card decides. Where it says nothing, bf16 counts as lossless for every WDSR, whose skip is
    kept in fp32. int8 never counts as lossless, whatever photographs lose, because its errors are
    larger on pictures that are not photographs.
    """
    loss = card.loss_in(precision)
    if precision in ("fp32", "int8") or loss is None:
        return precision == "fp32" or (precision == "bf16" and card.family == "wdsr")
    return loss.worst <= _LOSSLESS


def find_ranges(
    model: ModelFile, pictures: Iterable[NDArray[np.float32]], *, threads: int
) -> dict[str, tuple[float, ...]]:
    """Find the ranges that int8 needs for a model; see `int8.find_ranges`.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ModelFileError: OpenVINO refuses the file.
    """
    from widesr.engine import int8
    from widesr.engine.graph import read_graph

    return int8.find_ranges(read_graph(model), pictures, threads=threads)


def devices() -> list[str]:
    """Name the devices that the installed ONNX Runtime was built for: "cpu", "cuda"."""
    from widesr.engine import ort

    return ort.devices()


def _load_runtime(model: ModelFile, choice: Choice, *, threads: int, streams: int) -> Runtime:
    """Load a network so that it takes any size; runtimes are imported only here."""
    runtime: FixedRuntime
    if choice.backend == "openvino":
        from widesr.engine.vino import OpenVinoEngine

        runtime = OpenVinoEngine(
            model, threads=threads, streams=streams, precision=choice.precision
        )
    else:
        from widesr.engine.ort import OnnxRuntimeEngine

        runtime = OnnxRuntimeEngine(model, threads=threads, streams=streams, device=choice.device)
    if runtime.fixed_size is None:
        return runtime
    return Windowed(runtime, size=runtime.fixed_size, path=model.path)
