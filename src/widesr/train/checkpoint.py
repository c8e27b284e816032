"""Reads and writes weights, with their provenance in the header, and run states to resume from.

All files are safetensors and not pickles: loading a stranger's checkpoint runs no code. Files are
written whole or not at all, with a hash of their content that is checked when they are read.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from widesr.errors import CheckpointError
from widesr.models.catalog import TrainingData
from widesr.nets import Network, build, family_of, parse_config
from widesr.system.progress import OnNotice, ignore
from widesr.train.recipe import Recipe
from widesr.train.writing import write_whole

WEIGHTS = "model.safetensors"
"""The name of the weights in a folder for a model hub."""

_KEY, _HASH_KEY = "widesr", "sha256"
_STATE = re.compile(r"state-[0-9]+\.safetensors")
_STATES_KEPT = 3
_NO_NETWORK = (ValidationError, KeyError, OverflowError, RuntimeError, TypeError)
"""Errors of a header that names no network, or of torch if the network is far too large."""


class Provenance(BaseModel):
    """The origin of weights; it goes into their header, and from there into the model's card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    steps: int
    seconds: float
    """Training time over all resumed parts, without validation."""
    started_from: str | None
    """Name and SHA-256 of the weights that the run began with."""
    teacher: str | None = None
    """Name, licence and SHA-256 of the model whose pictures the network learned from."""
    commit: str
    """Commit of widesr that trained the network, or its installed version."""
    machine: str
    training_data: tuple[TrainingData, ...]
    validation_psnr: float | None
    """Mean over the held-out photographs, by `benchmark-y`, in dB."""
    validation_lpips: float | None = None
    """Mean over the held-out photographs; None if the recipe has no table `features`."""


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str
    net: dict[str, Any]
    provenance: Provenance | None


def save_weights(path: Path, network: Network, provenance: Provenance | None) -> None:
    """Write a network's weights, with everything that is needed to rebuild it in the header."""
    family = family_of(network.cfg)
    header = _Header(family=family, net=network.cfg.values(), provenance=provenance)
    write_whole(path, _packed(network.state_dict(), header.model_dump_json()))


def find_weights(path: Path) -> Path | None:
    """Return the weights that a path means: itself, or those in a folder for a model hub.

    The answer is None for the name or the file of a model.
    """
    inside = path / WEIGHTS
    if os.path.isfile(inside):  # noqa: PTH113 (False, not an error, for a name that is too long)
        return inside
    return path if path.suffix == ".safetensors" else None


def load_weights(path: Path) -> tuple[Network, Provenance | None]:
    """Rebuild the network that a weights file holds, ready for further training.

    Args:
        path: The file, or a folder for a model hub, which holds a file named `WEIGHTS`.

    Raises:
        CheckpointError: The file is missing, damaged or not by widesr, or its tensors do not fit.
    """
    path = find_weights(path) or path
    tensors, text = _read(path)
    try:
        header = _Header.model_validate_json(text)
        network = build(parse_config(header.family, header.net))
    except _NO_NETWORK as error:
        raise CheckpointError(f"{path}: its header names no network known here") from error
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: its tensors do not fit the network it names") from error
    return network, header.provenance


def save_state(
    folder: Path, tensors: Mapping[str, Tensor], plain: Mapping[str, Any], *, step: int
) -> None:
    """Write all that a run needs to resume, as `state-{step}.safetensors`; keep the last few.

    Args:
        folder: The folder of the run.
        tensors: The tensors, by name.
        plain: Numbers and text, stored as JSON.
        step: The step of the run. States of later steps are removed, since the run was rewound.

    Raises:
        CheckpointError: The folder takes no file, or is full; the states in it are unchanged.
    """
    write_whole(folder / f"state-{step:09d}.safetensors", state_to_bytes(tensors, plain))
    states = list_states(folder)
    current = [path for path in states if _step_of(path) <= step]
    for path in {*states} - {*current[-_STATES_KEPT:]}:
        path.unlink(missing_ok=True)


def list_states(folder: Path) -> list[Path]:
    """List the run states in a folder, the newest last; files of other names are the user's own."""
    files = (path for path in folder.glob("state-*.safetensors") if _STATE.fullmatch(path.name))
    return sorted(files, key=_step_of)


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file that `save_state` wrote.

    Raises:
        CheckpointError: The file is missing, damaged, or of another kind.
    """
    tensors, text = _read(path)
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict) or "recipe" not in plain:
        raise CheckpointError(f"{path}: holds no run state")
    return tensors, plain


def load_newest_state(
    folder: Path, *, on_notice: OnNotice = ignore
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the newest intact run state; call `on_notice` for each damaged one that is skipped.

    Raises:
        CheckpointError: There is no run state, or all are damaged.
    """
    states = list_states(folder)
    for path in reversed(states):
        try:
            return load_state(path)
        except CheckpointError as error:
            on_notice(f"{error.message}; going on from the state before it")
    found = f"all {len(states)} run states in it are damaged" if states else "no run state in it"
    raise CheckpointError(f"{folder}: {found}; start a new run")


def _step_of(state: Path) -> int:
    return int(state.stem.removeprefix("state-"))


def state_to_bytes(tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> bytes:
    """Serialise a run state as the content of its file, to send it to another process."""
    return _packed(tensors, json.dumps(plain))


def state_from_bytes(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Rebuild a run state from the bytes that `state_to_bytes` returned."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])["__metadata__"]
    return load(data), json.loads(header[_KEY])


def part_of(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the tensors of one part of a run state, by the part's own names."""
    prefix = f"{name}."
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _packed(tensors: Mapping[str, Tensor], header: str) -> bytes:
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    data: bytes = save(plain, metadata={_KEY: header, _HASH_KEY: _hash(plain, header)})
    return data


def _read(path: Path) -> tuple[dict[str, Tensor], str]:
    if not os.path.isfile(path):  # noqa: PTH113 (False, not an error, in a folder that is closed)
        raise CheckpointError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error
    except OSError as error:  # safetensors calls every file missing that it cannot open
        raise CheckpointError(f"{path}: cannot be read; check who may read it") from error
    if _KEY not in metadata:
        raise CheckpointError(f"{path}: not written by widesr train: its header has no {_KEY!r}")
    header, sha256 = metadata[_KEY], metadata.get(_HASH_KEY)
    if sha256 is not None and sha256 != _hash(tensors, header):
        raise CheckpointError(f"{path}: damaged: its content is not what its hash was made of")
    return tensors, header


def _hash(tensors: Mapping[str, Tensor], header: str) -> str:
    """Hash the header, and the name, type, shape and bytes of each tensor."""
    digest = hashlib.sha256(header.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
