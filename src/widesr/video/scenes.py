"""Finds where each scene begins, so that no frame is computed from another scene's frames."""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from widesr.video.colour import Plane

_CUT = 0.1
"""The mean change in brightness, in [0, 1], above which there may be a cut."""
_SUDDEN = 3.0
"""The factor by which the change at a cut exceeds the change of the frame before."""
_GRID = 48
"""The approximate number of samples that are compared, across and down."""

Item = TypeVar("Item")


class CutDetector:
    """Looks at one frame after another, and says which begins a scene."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._change: float | None = None

    def begins(self, frame: Plane) -> bool:
        """Say whether this frame, (H, W, C), begins a scene; the first frame does."""
        rows, columns = (max(side // _GRID, 1) for side in frame.shape[:2])
        small = frame[::rows, ::columns].mean(axis=2, dtype=np.float32)
        small /= np.float32(np.iinfo(frame.dtype).max)
        last, before = self._last, self._change
        self._last = small
        if last is None:
            return True
        self._change = float(np.abs(small - last).mean())
        return before is not None and self._change > max(_CUT, _SUDDEN * before)


def scenes(marked: Iterator[tuple[Item, bool]]) -> Iterator[Iterator[Item]]:
    """Group items into scenes, by the marks of the items that begin one.

    Read each group to its end before asking for the next one.
    """
    ahead: list[Item] = []
    is_over = False

    def scene(first: Item) -> Iterator[Item]:
        nonlocal is_over
        yield first
        for item, begins in marked:
            if begins:
                ahead.append(item)
                return
            yield item
        is_over = True

    for item, _ in marked:
        ahead.append(item)
        break
    while ahead and not is_over:
        yield scene(ahead.pop())
