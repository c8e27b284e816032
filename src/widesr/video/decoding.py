"""Decodes a clip: every frame in display order with its time, and none lost without a report."""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from typing import Any, Literal

from widesr.errors import VideoFormatError, VideoReadError
from widesr.video.clip import Clip, opened, packets_in, video_of
from widesr.video.colour import Plane
from widesr.video.converting import Beyond, Converter
from widesr.video.library import load_av
from widesr.video.wholeness import first_break

Damaged = Literal["refuse", "repeat"]
"""The choice for frames that cannot be decoded: refuse the clip, or repeat the last good one."""

_THREADS = 2
_ONE_EACH = frozenset(("h264", "hevc", "av1", "vp9", "mpeg2video", "ffv1", "prores", "mjpeg"))
"""Codecs whose every packet is a frame to show, so that a packet without a frame is damaged."""
_AHEAD = 2
"""Packets of lookahead, as parsers set the mark of damage one packet too early."""
_REORDERED = frozenset(("h264", "hevc"))
"""Codecs whose display order only decoding can tell."""
_PACKED = frozenset(("mpeg4",))
"""Codecs of which AVI may hold two frames in one packet, as DivX and Xvid wrote them; the times of
such packets belong to other frames."""
_BACK = Fraction(1, 2)
"""Seconds; if times go back by more than this, another clock begins, and no frame is damaged."""
_STRICT = frozenset(("hevc", "ffv1", "mjpeg"))
"""Codecs whose decoders hide damage unless they are asked not to."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A frame as it is shown."""

    pts: int
    """Display time, in ticks of `Clip.time_base`."""
    duration: int
    """Ticks; 0 if the duration is not known."""
    pixels: Plane
    """RGB (H, W, 3) or grey (H, W, 1), uint8 from 8 bits and uint16 from more."""
    beyond: Beyond | None = None
    """The part of the planes that lies beyond RGB; None if there is none."""


@dataclass(kw_only=True)
class Damage:
    """The damage that was found in a clip."""

    frames: int = 0
    """The number of frames that could not be decoded."""
    first: float | None = None
    """The time of the first of these frames, in seconds."""
    incomplete: int = 0
    """The number of bytes that are missing at the end of the file."""
    broken: int | None = None
    """The byte after which frames may be lost without an error; None if there is none."""

    def add(self, seconds: float) -> None:
        """Count one more frame that could not be decoded."""
        self.frames += 1
        self.first = seconds if self.first is None else self.first

    def __str__(self) -> str:
        parts = []
        if self.frames:
            s = "s" if self.frames > 1 else ""
            parts.append(
                f"{self.frames} frame{s} cannot be decoded, the first at {self.first:.2f} s"
            )
        if self.incomplete:
            parts.append(f"{self.incomplete:,} bytes or more are missing at its end")
        if self.broken is not None:
            parts.append(f"it is broken at byte {self.broken:,}, where frames may be lost")
        return " and ".join(parts)


