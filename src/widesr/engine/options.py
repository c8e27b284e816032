"""Holds all that a user can set about running networks, as one record."""

from dataclasses import dataclass, replace
from typing import Literal, TypedDict, Unpack

from widesr.engine.protocol import Backend, Device, Precision
from widesr.engine.tuned import Best
from widesr.system.arguments import check_flag, whole_number

MAX_MEMORY = 2**30
"""Approximate limit on the bytes that a program with one upscaler takes."""


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
    """The settings for running networks.

    The record passes unchanged from each face down to the runtime. It holds only plain values, so
    that another process can receive it and load the same networks.
    """

    backend: Backend = "auto"
    """The runtime; "auto" is the fastest on this machine: OpenVINO where it computes in bf16, else
    ONNX Runtime."""
    precision: Precision = "auto"
    """The precision; "auto" is bf16 if that is fast here, OpenVINO is installed and the model loses
    at most 0.01 dB, else fp32. "int8" needs a calibrated model that loses at most 0.1 dB. Pictures
    of 16 bits are computed in fp32 whatever the precision."""
    device: Device = "auto"
    """The device; "auto" is the CPU. On others tiles may differ from the whole in the last bits."""
    threads: int | None = None
    """The threads of the runtime; None means one per CPU that this process may use."""
    tile: int | Literal["auto"] | None = "auto"
    """The largest side of a tile's core in LR pixels, at least 16; None upscales the whole picture
    at once. "auto" is the size that `widesr bench` found to be fastest, or the largest that
    `max_memory` allows with the models in the package, if that is less. A network whose output
    smaller tiles would change gets its smallest valid tile."""
    self_ensemble: bool = False
    """Average over the eight flips and turns, at eight times the work."""
    consistent: bool = False
    """Correct the output so that, apart from its rounding, MATLAB's bicubic shrinks it back to the
    input to the pixel; the scale must be a whole number."""
    seed: int = 0
    """The seed of the noise that some networks read; each seed gives another picture."""
    temperature: float = 1.0
    """The strength of that noise, from 0; above 1, it is more than the network was trained with."""
    max_memory: int = MAX_MEMORY
    """Approximate bytes that the program may take while a picture is streamed row by row."""

    def __post_init__(self) -> None:
        check_flag(self.self_ensemble, "self_ensemble")
        check_flag(self.consistent, "consistent")
        whole_number(self.max_memory, "max_memory in bytes, such as 2**30", least=1)

    def but(self, **settings: Unpack[EngineSettings]) -> "EngineOptions":
        """Return the same options with some of them changed."""
        return replace(self, **settings)

    def tuned(self, best: Best | None) -> "EngineOptions":
        """Replace "auto" by the settings found to be fastest, if all else is "auto" too.

        The tile stays as it is: `Upscaler` holds the fastest tile to its memory limit.
        """
        if best is None or not self.backend == self.precision == self.device == "auto":
            return self
        return replace(self, backend=best.backend, precision=best.precision)
