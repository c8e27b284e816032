"""Encodes frames in segments that stand alone, with the times and the header of one stream."""

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from widesr.errors import VideoFormatError
from widesr.video.encoding import CODECS, Codec, Encoding
from widesr.video.library import load_av, reason

_START_CODE = re.compile(rb"\x00*\x00\x00\x01")
_TEMPORAL_DELIMITER = b"\x12\x00"


class Packet(NamedTuple):
    """An encoded frame, in the order in which the file holds it."""

    data: bytes
    pts: int
    dts: int
    duration: int
    is_key: bool


class Timeline:
    """Gives each packet its decoding time, across all segments as in one stream.

    A decoder has to wait for `delay` frames, so each packet is decoded at the display time of the
    frame `delay` frames before it. The first packets are decoded before the start.
    """

    def __init__(self, delay: int, *, past: Sequence[int] = ()) -> None:
        """Begin, or go on after the frames that are already encoded, whose times are `past`."""
        self._delay = delay
        self._times = sorted(past)
        self._durations: dict[int, int] = {}
        self._shown = self._packets = len(past)

    def show(self, pts: int, duration: int) -> None:
        """Record the time of the next frame that is encoded."""
        self._times.append(pts)
        self._shown += 1
        self._durations[pts] = duration

    def packet(self, data: bytes, pts: int, *, is_key: bool) -> Packet:
        """Add the times to the encoder's next packet."""
        at = self._packets - self._delay
        first = self._shown - len(self._times)  # number of the first time that is still held
        if at >= 0:
            dts = self._times[at - first]
            if at > first + self._delay:
                del self._times[: at - first - self._delay]
        else:
            step = self._times[1] - self._times[0] if len(self._times) > 1 else 1
            dts = self._times[0] + at * max(step, 1)
        self._packets += 1
        return Packet(data, pts, min(dts, pts), self._durations.pop(pts, 0), is_key)


class Encoder:
    """Encodes one segment, which begins with a key frame and refers to nothing outside itself."""

    def __init__(self, encoding: Encoding, timeline: Timeline) -> None:
        self._encoding, self._timeline = encoding, timeline
        self._context = _context(encoding)
        self._key = True

    def encode(self, frame: Any, pts: int, duration: int) -> Iterator[Packet]:  # noqa: ANN401
        """Encode a frame of `Encoding.pixel_format`; give the packets that are ready."""
        frame.pts, frame.time_base = pts, self._encoding.time_base
        frame.duration = duration
        frame.colorspace = self._context.colorspace
        frame.color_range = self._context.color_range
        frame.color_primaries = self._context.color_primaries  # ProRes reads it from frames alone
        frame.color_trc = self._context.color_trc
        self._timeline.show(pts, duration)
        yield from self._packets(self._context.encode(frame))

    def finish(self) -> Iterator[Packet]:
        """Give the packets that the encoder still held back."""
        yield from self._packets(self._context.encode(None))

    def _packets(self, packets: list[Any]) -> Iterator[Packet]:
        for each in packets:
            data = _as_stored(bytes(each), self._encoding.codec)
            yield self._timeline.packet(data, each.pts, is_key=each.is_keyframe)


def _encoder_name(encoding: Encoding) -> str:
    if encoding.codec == "h264" and encoding.layout.kind == "rgb":
        return "libx264rgb"
    return CODECS[encoding.codec].encoder


def _context(encoding: Encoding) -> Any:  # noqa: ANN401 (av's)
    av = load_av()
    context = av.CodecContext.create(_encoder_name(encoding), "w")
    encoding.apply(context)
    context.thread_type = "FRAME"  # x264 with slice threads is not deterministic
    context.flags |= av.codec.context.Flags.global_header
    with _refusing(encoding), _usual_priority():
        context.open()
    return context


@contextmanager
def _refusing(encoding: Encoding) -> Iterator[None]:
    """Turn an encoder's refusal into an error that advises another codec."""
    try:
        yield
    except (load_av().FFmpegError, OSError, ValueError) as error:
        raise VideoFormatError(
            f"{encoding.codec} does not encode {encoding.width}x{encoding.height} pictures in "
            f"{encoding.pixel_format} ({reason(error)}); take another codec",
            options=["codec"],
        ) from error


@contextmanager
def _usual_priority() -> Iterator[None]:
    """Restore the priority that threads had.

    SVT-AV1 gives its threads, and the one that calls it, the highest real-time priority where it
    may, as under root. Nothing else on the machine would then get a turn.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    before = _threads()
    try:
        yield
    finally:
        for thread in {0, *(_threads() - before)}:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setscheduler(thread, policy, parameters)


def _threads() -> set[int]:
    """Return the threads of this process, as Linux numbers them."""
    try:
        return {int(each.name) for each in Path("/proc/self/task").iterdir()}
    except OSError:
        return set()


def stream_header(encoding: Encoding) -> bytes:
    """Describe the encoded stream, as a Matroska file of one black frame.

    The header of the output is copied from this file, so that no encoder has to stay open for it.
    """
    av = load_av()
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream(_encoder_name(encoding))
        encoding.apply(stream.codec_context)
        stream.codec_context.thread_type = "FRAME"
        stream.time_base = encoding.time_base
        with _refusing(encoding), _usual_priority():
            frame = av.VideoFrame(encoding.width, encoding.height, encoding.pixel_format)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.pts, frame.time_base = 0, encoding.time_base
            (packet,) = stream.encode(frame) + stream.encode(None)
            packet.pts = packet.dts = 0  # x265 leaves the dts of a single frame to chance
            container.mux(packet)
    return buffer.getvalue()


def _as_stored(data: bytes, codec: Codec) -> bytes:
    """Convert a packet to the form in files: each NAL unit after its length, no delimiters."""
    if codec in ("h264", "hevc") and data[:3] in (b"\x00\x00\x00", b"\x00\x00\x01"):
        units = (each for each in _START_CODE.split(data) if each)
        return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)
    if codec == "av1":
        return data.removeprefix(_TEMPORAL_DELIMITER)
    return data
