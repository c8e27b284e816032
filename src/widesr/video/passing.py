"""Pass decoded frames through what upscales them, scene by scene."""

from collections.abc import Iterator
from dataclasses import replace

from widesr.video.colour import Plane
from widesr.video.decoding import Frame
from widesr.video.frames import FrameUpscaler
from widesr.video.scenes import CutDetector, scenes


def upscale_marked(
    frames: Iterator[Frame], upscaler: FrameUpscaler, *, unwanted: int = 0
) -> Iterator[Frame]:
    """Upscale frames scene by scene; of the first, `unwanted` are there for those behind alone."""
    cuts = CutDetector()
    marked = ((frame, cuts.begins(frame.pixels)) for frame in frames)
    if not upscaler.has_state:
        marked = ((frame, number == 0) for number, frame in enumerate(frames))
    number = 0
    for scene in scenes(marked):
        waiting: list[Frame] = []

        def pixels(
            scene: Iterator[Frame] = scene, waiting: list[Frame] = waiting
        ) -> Iterator[Plane]:
            for frame in scene:
                waiting.append(replace(frame, pixels=frame.pixels[:0]))
                yield frame.pixels

        for sr in upscaler.upscale_scene(pixels()):
            frame = waiting.pop(0)
            number += 1
            if number > unwanted:
                yield replace(frame, pixels=sr)
