"""Keeps arrays that were made of photographs on the disk, so that later runs find them."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from widesr.system.files import whole_file
from widesr.train.writing import named_errors


def identity(pixels: NDArray[np.uint8]) -> str:
    """Name a picture by its size and its pixels."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()[:32]


def open_kept(path: Path) -> NDArray[Any] | None:
    """Map an array that is kept; None where it is missing, or damaged."""
    try:
        kept: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError):
        return None
    return kept


def keep(path: Path, array: NDArray[Any]) -> None:
    """Write an array, whole or not at all.

    Raises:
        CheckpointError: The folder takes no file, or is full.
    """
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, overwrite=True) as file:
            np.save(file, array, allow_pickle=False)
