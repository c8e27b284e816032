"""Reads networks from our own model files, so that training can go on from them."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from widesr.engine import load_engine
from widesr.errors import CheckpointError
from widesr.models.catalog import ModelFile
from widesr.nets import Network, consistent
from widesr.nets.from_tensors import edsr, wdsr, with_weight_norm

_TOLERANCE = 1e-4
"""Largest difference of a network from the model file that it was read from, of a range of 1."""


def network_of_model(model: ModelFile) -> Network:
    """Build the network of a model file that `widesr export` wrote, ready to go on training.

    The graph holds plain convolutions under the network's own names; weight norm takes each as a
    direction and a length.

    Raises:
        CheckpointError: The graph is no export of widesr, or its network gives other pictures.
        ModelFileError: The runtime refuses the file.
    """
    try:
        tensors, mean, is_consistent = _convolutions(model.path)
        if model.card.family == "edsr":
            network: Network = edsr(tensors, rgb_mean=mean, rgb_std=1.0, res_scale=1.0)
        else:
            state = with_weight_norm(tensors)
            network = wdsr(state, rgb_mean=mean, rgb_std=1.0, res_scale=1.0)
        if is_consistent:
            network = consistent(network)
    except (KeyError, ValueError, CheckpointError) as error:
        raise CheckpointError(
            f"{model.path}: its graph is not one that `widesr export` writes; start from the "
            "weights (.safetensors) that it was made of"
        ) from error
    channels = 3 * network.cfg.window + network.noise
    lr = np.random.default_rng(0).random((1, channels, 16, 16), np.float32)
    with torch.inference_mode():
        ours = network.eval()(torch.from_numpy(lr)).numpy()
    difference = float(np.abs(load_engine(model, precision="fp32", threads=1).run(lr) - ours).max())
    if not difference < _TOLERANCE:  # a factor in the graph that no tensor shows
        raise CheckpointError(
            f"{model.path}: the network read from it differs from the model by {difference:.1e}; "
            "start from the weights (.safetensors) that it was made of"
        )
    return network.train()


def _convolutions(path: Path) -> tuple[dict[str, Tensor], tuple[float, float, float], bool]:
    """Read the convolutions of a graph, by their names in the network.

    A bias is the one that the convolution reads, since exporters store equal ones once.

    Returns:
        Weights and biases; the mean of RGB; and True if the graph ends in the layer that makes
        pictures consistent, whose convolutions have no bias.
    """
    graph = onnx.load(path).graph
    constants = {
        t.name.removesuffix(".fp16"): numpy_helper.to_array(t).astype(np.float32)
        for t in graph.initializer
    }
    tensors: dict[str, Tensor] = {}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    learned = [node for node in convolutions if len(node.input) == 3]
    for node in learned:
        _, weight, bias = node.input
        tensors[weight] = torch.from_numpy(constants[weight])
        tensors[f"{weight.removesuffix('.weight')}.bias"] = torch.from_numpy(constants[bias])
    # The shortest decimals of a float32 are the digits that the configuration was written with.
    red, green, blue = (float(str(value)) for value in constants["rgb_mean"].flatten())
    return tensors, (red, green, blue), len(learned) < len(convolutions)
