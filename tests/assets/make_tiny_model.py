"""Make `tiny-x2.onnx`: a small random WDSR with its card inside, for tests without torch and onnx.

Run: `python tests/assets/make_tiny_model.py` (needs the `train` extra, for onnx). Its weights are
random, so its pictures are no good; but every node of a shipped model is in it: fp16 weights cast
to fp32, 3x3 and 5x5 convolutions, ReLU, residual sums, DepthToSpace, the mean taken off and back.
"""

import hashlib
import json
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RGB_MEAN = np.array([0.4488, 0.4371, 0.4040], np.float32).reshape(1, 3, 1, 1)


class _Graph:
    """Nodes and weights, put together in the order of the calls."""

    def __init__(self, seed: int, *, half: bool) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(seed)
        self._half = half

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Add a node; return the name of its output."""
        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: np.ndarray) -> str:
        name = f"w_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def conv(self, x: str, n_in: int, n_out: int, kernel: int) -> str:
        spread = 1 / np.sqrt(n_in * kernel**2)
        weight = self._rng.uniform(-spread, spread, (n_out, n_in, kernel, kernel))
        bias = self._rng.uniform(-spread, spread, n_out).astype(np.float32)
        if self._half:
            stored = self.constant(weight.astype(np.float16))
            name = self.op("Cast", stored, to=TensorProto.FLOAT)
        else:
            name = self.constant(weight.astype(np.float32))
        pads = [kernel // 2] * 4
        return self.op("Conv", x, name, self.constant(bias), pads=pads, kernel_shape=[kernel] * 2)


def make_wdsr(
    *,
    scale: int,
    n_resblocks: int,
    n_feats: int,
    block: Literal["a", "b"] = "a",
    expansion: float = 4,
    half: bool = True,
    seed: int = 0,
) -> onnx.ModelProto:
    """A random WDSR, its card in `metadata_props["widesr"]`; `half` stores the weights as fp16."""
    g = _Graph(seed, half=half)
    n_out, wide, low = 3 * scale**2, int(n_feats * expansion), int(n_feats * 0.8)
    mean = g.constant(RGB_MEAN)
    x = g.op("Sub", "lr", mean)
    feats = g.conv(x, 3, n_feats, 3)
    for _ in range(n_resblocks):
        if block == "a":
            y = g.conv(g.op("Relu", g.conv(feats, n_feats, wide, 3)), wide, n_feats, 3)
        else:
            y = g.op("Relu", g.conv(feats, n_feats, wide, 1))
            y = g.conv(g.conv(y, wide, low, 1), low, n_feats, 3)
        feats = g.op("Add", feats, y)
    y = g.op("Add", g.conv(feats, n_feats, n_out, 3), g.conv(x, 3, n_out, 5))
    y = g.op("DepthToSpace", y, blocksize=scale, mode="CRD")
    g.nodes.append(helper.make_node("Add", [y, mean], ["sr"]))

    def image(name: str, factor: str) -> onnx.ValueInfoProto:
        shape = ["n", 3, f"{factor}h", f"{factor}w"]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        g.nodes, "wdsr", [image("lr", "")], [image("sr", f"{scale}*")], g.weights
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="widesr"
    )
    card = {
        "name": f"tiny-x{scale}",
        "family": "wdsr",
        "scale": scale,
        "receptive_radius": (2 if block == "a" else 1) * n_resblocks + 2,
        "parameters": sum(int(np.prod(w.dims)) for w in g.weights[1:]),
        "licence": "Apache-2.0",
        "degradation": "none",
        "weights_sha256": hashlib.sha256(model.graph.SerializeToString()).hexdigest(),
        "source": "tests/assets/make_tiny_model.py",
        "notes": "Random weights, for tests only.",
    }
    helper.set_model_props(model, {"widesr": json.dumps(card)})
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    tiny = make_wdsr(scale=2, n_resblocks=1, n_feats=20, expansion=1.2)
    onnx.save(tiny, Path(__file__).with_name("tiny-x2.onnx"))
