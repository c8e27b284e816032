"""Colours that no one sees, replaced by those beside them before a picture is resampled.

Under transparent pixels lies any colour, often black or white, which a resampler or a network would
draw into the seen pixels as a fringe.
"""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from widesr.rows import Band, Rows

Pixels = TypeVar("Pixels", bound=np.uint8 | np.uint16)

REACH = 16
"""How far seen colours grow, in pixels: as far as a network looks with weight to speak of."""
_CHUNK = 2**22
"""Values that are worked on together."""


def bled(rows: Rows) -> Rows:
    """Give the colours of a picture whose last channel is alpha, those with alpha 0 replaced."""
    colours = rows.channels - 1
    height = max(_CHUNK // (rows.width * rows.channels), 2 * REACH)

    def bands() -> Iterator[Band]:
        for top in range(0, rows.height, height):
            stop = min(top + height, rows.height)
            above = min(REACH, top)
            window = rows.read(top - above, min(stop + REACH, rows.height))
            part = bleed(window[..., :-1], hidden=window[..., -1] == 0)
            yield part[above : above + stop - top]

    return Rows(bands(), shape=(rows.height, rows.width, colours), dtype=rows.dtype)


def bleed(pixels: NDArray[Pixels], *, hidden: NDArray[np.bool_]) -> NDArray[Pixels]:
    """Replace hidden colours by those of the seen pixels beside them.

    Seen colours grow `REACH` pixels, one by one, each the mean of its known neighbours. What is
    hidden farther off stays as it is, so that no pixel depends on any beyond that reach.

    Args:
        pixels: uint8 or uint16, (H, W, C).
        hidden: (H, W).

    Returns:
        An array like `pixels`; where `hidden` is False, equal to it.
    """
    if not hidden.any() or hidden.all():
        return pixels
    height, width, channels = pixels.shape
    # A border that is never seen spares every test for the picture's edge.
    seen = np.pad(~hidden, 1)
    colour = np.zeros((height + 2, width + 2, channels), np.float32)
    colour[1:-1, 1:-1] = pixels
    flat_seen, flat_colour = seen.reshape(-1), colour.reshape(-1, channels)
    stride = width + 2
    around = [dy * stride + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    for _ in range(REACH):
        rows = seen[:-2] | seen[1:-1] | seen[2:]
        front = np.zeros_like(seen)
        front[1:-1, 1:-1] = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
        at = np.flatnonzero(front & ~seen)
        if len(at) == 0:
            break
        weights = np.zeros((len(at), 1), np.float32)
        sums = np.zeros((len(at), channels), np.float32)
        for offset in around:
            near = flat_seen[at + offset, np.newaxis]
            weights += near
            sums += near * flat_colour[at + offset]
        flat_colour[at] = sums / weights
        flat_seen[at] = True
    grown: NDArray[Pixels] = np.floor(colour[1:-1, 1:-1] + 0.5).astype(pixels.dtype)
    return grown
