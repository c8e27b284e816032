"""Averages a network over the eight flips and turns of a picture: the self-ensemble."""

from collections.abc import Callable
from functools import reduce

import numpy as np
from numpy.typing import NDArray

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A function from (1, 3, H, W) to (1, 3, sH, sW), as `Engine.run`."""

_AS_IS, _MIRRORED = slice(None), slice(None, None, -1)


def ensemble(run: Network) -> Network:
    """Average a network over the eight flips and turns of its input, each output turned back."""

    def turned(lr: NDArray[np.float32]) -> NDArray[np.float32]:
        def one(turns: int, flip: slice) -> NDArray[np.float32]:
            view = np.ascontiguousarray(np.rot90(lr, turns, axes=(2, 3))[..., flip])
            return np.rot90(run(view)[..., flip], -turns, axes=(2, 3))

        eight = (one(turns, flip) for turns in range(4) for flip in (_AS_IS, _MIRRORED))
        return reduce(np.add, eight) / np.float32(8)

    return turned
