"""Hold all that a user may say of how networks are run, as one record."""

from dataclasses import dataclass, replace
from typing import Literal, TypedDict, Unpack

from widesr.engine.protocol import Backend, Device, Precision
from widesr.engine.tuned import Best
from widesr.system.arguments import check_flag, whole_number

MAX_MEMORY = 2**30
"""Bytes that a program with one upscaler takes at most, about."""


class EngineSettings(TypedDict, total=False):
    """The fields of `EngineOptions` as keywords, for the calls that users write by hand."""

    backend: Backend
    precision: Precision
    device: Device
    threads: int | None
    tile: int | Literal["auto"] | None
    self_ensemble: bool
    consistent: bool
    seed: int
    temperature: float
    max_memory: int


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """The settings by which networks are run.

    The record goes unchanged from each face down to the runtime. It holds only plain values, so
    that another process can be given it and load the same networks.
    """

    backend: Backend = "auto"
    """The runtime; "auto" is the fastest here: OpenVINO where it computes in bf16, else ONNX
    Runtime."""
    precision: Precision = "auto"
    """The precision; "auto" is bf16 where that is fast, OpenVINO is installed and the model loses
    at most 0.01 dB in it, else fp32. "int8" takes a model that was calibrated, and loses at most
    0.1 dB. Pictures of 16 bits are computed in fp32 whatever the precision."""
    device: Device = "auto"
    """The device; "auto" is the CPU. On others tiles may differ from the whole in the last bits."""
    threads: int | None = None
    """The threads of the runtime; None is one per CPU that this process may use."""
    tile: int | Literal["auto"] | None = "auto"
    """The largest side of a tile's core in LR pixels, from 16; None is the whole picture at once.
    "auto" is the size that `widesr bench` found to be fastest, at most what `max_memory` allows
    with the models in the package. A network whose pictures smaller tiles would change gets its
    smallest."""
    self_ensemble: bool = False
    """The mean over the eight flips and turns is taken: eight times the work."""
    consistent: bool = False
    """The output is corrected so that it shrinks back to the input by MATLAB's bicubic, to the
    pixel but for its rounding; the scale must be a whole number."""
    seed: int = 0
    """The seed of the noise that some networks read: each has a picture for every seed."""
    temperature: float = 1.0
    """The strength of that noise, from 0; above 1 is more than the network learned with."""
    max_memory: int = MAX_MEMORY
    """Bytes that the program may take, about, when a picture passes row by row."""

    def __post_init__(self) -> None:
        check_flag(self.self_ensemble, "self_ensemble")
        check_flag(self.consistent, "consistent")
        whole_number(self.max_memory, "max_memory in bytes, such as 2**30", least=1)

    def but(self, **settings: Unpack[EngineSettings]) -> "EngineOptions":
        """Return the same options with some of them changed."""
        return replace(self, **settings)

    def tuned(self, best: Best | None) -> "EngineOptions":
        """Settle what "auto" is by what was found to be fastest here, where nothing else is asked.

        The tile stays: `Upscaler` holds what was found to its limit of memory.
        """
        if best is None or not self.backend == self.precision == self.device == "auto":
            return self
        return replace(self, backend=best.backend, precision=best.precision)
