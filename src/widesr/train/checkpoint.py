"""Weights with what made them in the header, and run state to resume from; both safetensors.

No pickle: a checkpoint from a stranger runs nothing. Files are written whole or not at all.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from widesr.catalog import TrainingData
from widesr.errors import CheckpointError
from widesr.files import whole_file
from widesr.nets import Network, build, family_of, parse_config
from widesr.train.recipe import Recipe

_KEY = "widesr"


class Provenance(BaseModel):
    """How weights came to be; goes into their header, and from there into the model's card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    steps: int
    seconds: float
    """Of training, over all resumed parts, validation left out."""
    started_from: str | None
    """Name and SHA-256 of the weights that the run began with."""
    commit: str
    """Of the widesr checkout that trained, or the installed version."""
    machine: str
    training_data: tuple[TrainingData, ...]
    validation_psnr: float | None
    """Mean over the held-out photographs, by `benchmark-y`, in dB."""


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str
    net: dict[str, Any]
    provenance: Provenance | None


def save_weights(path: Path, network: Network, provenance: Provenance | None) -> None:
    """Write a network's weights, with all that rebuilds it in the header."""
    family = family_of(network.cfg)
    header = _Header(family=family, net=asdict(network.cfg), provenance=provenance)
    _write(path, network.state_dict(), header.model_dump_json())


def load_weights(path: Path) -> tuple[Network, Provenance | None]:
    """Rebuild the network that a weights file holds, ready to go on training.

    Raises:
        CheckpointError: Missing, corrupt, not written by widesr, or tensors that do not fit.
    """
    tensors, text = _read(path)
    try:
        header = _Header.model_validate_json(text)
        network = build(parse_config(header.family, header.net))
    except (ValidationError, KeyError) as error:
        raise CheckpointError(f"{path}: its header names no network known here") from error
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: its tensors do not fit the network it names") from error
    return network, header.provenance


def save_state(path: Path, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
    """Write all that a run needs to go on: tensors, and numbers and text as JSON."""
    _write(path, tensors, json.dumps(plain))


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_state` wrote.

    Raises:
        CheckpointError: Missing or corrupt.
    """
    tensors, text = _read(path)
    plain: dict[str, Any] = json.loads(text)
    return tensors, plain


def _write(path: Path, tensors: dict[str, Tensor], header: str) -> None:
    plain = {name: t.detach().contiguous() for name, t in tensors.items()}
    data = save(plain, metadata={_KEY: header})
    try:
        with whole_file(path, overwrite=True) as file:
            file.write(data)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror}") from error


def _read(path: Path) -> tuple[dict[str, Tensor], str]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error
    if _KEY not in metadata:
        raise CheckpointError(f"{path}: not written by widesr train: its header has no {_KEY!r}")
    return tensors, metadata[_KEY]
