"""Others' checkpoints and our own model files into networks: sizes are read off the tensors.

Foreign tensor names become ours, and the foreign input range `rgb_mean` and `rgb_std`, so that the
network gives the same picture for the same [0, 1] input.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from widesr.catalog import ModelFile
from widesr.engine import load_engine
from widesr.errors import CheckpointError
from widesr.nets import EDSR, WDSR, EDSRConfig, Network, WDSRConfig

AnyNetwork = TypeVar("AnyNetwork", WDSR, EDSR)

_DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
_MODEL_TOLERANCE = 1e-4
"""Largest difference of a network from the model file that it was read from, of a range of 1."""


def import_weights(tensors: Mapping[str, Tensor], *, res_scale: float = 1.0) -> Network:
    """Build the network that foreign tensors belong to, and load them.

    Known are WDSR-A and -B of JiahuiYu/wdsr_ntire2018, WDSR-A of ychfan/wdsr, EDSR of
    EDSR-PyTorch. Weight norm may be in either of torch's two styles, or already folded.

    Args:
        tensors: The state by name, as the authors' code saves it.
        res_scale: Factor on residual branches, which no tensor shows.

    Raises:
        CheckpointError: No known family, or tensors that do not fit the family they look like.
    """
    state = _with_weight_norm(tensors)
    if "body.0.weight_v" in state and "skip.0.weight_v" in state:
        return _ychfan_wdsr(state)
    if "head.0.weight_v" in state and "skip.0.weight_v" in state:
        return _jiahuiyu_wdsr(state, res_scale)
    if "head.0.weight_v" in state and "tail.0.0.weight_v" in state:
        return _edsr_pytorch(tensors, res_scale)
    raise CheckpointError(
        f"no known network has the tensors {', '.join(sorted(tensors)[:3])}, ...; expected WDSR of "
        "JiahuiYu or ychfan, or EDSR of EDSR-PyTorch"
    )


def network_of_model(model: ModelFile) -> Network:
    """Build the network of a model file that `widesr export` wrote, ready to go on training.

    The graph holds plain convolutions under the network's own names; weight norm takes each as a
    direction and a length.

    Raises:
        CheckpointError: The graph is no export of widesr, or its network gives other pictures.
        ModelFileError: The runtime refuses the file.
    """
    try:
        tensors, mean = _convolutions(model.path)
        network = (_our_edsr if model.card.family == "edsr" else _our_wdsr)(tensors, mean)
    except (KeyError, ValueError, CheckpointError) as error:
        raise CheckpointError(
            f"{model.path}: its graph is not one that `widesr export` writes; start from the "
            "weights (.safetensors) that it was made of"
        ) from error
    lr = np.random.default_rng(0).random((1, 3, 16, 16), np.float32)
    with torch.inference_mode():
        ours = network(torch.from_numpy(lr)).numpy()
    difference = float(np.abs(load_engine(model, precision="fp32", threads=1).run(lr) - ours).max())
    if not difference < _MODEL_TOLERANCE:  # a factor in the graph that no tensor shows
        raise CheckpointError(
            f"{model.path}: the network read from it differs from the model by {difference:.1e}; "
            "start from the weights (.safetensors) that it was made of"
        )
    return network


def _convolutions(path: Path) -> tuple[dict[str, Tensor], tuple[float, float, float]]:
    """Weights and biases of a graph by their names in the network, and what is taken off RGB.

    A bias is the one that the convolution reads: exporters store equal ones once.
    """
    graph = onnx.load(path).graph
    constants = {
        t.name.removesuffix(".fp16"): numpy_helper.to_array(t).astype(np.float32)
        for t in graph.initializer
    }
    tensors = {}
    for node in graph.node:
        if node.op_type == "Conv":
            _, weight, bias = node.input
            tensors[weight] = torch.from_numpy(constants[weight])
            tensors[f"{weight.removesuffix('.weight')}.bias"] = torch.from_numpy(constants[bias])
    # The shortest decimals of a float32 are the digits that the configuration was written with.
    red, green, blue = (float(str(value)) for value in constants["rgb_mean"].flatten())
    return tensors, (red, green, blue)


def _our_wdsr(tensors: Mapping[str, Tensor], mean: tuple[float, float, float]) -> WDSR:
    return _wdsr(_with_weight_norm(tensors), rgb_mean=mean, rgb_std=1.0, res_scale=1.0)


def _our_edsr(tensors: Mapping[str, Tensor], mean: tuple[float, float, float]) -> EDSR:
    stages = sum(name.startswith("tail.") and name.endswith(".weight") for name in tensors) - 1
    n_feats = len(tensors["head.weight"])
    scale = 3 if len(tensors["tail.0.weight"]) == 9 * n_feats else 2**stages
    blocks = {n.split(".")[1] for n in tensors if re.match(r"^body\.\d+\.body\.", n)}
    cfg = EDSRConfig(
        scale=_scale(3 * scale**2), n_resblocks=len(blocks), n_feats=n_feats, rgb_mean=mean
    )
    return _load(EDSR(cfg), tensors)


def _with_weight_norm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring all three styles of a convolution's weight to `weight_v` and `weight_g`."""
    state = {}
    for name, value in tensors.items():
        stem, _, last = name.rpartition(".")
        if name.endswith(".parametrizations.weight.original0"):
            state[name.replace("parametrizations.weight.original0", "weight_g")] = value
        elif name.endswith(".parametrizations.weight.original1"):
            state[name.replace("parametrizations.weight.original1", "weight_v")] = value
        elif last == "weight":
            state[f"{stem}.weight_v"] = value
            state[f"{stem}.weight_g"] = torch.norm_except_dim(value, 2, 0)
        else:
            state[name] = value
    return state


