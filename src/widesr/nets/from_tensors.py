"""Builds networks from tensors under our names, and reads their sizes off the tensors."""

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from widesr.errors import CheckpointError, last_line
from widesr.nets import EDSR, RDN, SPAN, WDSR, EDSRConfig, SMFANet, WDSRConfig
from widesr.nets.recurrent import RecurrentWDSR, RecurrentWDSRConfig

AnyNetwork = TypeVar("AnyNetwork", WDSR, EDSR, RDN, RecurrentWDSR, SMFANet, SPAN)
State = Mapping[str, Tensor]


def with_weight_norm(tensors: State) -> dict[str, Tensor]:
    """Convert all three styles of a convolution's weight to `weight_v` and `weight_g`."""
    state = {}
    for name, value in tensors.items():
        stem, _, last = name.rpartition(".")
        if name.endswith(".parametrizations.weight.original0"):
            state[name.replace("parametrizations.weight.original0", "weight_g")] = value
        elif name.endswith(".parametrizations.weight.original1"):
            state[name.replace("parametrizations.weight.original1", "weight_v")] = value
        elif last == "weight" and value.ndim == 4:
            state[f"{stem}.weight_v"] = value
            state[f"{stem}.weight_g"] = torch.norm_except_dim(value, 2, 0)
        else:
            state[name] = value
    return state


def wdsr(
    state: dict[str, Tensor],
    *,
    rgb_mean: tuple[float, float, float],
    rgb_std: float,
    res_scale: float,
) -> WDSR:
    """Build a WDSR from weight-normed tensors under our names."""
    n_rgb = state["skip.weight_v"].shape[1]
    cfg = WDSRConfig(
        **_sizes_of(state),
        temporal_size=frames_of(n_rgb),
        rgb_mean=rgb_mean,
        rgb_std=rgb_std,
        res_scale=res_scale,
        noise=max(state["head.weight_v"].shape[1] - n_rgb, 0),  # the skip reads no noise
    )
    return loaded(WDSR(cfg), state)


def recurrent_wdsr(
    state: dict[str, Tensor], *, frames: int, rgb_mean: tuple[float, float, float]
) -> RecurrentWDSR:
    """Build a recurrent WDSR that reads `frames` frames from weight-normed tensors."""
    n_hidden = len(state["hidden.weight_v"])
    cfg = RecurrentWDSRConfig(
        **_sizes_of(state),
        temporal_size=frames_of(3 * frames),
        rgb_mean=rgb_mean,
        n_hidden=n_hidden,
        feedback=state["head.weight_v"].shape[1] > 3 * frames + n_hidden,
        skip="window" if state["skip.weight_v"].shape[1] == 3 * frames else "frame",
    )
    return loaded(RecurrentWDSR(cfg), state)


def _sizes_of(state: dict[str, Tensor]) -> dict[str, Any]:
    """Read the keys that every kind of WDSR has off its tensors."""
    n_feats = len(state["head.weight_v"])
    widen = state["body.0.0.weight_v"]  # (wide, n_feats, k, k): 3x3 in A, 1x1 in B
    block_b = widen.shape[-1] == 1
    return {
        "scale": scale_of_tail(len(state["tail.weight_v"])),
        "block": "b" if block_b else "a",
        "n_resblocks": count(state, "body.*"),
        "n_feats": n_feats,
        "expansion": len(widen) / n_feats,
        # Half a channel more keeps int(n_feats * linear_ratio) from falling below the true width.
        "linear_ratio": (len(state["body.0.2.weight_v"]) + 0.5) / n_feats if block_b else 0.8,
    }


def edsr(
    state: State, *, rgb_mean: tuple[float, float, float], rgb_std: float, res_scale: float
) -> EDSR:
    """Build an EDSR from plain tensors under our names."""
    n_feats, n_stages = len(state["head.weight"]), count(state, "tail.*.weight") - 1
    cfg = EDSRConfig(
        scale=scale_of_stages(n_stages, widened=len(state["tail.0.weight"]) // n_feats),
        n_resblocks=count(state, "body.*.body"),
        n_feats=n_feats,
        res_scale=res_scale,
        rgb_mean=rgb_mean,
        rgb_std=rgb_std,
    )
    return loaded(EDSR(cfg), state)


def pattern_of(names: str) -> re.Pattern[str]:
    """Compile what matches the beginnings of names, `*` being any number: "body.*.body"."""
    return re.compile(re.escape(names).replace(r"\*", r"(\d+)") + r"(?=\.|$)")


def count(tensors: State, names: str) -> int:
    """Count the numbers that stand for the `*` of a pattern in the names of tensors."""
    found = map(pattern_of(names).match, tensors)
    return len({match[1] for match in found if match})


def frames_of(n_in: int) -> Literal[1, 2, 3, 5]:
    """Return the number of RGB frames in a number of channels.

    Raises:
        CheckpointError: No network reads this many channels.
    """
    sizes: dict[int, Literal[1, 2, 3, 5]] = {3: 1, 6: 2, 9: 3, 15: 5}
    if n_in not in sizes:
        raise CheckpointError(f"{n_in} input channels are no frames of RGB")
    return sizes[n_in]


def scale_of_tail(n_out: int) -> Literal[2, 3, 4, 8]:
    """Return the scale of a tail with this many output channels.

    Raises:
        CheckpointError: No scale of RGB has this many.
    """
    scales: dict[int, Literal[2, 3, 4, 8]] = {12: 2, 27: 3, 48: 4, 192: 8}
    if n_out not in scales:
        raise CheckpointError(f"a tail of {n_out} channels is no RGB of scale 2, 3, 4 or 8")
    return scales[n_out]


def scale_of_stages(n_stages: int, *, widened: int) -> Literal[2, 3, 4, 8]:
    """Return the scale of an upsampler of several pixel shuffles; see `nets.stages`.

    Args:
        n_stages: The number of shuffles.
        widened: Channels before the first shuffle, divided by those behind it.

    Raises:
        CheckpointError: There is no such scale.
    """
    return scale_of_tail(3 * (3 if widened == 9 else 2**n_stages) ** 2)


def loaded(network: AnyNetwork, state: State) -> AnyNetwork:
    """Load tensors into a network, and return it.

    Raises:
        CheckpointError: Names or sizes do not fit.
    """
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        raise CheckpointError(
            f"the tensors do not fit {network.cfg}: {last_line(error)}"
        ) from error
    return network
