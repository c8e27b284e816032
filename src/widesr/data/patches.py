"""Draws aligned LR and HR patches at random from a seed, and cuts them out of photographs."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Pair(NamedTuple):
    """One photograph: LR uint8 (h, w, 3), HR uint8 (s*h, s*w, 3).

    The frames of a clip lie side by side in the channels: (h, w, 3F), (s*h, s*w, 3F).
    """

    name: str
    lr: NDArray[np.uint8]
    hr: NDArray[np.uint8]
    taught: NDArray[np.uint8] | None = None
    """The SR that a teacher made from LR, as large as HR."""
    objects: NDArray[np.float32] | None = None
    """Boxes of the objects in HR and their classes: left, top, right, bottom, class, (n, 5)."""


class Batch(NamedTuple):
    """The patches of one training step, uint8."""

    lr: NDArray[np.uint8]
    """(n, p, p, 3); for clips, (n, p, p, 3T)."""
    hr: NDArray[np.uint8]
    """(n, s*p, s*p, 3); for clips, all frames to learn."""
    taught: NDArray[np.uint8] | None = None
    """The SR that a teacher made from LR, as large as HR."""
    objects: tuple[NDArray[np.float32], ...] | None = None
    """Boxes and classes of the objects in each patch of HR, as in `Pair`."""


class Span(NamedTuple):
    """The frames of a clip that a patch covers; by default, a patch is of a single picture."""

    read: int = 1
    """Number of frames in a patch."""
    learns_all: bool = False
    """True to learn all frames, one after another; otherwise only the middle one is learned."""

    def around(self, middle: int, n: int) -> tuple[int, ...]:
        """List the frames around frame `middle` of n; the end frames repeat beyond the ends."""
        first = middle - self.read // 2
        return tuple(min(max(at, 0), n - 1) for at in range(first, first + self.read))

    def learned(self, frames: tuple[int, ...]) -> tuple[int, ...]:
        """Choose the frames to learn among those that are read."""
        return frames if self.learns_all else (frames[self.read // 2],)

    def draw(self, random: np.random.Generator, n: int) -> tuple[int, ...]:
        """Draw a patch's frames from a clip of n frames, forwards or backwards in time.

        If all frames are learned, the clip must have at least `read` frames.
        """
        if self.read == 1:
            return (0,)
        if self.learns_all:
            first = int(random.integers(n - self.read + 1))
            frames = tuple(range(first, first + self.read))
        else:
            frames = self.around(int(random.integers(n)), n)
        return frames[::-1] if random.integers(2) else frames


PICTURE = Span()
"""The span of a single picture."""


class Patch(NamedTuple):
    """The place of a patch, in LR pixels, and its turn."""

    pair: int
    """Index of the photograph."""
    y: int
    x: int
    turn: int
    """0..7, as in `turned`."""
    frames: tuple[int, ...] = (0,)
    """The frames of a clip, in the order in which they are read."""


class PatchSampler:
    """An endless sequence of patches that depends on the seed alone.

    Each patch is drawn uniformly from all positions of all photographs, so larger photographs give
    more patches, and is turned in one of eight ways. If there are several candidates for a patch,
    one is chosen at random, in proportion to its weight.
    """

    def __init__(
        self,
        sizes: Sequence[tuple[int, int]],
        *,
        lr_patch: int,
        seed: int,
        candidates: int = 1,
        weigh: Callable[[Patch], float] = lambda _: 1.0,
        span: Span = PICTURE,
        frames: Sequence[int] | None = None,
    ) -> None:
        """Prepare to draw patches.

        Args:
            sizes: The (height, width) of each LR picture, none smaller than a patch.
            lr_patch: Side of a patch in LR pixels.
            seed: The seed of the sequence.
            candidates: Number of candidates that are drawn for each patch.
            weigh: Function that returns a candidate's weight, not negative; called only if there
                are several candidates.
            span: The frames of a patch.
            frames: The number of frames of each clip; None means 1 for each.
        """
        self._span, self._frames = span, frames or [1] * len(sizes)
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
        return candidates[min(int(chosen), len(candidates) - 1)]  # all weights may be zero

    def _draw_any(self) -> Patch:
        pair = int(np.searchsorted(self._shares, self._random.random(), "right"))
        rows, columns = self._positions[pair]
        y, x = int(self._random.integers(rows)), int(self._random.integers(columns))
        turn = int(self._random.integers(8))
        return Patch(pair, y, x, turn, self._span.draw(self._random, self._frames[pair]))

    @property
    def state(self) -> dict[str, Any]:
        """The place in the random sequence, as plain numbers and text; assign it to continue."""
        return dict(self._random.bit_generator.state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._random.bit_generator.state = state


def mean_gradient(lr: NDArray[np.uint8]) -> float:
    """Measure the detail in a patch (p, p, 3) by how much neighbouring pixels differ.

    The mean absolute differences along rows and along columns are added, in levels of green.
    """
    green = lr[..., 1].astype(np.int16)
    return sum(float(np.abs(np.diff(green, axis=axis)).mean()) for axis in (0, 1))


def cut_patches(
    pairs: Sequence[Pair],
    patches: Sequence[Patch],
    *,
    scale: int,
    lr_patch: int,
    span: Span = PICTURE,
) -> Batch:
    """Cut patches from their photographs, and from teachers' SR and objects if all have them."""

    def cut(
        images: Sequence[NDArray[np.uint8]], *, factor: int, learned: bool
    ) -> NDArray[np.uint8]:
        side = lr_patch * factor
        n = span.read if span.learns_all or not learned else 1
        batch = np.empty((len(patches), side, side, 3 * n), np.uint8)
        for into, image, patch in zip(batch, images, patches, strict=True):
            y, x = patch.y * factor, patch.x * factor
            piece = _pixels(image[y : y + side, x : x + side])
            if piece.shape[2] > 1:
                frames = span.learned(patch.frames) if learned else patch.frames
                piece = piece[:, :, list(frames)]
            _pixels(into)[:] = turned(piece, patch.turn)
        return batch

    chosen = [pairs[patch.pair] for patch in patches]
    taught = [pair.taught for pair in chosen if pair.taught is not None]
    objects = [pair.objects for pair in chosen if pair.objects is not None]
    side = lr_patch * scale
    return Batch(
        cut([pair.lr for pair in chosen], factor=1, learned=False),
        cut([pair.hr for pair in chosen], factor=scale, learned=True),
        cut(taught, factor=scale, learned=True) if taught else None,
        tuple(
            _objects_in(each, left=patch.x * scale, top=patch.y * scale, side=side, turn=patch.turn)
            for each, patch in zip(objects, patches, strict=True)
        )
        if objects
        else None,
    )


