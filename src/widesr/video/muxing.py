"""Writes the output: the new video, with copies of all other streams of the input.

The same packets give the same bytes, so an unfinished output is completed by writing it again from
its start: the packets that it holds are read back, and each byte is written where it was.
"""

import io
import os
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Any, NamedTuple

from widesr.errors import VideoFormatError, VideoReadError
from widesr.system.files import FileBytes
from widesr.video.clip import Clip, is_cover, opened, packets_in
from widesr.video.decoding import Damaged
from widesr.video.encoding import Encoding
from widesr.video.library import load_av, reason
from widesr.video.segments import Packet, stream_header
from widesr.video.shape import with_shape
from widesr.video.sound import Flac

_MP4_KEYS = frozenset(
    (
        *("title", "artist", "album_artist", "composer", "album", "date", "comment", "genre"),
        *("copyright", "grouping", "lyrics", "description", "synopsis", "show", "episode_id"),
        *("network", "keywords", "creation_time", "encoder", "track", "disc", "compilation"),
    )
)
"""The metadata that MP4 has places for."""
_OF_THE_FILE = frozenset(("major_brand", "minor_version", "compatible_brands", "encoder"))
"""Metadata that describe the old file, not its content."""
_OF_THE_STREAM = ("BPS", "NUMBER_OF_", "_STATISTICS_", "DURATION", "ENCODER", "encoder")
"""Prefixes of the names of metadata that describe the old video's coding."""
_MATROSKA = ("matroska", "webm")
_EARLY = 32
"""Ticks before the first frame at which the decoding times of reordered frames begin, if the input
states none. They are fewer than lie between frames, and more than the frames that are reordered."""
_PREROLL = Fraction(1, 10)
"""Seconds of sound before the start that decoders may need to get going, and do not play."""
_HEAD = 2**20
"""Bytes at the start of a Matroska file that describe its streams."""
_MILLI = 1000
_MOST_TICKS = 2**31
"""The lowest number of ticks a second that MP4 cannot state."""
_ICPF = 8
"""Bytes before a ProRes frame that Matroska leaves out."""


class Kept(NamedTuple):
    """The facts about a written packet that are kept to read it back."""

    pts: int
    dts: int
    duration: int
    is_key: int
    size: int
    """The number of bytes of its data in the file."""
    crc: int


