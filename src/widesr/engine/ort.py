"""Runs networks by ONNX Runtime, in fp32, on the CPU or another device.

On the CPU a pixel gets the same bits wherever it lies in a tile, whatever the tile's size and the
number of threads. This holds for the blocked (NCHWc) kernels, in which every convolution of our
WDSR runs. A foreign network's convolutions may fall back on a matrix product, which is slower and
whose summation order depends on the picture's size: tiled and whole then differ by about 3e-7.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

# Otherwise ONNX Runtime would keep an identifier in the user's home and report from a thread of its
# own; a forked process lacks that thread and would end by a signal.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

from widesr.engine.interface import (
    GraphPort,
    check_inputs,
    check_outputs,
    failed,
    read_interface,
    refused,
)
from widesr.engine.protocol import Tensor
from widesr.errors import ModelFileError, UsageError
from widesr.models.catalog import ModelFile

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
"""ONNX Runtime's names of devices, by ours."""

VERSION: str = ort.__version__
"""The version of ONNX Runtime, from whichever of its packages it is."""

_PACKAGES = {
    "cuda": "onnxruntime-gpu",
    "tensorrt": "onnxruntime-gpu",
    "coreml": "onnxruntime on macOS",
}
_EXACT: dict[str, dict[str, str]] = {"cuda": {"use_tf32": "0"}}
"""Provider options without which the GPU would round every factor to 11 bits, and call it fp32."""

_ERRORS = tuple(
    getattr(ort.capi.onnxruntime_pybind11_state, name)
    for name in (
        "EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf",
        "ModelLoaded", "NoModel", "NoSuchFile", "NotImplemented", "RuntimeException",
    )
)  # fmt: skip
"""The runtime's exceptions, which have no common ancestor below Exception."""


def devices() -> list[str]:
    """Name the devices that the installed ONNX Runtime was built for."""
    there = ort.get_available_providers()
    return [device for device, provider in PROVIDERS.items() if provider in there]


class OnnxRuntimeEngine:
    """ONNX Runtime in fp32, safe to call from several threads at once."""

    name = "onnxruntime"
    precision = "fp32"
    bytes_per_pixel = 1536
    """The worst that was measured: WDSR-A with 24 features, expansion 4."""

    def __init__(
        self, model: ModelFile, *, threads: int, streams: int = 1, device: str = "cpu"
    ) -> None:
        """Load a model.

        Raises:
            ModelFileError: The runtime refuses the file, or the file is not a network of pictures.
            UsageError: This ONNX Runtime, or this machine, has no such device.
        """
        if device not in devices():
            raise UsageError(
                f"this ONNX Runtime has no device {device}, it has {', '.join(devices())}; "
                f"{device} comes with {_PACKAGES[device]}"
            )
        self.scale, self.streams = model.card.scale, streams
        self.receptive_radius = model.card.receptive_radius
        self.smallest_tile = 1 if model.card.tiles else None
        self._path = model.path
        self._session = _session(model.path, threads=threads, streams=streams, device=device)
        if self._session.get_providers()[0] != PROVIDERS[device]:
            raise UsageError(
                f"ONNX Runtime cannot start {device} on this machine (driver or libraries are "
                "missing)",
                options=['device="cpu"'],
            )
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self.inputs, self.outputs, self.fixed_size = read_interface(
            model, inputs=[_port(x) for x in inputs], outputs=[_port(x) for x in outputs]
        )

    def run_all(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the network; see `Runtime.run_all`."""
        return check_outputs(self._path, self, inputs[0], self.infer(*inputs))

    def infer(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the network, and accept outputs of any size.

        Raises:
            ModelFileError: The network failed on this picture.
            ShapeError: There are too many or too few inputs, or they differ in size.
        """
        check_inputs(self._path, self, inputs)
        feed = zip(self.inputs, inputs, strict=True)
        try:
            return tuple(
                self._session.run(
                    None, {port.name: np.ascontiguousarray(each) for port, each in feed}
                )
            )
        except _ERRORS as error:
            raise failed(self._path, inputs[0], error) from error


class Graph:
    """Any network that reads one array of floats and has no card, such as a detector."""

    input_shape: tuple[int | None, ...]
    """The sides of the input; None means any length."""
    outputs: dict[str, tuple[int | None, ...]]
    """The shapes of the outputs, by name."""

    def __init__(self, path: Path, *, threads: int) -> None:
        """Load a file, on the CPU.

        Raises:
            ModelFileError: The runtime refuses the file, or the network does not read one array of
                floats.
        """
        self._path = path
        self._session = _session(path, threads=threads, streams=1, device="cpu")
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            raise ModelFileError(f"{path}: expected a network that reads one array of floats")
        self._input = inputs[0].name
        self.input_shape = _sides(inputs[0].shape)
        self.outputs = {each.name: _sides(each.shape) for each in self._session.get_outputs()}

    def run(self, x: Tensor) -> dict[str, Tensor]:
        """Run the network, and return its outputs by name.

        Raises:
            ModelFileError: The network failed on this picture.
        """
        try:
            made = self._session.run(None, {self._input: x})
        except _ERRORS as error:
            raise failed(self._path, x, error) from error
        return dict(zip(self.outputs, made, strict=True))


def _sides(shape: Any) -> tuple[int | None, ...]:  # noqa: ANN401 - untyped
    return tuple(side if isinstance(side, int) else None for side in shape)


def _session(path: Path, *, threads: int, streams: int, device: str) -> Any:  # noqa: ANN401 - untyped
    options = ort.SessionOptions()
    options.log_severity_level = 4  # errors come as exceptions, not on stderr too
    # All calls share one pool, and each also works in the thread that calls.
    options.intra_op_num_threads = threads - streams + 1
    # Idle threads sleep, as spinning gains nothing here and takes cores from other programs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A memory plan would be kept for each input shape beside the arena, which doubles the peak.
    options.enable_mem_pattern = False
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    provider = (PROVIDERS[device], _EXACT.get(device, {}))
    try:
        return ort.InferenceSession(str(path), options, providers=[provider])
    except _ERRORS as error:
        raise refused(path, error) from error


def _port(port: Any) -> GraphPort:  # noqa: ANN401 - untyped
    return GraphPort(port.name, port.type == "tensor(float)", port.shape)
