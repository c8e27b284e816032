"""Replaces colours that no one sees by those beside them, before a picture is resampled.

Under transparent pixels lies any colour, often black or white, which a resampler or a network would
draw into the seen pixels as a fringe. Of what is nearly transparent the same is nearly true: beside
an opaque edge its colour would be seen at the edge's opacity and not at its own. So a colour has
weight by its alpha, as compared with the alpha beside it.
"""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from widesr.pixels.rows import Band, Rows

Value = TypeVar("Value", bound=np.uint8 | np.uint16)

REACH = 16
"""The distance that seen colours grow, in pixels, beyond which a network hardly looks."""
_CHUNK = 2**22
"""The number of values that are worked on together."""
_OUTSHONE = 0.5
"""The share of the alpha beside it below which a colour changes: as sharp as edges are drawn, alpha
halves from pixel to pixel, and no colour of such an edge may change."""
_POWER = 5
"""The power of a colour's weight by its share: 0.04 at 1/128, 0.41 at 1/10, 0.97 at 1/2.

So the errors that the colour makes, where the edge beside it is drawn, and those that its
replacement makes, where it is seen itself, are least together under bicubic interpolation."""


def bled(rows: Rows) -> Rows:
    """Give the colours of a picture whose last channel is alpha, those hardly seen replaced."""
    colours = rows.channels - 1
    height = max(_CHUNK // (rows.width * rows.channels), 2 * REACH)

    def bands() -> Iterator[Band]:
        for top in range(0, rows.height, height):
            stop = min(top + height, rows.height)
            above = min(REACH, top)
            window = rows.read(top - above, min(stop + REACH, rows.height))
            part = bleed(window[..., :-1], alpha=window[..., -1])
            yield part[above : above + stop - top]

    return Rows(bands(), shape=(rows.height, rows.width, colours), dtype=rows.dtype)


def straight(band: Band) -> Band:
    """Divide colours by the alpha that they were multiplied by, the last channel."""
    top, alpha = np.iinfo(band.dtype).max, band[..., -1:].astype(np.uint32)
    colours = (band[..., :-1].astype(np.uint32) * top + alpha // 2) // np.maximum(alpha, 1)
    return np.concatenate([np.minimum(colours, top).astype(band.dtype), band[..., -1:]], axis=2)


def bleed(pixels: NDArray[Value], *, alpha: NDArray[Value]) -> NDArray[Value]:
    """Replace colours, as far as they are outshone, by those of the pixels beside them.

    Colours grow `REACH` pixels, one by one, into those that have less than half of their alpha:
    each becomes a mean of its own colour and of those around it, which count by their alpha. What
    is hidden farther off stays as it is, so that no pixel depends on any beyond that reach.

    Args:
        pixels: uint8 or uint16, (H, W, C).
        alpha: The opacity, of the same type, (H, W).

    Returns:
        An array like `pixels`; where no alpha beside it is twice as large, equal to it.
    """
    if alpha.min() == alpha.max():
        return pixels
    height, width, channels = pixels.shape
    # A border that is never seen spares every test for the picture's edge.
    weight = np.zeros((height + 2, width + 2), np.float32)
    weight[1:-1, 1:-1] = alpha
    colour = np.zeros((height + 2, width + 2, channels), np.float32)
    colour[1:-1, 1:-1] = pixels
    flat_weight, flat_colour = weight.reshape(-1), colour.reshape(-1, channels)
    changed = np.zeros(weight.size, bool)
    stride = width + 2
    around = [dy * stride + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    for _ in range(REACH):
        rows = np.maximum(np.maximum(weight[:-2], weight[1:-1]), weight[2:])
        most = np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
        inner = np.zeros_like(weight)
        inner[1:-1, 1:-1] = most
        at = np.flatnonzero(weight < _OUTSHONE * inner)
        if len(at) == 0:
            break
        most = inner.reshape(-1)[at]
        weights = np.zeros((len(at), 1), np.float32)
        sums = np.zeros((len(at), channels), np.float32)
        for offset in around:
            near = flat_weight[at + offset, np.newaxis]
            weights += near
            sums += near * flat_colour[at + offset]
        own = 1 - (1 - flat_weight[at] / most) ** _POWER
        kept = own[:, np.newaxis]
        flat_colour[at] = kept * flat_colour[at] + (1 - kept) * sums / weights
        flat_weight[at] = own * flat_weight[at] + (1 - own) * most
        changed[at] = True
    if not changed.any():
        return pixels
    grown: NDArray[Value] = np.floor(colour[1:-1, 1:-1] + 0.5).astype(pixels.dtype)
    return grown
