"""Keeps arrays that were made from photographs on the disk, so that later runs find them."""

import hashlib
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from widesr.system.files import whole_file
from widesr.train.writing import named_errors

_UNREADABLE = (OSError, OverflowError, SyntaxError, TokenError, TypeError, ValueError)
"""Errors that NumPy raises on random bytes."""


def identity(pixels: NDArray[np.uint8]) -> str:
    """Name a picture by a hash of its size and pixels."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()[:32]


def open_kept(
    path: Path, *, dtype: type[np.generic], shape: tuple[int | None, ...]
) -> NDArray[Any] | None:
    """Memory-map a kept array; return None if it is missing, damaged, or of another type or shape.

    A side of `shape` that is None may be of any length.
    """
    try:
        kept: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except _UNREADABLE:
        return None
    fits = kept.dtype == dtype and kept.ndim == len(shape)
    fits &= all(side in (None, n) for side, n in zip(shape, kept.shape, strict=False))
    return kept if fits else None


def keep(path: Path, array: NDArray[Any]) -> None:
    """Write an array, whole or not at all.

    Raises:
        CheckpointError: The folder takes no file, or is full.
    """
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, overwrite=True) as file:
            np.save(file, array, allow_pickle=False)
