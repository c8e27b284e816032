"""Aligned LR and HR patches: drawn at random from a seed, then cut out of their photographs."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Pair(NamedTuple):
    """One photograph: LR uint8 (h, w, 3), HR uint8 (s*h, s*w, 3)."""

    name: str
    lr: NDArray[np.uint8]
    hr: NDArray[np.uint8]
    taught: NDArray[np.uint8] | None = None
    """A teacher's picture of LR, as large as HR."""


class Batch(NamedTuple):
    """Patches that are learned from in one step, uint8."""

    lr: NDArray[np.uint8]
    """(n, p, p, 3)."""
    hr: NDArray[np.uint8]
    """(n, s*p, s*p, 3)."""
    taught: NDArray[np.uint8] | None = None
    """A teacher's pictures of LR, as large as HR."""


class Patch(NamedTuple):
    """The place of a patch, in LR pixels, and its turn."""

    pair: int
    """Index of the photograph."""
    y: int
    x: int
    turn: int
    """0..7, as in `turned`."""


class PatchSampler:
    """An endless sequence of patches that depends on the seed alone.

    Each is drawn from all positions of all photographs alike, so large photographs give more of
    them, and is turned in one of eight ways. Where there are several candidates for a patch, one
    is chosen by chance in proportion to its weight.
    """

    def __init__(
        self,
        sizes: Sequence[tuple[int, int]],
        *,
        lr_patch: int,
        seed: int,
        candidates: int = 1,
        weigh: Callable[[Patch], float] = lambda _: 1.0,
    ) -> None:
        """Take the (height, width) of each LR picture.

        Args:
            sizes: None is smaller than a patch.
            lr_patch: Side of a patch in LR pixels.
            seed: What the sequence depends on.
            candidates: Patches that are drawn for each that is given.
            weigh: The weight of a candidate, not negative; asked only where there are several.
        """
        self._positions = [(h - lr_patch + 1, w - lr_patch + 1) for h, w in sizes]
        counts = [rows * columns for rows, columns in self._positions]
        self._shares = np.cumsum(counts) / np.sum(counts)
        self._random = np.random.default_rng(seed)
        self._candidates, self._weigh = candidates, weigh

    def draw(self, n: int) -> list[Patch]:
        """Draw the next `n` patches."""
        return [self._draw_one() for _ in range(n)]

    def _draw_one(self) -> Patch:
        candidates = [self._draw_any() for _ in range(self._candidates)]
        if len(candidates) == 1:
            return candidates[0]
        ends = np.cumsum([self._weigh(candidate) for candidate in candidates])
        chosen = np.searchsorted(ends, self._random.random() * ends[-1], "right")
        return candidates[min(int(chosen), len(candidates) - 1)]  # all may weigh nothing

    def _draw_any(self) -> Patch:
        pair = int(np.searchsorted(self._shares, self._random.random(), "right"))
        rows, columns = self._positions[pair]
        y, x = int(self._random.integers(rows)), int(self._random.integers(columns))
        return Patch(pair, y, x, int(self._random.integers(8)))

    @property
    def state(self) -> dict[str, Any]:
        """The place in the random sequence, as plain numbers and text; assign it to go on."""
        return dict(self._random.bit_generator.state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._random.bit_generator.state = state


def mean_gradient(lr: NDArray[np.uint8]) -> float:
    """Measure how much there is to see in a patch (p, p, 3): by how much neighbours differ.

    In levels of green, the mean over rows and that over columns added up.
    """
    green = lr[..., 1].astype(np.int16)
    return sum(float(np.abs(np.diff(green, axis=axis)).mean()) for axis in (0, 1))


def cut_patches(
    pairs: Sequence[Pair], patches: Sequence[Patch], *, scale: int, lr_patch: int
) -> Batch:
    """Cut patches out of their photographs, and out of the teacher's pictures if all have one."""

    def cut(images: Sequence[NDArray[np.uint8]], *, factor: int) -> NDArray[np.uint8]:
        side = lr_patch * factor
        batch = np.empty((len(patches), side, side, 3), np.uint8)
        for into, image, patch in zip(batch, images, patches, strict=True):
            y, x = patch.y * factor, patch.x * factor
            _pixels(into)[:] = turned(_pixels(image[y : y + side, x : x + side]), patch.turn)
        return batch

    chosen = [pairs[patch.pair] for patch in patches]
    taught = [pair.taught for pair in chosen if pair.taught is not None]
    return Batch(
        cut([pair.lr for pair in chosen], factor=1),
        cut([pair.hr for pair in chosen], factor=scale),
        cut(taught, factor=scale) if taught else None,
    )


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
