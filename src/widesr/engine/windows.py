"""A network of one fixed input size, made to take any: in windows of exactly that size."""

import os
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from widesr.engine.protocol import Runtime
from widesr.errors import ModelFileError


class FixedRuntime(Runtime, Protocol):
    """A runtime whose network may take one size only."""

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(height, width), LR pixels; None if it takes any."""


class Windowed:
    """Upscales a picture of any size in windows, the last ones shifted inward."""

    def __init__(self, runtime: Runtime, *, size: tuple[int, int], path: os.PathLike[str]) -> None:
        """Make a network take any size.

        Args:
            runtime: It takes one picture of `size` at once.
            size: (height, width), LR pixels.
            path: Of its file, for messages.

        Raises:
            ModelFileError: It looks farther than its own windows are wide.
        """
        self.name, self.precision = runtime.name, runtime.precision
        self.scale, self.receptive_radius = runtime.scale, runtime.receptive_radius
        self.streams, self.bytes_per_pixel = runtime.streams, runtime.bytes_per_pixel
        self._runtime, self._size, self._path = runtime, size, path
        if runtime.smallest_tile is not None and min(size) <= 2 * self.receptive_radius:
            raise ModelFileError(
                f"{path}: takes {size[1]}x{size[0]} pixels only, fewer than the "
                f"{2 * self.receptive_radius + 1} that each of its pixels depends on; export it "
                "with free height and width"
            )
        # A smaller picture is filled up, which must not happen to a tile of a larger one.
        least = max(1, 2 * (max(size) - 2 * self.receptive_radius))
        self.smallest_tile = None if runtime.smallest_tile is None else least

    def run(self, lr: NDArray[np.float32]) -> NDArray[np.float32]:
        """Upscale; see `Runtime.run`. What a window lacks repeats the picture's last pixels.

        Raises:
            ModelFileError: The network fails, or the picture is more than one that it looks at
                all of.
        """
        n, _, height, width = lr.shape
        window_h, window_w = self._size
        if self.smallest_tile is None and (height > window_h or width > window_w):
            raise ModelFileError(
                f"{self._path}: takes at most {window_w}x{window_h} pixels and looks at all of "
                f"them, so it cannot be put together for {width}x{height}"
            )
        missing = (max(0, window_h - height), max(0, window_w - width))
        filled = np.pad(lr, ((0, 0), (0, 0), (0, missing[0]), (0, missing[1])), mode="edge")
        s = self.scale
        sr = np.empty((n, 3, filled.shape[2] * s, filled.shape[3] * s), np.float32)
        for y, from_y in self._cuts(filled.shape[2], window_h):
            for x, from_x in self._cuts(filled.shape[3], window_w):
                window = filled[:, :, y : y + window_h, x : x + window_w]
                rows = slice((y + from_y) * s, (y + window_h) * s)
                columns = slice((x + from_x) * s, (x + window_w) * s)
                for i in range(n):
                    part = self._runtime.run(window[i : i + 1])
                    sr[i, :, rows, columns] = part[0, :, from_y * s :, from_x * s :]
        return sr[:, :, : height * s, : width * s]

    def _cuts(self, length: int, window: int) -> list[tuple[int, int]]:
        """Where each window starts along an axis, and how much of its start is not kept.

        What is wrong at a window's end the next one writes over.
        """
        radius = self.receptive_radius
        starts = [*range(0, length - window, max(1, window - 2 * radius)), length - window]
        return [(start, radius if start else 0) for start in starts]
