"""Which back end and precision to take: what was asked for, if this machine has it, or the fastest.

Measured by `benchmarks/engines.py`: on a CPU with AMX, OpenVINO computes our networks in bf16
some five times as fast as any runtime in fp32. Without AMX bf16 is slower than fp32, also where the
CPU has AVX-512's bf16, and fp16 too; in fp32 both back ends take the same time.
"""

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from widesr.engine.protocol import Backend, Device, Precision
from widesr.errors import MissingExtraError, UsageError

_CPU_FLAGS = {"bf16": {"amx_bf16", "avx512_bf16"}, "fp16": {"avx512_fp16", "amx_fp16"}}
"""A CPU with one of these computes in a precision; without, OpenVINO would imitate it, slowly."""


class Choice(NamedTuple):
    """What a network is run by."""

    backend: Literal["onnxruntime", "openvino"]
    precision: Literal["fp32", "bf16", "fp16"]
    device: str = "cpu"


def choose(
    *,
    backend: Backend = "auto",
    precision: Precision = "auto",
    device: Device = "auto",
    lossless_bf16: bool = True,
) -> Choice:
    """Settle what "auto" means here.

    Args:
        backend: As asked for.
        precision: As asked for.
        device: As asked for; "auto" is the CPU.
        lossless_bf16: Whether this network is known to lose at most 0.01 dB in bf16.

    Raises:
        UsageError: There is no such word, or what was asked for does not go together or with this
            CPU.
        MissingExtraError: OpenVINO is needed and not installed.
    """
    for what, word, known in (
        ("inference back end", backend, Backend),
        ("precision", precision, Precision),
        ("device", device, Device),
    ):
        if word not in get_args(known):
            raise UsageError(f"no {what} {word!r}; there is {', '.join(get_args(known))}")
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
        fast = lossless_bf16 and has_amx() and is_openvino_installed()
        return Choice("openvino", "bf16") if fast else _in_fp32(backend)
    if precision == "fp32":
        return _in_fp32(backend)
    if not is_openvino_installed():
        raise MissingExtraError(extra="openvino", needed_for=f"precision {precision}")
    if not cpu_flags() & _CPU_FLAGS[precision]:
        raise UsageError(
            f"this CPU does not compute in {precision} ("
            f"{' or '.join(sorted(_CPU_FLAGS[precision]))} is missing); take fp32"
        )
    return Choice("openvino", precision)


def advice() -> str:
    """Say in one line how this machine could be faster; "" if it is as fast as it can be."""
    if not has_amx() or is_openvino_installed():
        return ""
    return "this CPU has AMX: about 5 times as fast with `pip install 'widesr[openvino]'`"


def has_amx() -> bool:
    """Whether the CPU multiplies matrices of bf16 in hardware."""
    return "amx_bf16" in cpu_flags()


@cache
def cpu_flags() -> frozenset[str]:
    """What the CPU can do, in Linux' words; nothing is known elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    lines = (line.partition(":")[2].split() for line in text.splitlines() if "flags" in line[:5])
    return frozenset(next(lines, []))


def usable_cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_openvino_installed() -> bool:
    """Whether OpenVINO could be imported; it is not."""
    return find_spec("openvino") is not None


def _in_fp32(backend: Backend) -> Choice:
    # ONNX Runtime is ready three times as fast.
    return Choice("openvino" if backend == "openvino" else "onnxruntime", "fp32")
