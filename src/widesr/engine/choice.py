"""Chooses back end and precision: the requested ones if this machine has them, else the fastest.

The times are measured by `benchmarks/engines.py`. On a CPU with AMX, OpenVINO runs our networks in
bf16 about five times as fast as any runtime in fp32. AMD's CPUs with AVX-512 bf16 multiply twice as
fast in bf16 as in fp32; Intel's CPUs without AMX do not, and OpenVINO is slower on them in bf16
than in fp32. fp16 is slower everywhere. In fp32 both back ends take the same time.
"""

from importlib.util import find_spec
from typing import Literal, NamedTuple, get_args

from widesr.engine.protocol import Backend, Device, Precision
from widesr.errors import MissingExtraError, UsageError
from widesr.system.machine import cpu

_CPU_FLAGS = {
    "bf16": {"amx_bf16", "avx512_bf16"},
    "fp16": {"avx512_fp16", "amx_fp16"},
    "int8": {"amx_int8", "avx512_vnni", "avx_vnni"},
}
"""CPU flags, one of which a precision needs; without any, OpenVINO emulates it slowly."""


class Choice(NamedTuple):
    """The back end, precision and device that run a network."""

    backend: Literal["onnxruntime", "openvino"]
    precision: Literal["fp32", "bf16", "fp16", "int8"]
    device: str = "cpu"


def choose(
    *,
    backend: Backend = "auto",
    precision: Precision = "auto",
    device: Device = "auto",
    lossless_bf16: bool = True,
) -> Choice:
    """Settle what "auto" means on this machine.

    Args:
        backend: The requested back end.
        precision: The requested precision.
        device: The requested device; "auto" is the CPU.
        lossless_bf16: True if this network is known to lose at most 0.01 dB in bf16.

    Raises:
        UsageError: A value is unknown, or the values do not go together or with this CPU.
        MissingExtraError: OpenVINO is needed and not installed.
    """
    for what, word, known in (
        ("inference back end", backend, Backend),
        ("precision", precision, Precision),
        ("device", device, Device),
    ):
        if word not in get_args(known):
            raise UsageError(f"no {what} {word!r}; expected {', '.join(get_args(known))}")
    if device not in ("auto", "cpu"):
        if backend == "openvino" or precision not in ("auto", "fp32"):
            raise UsageError(f"device {device} goes with the onnxruntime back end and fp32 only")
        return Choice("onnxruntime", "fp32", device)
    if backend == "onnxruntime":
        if precision not in ("auto", "fp32"):
            raise UsageError(f"onnxruntime computes in fp32 only; {precision} goes with openvino")
        return Choice("onnxruntime", "fp32")
    if backend == "openvino" and not is_openvino_installed():
        raise MissingExtraError(extra="openvino", needed_for="the openvino back end")
    if precision == "auto":
        fast = lossless_bf16 and has_fast_bf16() and is_openvino_installed()
        return Choice("openvino", "bf16") if fast else _in_fp32(backend)
    if precision == "fp32":
        return _in_fp32(backend)
    if not is_openvino_installed():
        raise MissingExtraError(extra="openvino", needed_for=f"precision {precision}")
    if not cpu().flags & _CPU_FLAGS[precision]:
        raise UsageError(
            f"this CPU does not compute in {precision} ("
            f"{' or '.join(sorted(_CPU_FLAGS[precision]))} is missing)",
            options=['precision="fp32"'],
        )
    return Choice("openvino", precision)


def fastest_precision() -> Precision:
    """Name the fastest precision on this CPU, if a tenth of a decibel may be lost.

    With AMX, int8 takes a sixth longer than bf16, because its inputs are rounded from fp32. Without
    AMX, it takes a third of the time of fp32.
    """
    return "auto" if "amx_bf16" in cpu().flags else "int8"


def advice() -> str:
    """Say in one line how to make this machine faster; "" if it is as fast as it can be."""
    if not has_fast_bf16() or is_openvino_installed():
        return ""
    times = "5 times" if "amx_bf16" in cpu().flags else "twice"
    return f"this CPU computes in bf16: about {times} as fast with `pip install 'widesr[openvino]'`"


def has_fast_bf16() -> bool:
    """Tell whether the CPU multiplies faster in bf16 than in fp32."""
    if "amx_bf16" in cpu().flags:
        return True
    return "avx512_bf16" in cpu().flags and cpu().vendor == "AuthenticAMD"


def is_openvino_installed() -> bool:
    """Tell whether OpenVINO can be imported, without importing it."""
    return find_spec("openvino") is not None


def _in_fp32(backend: Backend) -> Choice:
    # ONNX Runtime is ready three times as fast.
    return Choice("openvino" if backend == "openvino" else "onnxruntime", "fp32")
