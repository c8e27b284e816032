"""Checks that a network fits both runtimes, and words the errors of runtimes."""

import os
from typing import Any, NamedTuple

from widesr.engine.protocol import Port, Runtime, Tensor
from widesr.errors import ModelFileError, ShapeError
from widesr.models.catalog import ModelFile

NOISY = "lr_and_noise"
"""Name of the input of our networks that read noise in channels after those of RGB."""


class GraphPort(NamedTuple):
    """An input or output as a runtime describes it."""

    name: str
    is_float: bool
    """True if it is float32."""
    shape: list[Any]
    """The length of each axis; an axis that is not an int is free."""


class Interface(NamedTuple):
    """The inputs and outputs of a network of pictures."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    fixed_size: tuple[int, int] | None
    """The only (height, width) that the network takes, LR pixels; None if it takes any."""


def read_interface(
    model: ModelFile, *, inputs: list[GraphPort], outputs: list[GraphPort]
) -> Interface:
    """Check that a graph maps pictures of one size to pictures, and describe it.

    Raises:
        ModelFileError: The graph does not, or it only takes several pictures at once.
    """
    if not (inputs and outputs and all(map(_is_picture, [*inputs, *outputs]))):
        raise ModelFileError(
            f"{model.path}: expected a network from float32 (N, C, H, W) to the same, found "
            f"{_shapes(inputs)} to {_shapes(outputs)}"
        )
    shapes = (port.shape for port in inputs)
    sizes = {(_fixed(n), _fixed(height), _fixed(width)) for n, _, height, width in shapes}
    n, height, width = next(iter(sizes))
    size = None if height is None or width is None else (height, width)
    is_free = {n, height, width} <= {1, None}
    if len(sizes) > 1 or not (is_free or (size and n in (1, None))):
        raise ModelFileError(
            f"{model.path}: takes {_shapes(inputs)} only; export it with free N, height and width"
        )
    return Interface(
        inputs=tuple(Port(port.name, _fixed(port.shape[1])) for port in inputs),
        outputs=tuple(Port(port.name, _fixed(port.shape[1])) for port in outputs),
        fixed_size=size,
    )


def is_rgb(network: Runtime) -> bool:
    """Tell whether a network maps one RGB picture to one RGB picture."""
    return all(
        len(ports) == 1 and ports[0].channels in (3, None)
        for ports in (network.inputs, network.outputs)
    )


def noise_channels(network: Runtime) -> int:
    """Return the number of noise channels that a network reads after RGB; usually 0."""
    first = network.inputs[0]
    return (first.channels or 3) - 3 if first.name == NOISY else 0


def describe_ports(network: Runtime) -> str:
    """Describe the inputs and outputs of a network: "9 + 32 channels to 3 + 32"."""
    there, back = (
        " + ".join("any" if port.channels is None else str(port.channels) for port in ports)
        for ports in (network.inputs, network.outputs)
    )
    return f"{there} channels to {back}"


def _fixed(axis: object) -> int | None:
    return axis if isinstance(axis, int) else None


def _is_picture(port: GraphPort) -> bool:
    return port.is_float and len(port.shape) == 4


def _shapes(ports: list[GraphPort]) -> str:
    return " + ".join(
        "(" + ", ".join("?" if axis is None else str(axis) for axis in port.shape) + ")"
        for port in ports
    )


def refused(path: os.PathLike[str], error: Exception) -> ModelFileError:
    """Make the error that says that a runtime cannot load a file."""
    return ModelFileError(f"{path}: the runtime refuses this model: {_one_line(error)}")


def failed(path: os.PathLike[str], lr: Tensor, error: Exception) -> ModelFileError:
    """Make the error that says that a runtime failed on a picture."""
    height, width = lr.shape[2:]
    return ModelFileError(
        f"{path}: failed on {width}x{height} pixels, a smaller tile may help: {_one_line(error)}",
        options=["tile=128"],
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def check_inputs(path: os.PathLike[str], network: Runtime, inputs: tuple[Tensor, ...]) -> None:
    """Check that there is an array for each input, all of the same N, H and W.

    Raises:
        ShapeError: There are too many or too few arrays, or their sizes differ.
    """
    sizes = {(each.shape[0], *each.shape[2:]) for each in inputs}
    if len(inputs) != len(network.inputs) or len(sizes) > 1:
        expected = ", ".join(f"{port.name} (N, {port.channels}, H, W)" for port in network.inputs)
        found = ", ".join(str(each.shape) for each in inputs)
        raise ShapeError(f"{path}: takes {expected} of one size, got {found}")


def check_outputs(
    path: os.PathLike[str], network: Runtime, lr: Tensor, outputs: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Return the outputs if the first is `scale` times as large as `lr`.

    Raises:
        ModelFileError: The first output has another size.
    """
    n, channels, height, width = lr.shape
    channels = network.outputs[0].channels or channels
    sr, scale = outputs[0], network.scale
    if sr.shape != (n, channels, height * scale, width * scale):
        raise ModelFileError(
            f"{path}: its card says x{scale}, but it made {sr.shape} of {lr.shape}; export it again"
        )
    return outputs
