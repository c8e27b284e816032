"""Reads a YOLOX as a torch network, so that its predictions can be learned from.

Source: Ge et al., "YOLOX: Exceeding YOLO Series in 2021", 2021, in its authors' ONNX files, which
consist of plain operations and do not decode the boxes.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own habit)

from widesr.errors import CheckpointError

_STRIDES = (8, 16, 32)
"""Pixels per place of the three grids that YOLOX predicts on."""
MULTIPLE = _STRIDES[-1]
"""Divisor of the sides of pictures, without which the grids would not be nested."""
_OTHER_GRAPH = (LookupError, RuntimeError, TypeError, ValueError, onnx.checker.ValidationError)
"""Errors of a graph that is read as a YOLOX and is another."""
PADDING = 114 / 255
"""Grey beyond the borders of a picture, as in YOLOX's training."""


class Predictions(NamedTuple):
    """The predictions of a detector for a batch of pictures, at each of the P places in them."""

    features: Tensor
    """Inputs of the heads for boxes and for classes on the finest grid, (N, C, h, w)."""
    offsets: Tensor
    """Centre of the box relative to its place, and log of its sides, in strides, (N, P, 4)."""
    scores: Tensor
    """Confidence that there is an object of each class, 0 to 1, (N, P, K)."""


class Places(NamedTuple):
    """The places on the three grids, one grid after another."""

    at: Tensor
    """Column and row on the grid, (P, 2)."""
    stride: Tensor
    """Pixels per place, (P, 1)."""

    @classmethod
    def of(cls, height: int, width: int) -> "Places":
        """List the places in a picture whose sides are multiples of `MULTIPLE`."""
        at, strides = [], []
        for stride in _STRIDES:
            rows, columns = (torch.arange(side // stride).float() for side in (height, width))
            at.append(torch.cartesian_prod(rows, columns).flip(1))
            strides.append(torch.full((len(at[-1]), 1), float(stride)))
        return cls(torch.cat(at), torch.cat(strides))

    def to(self, device: torch.device) -> "Places":
        """Move the places to a device."""
        return Places(self.at.to(device), self.stride.to(device))

    def decode(self, offsets: Tensor) -> Tensor:
        """Convert offsets to boxes: left, top, right, bottom in pixels, (..., P, 4)."""
        centre = (offsets[..., :2] + self.at) * self.stride
        half = offsets[..., 2:].exp() * self.stride / 2
        return torch.cat([centre - half, centre + half], dim=-1)

    def encode(self, boxes: Tensor) -> Tensor:
        """Convert boxes, one for each place, to offsets."""
        centre, side = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
        return torch.cat([centre / self.stride - self.at, (side / self.stride).log()], dim=-1)


class Detector(nn.Module):
    """A trained YOLOX with fixed weights, which lets gradients through to the pictures."""

    def __init__(self, weights: Path) -> None:
        """Read an ONNX file.

        Raises:
            CheckpointError: The file is missing, damaged, or not a YOLOX of this form.
        """
        super().__init__()
        graph, self.sha256 = _read(weights)
        try:
            self._nodes = [_Node.of(node) for node in graph.node]
            self._constants = {
                each.name: f"constant{n}" for n, each in enumerate(graph.initializer)
            }
            for each in graph.initializer:
                values = torch.from_numpy(numpy_helper.to_array(each).copy())
                self.register_buffer(self._constants[each.name], values)
            self._input, self._output = graph.input[0].name, graph.output[0].name
            self._heads = self._find_heads()
            with torch.no_grad():
                predicted = self(torch.zeros(1, 3, MULTIPLE, MULTIPLE))
            Places.of(MULTIPLE, MULTIPLE).decode(predicted.offsets)
        except _OTHER_GRAPH as error:
            raise CheckpointError(
                f"{weights}: is no YOLOX as its authors export it, without decoding, or has "
                "operations that are not known here"
            ) from error
        self.n_features: int = predicted.features.shape[1]
        self.n_classes: int = predicted.scores.shape[2]

    def forward(self, rgb: Tensor) -> Predictions:
        """Detect objects in pictures (N, 3, H, W) in [0, 1], sides multiples of `MULTIPLE`."""
        with torch.autocast(rgb.device.type, enabled=False):  # the scores need full precision
            values = {name: self.get_buffer(buffer) for name, buffer in self._constants.items()}
            values[self._input] = rgb.float().flip(1) * 255  # BGR
            for node in self._nodes:
                inputs = [values[name] for name in node.inputs if name]
                values[node.output] = _OPERATIONS[node.operation](*inputs, **node.settings)
            answer = values[self._output]  # (N, P, 4 + 1 + K)
            features = torch.cat([values[name] for name in self._heads], dim=1)
            return Predictions(features, answer[..., :4], answer[..., 4:5] * answer[..., 5:])

    def _find_heads(self) -> list[str]:
        """Name the inputs of the convolutions for boxes and for classes on the finest grid.

        The output on that grid joins the boxes and the sigmoids of objectness and of the classes.
        """
        made_by = {node.output: node for node in self._nodes}
        joined, *_ = (node for node in self._nodes if node.operation == "Reshape")
        boxes, _, classes = (made_by[name] for name in made_by[joined.inputs[0]].inputs)
        return [boxes.inputs[0], made_by[classes.inputs[0]].inputs[0]]


class _Node(NamedTuple):
    """An operation of a graph."""

    operation: str
    inputs: tuple[str, ...]
    output: str
    settings: dict[str, Any]

    @classmethod
    def of(cls, node: onnx.NodeProto) -> "_Node":
        settings = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        return cls(node.op_type, tuple(node.input), node.output[0], settings)


def _read(weights: Path) -> tuple[onnx.GraphProto, str]:
    try:
        data = weights.read_bytes()
        return onnx.load_model_from_string(data).graph, hashlib.sha256(data).hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"{weights}: cannot be read ({error.strerror}); expected a YOLOX as ONNX, which widesr "
            "neither brings nor fetches: name the file in detector.weights"
        ) from error
    except DecodeError as error:
        raise CheckpointError(f"{weights}: is no ONNX file, or damaged") from error


def _conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    strides: list[int],
    pads: list[int],
    dilations: list[int],
    group: int,
    kernel_shape: list[int],
) -> Tensor:
    del kernel_shape  # the weight has the same shape
    return F.conv2d(x, weight, bias, strides, pads[:2], dilations, group)


