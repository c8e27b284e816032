"""Keeps WDSR's linear skip, which carries nearly all of the picture, in fp32 beside bf16.

OpenVINO rounds the inputs and outputs of every convolution to bf16, which has 8 bits. It leaves
whatever follows the last convolutions in fp32, and counts transposed convolutions among this. A
transposed convolution with a stride of 1 and a turned kernel equals a convolution, so the skip is
rewritten as one. The biases and the mean, three passes over the large picture, become one bias.
"""

from typing import Any, NamedTuple

import numpy as np

from widesr.engine.graph import values


class _Ending(NamedTuple):
    """The end of a WDSR, shuffle(tail + skip) + mean, as nodes of OpenVINO's graph."""

    result: Any
    shuffle: Any
    total: Any
    tail: Any
    skip: Any
    biases: list[Any]
    mean: Any


def keep_skip_fp32(graph: Any) -> bool:  # noqa: ANN401 - openvino has no types
    """Rewrite a graph that ends as a WDSR does; leave others as they are.

    Args:
        graph: `openvino.Model`; changed in place.

    Returns:
        True if the graph was rewritten.
    """
    from openvino import opset13 as op

    end = _ending(graph)
    if end is None:
        return False
    kernel = values(end.skip.input_value(1))  # (out, in, height, width)
    turned = np.ascontiguousarray(kernel.swapaxes(0, 1)[:, :, ::-1, ::-1])
    n_out, _, height, width = kernel.shape
    bias = np.repeat(values(end.mean).reshape(3), n_out // 3)
    bias = sum((values(each).reshape(-1) for each in end.biases), start=bias)
    skip = op.convolution_backprop_data(
        end.skip.input_value(0),
        op.constant(turned),
        strides=[1, 1],
        pads_begin=[height // 2, width // 2],
        pads_end=[height // 2, width // 2],
        dilations=[1, 1],
    )
    based = op.add(skip, op.constant(bias.reshape(1, n_out, 1, 1).astype(np.float32)))
    end.total.output(0).replace(op.add(end.tail, based).output(0))
    end.result.input(0).replace_source_output(end.shuffle.output(0))
    graph.validate_nodes_and_infer_types()
    return True


def _ending(graph: Any) -> _Ending | None:  # noqa: ANN401
    """Find the parts from the end backwards; return None if the graph ends in another way."""
    result = graph.get_results()[0]  # a recurrent network also gives its state
    with_mean = _before(result, 0, "Add")
    shuffle = with_mean and _before(with_mean, 0, "DepthToSpace")
    total = shuffle and _before(shuffle, 0, "Add")
    if with_mean is None or total is None or len(total.output(0).get_target_inputs()) > 1:
        return None
    with_bias = [_before(total, 0, "Add"), _before(total, 1, "Add")]
    convs = [
        _before(side or total, 0 if side else port, "Convolution")
        for port, side in enumerate(with_bias)
    ]
    if None in convs:
        return None
    from_input = [_is_read_from_input(conv) for conv in convs]
    if sorted(from_input) != [False, True]:
        return None
    skip, tail = sorted(convs, key=lambda conv: not from_input[convs.index(conv)])
    biases = [side.input_value(1) for side in with_bias if side]
    return _Ending(result, shuffle, total, tail, skip, biases, with_mean.input_value(1))


def _is_read_from_input(conv: Any) -> bool:  # noqa: ANN401
    """Tell whether a convolution reads the input less its mean, or some frames of that."""
    part = _before(conv, 0, "Slice") or conv
    centred = _before(part, 0, "Subtract")
    return centred is not None and _before(centred, 0, "Parameter") is not None


def _before(node: Any, port: int, kind: str) -> Any:  # noqa: ANN401
    """Return the node that feeds an input if it is of this kind, else None."""
    source = node.input_value(port).get_node()
    return source if source.get_type_name() == kind else None
