"""Defines what an engine is, and what can be asked of one."""

from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Backend = Literal["auto", "onnxruntime", "openvino"]
Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]
Device = Literal["auto", "cpu", "cuda", "tensorrt", "coreml"]
Tensor = NDArray[np.float32]
"""Array of pictures, (N, C, H, W)."""


class Port(NamedTuple):
    """An input or output of a network, float32 (N, C, H, W)."""

    name: str
    channels: int | None
    """The number of channels; None if the network takes any number."""


RGB = (Port("rgb", 3),)
"""The ports of a network that takes or gives a single picture."""


class Runtime(Protocol):
    """A super-resolution network in an inference runtime."""

    name: str
    """The runtime's name for reports: "onnxruntime"."""
    precision: str
    """The precision that the network is computed in: "fp32", "bf16", "fp16", "int8"."""
    scale: int
    """Output pixels per input pixel, along each axis."""
    receptive_radius: int
    """The smallest halo with tiled == whole, LR pixels: how far the network looks."""
    smallest_tile: int | None
    """The smallest side of a tile with tiled == whole, LR pixels; None if the network needs the
    whole picture at once."""
    streams: int
    """The number of concurrent calls, from as many threads."""
    bytes_per_pixel: int
    """The approximate memory that a call takes per LR pixel."""
    inputs: tuple[Port, ...] = RGB
    """The LR picture first, then any further inputs, such as a state or a noise map."""
    outputs: tuple[Port, ...] = RGB
    """The SR picture first, then any further outputs."""

    def run_all(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the network once, and return all its outputs.

        Args:
            *inputs: One array for each of `inputs`, in their order, all of the same N, H and W;
                the picture in [0, 1].

        Returns:
            One array for each of `outputs`. The first is (N, C, sH, sW), around [0, 1], not
            clipped; any other has the size that the network gives it.

        Raises:
            ModelFileError: The network failed on this picture, or its output does not have the
                size on its card.
            ShapeError: There are too many or too few inputs, or they differ in size.
        """


class Wrapper(Runtime):
    """A runtime around another one, with the same description."""

    def __init__(self, runtime: Runtime) -> None:
        """Copy the description of a runtime."""
        self.name, self.precision, self.scale = runtime.name, runtime.precision, runtime.scale
        self.receptive_radius, self.smallest_tile = runtime.receptive_radius, runtime.smallest_tile
        self.streams, self.bytes_per_pixel = runtime.streams, runtime.bytes_per_pixel
        self.inputs, self.outputs = runtime.inputs, runtime.outputs


class Engine(Runtime, Protocol):
    """A super-resolution network that is ready to run; custom engines may inherit from it."""

    def run(self, lr: Tensor, *beside: Tensor) -> Tensor:
        """Upscale (N, 3, H, W), RGB in [0, 1], to (N, 3, sH, sW), around [0, 1], not clipped.

        The result is the first output of `run_all`. The usual network has no other output, and no
        input beside the picture.
        """
        return self.run_all(lr, *beside)[0]

    @property
    def fp32(self) -> "Engine":
        """The same network in fp32, for more than 8 bits; the engine itself if it is in fp32."""
        return self
