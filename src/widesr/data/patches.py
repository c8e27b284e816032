"""Aligned LR and HR patches: drawn at random from a seed, then cut out of their photographs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Pair(NamedTuple):
    """One photograph: LR uint8 (h, w, 3), HR uint8 (s*h, s*w, 3)."""

    name: str
    lr: NDArray[np.uint8]
    hr: NDArray[np.uint8]


class Patch(NamedTuple):
    """Where a patch lies, and how it is turned; in LR pixels."""

    pair: int
    """Index of the photograph."""
    y: int
    x: int
    turn: int
    """0..7, as in `turned`."""


class PatchSampler:
    """An endless sequence of patches that depends on the seed alone.

    Each is drawn from all positions of all photographs alike, so large photographs give more of
    them, and is turned in one of eight ways.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], *, lr_patch: int, seed: int) -> None:
        """Take the (height, width) of each LR picture; `lr_patch` is no larger than any of them."""
        self._positions = [(h - lr_patch + 1, w - lr_patch + 1) for h, w in sizes]
        counts = [rows * columns for rows, columns in self._positions]
        self._shares = np.cumsum(counts) / np.sum(counts)
        self._random = np.random.default_rng(seed)

    def draw(self, n: int) -> list[Patch]:
        """Draw the next `n` patches."""
        patches = []
        for _ in range(n):
            pair = int(np.searchsorted(self._shares, self._random.random(), "right"))
            rows, columns = self._positions[pair]
            y, x = int(self._random.integers(rows)), int(self._random.integers(columns))
            patches.append(Patch(pair, y, x, int(self._random.integers(8))))
        return patches

    @property
    def state(self) -> dict[str, Any]:
        """Where the random sequence stands, as plain numbers and text; assign it to go on."""
        return dict(self._random.bit_generator.state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._random.bit_generator.state = state


def cut_patches(
    pairs: Sequence[Pair], patches: Sequence[Patch], *, scale: int, lr_patch: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cut patches out of their photographs: LR (n, p, p, 3) and HR (n, s*p, s*p, 3), copies."""
    lr_side, hr_side = lr_patch, lr_patch * scale
    lr = np.empty((len(patches), lr_side, lr_side, 3), np.uint8)
    hr = np.empty((len(patches), hr_side, hr_side, 3), np.uint8)
    for i, (index, y, x, turn) in enumerate(patches):
        pair = pairs[index]
        _pixels(lr[i])[:] = turned(_pixels(pair.lr[y : y + lr_side, x : x + lr_side]), turn)
        y, x = y * scale, x * scale
        _pixels(hr[i])[:] = turned(_pixels(pair.hr[y : y + hr_side, x : x + hr_side]), turn)
    return lr, hr


def _pixels(image: NDArray[np.uint8]) -> NDArray[np.void]:
    """Show (H, W, 3) as (H, W) of three bytes each, which copies turned pixels twice as fast."""
    return image.view("V3")[..., 0]


def turned(image: NDArray[Any], turn: int) -> NDArray[Any]:
    """Show (H, W, ...) in one of its eight turns, 0..7; 0 is the image as it is. A view."""
    if turn & 4:
        image = image.swapaxes(0, 1)
    if turn & 2:
        image = image[::-1]
    if turn & 1:
        image = image[:, ::-1]
    return image
