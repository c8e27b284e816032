"""Reads the tensors of other programs' weights files by name; nothing in the files is run."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from widesr.errors import CheckpointError, MissingExtraError
from widesr.train.features import UNREADABLE

KERAS = "keras."
"""Prefix of the names of Keras' tensors here: `keras.3.kernel` belongs to the fourth layer."""

_HDF5 = b"\x89HDF\r\n\x1a\n"
_WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "model", "net")
"""Keys under which programs store the state beside other data of a run; the first one is used."""


class Foreign(NamedTuple):
    """The content of a file."""

    tensors: dict[str, Tensor]
    """Tensors in float32, by the names of the program that wrote them."""
    assumed: tuple[str, ...]
    """Decisions that were made while reading, a sentence each."""


def read_foreign(path: Path) -> Foreign:
    """Read safetensors, torch's `.pth` and `.pt`, or Keras' `.h5`, recognised by their content.

    Raises:
        CheckpointError: The file is missing, damaged, of another kind, or holds more than tensors.
        MissingExtraError: h5py is needed and not installed.
    """
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if start.startswith(_HDF5):
        return Foreign(_keras(path), ())
    # The length with which safetensors begin may look like a pickle's or an archive's first bytes.
    if start[8:9] == b"{" or not start.startswith((b"PK\x03\x04", b"\x80")):
        return _unwrapped(path, _safetensors(path))
    return _unwrapped(path, _torch(path))


def _safetensors(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            if "widesr" in (file.metadata() or {}):
                raise CheckpointError(
                    f"{path}: is of widesr already; it needs no import, export or train with it"
                )
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: no weights file known here; expected safetensors, torch's .pth, or Keras' .h5"
        ) from error


def _torch(path: Path) -> Any:  # noqa: ANN401 (whatever was saved)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's protocol: it is read, or refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise CheckpointError(
            f"{path}: damaged, or holds more than tensors, which is never run here; load it where "
            "it was made, and save the tensors alone: torch.save(model.state_dict(), FILE)"
        ) from error


def _unwrapped(path: Path, content: Any) -> Foreign:  # noqa: ANN401
    """Extract the state from the data that a program saved with it, and the tensors from that."""
    assumed = []
    if isinstance(content, Mapping):
        for key in _WRAPPERS:
            if isinstance(content.get(key), Mapping):
                others = ", ".join(str(other) for other in content if other != key)
                assumed.append(f"the weights are in {key}" + (f", not in {others}" * bool(others)))
                content = content[key]
                break
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds no tensors by name; expected a state_dict")
    tensors = {str(k): v.float() for k, v in content.items() if isinstance(v, Tensor)}
    if not tensors:
        raise CheckpointError(f"{path}: holds no tensors by name; expected a state_dict")
    beside = sorted(name for name in tensors if name.startswith("__") and name.endswith("__"))
    if beside:  # an input and its output, stored with the weights to test them
        assumed.append(f"left out, since they are no weights: {', '.join(beside)}")
        tensors = {name: value for name, value in tensors.items() if name not in beside}
    for prefix in ("module.", "model."):
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return Foreign(tensors, tuple(assumed))


def _keras(path: Path) -> dict[str, Tensor]:
    """Read Keras 2's HDF5 files: kernels, gains and biases as `keras.{layer}.{kernel|g|bias}`.

    Kernels stay (height, width, in, out), as in Keras.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra="train", needed_for="Keras' .h5 files") from error
    tensors = {}
    try:
        with h5py.File(path) as file:
            root = file.get("model_weights", file)
            layers = [_text(name) for name in root.attrs["layer_names"]]
            groups = [root[name] for name in layers]
            with_weights = [group for group in groups if len(group.attrs["weight_names"])]
            for index, group in enumerate(with_weights):
                for name in group.attrs["weight_names"]:
                    leaf = _text(name).rpartition("/")[2].partition(":")[0]
                    values = np.asarray(group[_text(name)], np.float32)
                    tensors[f"{KERAS}{index}.{leaf}"] = torch.from_numpy(values)
    except UNREADABLE as error:
        raise CheckpointError(
            f"{path}: damaged, or no weights of Keras 2; expected what model.save_weights('x.h5') "
            "of TensorFlow 2 writes"
        ) from error
    return tensors


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