class PartFile:
    """The unfinished output, into which FFmpeg writes without saying where packets lie.

    The bytes of each packet are therefore searched for in what FFmpeg writes.
    """

    def __init__(self, fd: int) -> None:
        self._fd, self._bytes = fd, FileBytes(fd)
        self._at = 0
        self._end = 0
        self._recent = bytearray()
        self._expected: deque[tuple[int, bytes]] = deque()
        self.found: dict[int, int] = {}
        """The offset of each packet in the file, by its number."""

    def expect(self, number: int, data: bytes) -> None:
        """Look out for a packet, which FFmpeg is about to get, in what it writes from now on."""
        self._expected.append((number, data))

    @property
    def waiting(self) -> list[tuple[int, bytes]]:
        """The packets that FFmpeg holds back."""
        return list(self._expected)

    def write(self, data: bytes) -> int:
        """Write at the current position."""
        self._bytes.put(self._at, data)
        at = self._at + len(data)
        if self._at == self._end:
            self._recent += data
            self._end = at
            self._look()
        else:  # a size that is filled in later
            self._end = max(self._end, at)
        self._at = at
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Give the current position."""
        return self._at

    def head(self) -> bytes:
        """Read the beginning, in which the streams are described."""
        return self._bytes[: min(_HEAD, self._end)]

    def replace_head(self, data: bytes) -> None:
        """Write the beginning again."""
        self._bytes.put(0, data)

    def truncate(self) -> None:
        """Cut off what an earlier run wrote beyond the end."""
        os.ftruncate(self._fd, self._end)

    def sync(self) -> None:
        """Flush the whole file to the disk."""
        os.fsync(self._fd)

    def _look(self) -> None:
        while self._expected:
            number, data = self._expected[0]
            at = self._recent.find(data)
            if at < 0:
                return
            self.found[number] = self._end - len(self._recent) + at
            del self._recent[: at + len(data)]
            self._expected.popleft()
        self._recent.clear()


class Output:
    """The output of a clip while it is written: video packets are added, other streams copied."""

    def __init__(
        self,
        clip: Clip | None,
        encoding: Encoding,
        part: PartFile,
        *,
        damaged: Damaged = "refuse",
    ) -> None:
        """Begin the output.

        Args:
            clip: The clip that other streams are copied from; None if there are none.
            encoding: The encoding of the video.
            part: The file that is written.
            damaged: "refuse" other streams with packets that no file can hold, or leave these out.

        Raises:
            VideoFormatError: The container cannot hold one of the streams.
        """
        self._part, self._encoding = part, encoding
        self._path, self._damaged = clip.path if clip else None, damaged
        self._faults: list[str] = []
        self._stack = ExitStack()
        self.notices: list[str] = []
        """Sentences about what is not copied unchanged."""
        with ExitStack() as stack:
            self._open(clip, stack)
            self._stack = stack.pop_all()

    def _open(self, clip: Clip | None, stack: ExitStack) -> None:
        av = load_av()
        encoding = self._encoding
        source = stack.enter_context(opened(clip.path)) if clip else None
        header = stack.enter_context(av.open(io.BytesIO(stream_header(encoding))))
        metadata = dict(source.metadata) if source else {}
        kept = {name: text for name, text in metadata.items() if name not in _OF_THE_FILE}
        options = {"fflags": "+bitexact", "avoid_negative_ts": "disabled", "flush_packets": "1"}
        options |= {"max_interleave_delta": "1"}
        if clip is not None and clip.clock:
            options["output_ts_offset"] = str(-clip.clock)
            self.notices.append(f"begins at 0 s; {clip.clock} s were taken off its clock")
        if encoding.container in _MATROSKA:
            options["cluster_size_limit"] = str(2**18)
        else:
            begin = source.streams[clip.index].start_time if source and clip else 0
            options["movie_timescale"] = str(_movie_timescale(begin or 0, encoding.time_base))
            if not kept.keys() <= _MP4_KEYS:
                options["movflags"] = "+use_metadata_tags"
        self._container = av.open(
            self._part,
            "w",
            format=encoding.container,
            container_options=options,
            metadata_errors="surrogateescape",
        )
        # not in `stack`: closing it would complete a file that is given up
        self._container.metadata.update(kept)
        self._streams: dict[int, Any] = {}
        self._sounds: dict[int, Flac] = {}
        if source is None or clip is None:
            self._add_video(header, None)
        else:
            for stream in source.streams:
                if stream.index == clip.index:
                    self._add_video(header, stream, matrix=clip.matrix)
                else:
                    self._add_copy(stream, clip, has_chapters=bool(source.chapters()))
            if chapters := source.chapters():
                self._container.set_chapters(chapters)
        try:
            self._container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            what = f"a stream beside the video ({reason(error)})"
            raise VideoFormatError(
                f"{clip.path if clip else 'the frames'}: {_not_held(what, encoding.container)}"
            ) from error
        self._others = (
            _packets_of(source, list(self._streams), clip.path) if source and clip else iter(())
        )
        if encoding.container in _MATROSKA:  # has no edit lists, so that this would be heard
            self._others = (each for each in self._others if not _is_cut_sound(each))
        self._next = next(self._others, None)
        self._number = 0

    def _add_video(
        self,
        header: Any,  # noqa: ANN401 (av's)
        old: Any,  # noqa: ANN401
        *,
        matrix: Sequence[int] | None = None,
    ) -> None:
        stream = self._container.add_stream_from_template(header.streams.video[0], opaque=True)
        context, encoding = stream.codec_context, self._encoding
        stream.time_base = encoding.time_base
        context.framerate = encoding.rate
        context.pix_fmt = encoding.pixel_format
        if encoding.aspect:
            context.sample_aspect_ratio = encoding.aspect
        if encoding.codec == "hevc" and encoding.container in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # Apple's players take no other
        if matrix is not None:
            stream.set_display_matrix(matrix)
        if old is not None:
            stream.disposition = old.disposition
            stream.metadata.update(
                (name, text)
                for name, text in old.metadata.items()
                if not name.startswith(_OF_THE_STREAM)
            )
        self._video = stream

    def _add_copy(self, old: Any, clip: Clip, *, has_chapters: bool) -> None:  # noqa: ANN401
        container = self._encoding.container
        if old.type == "data":
            if has_chapters and old.name in (None, "bin_data"):
                return  # the text track of the chapters, which is written with them
            if "timecode" in old.metadata:
                return  # written anew from the metadata of the video
        if container == "matroska" and old.type == "video" and is_cover(old):
            self._add_cover(old, clip)
            return
        if (stream := self._new_stream(old, clip)) is None:
            return
        stream.time_base = old.time_base
        stream.disposition = old.disposition
        stream.metadata.update(old.metadata)
        if old.type != "attachment":
            self._streams[old.index] = stream

    def _new_stream(self, old: Any, clip: Clip) -> Any | None:  # noqa: ANN401 (av's)
        """Add a stream that will hold a copy of another; None if the stream is left out."""
        container = self._encoding.container
        what = _named(old)
        refused: Exception | None = None
        if old.type != "data" or container not in _MATROSKA:  # FFmpeg would refuse that too late
            try:
                return self._container.add_stream_from_template(old, opaque=True)
            except (ValueError, LookupError) as error:
                refused = error
        if old.type == "data":
            self.notices.append(f"{what} cannot be held in {container} and is left out")
            return None
        if old.type != "audio" or container != "matroska" or not Flac.can_hold(old):
            raise VideoFormatError(f"{clip.path}: {_not_held(what, container)}") from refused
        self._sounds[old.index] = sound = Flac(self._container, old)
        self.notices.append(f"{what} cannot be held in {container} and became FLAC")
        return sound.stream

    def _add_cover(self, old: Any, clip: Clip) -> None:  # noqa: ANN401 (av's)
        """Attach a cover picture; as a stream, it would be one more film in Matroska."""
        with opened(clip.path) as source:
            picture = bytes(next(source.demux(source.streams[old.index])))
        kind = "jpeg" if old.name == "mjpeg" else old.name
        said = {"filename": f"cover.{kind}", "mimetype": f"image/{kind}", **old.metadata}
        stream = self._container.add_attachment(said["filename"], said["mimetype"], picture)
        stream.metadata.update(said)

    def add(self, packet: Packet) -> Kept:
        """Write the next video packet, after the packets of other streams that come before it."""
        av = load_av()
        self._copy(until=packet.dts * self._encoding.time_base)
        made = av.Packet(packet.data)
        made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
        made.time_base = self._encoding.time_base
        made.is_keyframe = packet.is_key
        made.stream = self._video
        data = packet.data[_ICPF:] if self._leaves_icpf else packet.data
        self._part.expect(self._number, data)
        self._number += 1
        self._container.mux_one(made)
        return Kept(
            pts=packet.pts,
            dts=packet.dts,
            duration=packet.duration,
            is_key=int(packet.is_key),
            size=len(data),
            crc=zlib.crc32(data),
        )

    def add_again(self, packet: Packet) -> None:
        """Write a packet that was read back."""
        if self._leaves_icpf:
            size = len(packet.data) + _ICPF
            packet = packet._replace(data=size.to_bytes(4, "big") + b"icpf" + packet.data)
        self.add(packet)

    @property
    def _leaves_icpf(self) -> bool:
        return (self._encoding.codec, self._encoding.container) == ("prores", "matroska")

    def finish(self) -> None:
        """Copy the rest of the other streams, and complete the file."""
        self._copy(until=None)
        if self._faults:
            n = len(self._faults)
            told = "its packet is" if n == 1 else f"{n} packets are"
            self.notices.append(f"{self._faults[0]}; {told} left out")
        for sound in self._sounds.values():
            self._container.mux(list(sound.packets(None)))
        self._container.close()
        aspect = self._encoding.aspect
        if self._encoding.container in _MATROSKA and aspect is not None and aspect != 1:
            self._state_shape(aspect)
        self._part.truncate()
        self._part.sync()
        self._stack.close()

    def _state_shape(self, aspect: Fraction) -> None:
        encoding = self._encoding
        head = with_shape(
            self._part.head(),
            aspect,
            width=encoding.width,
            height=encoding.height,
            webm=encoding.container == "webm",
        )
        self._part.replace_head(head)

    def abandon(self) -> None:
        """Close all files, and leave what is written for another run to complete."""
        self._part.found.clear()
        with suppress(Exception):  # the end of a file that no one will read
            self._part.write = lambda data: len(data)  # type: ignore[method-assign]
            self._container.close()
        self._stack.close()

    def _copy(self, *, until: Fraction | None) -> None:
        """Copy packets of other streams, until one that is decoded later than `until`, in seconds.

        Raises:
            VideoReadError: A packet's time or content is damaged, so that no file can hold it.
        """
        av = load_av()
        while self._next is not None:
            packet = self._next
            if until is not None and packet.dts * packet.time_base > until:
                return
            stream, sound = (
                each.get(packet.stream_index) for each in (self._streams, self._sounds)
            )
            old, at = packet.stream, packet.dts * packet.time_base
            try:
                for made in sound.packets(packet) if sound else (packet,):
                    made.stream = stream
                    self._container.mux_one(made)
            except (av.InvalidDataError, av.ArgumentError) as error:
                fault = f"{_named(old)} is damaged at {float(at):.2f} s"
                if self._damaged == "refuse":
                    raise VideoReadError(
                        f"{self._path}: {fault} ({reason(error)}); get a whole copy, or let what "
                        "cannot be copied be left out",
                        options=['damaged="repeat"'],
                    ) from error
                self._faults.append(fault)
            self._next = next(self._others, None)


def _movie_timescale(begin: int, time_base: Fraction) -> int:
    """Choose the ticks per second for the starts and durations of streams in MP4.

    These are milliseconds, as in most inputs, unless they would move the first frame.
    """
    exact = lcm(_MILLI, time_base.denominator)
    is_even = (begin * time_base * _MILLI).denominator == 1
    return _MILLI if is_even or exact >= _MOST_TICKS else exact


def _named(stream: Any) -> str:  # noqa: ANN401 (av's)
    return f"stream {stream.index} ({stream.type} {getattr(stream, 'name', None) or 'unknown'})"


def _not_held(what: str, container: str) -> str:
    """Say that a stream cannot be copied, and name the way out."""
    if container != "matroska":
        way_out = "write Matroska (.mkv), which holds nearly all"
        return f"{what} cannot be held in {container}; {way_out}"
    if "mov_text" in what:
        return f"{what} cannot be copied to matroska; write .mp4 or .mov, whose own it is"
    return f"{what} cannot be copied to matroska; convert it, or take it out with ffmpeg first"


def _is_cut_sound(packet: Any) -> bool:  # noqa: ANN401 (av's)
    """Say whether a packet is sound that an edit list leaves out, and no decoder needs."""
    if not packet.is_discard or packet.stream.type != "audio":
        return False
    return not -_PREROLL <= packet.pts * packet.time_base < 0


def _packets_of(source: Any, indices: Sequence[int], path: Path) -> Iterator[Any]:  # noqa: ANN401
    """Give the packets of some streams, in the order of the file."""
    if not indices:
        return
    streams = [source.streams[index] for index in indices]
    decoded_at: dict[int, int] = {}
    for packet in packets_in(source, streams, path):
        if packet.size == 0 and packet.pts is None and packet.dts is None:
            continue  # FFmpeg's sign that a stream is at its end
        if packet.pts is None and packet.dts is None:
            packet.pts = 0  # a cover picture
        if packet.dts is None:
            packet.dts = packet.pts
            if packet.stream.type == "video":  # Matroska's reordered streams begin without it
                packet.dts = decoded_at.get(packet.stream_index, packet.pts - _EARLY) + 1
        decoded_at[packet.stream_index] = packet.dts
        yield packet
