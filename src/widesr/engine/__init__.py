"""Runs a model file on a batch of pictures; the only package that knows the inference runtimes.

`load_engine` settles what "auto" means on this machine (`choice`), loads the network into a runtime
(`ort`, `vino`), makes it take any size (`windows`) and looks at what it makes (`guard`).
`find_model` also takes ONNX files of other makers (`foreign`).

Both runtimes are in the base install on x86-64, ONNX Runtime everywhere. In fp32 they take the same
time, and ONNX Runtime is ready three times as fast; all below 32 bits is OpenVINO's.
"""

from functools import partial

from widesr.catalog import ModelFile
from widesr.engine.choice import Choice, advice, choose, usable_cpus
from widesr.engine.foreign import FOREIGN, find_model, native_scales
from widesr.engine.guard import Guarded
from widesr.engine.peak import measure_peak
from widesr.engine.protocol import Backend, Device, Engine, Precision, Runtime
from widesr.engine.windows import FixedRuntime, Windowed
from widesr.errors import UsageError
from widesr.measured import recall_best

__all__ = [
    "Backend",
    "Choice",
    "Device",
    "Engine",
    "Precision",
    "advice",
    "choose",
    "devices",
    "find_model",
    "load_engine",
    "measure_peak",
    "native_scales",
    "usable_cpus",
]


def load_engine(
    model: ModelFile,
    *,
    backend: Backend = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
    device: Device = "auto",
) -> Engine:
    """Load a model into a runtime.

    Args:
        model: What to load, from `find_model`.
        backend: "auto" is the fastest here: what `widesr bench` found for this model on this
            machine; if it was not run, OpenVINO where it computes in bf16, else ONNX Runtime.
        precision: "auto" is bf16 where the CPU has AMX, OpenVINO is installed and the model is one
            of widesr's: those lose at most 0.01 dB in it. Else fp32.
        threads: How many the runtime may use; None is one per CPU that this process may use.
        device: "auto" is the CPU. On others tiles may differ from the whole in the last bits.

    Raises:
        ModelFileError: The runtime refuses the file, or it is no network from RGB to RGB.
        MissingExtraError: The back end is not installed.
        UsageError: `threads` is below 1, or there is no such back end, precision or device, or
            they do not go together or with this machine.
    """
    if threads is None:
        threads = usable_cpus()
    if threads < 1:
        raise UsageError(f"expected at least 1 thread, got {threads}")
    is_ours = model.card.family != FOREIGN
    best = recall_best(model.card.weights_sha256) if is_ours else None
    if best is not None and backend == precision == device == "auto":
        backend, precision = best.backend, best.precision
    choice = choose(
        backend=backend,
        precision=precision,
        device=device,
        lossless_bf16=model.card.family == "wdsr",
    )
    in_fp32 = partial(_load_runtime, model, Choice("onnxruntime", "fp32"), threads=threads)
    return Guarded(
        _load_runtime(model, choice, threads=threads),
        path=model.path,
        exact=None if choice.precision == "fp32" else in_fp32,
        is_trusted=is_ours,
    )


def devices() -> list[str]:
    """Names of the devices that the installed ONNX Runtime was built for: "cpu", "cuda"."""
    from widesr.engine import ort

    return ort.devices()


def _load_runtime(model: ModelFile, choice: Choice, *, threads: int) -> Runtime:
    """Load a network that takes any size; only here is a runtime imported."""
    runtime: FixedRuntime
    if choice.backend == "openvino":
        from widesr.engine.vino import OpenVinoEngine

        runtime = OpenVinoEngine(model, threads=threads, precision=choice.precision)
    else:
        from widesr.engine.ort import OnnxRuntimeEngine

        runtime = OnnxRuntimeEngine(model, threads=threads, device=choice.device)
    if runtime.fixed_size is None:
        return runtime
    return Windowed(runtime, size=runtime.fixed_size, path=model.path)
