"""A YOLOX of few channels and random weights, with all operations of the published files."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

N_CLASSES = 3


class _Graph:
    """Nodes and constants, as they are added."""

    def __init__(self, seed):
        self.nodes, self.constants, self.random = [], [], np.random.default_rng(seed)

    def constant(self, values):
        name = f"constant.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, kind, *inputs, **settings):
        output = f"{kind}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **settings))
        return output

    def conv(self, x, n_in, n_out, side=1, stride=1, group=1, *, active=True):
        shape = (n_out, n_in // group, side, side)
        weight = self.random.normal(0, shape[1] ** -0.5 / side, shape)
        bias = self.random.normal(0, 0.3, n_out)
        x = self.add(
            "Conv",
            x,
            *(self.constant(each.astype(np.float32)) for each in (weight, bias)),
            dilations=[1, 1],
            group=group,
            kernel_shape=[side, side],
            pads=[side // 2] * 4,
            strides=[stride, stride],
        )
        return self.add("Mul", x, self.add("Sigmoid", x)) if active else x

    def cut(self, x, first, axis):
        bounds = ([first], [np.iinfo(np.int64).max], [axis], [2])
        return self.add("Slice", x, *(self.constant(np.array(each, np.int64)) for each in bounds))


def tiny_yolox(path, *, seed=0, n=4):
    """Write the file; it takes one picture of any size whose sides are multiples of 32."""
    g = _Graph(seed)
    corners = [g.cut(g.cut("images", y, 2), x, 3) for x in (0, 1) for y in (0, 1)]
    x = g.add("Mul", g.add("Concat", *corners, axis=1), g.constant(np.float32(1 / 255)))
    x = g.conv(x, 12, n, 3)
    levels = []
    for _ in range(4):
        x = g.add("Add", g.conv(x, n, n, 3, 2), g.constant(np.float32(0.1)))
        levels.append(x)
    pool = g.add("MaxPool", levels[3], kernel_shape=[5, 5], pads=[2] * 4, strides=[1, 1])
    deep = g.conv(g.add("Concat", levels[3], pool, axis=1), 2 * n, n)
    factors = (np.zeros(0, np.float32), np.array([1, 1, 2, 2], np.float32))
    nearest = {
        "mode": "nearest",
        "nearest_mode": "floor",
        "coordinate_transformation_mode": "asymmetric",
    }
    up = g.add("Resize", deep, *map(g.constant, factors), **nearest)
    grids = []
    for level in (levels[1], g.add("Add", levels[2], up), deep):
        stem = g.conv(level, n, n)
        for_classes, for_boxes = (g.conv(stem, n, n, 3, group=n) for _ in range(2))
        classes = g.add("Sigmoid", g.conv(for_classes, n, N_CLASSES, active=False))
        boxes = g.conv(for_boxes, n, 4, active=False)
        sure = g.add("Sigmoid", g.conv(for_boxes, n, 1, active=False))
        grid = g.add("Concat", boxes, sure, classes, axis=1)
        shape = g.constant(np.array([1, 5 + N_CLASSES, -1], np.int64))
        grids.append(g.add("Reshape", grid, shape))
    last = g.add("Concat", *grids, axis=2)
    g.nodes.append(helper.make_node("Transpose", [last], ["output"], perm=[0, 2, 1]))
    ends = (("images", [1, 3, "h", "w"]), ("output", [1, "p", 5 + N_CLASSES]))
    inputs, outputs = (
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)] for name, shape in ends
    )
    graph = helper.make_graph(g.nodes, "yolox", inputs, outputs, g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