def _max_pool(
    x: Tensor, *, kernel_shape: list[int], strides: list[int], pads: list[int], ceil_mode: int = 0
) -> Tensor:
    return F.max_pool2d(x, kernel_shape, strides, pads[:2], ceil_mode=bool(ceil_mode))


def _slice(x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor, steps: Tensor) -> Tensor:
    parts = [slice(None)] * x.ndim
    for axis, *part in zip(*(each.tolist() for each in (axes, starts, ends, steps)), strict=True):
        parts[axis] = slice(*part)
    return x[tuple(parts)]


def _resize(x: Tensor, *given: Tensor, mode: bytes, **_: object) -> Tensor:
    if mode != b"nearest":
        raise ValueError(mode)
    factors = given[-1].tolist()  # of all four axes
    return F.interpolate(x, scale_factor=tuple(factors[2:]), mode="nearest")


_OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "Add": torch.add,
    "Concat": lambda *tensors, axis: torch.cat(tensors, dim=axis),
    "Conv": _conv,
    "MaxPool": _max_pool,
    "Mul": torch.mul,
    "Reshape": lambda x, _: x.flatten(2),  # joins the places of a grid, for any number of pictures
    "Resize": _resize,
    "Sigmoid": torch.sigmoid,
    "Slice": _slice,
    "Transpose": lambda x, perm: x.permute(perm),
}