@dataclass(kw_only=True)
class Decoder:
    """Gives the frames of a clip."""

    clip: Clip
    damaged: Damaged = "refuse"
    deinterlace: bool = False
    damage: Damage = field(default_factory=Damage)

    def __post_init__(self) -> None:
        self.damage.incomplete = self.clip.incomplete
        self.damage.broken = first_break(self.clip.path)
        if str(self.damage) and self.damaged == "refuse":
            raise self._refused()

    @contextmanager
    def frames(self, *, skip: int = 0) -> Iterator[Iterator[Frame]]:
        """Open the clip, and give its frames in order.

        Args:
            skip: The number of frames that are decoded but not given.

        Raises:
            VideoReadError: Frames cannot be decoded, and `damaged` is "refuse"; the message says
                how many.
            VideoFormatError: The pictures change their size or format along the way.
        """
        clip = self.clip
        with opened(clip.path) as container:
            stream = video_of(container, clip.path)
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = _THREADS
            if clip.codec in _STRICT:
                stream.codec_context.options = {"err_detect": "explode"}
            yield self._frames(container, stream, skip)

    def _frames(self, container: Any, stream: Any, skip: int) -> Iterator[Frame]:  # noqa: ANN401
        clip = self.clip
        converter = Converter(clip.colour, clip.layout, height=clip.height)
        last: tuple[Plane, Beyond | None] | None = None
        raw = self._decoded(container, stream)
        if self.deinterlace:
            raw = _deinterlaced(raw, clip)
        waiting: list[tuple[int, int, int]] = []  # several if the first frames are damaged
        for n, (pts, duration, frame) in enumerate(raw, start=1):
            if frame is None:
                self.damage.add(float(pts * clip.time_base))
            if self.damaged == "refuse" and self.damage.frames:
                continue  # go on, to count the others
            if frame is not None:
                self._check(frame, n)
                if n <= skip and self.damaged == "refuse":
                    continue  # no later frame needs its pixels
                last = converter.to_rgb(frame)
            waiting.append((n, pts, duration))
            if last is not None:
                pixels, beyond = last
                for number, at, lasts in waiting:
                    if number > skip:
                        yield Frame(pts=at, duration=lasts, pixels=pixels, beyond=beyond)
                waiting.clear()
        if self.damage.frames and self.damaged == "refuse":
            raise self._refused()
        if last is None and not skip:
            raise VideoReadError(f"{clip.path}: no frame of its video can be decoded")

    def _decoded(self, container: Any, stream: Any) -> Iterator[tuple[int, int, Any]]:  # noqa: ANN401
        """Give the pts, duration and frame of each packet; None for a damaged or lost frame."""
        av = load_av()
        expected: list[int] = []  # times of packets that have no frame yet
        durations: dict[int, int] = {}
        given_up: set[int] = set()
        corrupt: set[int] = set()  # packets of which MPEG-TS lost a part, or what came before
        lost = self.clip.codec in _ONE_EACH
        previous: int | None = None
        step = max(round(1 / (self.clip.rate * self.clip.time_base)), 1)
        # AVI has no display times, and those that FFmpeg makes up follow the order of the file.
        is_avi = self.clip.format == "avi"
        has_order_only = is_avi and self.clip.codec in _REORDERED
        is_packed = is_avi and self.clip.codec in _PACKED
        late: int | None = None if has_order_only else 0
        for packet, is_partial in _packets(packets_in(container, stream, self.clip.path)):
            if has_order_only:
                packet.pts = packet.dts
            pts = packet.pts
            if packet.size and pts is not None and not packet.is_discard:
                heapq.heappush(expected, pts)
                durations[pts] = packet.duration or 0
                if is_partial:
                    corrupt.add(pts)
            try:
                frames = packet.decode()
            except av.FFmpegError:
                lost = True
                continue
            for frame in frames:
                now = frame.dts if is_packed else frame.pts
                if has_order_only and expected:
                    now = expected[0]
                if late is None:
                    late = 0 if frame.dts is None or now is None else frame.dts - now
                if now is None:
                    now = 0 if previous is None else previous + step
                if now in given_up:
                    continue  # it comes too late: another stands in for it
                while expected and expected[0] < now:
                    gone = heapq.heappop(expected)
                    if lost and (previous is None or gone > previous):
                        given_up.add(gone)
                        yield gone + (late or 0), durations.pop(gone, 0), None
                    durations.pop(gone, None)
                if expected and expected[0] == now:
                    heapq.heappop(expected)
                if previous is not None and now <= previous:
                    self._check_clock(previous, now)
                    now = previous + 1  # times must rise; a broken stream's may not
                previous = now
                duration = durations.pop(now, 0) or frame.duration or 0
                is_bad = frame.is_corrupt or now in corrupt
                yield now + late, duration, None if is_bad else frame
        if lost:
            for gone in sorted(expected):
                if previous is None or gone > previous:
                    yield gone + (late or 0), durations.get(gone, 0), None

    def _check_clock(self, before: int, now: int) -> None:
        base = self.clip.time_base
        if (before - now) * base > _BACK:
            raise VideoFormatError(
                f"{self.clip.path}: the times of its frames go back, from "
                f"{float(before * base):.2f} s to {float(now * base):.2f} s, as where recordings "
                "were joined; let FFmpeg copy all streams into a Matroska file, which has one "
                "clock for all"
            )

    def _check(self, frame: Any, n: int) -> None:  # noqa: ANN401 (av's)
        clip = self.clip
        if (frame.width, frame.height) != (clip.width, clip.height):
            raise VideoFormatError(
                f"{clip.path}: frame {n} is {frame.width}x{frame.height} and the first is "
                f"{clip.width}x{clip.height}; expected one size throughout"
            )
        if frame.interlaced_frame and not self.deinterlace:
            raise VideoFormatError(
                f"{clip.path}: is interlaced (frame {n}); let both fields be made one picture",
                options=["deinterlace=True"],
            )

    def _refused(self) -> VideoReadError:
        return VideoReadError(
            f"{self.clip.path}: {self.damage}; get a whole copy, or let the last good frame stand "
            "in for those that are missing",
            options=['damaged="repeat"'],
        )


def _packets(packets: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """Give each packet, and whether MPEG-TS has lost a part of it or what came before it.

    Where a second stream was joined on, time goes back, but nothing is missing.
    """
    held: deque[Any] = deque()
    for packet in chain(packets, [None] * _AHEAD):
        held.append(packet)
        if len(held) <= _AHEAD:
            continue
        first = held.popleft()
        times = [each.dts for each in held if each is not None and each.dts is not None]
        is_joined = first.dts is not None and any(each <= first.dts for each in times)
        yield first, first.is_corrupt and not is_joined


def _deinterlaced(
    decoded: Iterator[tuple[int, int, Any]], clip: Clip
) -> Iterator[tuple[int, int, Any]]:
    """Merge both fields into one picture with FFmpeg's bwdif, and keep the times."""
    av = load_av()
    graph: Any = None
    waiting: list[tuple[int, int, Any]] = []

    def pulled() -> Iterator[tuple[int, int, Any]]:
        while True:
            try:
                frame = graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            while waiting and waiting[0][2] is None:
                yield waiting.pop(0)
            pts, duration, _ = waiting.pop(0)
            yield pts, duration, frame

    for pts, duration, frame in decoded:
        waiting.append((pts, duration, frame))
        if frame is None:
            continue
        if graph is None:
            graph = av.filter.Graph()
            source = graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=clip.time_base,
            )
            bob = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
            graph.link_nodes(source, bob, graph.add("buffersink")).configure()
        frame.pts, frame.time_base = pts, clip.time_base
        graph.push(frame)
        yield from pulled()
    if graph is not None:
        graph.push(None)
        yield from pulled()
    yield from waiting
