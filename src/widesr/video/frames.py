"""Upscales frames one after another, and reuses what was computed for the frame before."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from widesr.engine import EngineOptions
from widesr.upscaling.base import AnyUpscaler
from widesr.upscaling.resize_to import SizedUpscaler, load_upscaler
from widesr.upscaling.target import Target
from widesr.upscaling.upscaler import Upscaler
from widesr.video.colour import Plane, is_one_colour
from widesr.video.library import load_av
from widesr.video.still import Remembering
from widesr.video.temporal import TemporalFrames, find_temporal

MAX_MEMORY = 3 * 2**27
"""Approximate bytes that the upscaler may take; frames in flight and the encoder take as much."""


class FrameUpscaler(Protocol):
    """Upscales the frames of a clip; it may look at several of them at once."""

    model: str
    """The name for reports."""
    weights_sha256: str | None
    """The hash of the weights, as on the card; None without a card."""
    has_state: bool
    """True if the result of a frame depends on other frames."""
    lead: int
    """Frames before a segment that are made again and dropped, so that the segment does not begin
    without a state; 0 if there is no state."""
    look_ahead: int
    """Frames after a frame that are read to compute it."""

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Give the (height, width) of the output for a frame of this size."""

    def seconds_for(self, height: int, width: int) -> float:
        """Estimate how long a frame of this size takes."""

    def upscale_scene(self, frames: Iterable[Plane]) -> Iterator[Plane]:
        """Upscale the frames of one scene, in order: one comes out for each that goes in.

        Any state starts afresh with each call, as no scene depends on another.

        Args:
            frames: RGB (H, W, 3) or grey (H, W, 1), uint8 or uint16, all alike.
        """


class SingleFrames:
    """Upscales each frame by itself, with any upscaler of pictures.

    Tiles that have not changed since the frame before are reused.
    """

    has_state = False
    lead = look_ahead = 0

    def __init__(self, upscaler: AnyUpscaler) -> None:
        """Use an upscaler of pictures, whose networks remember their tiles from now on."""
        self.model = upscaler.model
        self.weights_sha256 = upscaler.weights_sha256
        self._upscaler = upscaler
        self._remembering = [_remembering(each) for each in _networks(upscaler)]

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Give the (height, width) of the output for a frame of this size."""
        return self._upscaler.output_size(height, width)

    def seconds_for(self, height: int, width: int) -> float:
        """Estimate how long a frame of this size takes if no tile can be reused."""
        for each in self._remembering:
            each.forget()
            each.is_off = True
        try:
            return self._upscaler.seconds_for(height, width)
        finally:
            for each in self._remembering:
                each.is_off = False

    def upscale_scene(self, frames: Iterable[Plane]) -> Iterator[Plane]:
        """Upscale frames; one that equals the frame before it is not computed again."""
        last: Plane | None = None
        sr: Plane | None = None
        for frame in frames:
            if sr is None or last is None or not np.array_equal(last, frame):
                sr, last = self._upscaled(frame), frame
                for each in self._remembering:
                    each.next_frame()
            yield sr

    def _upscaled(self, frame: Plane) -> Plane:
        """Upscale one frame; if it has a single colour, as between scenes, keep that exactly."""
        if is_one_colour(frame):
            size = self._upscaler.output_size(*frame.shape[:2])
            return np.broadcast_to(frame[0, 0], (*size, frame.shape[2]))
        return self._upscaler(frame)


def load_frame_upscaler(
    name: str, *, target: Target, options: EngineOptions | None = None
) -> FrameUpscaler:
    """Load an upscaler of frames; arguments and errors are those of `load_upscaler`.

    Raises:
        MissingExtraError: The extra `video` is not installed.
    """
    load_av()  # reports a missing extra before a network is loaded
    options = options or EngineOptions(max_memory=MAX_MEMORY)
    if (model := find_temporal(name, target=target)) is not None:
        return TemporalFrames.of_model(model, options, target=target)
    return SingleFrames(load_upscaler(name, target=target, options=options))


def _networks(upscaler: AnyUpscaler) -> list[Upscaler]:
    """List the networks that an upscaler runs."""
    each: Iterable[AnyUpscaler] = (
        upscaler.networks.values() if isinstance(upscaler, SizedUpscaler) else (upscaler,)
    )
    return [network for network in each if isinstance(network, Upscaler)]


def _remembering(network: Upscaler) -> Remembering:
    if not isinstance(network.engine, Remembering):
        network.engine = Remembering(network.engine)
    return network.engine
