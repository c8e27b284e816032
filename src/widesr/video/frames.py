"""Makes frames larger, one after another; work that was done for the frame before is not done again."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from widesr.upscaling.resize_to import load_upscaler
from widesr.upscaling.target import Target
from widesr.upscaling.upscaler import AnyUpscaler
from widesr.video.colour import Plane
from widesr.video.still import Remembering


class FrameUpscaler(Protocol):
    """Makes the frames of a clip larger; it may look at several of them at once."""

    model: str
    """The name for reports."""
    weights_sha256: str | None
    """The hash of the weights, as on the card; None without a card."""
    has_state: bool
    """Whether what becomes of a frame depends on the frames before it."""

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Give the (height, width) of what becomes of a frame of this size."""

    def seconds_for(self, height: int, width: int) -> float:
        """Estimate how long a frame of this size takes."""

    def upscale_scene(self, frames: Iterable[Plane]) -> Iterator[Plane]:
        """Upscale the frames of one scene, in order: one comes out for each that goes in.

        Any state begins anew with each call, as no scene is made of another.

        Args:
            frames: RGB (H, W, 3) or grey (H, W, 1), uint8 or uint16, all alike.
        """


class SingleFrames:
    """Upscales each frame by itself, by whatever upscales pictures."""

    has_state = False

    def __init__(self, upscaler: AnyUpscaler, *, after_each: Callable[[], None] = lambda: None):
        """Use any upscaler of pictures.

        Args:
            upscaler: Makes each frame.
            after_each: Called when a frame is made.
        """
        self.model = upscaler.model
        self.weights_sha256 = upscaler.weights_sha256
        self.upscaler = upscaler
        self._after_each = after_each

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Give the (height, width) of what becomes of a frame of this size."""
        return self.upscaler.output_size(height, width)

    def seconds_for(self, height: int, width: int) -> float:
        """Estimate how long a frame of this size takes."""
        return self.upscaler.seconds_for(height, width)

    def upscale_scene(self, frames: Iterable[Plane]) -> Iterator[Plane]:
        """Upscale frames; one that equals the frame before it is not computed again."""
        last: Plane | None = None
        sr: Plane | None = None
        for frame in frames:
            if sr is None or last is None or not np.array_equal(last, frame):
                sr, last = self.upscaler(frame), frame  # type: ignore[type-var]
                self._after_each()
            yield sr


def load_single_frames(name: str, *, target: Target, **running: Any) -> SingleFrames:  # noqa: ANN401
    """Load a model for pictures to be used on frames; arguments and errors as `load_upscaler`.

    Tiles that have not changed since the frame before are taken from it.
    """
    remembered: list[Remembering] = []

    def wrap(engine: Any) -> Any:  # noqa: ANN401 (an Engine)
        remembered.append(Remembering(engine))
        return remembered[-1]

    upscaler = load_upscaler(name, target=target, wrap=wrap, **running)

    def after_each() -> None:
        for each in remembered:
            each.next_frame()

    return SingleFrames(upscaler, after_each=after_each)
