"""What both runtimes hold a network to, and the words in which they refuse one."""

import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ModelFileError
from widesr.models.catalog import ModelFile


class Port(NamedTuple):
    """An input or output of a graph."""

    is_float: bool
    """float32."""
    shape: list[Any]
    """An axis that is not an int is free."""


def fixed_size(
    model: ModelFile, *, inputs: list[Port], outputs: list[Port]
) -> tuple[int, int] | None:
    """Check that a graph goes from RGB to RGB.

    Returns:
        The one (height, width) that it takes, LR pixels; None if it takes any.

    Raises:
        ModelFileError: It does not, or it takes several pictures at once only.
    """
    if not (_is_picture(inputs) and _is_picture(outputs)):
        raise ModelFileError(
            f"{model.path}: expected a network from one float32 (N, 3, H, W) to one such, found "
            f"{_shapes(inputs)} to {_shapes(outputs)}"
        )
    n, _, height, width = inputs[0].shape
    if isinstance(height, int) and isinstance(width, int) and (n == 1 or not isinstance(n, int)):
        return height, width
    if any(isinstance(axis, int) and axis != 1 for axis in (n, height, width)):
        raise ModelFileError(
            f"{model.path}: takes {_shapes(inputs)} only; export it with free N, height and width"
        )
    return None


def _is_picture(ports: list[Port]) -> bool:
    if len(ports) != 1:
        return False
    is_float, shape = ports[0]
    return is_float and len(shape) == 4 and (shape[1] == 3 or not isinstance(shape[1], int))


def _shapes(ports: list[Port]) -> str:
    return " + ".join(
        "(" + ", ".join("?" if axis is None else str(axis) for axis in shape) + ")"
        for _, shape in ports
    )


def refused(model: ModelFile, error: Exception) -> ModelFileError:
    """Say that a runtime cannot load a file."""
    return ModelFileError(f"{model.path}: the runtime refuses this model: {_one_line(error)}")


def failed(path: os.PathLike[str], lr: NDArray[np.float32], error: Exception) -> ModelFileError:
    """Say that a runtime failed on a picture."""
    height, width = lr.shape[2:]
    return ModelFileError(
        f"{path}: failed on {width}x{height} pixels, a smaller tile may help "
        f"(--tile, API: tile=): {_one_line(error)}"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def checked(
    path: os.PathLike[str], lr: NDArray[np.float32], sr: NDArray[np.float32], *, scale: int
) -> NDArray[np.float32]:
    """Return `sr` if it is `scale` times as large as `lr`.

    Raises:
        ModelFileError: It is not.
    """
    n, channels, height, width = lr.shape
    if sr.shape != (n, channels, height * scale, width * scale):
        raise ModelFileError(
            f"{path}: its card says x{scale}, but it made {sr.shape} of {lr.shape}; export it again"
        )
    return sr
