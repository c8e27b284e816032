"""Makes a network of one fixed input size take any size, in windows of exactly that size."""

import os
from typing import Protocol

import numpy as np

from widesr.engine.interface import check_inputs
from widesr.engine.protocol import Runtime, Tensor, Wrapper
from widesr.errors import ModelFileError


class FixedRuntime(Runtime, Protocol):
    """A runtime whose network may take only one size."""

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """The only (height, width) that the network takes, LR pixels; None if it takes any."""


class Windowed(Wrapper):
    """Upscales a picture of any size in windows, the last ones shifted inward."""

    def __init__(self, runtime: Runtime, *, size: tuple[int, int], path: os.PathLike[str]) -> None:
        """Make a network take any size.

        Args:
            runtime: The network, which takes one picture of `size` at once.
            size: (height, width), LR pixels.
            path: The path of its file, for messages.

        Raises:
            ModelFileError: The network looks farther than its own windows are wide.
        """
        super().__init__(runtime)
        self._runtime, self._size, self._path = runtime, size, path
        if runtime.smallest_tile is not None and min(size) <= 2 * self.receptive_radius:
            raise ModelFileError(
                f"{path}: takes {size[1]}x{size[0]} pixels only, fewer than the "
                f"{2 * self.receptive_radius + 1} that each of its pixels depends on; export it "
                "with free height and width"
            )
        # A picture smaller than a window is padded; a tile of a larger picture must not be.
        least = max(1, 2 * (max(size) - 2 * self.receptive_radius))
        if runtime.smallest_tile is not None:
            self.smallest_tile = least

    def run_all(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the network; see `Runtime.run_all`.

        A window larger than the picture is filled up by repeating the picture's last pixels.

        Raises:
            ModelFileError: The network fails; or it needs whole pictures, and this one is larger
                than its window.
        """
        check_inputs(self._path, self, inputs)
        n, _, height, width = inputs[0].shape
        window_h, window_w = self._size
        if self.smallest_tile is None and (height > window_h or width > window_w):
            raise ModelFileError(
                f"{self._path}: takes at most {window_w}x{window_h} pixels and looks at all of "
                f"them, so it cannot be put together for {width}x{height}"
            )
        missing = (max(0, window_h - height), max(0, window_w - width))
        pad = ((0, 0), (0, 0), (0, missing[0]), (0, missing[1]))
        filled = [np.pad(each, pad, mode="edge") for each in inputs]
        pictures = [self._whole([each[i : i + 1] for each in filled]) for i in range(n)]
        outputs = (np.concatenate(parts) for parts in zip(*pictures, strict=True))
        return tuple(
            each[..., : _times(each, filled[0], 2) * height, : _times(each, filled[0], 3) * width]
            for each in outputs
        )

    def _whole(self, inputs: list[Tensor]) -> list[Tensor]:
        """Assemble the outputs for one picture that is at least as large as a window."""
        window_h, window_w = self._size
        height, width = inputs[0].shape[2:]
        wholes: list[Tensor] = []
        for y, from_y in self._cuts(height, window_h):
            for x, from_x in self._cuts(width, window_w):
                windows = [each[:, :, y : y + window_h, x : x + window_w] for each in inputs]
                parts = self._runtime.run_all(*windows)
                for i, part in enumerate(parts):
                    down, across = _times(part, windows[0], 2), _times(part, windows[0], 3)
                    if len(wholes) == i:
                        size = (1, part.shape[1], height * down, width * across)
                        wholes.append(np.empty(size, np.float32))
                    rows = slice((y + from_y) * down, (y + window_h) * down)
                    columns = slice((x + from_x) * across, (x + window_w) * across)
                    wholes[i][:, :, rows, columns] = part[:, :, from_y * down :, from_x * across :]
        return wholes

    def _cuts(self, length: int, window: int) -> list[tuple[int, int]]:
        """Return the start of each window along an axis, and the part at its start to leave out.

        The wrong pixels at the end of a window are overwritten by the next one.
        """
        radius = self.receptive_radius
        starts = [*range(0, length - window, max(1, window - 2 * radius)), length - window]
        return [(start, radius if start else 0) for start in starts]


def _times(output: Tensor, lr: Tensor, axis: int) -> int:
    return int(output.shape[axis] // lr.shape[axis])
