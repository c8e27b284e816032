"""Defines sequences of pictures read one by one: frames of an animation, or pages of a file."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction

from widesr.pictures.picture import PictureStream
from widesr.pixels.rows import Band, Rows
from widesr.system.threads import ahead

MOST_IN_ALL = 16
"""The most pixels of all frames or pages together, in multiples of the most that one may have."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The times at which the frames of an animation are shown."""

    durations: tuple[Fraction, ...]
    """The seconds for which each frame is shown."""
    plays: int
    """The number of times that the animation is shown; 0 means for ever."""


@dataclass(frozen=True, kw_only=True)
class PictureSequence:
    """Several upright pictures that are read once, in order and one at a time.

    The frames of an animation are alike in size, channels and metadata, and each is held whole
    while it is worked on. Pages may differ, and are read row by row. Memory does not depend on the
    number of frames or pages.
    """

    streams: Iterator[PictureStream]
    """The pictures; each is to be read before the next one is asked for."""
    stills: tuple[PictureStream, ...]
    """The same pictures without their pixels."""
    timing: Timing | None = None
    """None if these are pages."""

    @classmethod
    def of_frames(
        cls, frames: Iterable[Band], *, still: PictureStream, timing: Timing
    ) -> "PictureSequence":
        """Make an animation of frames, (H, W, C) as in `still`, whose metadata apply to all."""
        streams = (replace(still, rows=Rows.of(frame)) for frame in frames)
        return cls(streams=streams, stills=(still,) * len(timing.durations), timing=timing)

    @property
    def count(self) -> int:
        """The number of pictures."""
        return len(self.stills)

    @property
    def still(self) -> PictureStream:
        """The first picture without its pixels; in an animation all are alike."""
        return self.stills[0]

    @property
    def size(self) -> tuple[int, int]:
        """The height and width of the first picture."""
        return self.still.size

    @property
    def frames(self) -> Iterator[Band]:
        """The pixels of each picture, (H, W, C)."""
        return (stream.rows.whole() for stream in self.streams)

    @contextmanager
    def ahead(self) -> Iterator["PictureSequence"]:
        """Make frames, or the rows of a page, in advance, while earlier ones are used."""
        if self.timing is not None:
            with closing(ahead(self.frames)) as frames:
                yield self.of_frames(frames, still=self.still, timing=self.timing)
            return

        def streams() -> Generator[PictureStream]:
            for stream in self.streams:
                with stream.ahead() as made:
                    yield made

        with closing(streams()) as each:
            yield replace(self, streams=each)

    def map(self, change: Callable[[PictureStream, int], PictureStream]) -> "PictureSequence":
        """Change each picture on its own.

        Args:
            change: A function of a picture and its number, from 0. It may read no pixel until its
                result is read, and must keep the frames of an animation alike, whatever their
                pixels are.
        """
        streams = (change(stream, number) for number, stream in enumerate(self.streams))
        if self.timing is not None:
            still = change(self.still, 0)
            frames = (stream.rows.whole() for stream in streams)
            return self.of_frames(frames, still=still, timing=self.timing)
        stills = tuple(change(still, number) for number, still in enumerate(self.stills))
        return replace(self, streams=streams, stills=stills)
