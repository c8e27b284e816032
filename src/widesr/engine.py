"""Runs a model file on a batch of pictures; the only module that knows the inference runtimes.

ONNX Runtime is the default. By `benchmarks/engines.py` both take the same processor time (within
3 %) and the same memory with the default model in fp32; but ONNX Runtime is ready three times as
fast and weighs 76 MiB installed against 177. OpenVINO's bf16, on CPUs that have AMX, would be a
reason to choose anew.

Both give a pixel the same bits wherever it lies in a tile, whatever the tile's size and the number
of threads. So tiled and whole pictures are equal to the bit, and round alike at every tie. With
ONNX Runtime this holds for its blocked (NCHWc) kernels, which every convolution of our WDSR runs
in. A foreign network's convolutions may fall back on a matrix product whose order of summation
depends on the picture's size: some 3e-7 between tiled and whole, and slower.
"""

import os
from functools import cache
from typing import Any, Literal, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from widesr.catalog import ModelFile
from widesr.errors import MissingExtraError, ModelFileError, UsageError

Backend = Literal["auto", "onnxruntime", "openvino"]

_ORT_ERRORS = tuple(
    getattr(ort.capi.onnxruntime_pybind11_state, name)
    for name in (
        "EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf",
        "ModelLoaded", "NoModel", "NoSuchFile", "NotImplemented", "RuntimeException",
    )
)  # fmt: skip
"""The runtime's exceptions have no common ancestor below Exception."""


