"""Measures the fastest matrix product of this machine, to compare a network's speed with."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIDE = 1536
_TIMES = 8
"""Products in a row, so that casts and layout changes at the ends weigh little."""
_ROUNDS = 4


def measure_peak(precision: str, *, threads: int) -> float:
    """Measure the operations per second of a product of large matrices on the CPU.

    Args:
        precision: "fp32" is measured by NumPy's BLAS, with its own number of threads; "bf16",
            "fp16" and "int8" by OpenVINO, which must be installed.
        threads: Threads of OpenVINO.
    """
    square = np.random.default_rng(0).random((_SIDE, _SIDE), np.float32)
    square /= np.float32(_SIDE)  # so that its powers stay finite
    run = _by_numpy(square) if precision == "fp32" else _by_openvino(square, precision, threads)
    run()
    seconds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return 2 * _TIMES * _SIDE**3 / min(seconds)


def _by_numpy(square: NDArray[np.float32]) -> Callable[[], object]:
    out = np.empty_like(square)

    def run() -> None:
        for _ in range(_TIMES):
            np.matmul(square, square, out=out)

    return run


def _by_openvino(square: NDArray[np.float32], precision: str, threads: int) -> Callable[[], object]:
    from widesr.engine.graph import PRECISION_HINTS, start_openvino

    core = start_openvino()
    from openvino import Model, opset13

    def levels(factor: Any) -> Any:  # noqa: ANN401 - openvino has no types
        if precision != "int8":
            return factor
        ends = [opset13.constant(np.float32(end)) for end in (-128 / 127, 1)]
        return opset13.fake_quantize(factor, *ends, *ends, 256)

    lr = opset13.parameter(square.shape)
    product = lr
    for _ in range(_TIMES):
        product = opset13.matmul(levels(product), levels(opset13.constant(square)), False, False)
    options = {
        "INFERENCE_PRECISION_HINT": PRECISION_HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
    }
    request = core.compile_model(Model([product], [lr]), "CPU", options).create_infer_request()
    return lambda: request.infer([square], share_inputs=True)
