"""Passes decoded frames through an upscaler, scene by scene and segment by segment.

An upscaler with a state starts afresh some frames before each segment, and these are made twice. A
run that resumes at a segment therefore makes the same frames, and no state is kept on the disk.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import NamedTuple

from widesr.video.colour import Plane
from widesr.video.decoding import Frame
from widesr.video.frames import FrameUpscaler
from widesr.video.scenes import CutDetector, scenes

_FOR_CUTS = 2
"""Preceding frames that decide whether a frame begins a scene."""


class _Marked(NamedTuple):
    """A frame with its number, and whether a scene begins with it."""

    number: int
    frame: Frame
    begins: bool


def first_needed(wanted: int, upscaler: FrameUpscaler, *, segment: int) -> int:
    """Give the frame to begin with so that frame `wanted` is the same as in a whole run.

    Args:
        wanted: The number of a frame, from 0.
        upscaler: The upscaler of the frames.
        segment: Frames per segment.
    """
    if not upscaler.has_state:
        return wanted
    return max(wanted - wanted % segment - upscaler.lead - _FOR_CUTS, 0)


def upscale_marked(
    frames: Iterator[Frame],
    upscaler: FrameUpscaler,
    *,
    segment: int,
    first: int = 0,
    wanted: int = 0,
) -> Iterator[Frame]:
    """Upscale frames, each from frames of its own scene alone.

    Args:
        frames: The frames from number `first` on.
        upscaler: The upscaler of the frames.
        segment: Frames per segment.
        first: The number of the first frame in `frames`: that of `first_needed`, or less.
        wanted: The number of the first frame to give.
    """
    if not upscaler.has_state:
        alone = (_Marked(n, frame, n == first) for n, frame in enumerate(frames, start=first))
        yield from _upscaled(alone, upscaler, range(wanted, 2**63))
        return
    window = _Window(frames, first=first)
    for begin in count(wanted - wanted % segment, segment):
        end = begin + segment
        if window.at(begin) is None:
            return
        around = range(max(begin - upscaler.lead, 0), end + upscaler.look_ahead)
        marked = window.through(around, keep=end - upscaler.lead)
        yield from _upscaled(marked, upscaler, range(max(begin, wanted), end))


class _Window:
    """Gives marked frames by their numbers, and holds those that are needed again."""

    def __init__(self, frames: Iterator[Frame], *, first: int) -> None:
        self._frames, self._cuts = frames, CutDetector()
        self._held: dict[int, _Marked] = {}
        self._next = first

    def at(self, number: int) -> _Marked | None:
        """Give a frame; None if the clip ends before it."""
        while self._next <= number:
            frame = next(self._frames, None)
            if frame is None:
                return None
            begins = self._cuts.begins(frame.pixels)
            self._held[self._next] = _Marked(self._next, frame, begins)
            self._next += 1
        return self._held[number]

    def through(self, numbers: range, *, keep: int) -> Iterator[_Marked]:
        """Give the frames up to the clip's end, and drop each with a number below `keep`."""
        for number in numbers:
            marked = self.at(number)
            if marked is None:
                return
            self._held = {n: each for n, each in self._held.items() if n > number or n >= keep}
            yield marked


def _upscaled(marked: Iterator[_Marked], upscaler: FrameUpscaler, wanted: range) -> Iterator[Frame]:
    for scene in scenes((each, each.begins) for each in marked):
        waiting: deque[tuple[int, Frame]] = deque()
        for sr in upscaler.upscale_scene(_pixels(scene, waiting)):
            number, frame = waiting.popleft()
            if number in wanted:
                yield replace(frame, pixels=sr)


def _pixels(scene: Iterator[_Marked], waiting: deque[tuple[int, Frame]]) -> Iterator[Plane]:
    """Give the pixels of frames, and put the frames without their pixels among those that wait."""
    for number, frame, _ in scene:
        waiting.append((number, replace(frame, pixels=frame.pixels[:0])))
        yield frame.pixels
