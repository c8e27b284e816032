"""Reads networks from our own model files, so that training can continue from them."""

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
from widesr.nets.from_tensors import edsr, recurrent_wdsr, wdsr, with_weight_norm
from widesr.nets.recurrent import stepwise

_TOLERANCE = 1e-4
"""Largest difference between the outputs of a network and of its model file, in a range of 1."""


def network_of_model(model: ModelFile) -> Network:
    """Build the network of a model file that `widesr export` wrote, ready for further training.

    The graph holds plain convolutions under the network's own names. Weight norm splits each into a
    direction and a length.

    Raises:
        CheckpointError: widesr did not export the graph, or its network gives other pictures.
        ModelFileError: The runtime refuses the file.
    """
    try:
        tensors, mean, is_consistent = _convolutions(model.path)
        if model.card.family == "edsr":
            network: Network = edsr(tensors, rgb_mean=mean, rgb_std=1.0, res_scale=1.0)
        elif model.card.family == "recurrent":
            state = with_weight_norm(tensors)
            network = recurrent_wdsr(state, frames=model.card.frames, rgb_mean=mean)
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
    random, engine = np.random.default_rng(0), load_engine(model, precision="fp32", threads=1)
    inputs = [random.random((1, port.channels or 3, 16, 16), np.float32) for port in engine.inputs]
    with torch.inference_mode():
        ours = stepwise(network.eval())(*map(torch.from_numpy, inputs))
    sr = (ours[0] if network.cfg.is_recurrent else ours).numpy()
    difference = float(np.abs(engine.run_all(*inputs)[0] - sr).max())
    if not difference < _TOLERANCE:  # a factor in the graph that no tensor shows
        raise CheckpointError(
            f"{model.path}: the network read from it differs from the model by {difference:.1e}; "
            "start from the weights (.safetensors) that it was made of"
        )
    return network.train()


def _convolutions(path: Path) -> tuple[dict[str, Tensor], tuple[float, float, float], bool]:
    """Read the convolutions of a graph, by their names in the network.

    Each bias is found by the convolution that reads it, since exporters store equal biases once.

    Returns:
        Weights and biases; the mean of RGB; and True if the graph ends in the layer that makes
        pictures consistent, whose convolutions have no bias.
    """
    graph = onnx.load(path).graph
    constants = {
        _own_name(t.name): numpy_helper.to_array(t).astype(np.float32) for t in graph.initializer
    }
    tensors: dict[str, Tensor] = {}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    learned = [node for node in convolutions if len(node.input) == 3]
    for node in learned:
        weight, bias = map(_own_name, node.input[1:])
        tensors[weight] = torch.from_numpy(constants[weight])
        tensors[f"{weight.removesuffix('.weight')}.bias"] = torch.from_numpy(constants[bias])
    # The shortest decimal form of a float32 has the digits that the configuration was written with.
    red, green, blue = (float(str(value)) for value in constants["rgb_mean"].flatten())
    return tensors, (red, green, blue), len(learned) < len(convolutions)


def _own_name(tensor: str) -> str:
    """Return the name that a network has for a tensor of its file; a recurrent one is in a step."""
    return tensor.removesuffix(".fp16").removeprefix("network.")
