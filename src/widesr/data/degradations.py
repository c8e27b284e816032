"""How HR becomes LR where no LR is given: one name each, and the same LR whoever makes it."""

import hashlib
from pathlib import PurePath
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from widesr.degradation import degrade


class Shrink(Protocol):
    """Make LR uint8 (H // scale, W // scale, 3) of HR uint8 (H, W, 3), both sides >= scale."""

    def __call__(self, hr: NDArray[np.uint8], *, scale: int, seed: int) -> NDArray[np.uint8]:
        """Depend on nothing but the arguments."""


class Degradation(NamedTuple):
    """One way to lose detail."""

    protocol: str
    """What it does, so that others can do it again."""
    shrink: Shrink


def _bicubic(hr: NDArray[np.uint8], *, scale: int, seed: int) -> NDArray[np.uint8]:
    del seed  # nothing in it is random
    return degrade(hr, scale=scale)


DEGRADATIONS: dict[str, Degradation] = {
    "bicubic": Degradation(
        "MATLAB imresize, bicubic, uint8 between the passes, mirrored edges, "
        "cropped to a multiple of the scale below and at the right",
        _bicubic,
    ),
}
"""By the name that recipes and packs call them."""


def photograph_seed(name: str) -> int:
    """Give a photograph its seed: that of its file name, so that no other photograph matters."""
    digest = hashlib.sha256(PurePath(name).name.encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big")