def _jiahuiyu_wdsr(state: Mapping[str, Tensor], res_scale: float) -> WDSR:
    """Source: JiahuiYu/wdsr_ntire2018, wdsr_a.py and wdsr_b.py; 0..255, (x - mean) / 127.5."""
    renamed = {}
    for name, value in state.items():
        ours = re.sub(r"^(head|tail|skip)\.0\.", r"\1.", name)
        renamed[re.sub(r"^body\.(\d+)\.body\.", r"body.\1.", ours)] = value
    return _wdsr(renamed, rgb_mean=_DIV2K_MEAN, rgb_std=0.5, res_scale=res_scale)


def _ychfan_wdsr(state: Mapping[str, Tensor]) -> WDSR:
    """Source: ychfan/wdsr at b782562, models/wdsr.py; 0..1, x - 0.5; head and tail in the body."""
    last = max(int(name.split(".")[1]) for name in state if name.startswith("body."))

    def rename(name: str) -> str:
        if name.startswith("body.0."):
            return name.replace("body.0.", "head.")
        if name.startswith(f"body.{last}."):
            return name.replace(f"body.{last}.", "tail.")
        if match := re.match(r"^body\.(\d+)\.body\.(.*)", name):
            return f"body.{int(match[1]) - 1}.{match[2]}"
        return name.replace("skip.0.", "skip.")

    renamed = {rename(name): value for name, value in state.items()}
    return _wdsr(renamed, rgb_mean=(0.5, 0.5, 0.5), rgb_std=1.0, res_scale=1.0)


def _wdsr(
    state: dict[str, Tensor],
    *,
    rgb_mean: tuple[float, float, float],
    rgb_std: float,
    res_scale: float,
) -> WDSR:
    n_feats = len(state["head.weight_v"])
    widen = state["body.0.0.weight_v"]  # (wide, n_feats, k, k): 3x3 in A, 1x1 in B
    block_b = widen.shape[-1] == 1
    # The half a channel more keeps int(n_feats * linear_ratio) from falling below the true width.
    low = (len(state["body.0.2.weight_v"]) + 0.5) / n_feats if block_b else 0.8
    cfg = WDSRConfig(
        scale=_scale(len(state["tail.weight_v"])),
        block="b" if block_b else "a",
        n_resblocks=1 + max(int(name.split(".")[1]) for name in state if name.startswith("body.")),
        n_feats=n_feats,
        expansion=len(widen) / n_feats,
        rgb_mean=rgb_mean,
        rgb_std=rgb_std,
        res_scale=res_scale,
        linear_ratio=low,
    )
    return _load(WDSR(cfg), state)


def _edsr_pytorch(tensors: Mapping[str, Tensor], res_scale: float) -> EDSR:
    """Source: EDSR-PyTorch, src/model/edsr.py; 0..255, x - mean by a fixed 1x1 convolution."""
    blocks = {int(n.split(".")[1]) for n in tensors if re.match(r"^body\.\d+\.body\.", n)}
    stages = sorted({int(n.split(".")[2]) for n in tensors if n.startswith("tail.0.")})
    n_feats = len(tensors["head.0.weight"])
    scale = 3 if len(tensors["tail.0.0.weight"]) == 9 * n_feats else 2 ** len(stages)
    cfg = EDSRConfig(
        scale=_scale(3 * scale**2),
        n_resblocks=len(blocks),
        n_feats=n_feats,
        res_scale=res_scale,
        rgb_mean=_DIV2K_MEAN,
        rgb_std=1 / 255,
    )
    renamed = {}
    for name, value in tensors.items():
        if name.startswith("tail.1."):  # after each stage's convolution and shuffle
            renamed[name.replace("tail.1.", f"tail.{2 * len(stages)}.")] = value
        elif not name.startswith(("add_mean.", "sub_mean.")):
            renamed[re.sub(r"^(head|tail)\.0\.", r"\1.", name)] = value
    return _load(EDSR(cfg), renamed)


def _scale(n_out: int) -> Literal[2, 3, 4, 8]:
    scales: dict[int, Literal[2, 3, 4, 8]] = {12: 2, 27: 3, 48: 4, 192: 8}
    if n_out not in scales:
        raise CheckpointError(f"a tail of {n_out} channels is no RGB of scale 2, 3, 4 or 8")
    return scales[n_out]


def _load(network: AnyNetwork, state: Mapping[str, Tensor]) -> AnyNetwork:
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        raise CheckpointError(f"the tensors do not fit {network.cfg}: {error}") from error
    return network
