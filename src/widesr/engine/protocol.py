"""What an engine is, and what may be asked of one."""

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Backend = Literal["auto", "onnxruntime", "openvino"]
Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]
Device = Literal["auto", "cpu", "cuda", "tensorrt", "directml", "coreml"]


class Runtime(Protocol):
    """A super-resolution network in an inference runtime."""

    @property
    def name(self) -> str:
        """Of the runtime, for reports: "onnxruntime"."""

    @property
    def precision(self) -> str:
        """That the network is computed in: "fp32", "bf16", "fp16", "int8"."""

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, along each axis."""

    @property
    def receptive_radius(self) -> int:
        """How far the network looks, LR pixels: the smallest halo with tiled == whole."""

    @property
    def smallest_tile(self) -> int | None:
        """Least side of a tile with tiled == whole, LR pixels; None: the whole picture at once."""

    @property
    def streams(self) -> int:
        """How many calls of `run` may be under way at once, from as many threads."""

    @property
    def bytes_per_pixel(self) -> int:
        """What a call of `run` takes for each LR pixel, about."""

    def run(self, lr: NDArray[np.float32]) -> NDArray[np.float32]:
        """Upscale (N, 3, H, W), RGB in [0, 1], to (N, 3, sH, sW), around [0, 1], not clipped."""


class Engine(Runtime, Protocol):
    """A super-resolution network that is ready to run."""

    @property
    def exact(self) -> "Engine":
        """The same network in fp32, for more than 8 bits; itself where that is its precision."""
