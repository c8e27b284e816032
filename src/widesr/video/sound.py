"""Converts audio that a container cannot hold to FLAC, which is lossless up to 24 bits."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any


class Flac:
    """Decodes the packets of one audio stream, and encodes the audio as FLAC."""

    @staticmethod
    def can_hold(old: Any) -> bool:  # noqa: ANN401 (av's)
        """Say whether a stream can be decoded here, and FLAC can hold its number of channels."""
        return old.codec_context is not None and 0 < old.channels <= 8

    def __init__(self, container: Any, old: Any) -> None:  # noqa: ANN401 (av's)
        """Add a FLAC stream to a container that is about to be written."""
        self._old, self._end = old, 0
        deep = "s32" if old.format.bytes * 8 > 16 else "s16"  # floats are held to 24 bits
        self.stream = container.add_stream(
            "flac", rate=old.rate, layout=old.layout, format=deep, time_base=old.time_base
        )

    def packets(self, packet: Any | None) -> Iterator[Any]:  # noqa: ANN401 (av's)
        """Encode the audio of a packet; None flushes what was held back.

        Raises:
            FFmpegError: The packet cannot be decoded; those after it may be.
        """
        for frame in self._old.codec_context.decode(packet):
            frame.time_base = self._old.time_base
            if frame.pts is None:  # a frame that the decoder held back
                frame.pts = self._end
            self._end = frame.pts + round(Fraction(frame.samples, frame.rate) / frame.time_base)
            yield from self.stream.encode(frame)
        if packet is None:
            yield from self.stream.encode(None)