def _objects_in(
    objects: NDArray[np.float32], *, left: int, top: int, side: int, turn: int
) -> NDArray[np.float32]:
    """Select the objects of which a square shows at least half, clipped and turned with it."""
    boxes = objects[:, :4] - np.array([left, top, left, top], np.float32)
    shown = boxes.clip(0, side)
    whole = _areas(boxes) <= 2 * _areas(shown)
    boxes, classes = shown[whole], objects[whole, 4:]
    if turn & 4:
        boxes = boxes[:, [1, 0, 3, 2]]
    if turn & 2:
        boxes = np.stack([boxes[:, 0], side - boxes[:, 3], boxes[:, 2], side - boxes[:, 1]], axis=1)
    if turn & 1:
        boxes = np.stack([side - boxes[:, 2], boxes[:, 1], side - boxes[:, 0], boxes[:, 3]], axis=1)
    return np.concatenate([boxes, classes], axis=1)


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    areas: NDArray[np.float32] = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return areas


def n_frames(pair: Pair) -> int:
    """Count the frames of a clip; a photograph has one."""
    return int(pair.lr.shape[2]) // 3


def frames_of(picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Split frames that lie side by side in the channels, (H, W, 3F), into views (H, W, 3)."""
    return [picture[..., at : at + 3] for at in range(0, picture.shape[2], 3)]


def stills(pairs: Sequence[Pair]) -> list[Pair]:
    """List the pictures that are learned, each paired with only the LR of its own frame."""
    found = []
    for pair in pairs:
        lr, hr = frames_of(pair.lr), frames_of(pair.hr)
        own = lr if len(lr) == len(hr) else [lr[len(lr) // 2]]
        found += [pair._replace(lr=one, hr=other) for one, other in zip(own, hr, strict=True)]
    return found


def _pixels(image: NDArray[np.uint8]) -> NDArray[np.void]:
    """View (H, W, 3F) as (H, W, F) of three bytes each: turned pixels copy twice as fast."""
    return image.view("V3")


def turned(image: NDArray[Any], turn: int) -> NDArray[Any]:
    """Return a view of (H, W, ...) in one of its eight turns, 0..7; 0 is the image as it is."""
    if turn & 4:
        image = image.swapaxes(0, 1)
    if turn & 2:
        image = image[::-1]
    if turn & 1:
        image = image[:, ::-1]
    return image
