"""Computes all but the first and last convolutions in int8, by ranges on the card.

Weights are rounded to 255 levels per output channel. The input of a convolution is rounded to 256
levels over a range that was found on photographs. The range begins at 0 after a ReLU; otherwise it
is symmetric, because OpenVINO falls back on fp32 where zero is not a level of its own. The rest
stays in fp32: the first and last convolutions carry the picture itself and cost little, and the
sums between the blocks are kept exact, so that what one block rounds away is not lost to the next.

A convolution adds up all its input channels, so they must share one step size. Channels of small
values are therefore scaled up before they are rounded, and their weights scaled down by as much:
half the way, because the weights also share one step size (SmoothQuant, arXiv:2211.10438).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from widesr.engine.graph import start_openvino, values

_ROOM = 1.75
"""Ratio of a range to the largest value in photographs. Letters and drawings reach farther: without
this room they would be up to 80 levels of 255 off. Much more would cost photographs over 0.1 dB."""
_SMOOTH = 0.5
"""Share by which channels are evened out: 0 leaves them as they are, 1 makes all fill the range.
By measurement, more is better for photographs, and worse for pictures that reach farther."""
_LEAST = 0.05
"""Share of the largest channel's range below which a channel is not scaled up further."""
_Ranges = Mapping[str, Sequence[float]]


def find_ranges(
    graph: Any,  # noqa: ANN401 - openvino has no types
    pictures: Iterable[NDArray[np.float32]],
    *,
    threads: int,
) -> dict[str, tuple[float, ...]]:
    """Find the range of the input of each inner convolution.

    Args:
        graph: `openvino.Model`, as read from a file.
        pictures: LR pictures, (1, 3, H, W) in [0, 1], as diverse as those to be upscaled.
        threads: Threads of OpenVINO.

    Returns:
        The largest magnitude that int8 must hold in each channel, by the tensor's name in the
        file; empty if the network has no inner convolutions.
    """
    from openvino import Model
    from openvino import opset13 as op

    tensors = {_name(conv): conv.input_value(0) for conv in _inner_convolutions(graph)}
    if not tensors:
        return {}
    tops = [op.reduce_max(op.abs(tensor), [0, 2, 3]) for tensor in tensors.values()]
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    probe = Model(tops, graph.get_parameters())
    request = start_openvino().compile_model(probe, "CPU", options).create_infer_request()
    largest = dict.fromkeys(tensors, np.zeros(1, np.float32))
    for lr in pictures:
        found = request.infer([lr])
        largest = {name: np.maximum(largest[name], found[i]) for i, name in enumerate(tensors)}
    return {name: tuple(float(_ROOM * top) for top in tops) for name, tops in largest.items()}


def round_convolutions(graph: Any, ranges: _Ranges) -> bool:  # noqa: ANN401
    """Mark in a graph what OpenVINO should compute in int8.

    Args:
        graph: `openvino.Model`; changed in place.
        ranges: The ranges from `find_ranges`.

    Returns:
        True if each of the ranges belongs to a convolution in this graph.
    """
    convs = [(_name(conv), conv) for conv in _inner_convolutions(graph)]
    for name, conv in convs:
        if name in ranges:
            _round(conv, np.array(ranges[name], np.float32))
    graph.validate_nodes_and_infer_types()
    return set(ranges) <= {name for name, _ in convs}


def _round(conv: Any, tops: NDArray[np.float32]) -> None:  # noqa: ANN401
    """Insert the rounding to levels before both inputs of a convolution."""
    from openvino import opset13 as op

    tensor = conv.input_value(0)
    is_positive = tensor.get_node().get_type_name() == "Relu"
    low = np.float32(0 if is_positive else -128 / 127)
    tops = np.maximum(tops, max(tops.max() * _LEAST, np.float32(1e-9)))
    larger = ((tops.max() / tops) ** _SMOOTH).reshape(1, -1, 1, 1)
    top = (tops * larger.reshape(-1)).max().reshape(1, 1, 1, 1)
    before = [op.constant(end / larger) for end in (low * top, top)]
    after = [op.constant(end) for end in (low * top, top)]
    conv.input(0).replace_source_output(op.fake_quantize(tensor, *before, *after, 256).output(0))
    kernel = values(conv.input_value(1)) / larger  # (out, in, height, width)
    most = np.maximum(np.abs(kernel).max(axis=(1, 2, 3), keepdims=True), np.float32(1e-9))
    ends = [op.constant(-most), op.constant(most)]
    levels = op.fake_quantize(op.constant(kernel), *ends, *ends, 255)
    conv.input(1).replace_source_output(levels.output(0))


def _inner_convolutions(graph: Any) -> list[Any]:  # noqa: ANN401
    """Return the convolutions that have others both before and after them, in order."""
    first = _reached(graph.get_parameters(), _behind)
    last = _reached(graph.get_results(), _before)
    convs = [node for node in graph.get_ordered_ops() if _is_convolution(node)]
    return [conv for conv in convs if conv.get_name() not in first | last]


def _reached(nodes: list[Any], step: Callable[[Any], list[Any]]) -> set[str]:
    """Name the convolutions that can be reached without passing through another."""
    to_do, seen, found = list(nodes), set(), set()
    while to_do:
        node = to_do.pop()
        if _is_convolution(node):
            found.add(node.get_name())
        elif node.get_name() not in seen:
            seen.add(node.get_name())
            to_do += step(node)
    return found


def _behind(node: Any) -> list[Any]:  # noqa: ANN401
    return [port.get_node() for out in node.outputs() for port in out.get_target_inputs()]


def _before(node: Any) -> list[Any]:  # noqa: ANN401
    return [port.get_node() for port in node.input_values()]


def _is_convolution(node: Any) -> bool:  # noqa: ANN401
    return bool(node.get_type_name() == "Convolution")


def _name(conv: Any) -> str:  # noqa: ANN401
    """Return the name of a convolution's input tensor, as in the file."""
    return str(min(conv.input_value(0).get_names()))
