"""Writes networks as the state dicts of other programs, but only if they read back the same."""

from collections.abc import Callable, Mapping
from io import BytesIO
from os.path import lexists  # unlike Path.exists, False also for a name that is too long
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor

from widesr.errors import ExportError, UsageError, output_exists
from widesr.exchange.dialects import (
    as_basicsr_edsr,
    as_edsr_pytorch,
    as_edsr_pytorch_rdn,
    as_jiahuiyu_wdsr,
)
from widesr.exchange.export import write_error
from widesr.exchange.importers import import_weights
from widesr.exchange.sources import read_source
from widesr.nets import Network, family_of
from widesr.nets.network import DIV2K_MEAN
from widesr.system.files import whole_file

Keys = Literal["edsr-pytorch", "basicsr"]

_Writer = Callable[[Any], dict[str, Tensor]]
_WRITERS: Mapping[str, Mapping[str, _Writer]] = {
    "edsr-pytorch": {
        "edsr": as_edsr_pytorch,
        "rdn": as_edsr_pytorch_rdn,
        "wdsr": as_jiahuiyu_wdsr,  # of a fork of EDSR-PyTorch
    },
    "basicsr": {"edsr": as_basicsr_edsr},
}
"""Writers by program and family."""
_TOLERANCE = 1e-5
"""Largest difference between the network and the one that is read back, in a range of 1."""


class WrittenState(NamedTuple):
    """A file of another program's weights."""

    family: str
    scale: int
    res_scale: float
    """The factor on residual branches, which the program takes as an option of its own."""


def export_state(weights: Path, out: Path, *, keys: Keys, overwrite: bool = False) -> WrittenState:
    """Write weights under the names of another program, for pictures in 0..255.

    Args:
        weights: Trained weights or a model, as for `read_source`.
        out: `.pth` or `.pt`, which `torch.load` reads with `weights_only=True`, or `.safetensors`.
        keys: "edsr-pytorch" takes EDSR, RDN, and WDSR as JiahuiYu's fork of that program has it;
            "basicsr" takes EDSR, under the key "params".
        overwrite: Replace an existing file.

    Raises:
        CheckpointError: The weights cannot be loaded.
        ExportError: The program's network gives other pictures, or the file cannot be written.
        ModelFileError: The model cannot be used.
        ModelNotFoundError: There is no such model.
        OutputExistsError: `out` exists already.
        UsageError: The program has no such network, or the suffix of `out` is not one of these.
    """
    if out.suffix not in (".pth", ".pt", ".safetensors"):
        raise UsageError(f"{out}: expected a name that ends in .pth, .pt or .safetensors")
    if lexists(out) and not overwrite:
        raise output_exists(out)
    network = read_source(weights).network
    family = family_of(network.cfg)
    writer = _WRITERS[keys].get(family)
    if writer is None:
        raise UsageError(
            f"{keys} has no {family}; expected {', '.join(_WRITERS[keys])}", options=["keys"]
        )
    if network.cfg.window > 1 or network.noise:
        raise UsageError(
            f"{keys} has no networks that read several frames or noise, as this one does",
            options=["keys"],
        )
    res_scale = getattr(network.cfg, "res_scale", 1.0)
    mean = getattr(network.cfg, "rgb_mean", DIV2K_MEAN)
    if mean != DIV2K_MEAN:
        raise UsageError(
            f"the code of {keys} takes off DIV2K's mean {DIV2K_MEAN}, but this network {mean}",
            options=["keys"],
        )
    state = {name: tensor.detach().contiguous() for name, tensor in writer(network).items()}
    _compare(network, state, res_scale=res_scale, out=out)
    try:
        with whole_file(out, overwrite=overwrite) as file:
            file.write(_as_bytes(state, keys=keys, suffix=out.suffix))
    except OSError as error:
        raise write_error(out, error) from error
    return WrittenState(family, network.cfg.scale, res_scale)


def _as_bytes(state: dict[str, Tensor], *, keys: Keys, suffix: str) -> bytes:
    if suffix == ".safetensors":
        return save(state)
    content = BytesIO()  # on a full disk, torch would raise a RuntimeError
    torch.save({"params": state} if keys == "basicsr" else state, content)
    return content.getvalue()


def _compare(network: Network, state: dict[str, Tensor], *, res_scale: float, out: Path) -> None:
    """Read a state back and compare its picture with the network's.

    Raises:
        ExportError: The pictures differ, as for a network with layers that the program's lacks.
    """
    back = import_weights(state, res_scale=res_scale if hasattr(network.cfg, "res_scale") else None)
    lr = torch.rand(1, 3, 24, 19, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        difference = float((back.network.eval()(lr) - network.eval()(lr)).abs().max())
    if not difference <= _TOLERANCE:
        raise ExportError(
            f"{out}: read back as {back.origin}, its pictures differ by {difference:.1e}, more "
            f"than {_TOLERANCE:.0e}; not kept. Layers that make pictures consistent, and blocks "
            "that run several times, are not known there"
        )
