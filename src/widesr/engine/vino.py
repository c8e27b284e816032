"""Runs networks by OpenVINO: in fp32, or in bf16, fp16 and int8 where the CPU computes in them.

In fp32, fp16 and int8 a pixel gets the same bits wherever it lies in a tile, as in ONNX Runtime. In
bf16 this holds for inputs at least `_EXACT_SIDE` wide: narrower ones go through other kernels,
which add in another order, so that 0.3 % of the values differ by up to 0.008. `smallest_tile` keeps
tiles from being that narrow.
"""

from queue import SimpleQueue
from typing import Any

import numpy as np

from widesr.engine.graph import PRECISION_HINTS, read_graph, start_openvino
from widesr.engine.int8 import round_convolutions
from widesr.engine.interface import (
    GraphPort,
    check_inputs,
    check_outputs,
    failed,
    read_interface,
    refused,
)
from widesr.engine.protocol import Tensor
from widesr.engine.skip import keep_skip_fp32
from widesr.errors import ModelFileError
from widesr.models.catalog import ModelFile

_EXACT_SIDE = 64
"""Smallest exact width in bf16, LR pixels. `benchmarks/engines.py` found no difference from 48 on,
and many below."""


class OpenVinoEngine:
    """OpenVINO on the CPU, safe to call from as many threads at once as it has streams."""

    name = "openvino"

    def __init__(self, model: ModelFile, *, threads: int, streams: int, precision: str) -> None:
        """Load a model.

        Raises:
            MissingExtraError: OpenVINO is not installed.
            ModelFileError: The runtime refuses the file, or the file is not a network of pictures.
        """
        graph = read_graph(model)
        self.precision, self.streams = precision, streams
        self.scale = model.card.scale
        # Measured: 380 to 930 at x2 for WDSR-A and -B with 16 to 64 features, 1270 at x4. Tiles
        # larger than this formula allows were slower, though there was memory for them.
        self.bytes_per_pixel = 640 + 80 * self.scale**2
        self.receptive_radius = model.card.receptive_radius
        # Cores are cut evenly, so the narrowest input that is read is half a tile and two halos.
        narrow = 2 * (_EXACT_SIDE - 2 * self.receptive_radius) if precision == "bf16" else 1
        self.smallest_tile = max(1, narrow) if model.card.tiles else None
        self._path = model.path
        options = {
            "INFERENCE_PRECISION_HINT": PRECISION_HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": streams,
            # If pinned, the threads of several processes would crowd onto the same cores.
            "ENABLE_CPU_PINNING": False,
            # By default, kernels are kept for every size seen, at one MiB per size, with no
            # practical bound. This capacity is enough for the tile sizes of one picture.
            "CPU_RUNTIME_CACHE_CAPACITY": 256,
        }
        try:
            keep_skip_fp32(graph)
            if precision == "int8" and not round_convolutions(graph, model.card.ranges):
                raise ModelFileError(
                    f"{model.path}: the ranges on its card are not of this network; "
                    "make them again with widesr calibrate"
                )
            compiled = start_openvino().compile_model(graph, "CPU", options)
        except RuntimeError as error:
            raise refused(model.path, error) from error
        self.inputs, self.outputs, self.fixed_size = read_interface(
            model,
            inputs=[_port(port) for port in compiled.inputs],
            outputs=[_port(port) for port in compiled.outputs],
        )
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(streams):
            self._idle.put(compiled.create_infer_request())

    def run_all(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the network; see `Runtime.run_all`."""
        check_inputs(self._path, self, inputs)
        request = self._idle.get()
        try:
            results = request.infer([np.ascontiguousarray(x) for x in inputs], share_inputs=True)
        except RuntimeError as error:
            raise failed(self._path, inputs[0], error) from error
        finally:
            self._idle.put(request)
        outputs = tuple(results[i] for i in range(len(self.outputs)))
        return check_outputs(self._path, self, inputs[0], outputs)


def _port(port: Any) -> GraphPort:  # noqa: ANN401 - the import is in here
    axes = [axis.get_length() if axis.is_static else None for axis in port.partial_shape]
    return GraphPort(port.get_any_name(), port.element_type.get_type_name() == "f32", axes)