class Engine(Protocol):
    """A super-resolution network that is ready to run."""

    @property
    def name(self) -> str:
        """Of the runtime, for reports: "onnxruntime"."""

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, along each axis."""

    @property
    def receptive_radius(self) -> int:
        """How far the network looks, LR pixels: the smallest halo with tiled == whole."""

    def run(self, lr: NDArray[np.float32]) -> NDArray[np.float32]:
        """Upscale (N, 3, H, W), RGB in [0, 1], to (N, 3, sH, sW), around [0, 1], not clipped."""


def load_engine(
    model: ModelFile, *, backend: Backend = "auto", threads: int | None = None
) -> Engine:
    """Load a model into a runtime.

    Args:
        model: What to load, from `find_model`.
        backend: "auto" is ONNX Runtime.
        threads: How many the runtime may use; None is one per CPU that this process may use.

    Raises:
        ModelFileError: The runtime refuses the file, or it is no network from RGB to RGB.
        MissingExtraError: The back end is not installed.
        UsageError: `threads` is below 1, or there is no such back end.
    """
    if threads is None:
        threads = _usable_cpus()
    if threads < 1:
        raise UsageError(f"expected at least 1 thread, got {threads}")
    if backend not in _BACKENDS:
        names = ", ".join(_BACKENDS)
        raise UsageError(f"no inference back end {backend!r}; there is {names}")
    return _BACKENDS[backend](model, threads=threads)


class OnnxRuntimeEngine:
    """ONNX Runtime on the CPU, fp32. Safe to call from several threads at once."""

    name = "onnxruntime"

    def __init__(self, model: ModelFile, *, threads: int) -> None:
        self.scale = model.card.scale
        self.receptive_radius = model.card.receptive_radius
        self._path = model.path
        options = ort.SessionOptions()
        options.log_severity_level = 4  # errors come as exceptions, not on stderr too
        options.intra_op_num_threads = threads
        # Idle threads sleep: spinning gains nothing here and burns the cores of others.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # A memory plan is made per input shape and kept beside the arena: twice the peak.
        options.enable_mem_pattern = False
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        try:
            self._session = ort.InferenceSession(
                str(model.path), options, providers=["CPUExecutionProvider"]
            )
        except _ORT_ERRORS as error:
            raise _refused(model, error) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        _check_interface(
            model,
            inputs=[(port.type == "tensor(float)", port.shape) for port in inputs],
            outputs=[(port.type == "tensor(float)", port.shape) for port in outputs],
        )
        self._input = inputs[0].name

    def run(self, lr: NDArray[np.float32]) -> NDArray[np.float32]:
        """Upscale; see `Engine.run`.

        Raises:
            ModelFileError: The network failed on this picture or gave another size than its card
                says.
        """
        try:
            (sr,) = self._session.run(None, {self._input: np.ascontiguousarray(lr)})
        except _ORT_ERRORS as error:
            raise ModelFileError(_failed(self._path, lr, error)) from error
        return _checked(self._path, lr, sr, self.scale)


class OpenVinoEngine:
    """OpenVINO on the CPU, fp32. One call at a time."""

    name = "openvino"

    def __init__(self, model: ModelFile, *, threads: int) -> None:
        try:
            core = _openvino_core()
        except ImportError as error:
            raise MissingExtraError(extra="openvino", needed_for="the openvino back end") from error
        self.scale = model.card.scale
        self.receptive_radius = model.card.receptive_radius
        self._path = model.path
        # Without the hint OpenVINO computes in bf16 where the CPU can.
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        try:
            compiled = core.compile_model(str(model.path), "CPU", options)
        except RuntimeError as error:
            raise _refused(model, error) from error
        _check_interface(
            model,
            inputs=[_openvino_port(port) for port in compiled.inputs],
            outputs=[_openvino_port(port) for port in compiled.outputs],
        )
        self._request = compiled.create_infer_request()

    def run(self, lr: NDArray[np.float32]) -> NDArray[np.float32]:
        """Upscale; see `Engine.run`.

        Raises:
            ModelFileError: The network failed on this picture or gave another size than its card
                says.
        """
        try:
            results = self._request.infer([np.ascontiguousarray(lr)], share_inputs=True)
        except RuntimeError as error:
            raise ModelFileError(_failed(self._path, lr, error)) from error
        return _checked(self._path, lr, results[0], self.scale)


@cache
def _openvino_core() -> Any:  # noqa: ANN401 - the import is in here
    """Start the one OpenVINO of this process, which is never let go.

    Where the CPU has AMX each core sets up a stack for signals and on its end takes it back, also
    from under another: after that the next signal, Ctrl-C too, would kill the process.
    """
    import openvino as ov

    return ov.Core()


_BACKENDS: dict[str, type[OnnxRuntimeEngine | OpenVinoEngine]] = {
    "auto": OnnxRuntimeEngine,
    "onnxruntime": OnnxRuntimeEngine,
    "openvino": OpenVinoEngine,
}

_Port = tuple[bool, list[Any]]
"""Whether a graph's input or output is a float32 tensor, and its shape; free axes are not int."""


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_interface(model: ModelFile, *, inputs: list[_Port], outputs: list[_Port]) -> None:
    def is_picture(ports: list[_Port]) -> bool:
        if len(ports) != 1:
            return False
        is_float, shape = ports[0]
        return is_float and len(shape) == 4 and shape[1] in (3, None)

    if not (is_picture(inputs) and is_picture(outputs)):
        raise ModelFileError(
            f"{model.path}: expected a network from one float32 (N, 3, H, W) to one such, found "
            f"{_shapes(inputs)} to {_shapes(outputs)}"
        )
    shape = inputs[0][1]
    if any(isinstance(axis, int) for axis in (shape[0], shape[2], shape[3])):
        raise ModelFileError(
            f"{model.path}: takes {_shapes(inputs)} only; export it with free N, height and width"
        )


def _shapes(ports: list[_Port]) -> str:
    return " + ".join(
        "(" + ", ".join("?" if axis is None else str(axis) for axis in shape) + ")"
        for _, shape in ports
    )


def _openvino_port(port: Any) -> _Port:  # noqa: ANN401 - the import is inside the back end
    axes = [axis.get_length() if axis.is_static else None for axis in port.partial_shape]
    return port.element_type.get_type_name() == "f32", axes


def _refused(model: ModelFile, error: Exception) -> ModelFileError:
    return ModelFileError(f"{model.path}: the runtime refuses this model: {_one_line(error)}")


def _failed(path: os.PathLike[str], lr: NDArray[np.float32], error: Exception) -> str:
    height, width = lr.shape[2:]
    return (
        f"{path}: failed on {width}x{height} pixels, a smaller tile may help "
        f"(--tile, API: tile=): {_one_line(error)}"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _checked(
    path: os.PathLike[str], lr: NDArray[np.float32], sr: NDArray[np.float32], scale: int
) -> NDArray[np.float32]:
    n, channels, height, width = lr.shape
    if sr.shape != (n, channels, height * scale, width * scale):
        raise ModelFileError(
            f"{path}: its card says x{scale}, but it made {sr.shape} of {lr.shape}; export it again"
        )
    return sr
