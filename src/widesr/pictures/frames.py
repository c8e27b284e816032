"""Frames of an animation: what of one is new, and when each is shown."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import ceil
from typing import NamedTuple

import numpy as np

from widesr.pixels.rows import Band


class Part(NamedTuple):
    """What a frame changes of the one before it."""

    x: int
    y: int
    pixels: Band
    """uint8 or uint16, (H, W, C)."""


def changes(frames: Iterable[Band], *, even: bool = False) -> Iterator[Part]:
    """Cut from each frame the box in which it differs from the one before, at least a pixel.

    Args:
        frames: All of one shape, (H, W, C).
        even: Let boxes begin at even places, as WebP has it.
    """
    step = 2 if even else 1
    before = None
    for frame in frames:
        box = slice(0, frame.shape[0]), slice(0, frame.shape[1])
        if before is not None:
            differs = (frame != before).any(axis=2)
            box = _span(differs.any(axis=1), step), _span(differs.any(axis=0), step)
        before = frame
        yield Part(box[1].start, box[0].start, np.ascontiguousarray(frame[box]))


def _span(differs: np.ndarray, step: int) -> slice:
    at = np.flatnonzero(differs)
    return slice(int(at[0]) // step * step, int(at[-1]) + 1) if len(at) else slice(0, 1)


def ticks(
    durations: Sequence[Fraction], *, per_second: int, most: int, least: int = 1
) -> Iterator[int]:
    """Give durations in whole ticks that together last as long, as far as that can be had.

    Args:
        durations: In seconds.
        per_second: Ticks.
        most: Ticks of a frame, at most.
        least: Ticks of a frame, unless it is shorter than that by itself.
    """
    late = Fraction(0)
    for duration in durations:
        exact = duration * per_second
        whole = min(max(round(exact - late), min(least, ceil(exact))), most)
        late = max(min(late + whole - exact, Fraction(1)), Fraction(-1))
        yield whole
