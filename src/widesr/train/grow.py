"""Begins training with a trained network, grown to the size of the network to train.

At first, a grown network gives the pictures of the small one; then all of it learns.
"""

import os
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from widesr.engine import find_model
from widesr.errors import CheckpointError
from widesr.models.catalog import ALIASES
from widesr.nets import EDSRConfig, Network, NetworkConfig, RecurrentWDSRConfig, WDSRConfig
from widesr.nets.from_tensors import with_weight_norm
from widesr.nets.weight_norm import fuse_state
from widesr.system.files import sha256_of
from widesr.train.checkpoint import find_weights, load_weights
from widesr.train.exported import network_of_model
from widesr.train.recipe import Recipe, list_recipes, load_recipe

Growing = WDSRConfig | EDSRConfig
"""Networks that can be grown from smaller ones."""


class Start(NamedTuple):
    """A trained network to begin with, and its origin."""

    network: Network
    origin: str
    """File name and SHA-256 of the file."""
    recipe: Recipe | None
    """The recipe that the network was trained with; None if it is not known here."""


def load_start(source: str | Path, *, scale: int | None) -> Start:
    """Load the network that training begins with.

    Args:
        source: Weights (`.safetensors`), a folder for a model hub that holds them, a model file
            (`.onnx`), or the name of a model.
        scale: The scale of the model that an alias such as "default" means; None takes any.

    Raises:
        CheckpointError: The file is missing, damaged, or holds no network known here.
        ModelNotFoundError: There is no such model.
        ModelFileError: The model file is damaged.
    """
    path = Path(source)
    is_file = os.path.isfile(path)  # noqa: PTH113 (False, not an error, for a name that is too long)
    weights = path if is_file and path.suffix != ".onnx" else find_weights(path)
    if weights is not None:
        path = weights
        network, provenance = load_weights(path)
        recipe = provenance.recipe if provenance else None
    else:
        model = find_model(str(source), scale=scale if source in ALIASES else None)
        path, network = model.path, network_of_model(model)
        known = model.card.recipe in list_recipes()
        # Named after the model: its last recipe may be one that trained it further.
        named = {"name": model.card.name}
        recipe = load_recipe(model.card.recipe).model_copy(update=named) if known else None
    return Start(network, f"{path.name} sha256:{sha256_of(path)}", recipe)


def grown(small: Network, large: Network) -> dict[str, Tensor]:
    """Return a state for `large` with which it gives the pictures of `small`.

    `large` may have more blocks, more features and a wider expansion, in any combination. The
    weights of `small` fill the first blocks and channels. The others keep their random values in
    `large` but add nothing yet: new channels are read with weight 0, and new blocks end in a gain
    of 0. Both have a gradient. More frames and a recurrent state are read with weight 0, too. At
    another scale, the layers that make pixels (tail and skip) stay as they are in `large`. Only
    WDSR and EDSR grow; other networks must be alike.

    Raises:
        CheckpointError: `small` is of another kind, or larger than `large` in any respect.
    """
    _refuse_another_kind(small.cfg, large.cfg)
    if not isinstance(large.cfg, Growing):
        return {name: value.clone() for name, value in small.state_dict().items()}
    old = _renamed(small, large.cfg)
    state = {name: value.clone() for name, value in large.state_dict().items()}
    for name, value in state.items():
        if small.cfg.scale != large.cfg.scale and name.startswith(("tail.", "skip.")):
            continue
        if name in old:
            _put(old[name], value, name, first=_first_input(name, small.cfg, large.cfg))
        elif _ends_a_block(name, large.cfg):
            value.zero_()
    return state


def _refuse_another_kind(small: NetworkConfig, large: NetworkConfig) -> None:
    """Raise unless the networks are of one family, and differ only where a network can grow."""
    if not isinstance(large, type(small)):
        raise CheckpointError(
            f"the weights to start from are of {_kind(small)}, the recipe trains {_kind(large)}; "
            "start from a network of the same family"
        )
    may_differ = {"consistent"}  # it has no weights
    if isinstance(large, Growing):
        may_differ |= {"n_resblocks", "expansion", "linear_ratio", "norm", "noise"}
        if not small.is_recurrent:  # otherwise these decide where the state is among the inputs
            may_differ |= {"scale", "n_feats", "temporal_size", "n_hidden", "feedback", "skip"}
        elif isinstance(small, RecurrentWDSRConfig) and not small.feedback:
            may_differ |= {"scale"}  # without pixels, the state is the same at each scale
    theirs, ours = asdict(small), asdict(large)
    if wrong := [key for key in ours if key not in may_differ and ours[key] != theirs[key]]:
        values = ", ".join(f"{key} {theirs[key]!r}, not {ours[key]!r}" for key in wrong)
        raise CheckpointError(f"the weights to start from have {values}; change net in the recipe")
    for what, found, room in (
        ("frames", small.window, large.window),
        ("blocks", theirs.get("n_resblocks", 0), ours.get("n_resblocks", 0)),
    ):
        if found > room:
            raise CheckpointError(_larger(f"{found} {what}", f"{room}"))


def _kind(cfg: NetworkConfig) -> str:
    return type(cfg).__name__.removesuffix("Config")


def _renamed(small: Network, large: Growing) -> dict[str, Tensor]:
    """Return the state of `small` under the names of `large`.

    One WDSR may have weight norm and the other not; EDSR counts the end of its body as a block.
    """
    state = small.state_dict()
    if isinstance(large, WDSRConfig):
        return fuse_state(state) if large.norm == "none" else with_weight_norm(state)
    assert isinstance(small.cfg, EDSRConfig)
    end, new_end = f"body.{small.cfg.n_resblocks}.", f"body.{large.n_resblocks}."
    return {n.replace(end, new_end) if n.startswith(end) else n: t for n, t in state.items()}


def _ends_a_block(name: str, cfg: Growing) -> bool:
    """Return whether a tensor scales or shifts the output of a residual branch."""
    if isinstance(cfg, EDSRConfig):
        return name.endswith((".body.2.weight", ".body.2.bias"))
    last = 2 if cfg.block == "a" else 3
    length = "weight" if cfg.norm == "none" else "weight_g"
    return name.startswith("body.") and name.endswith((f".{last}.{length}", f".{last}.bias"))


def _first_input(name: str, small: NetworkConfig, large: NetworkConfig) -> int:
    """Return the input channel of `large` that corresponds to the first one of `small`.

    The frame that is upscaled is the middle one of those that are read.
    """
    if not name.startswith(("head.", "skip.")):
        return 0
    return 3 * (large.window // 2 - small.window // 2)


def _put(old: Tensor, new: Tensor, name: str, *, first: int) -> None:
    """Write `old` into the first outputs of `new`, which then read no other input."""
    if any(have > room for have, room in zip(old.shape, new.shape, strict=True)):
        raise CheckpointError(_larger(f"{name} of {tuple(old.shape)}", f"{tuple(new.shape)}"))
    place = [slice(n) for n in old.shape]
    if old.ndim > 1 and old.shape[1] < new.shape[1]:
        place[1] = slice(first, first + old.shape[1])
    with torch.no_grad():
        new[: len(old)] = 0
        new[tuple(place)] = old


def _larger(found: str, room: str) -> str:
    return (
        f"the weights to start from are of a larger network: {found}, the recipe's has {room}; "
        "a network can only grow"
    )
