"""Reads what a clip states about its video: its size, display, timing and colours."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from os.path import lexists
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ImageTooLargeError, VideoFormatError, VideoReadError
from widesr.pictures.picture import MAX_PIXELS
from widesr.system.arguments import whole_number
from widesr.video.colour import Colour, Layout, Mastering
from widesr.video.library import load_av, reason
from widesr.video.planes import HAS_ALPHA, layout_of
from widesr.video.wholeness import missing_bytes

_FASTEST = 240
"""Frames per second; a higher rate is only the common denominator of uneven frame times."""
_LOOKED_AT = 12
"""Frames decoded to learn what a stream holds."""
_CONTAINERS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,mxf,yuv4mpegpipe,nut"
"""The kinds of files that FFmpeg may open: no playlists, which would lead it to other files."""
_CLOCKS = ("mpegts", "mpeg")
"""Containers with the clock of a broadcast or a disc, which may begin at any time."""
_LATE = 60
"""Seconds; a film that begins later than this on such a clock is shifted to the output's start."""
_INTERLACED = (2, 3, 4, 5)
"""FFmpeg's codes for the order of fields; other codes mean whole frames, or that none is stated."""
_SITING = re.compile(r"\b(top|bottom|center|topleft|bottomleft|left)\)")
_logging = Lock()


@dataclass(frozen=True, kw_only=True)
class Clip:
    """The video stream of a file, and what the file states about it."""

    path: Path
    format: str
    """FFmpeg's name of the container: "matroska,webm"."""
    index: int
    """The number of the video stream in the file."""
    codec: str
    width: int
    height: int
    layout: Layout
    colour: Colour
    time_base: Fraction
    """Seconds per tick of the timestamps."""
    rate: Fraction
    """The mean frame rate; timestamps come from the stream, or from this rate if it has none."""
    nominal_rate: Fraction
    """The rate on whose grid every frame's time lies; the mean rate if no such rate is known."""
    aspect: Fraction | None
    """The width of a pixel divided by its height; None if it is not stated."""
    matrix: tuple[int, ...] | None
    """FFmpeg's display matrix, which turns or mirrors the pictures when they are shown."""
    frames: int
    """The approximate number of frames by what the file states; 0 if it states nothing."""
    duration: int | None
    """The duration that the stream states, in ticks."""
    seconds: float
    """The duration that the file states; 0 if none."""
    clock: int
    """Seconds subtracted from all times, where the container's clock does not begin near 0."""
    interlaced: bool
    is_hdr10_plus: bool
    """True if frames have HDR metadata of their own, which is not kept."""
    has_captions: bool
    """True if the frames carry closed captions, as in American television; these are not kept."""
    incomplete: int
    """The number of bytes by which the file is shorter than it states."""


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file for reading with FFmpeg.

    Raises:
        VideoReadError: The file is missing, or is not a clip.
        MissingExtraError: The extra `video` is not installed.
    """
    av = load_av()
    try:
        container = av.open(
            f"file:{path}",  # without "file:", a name with a colon might be taken for a URL
            metadata_errors="surrogateescape",
            container_options={"protocol_whitelist": "file", "format_whitelist": _CONTAINERS},
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    with container:
        yield container


def packets_in(container: Any, streams: Any, path: Path) -> Iterator[Any]:  # noqa: ANN401 (av's)
    """Give the packets of a stream, or of several, in the order of the file.

    Raises:
        VideoReadError: The file cannot be read to its end, or is encrypted.
    """
    packets = container.demux(streams)
    while True:
        try:
            packet = next(packets, None)
        except (load_av().FFmpegError, OSError) as error:
            raise VideoReadError(
                f"{path}: cannot be read to its end ({reason(error)}); get a whole copy"
            ) from error
        if packet is None:
            return
        if packet.has_sidedata("encryption_info"):
            raise VideoReadError(f"{path}: is encrypted; expected a clip without copy protection")
        yield packet


def video_of(container: Any, path: Path) -> Any:  # noqa: ANN401 (av's)
    """Find the first video stream that is not a cover picture.

    Raises:
        VideoReadError: There is no such stream, or it cannot be decoded.
    """
    streams = [each for each in container.streams.video if not is_cover(each)]
    if not streams:
        kinds = ", ".join(sorted({each.type for each in container.streams}))
        why = _cut_short(path) or (f"only {kinds}" if kinds else "nor anything else")
        raise VideoReadError(f"{path}: holds no video ({why})")
    stream = streams[0]
    if stream.codec_context is None:
        raise VideoReadError(f"{path}: its video is in a codec that is not decoded here")
    return stream


def is_cover(stream: Any) -> bool:  # noqa: ANN401 (av's)
    """Say whether a stream is a cover picture instead of a film."""
    return bool(stream.disposition & load_av().stream.Disposition.attached_pic)


class Glance(NamedTuple):
    """The facts that a clip states before anything is decoded."""

    height: int
    width: int
    frames: int
    """The approximate number of frames; 0 if the clip states nothing."""
    codec: str
    bits: int
    """Bits per channel."""
    interlaced: bool
    """True if the stream says so; some clips mark only their frames."""


def glance(path: Path, *, max_pixels: int = MAX_PIXELS) -> Glance:
    """Read what a clip states, without decoding; see `read_clip` for the arguments and errors."""
    load_av()
    _check_there(path)
    with opened(path) as container:
        stream = video_of(container, path)
        context = stream.codec_context
        _check_size(path, context.width, context.height, max_pixels)
        kind = context.format
        bits = max((each.bits for each in kind.components), default=8) if kind else 8
        frames = _count_frames(container, stream)
        return Glance(
            height=context.height,
            width=context.width,
            frames=frames,
            codec=context.codec.canonical_name,
            bits=bits,
            interlaced=context.field_order in _INTERLACED,
        )


def check_progressive(path: Path, *, interlaced: bool, deinterlace: bool) -> None:
    """Refuse an interlaced clip unless its two fields are to be merged into one picture.

    Raises:
        VideoFormatError: The clip is interlaced, and `deinterlace` is False.
    """
    if interlaced and not deinterlace:
        raise VideoFormatError(
            f"{path}: is interlaced; let both fields be made one picture",
            options=["deinterlace=True"],
        )


def check_kept(path: Path, *, icc: str, metadata: str) -> None:
    """Refuse to convert the colours of a clip to sRGB, or to leave its metadata out.

    Raises:
        VideoFormatError: `icc` is "srgb", or `metadata` is "strip".
    """
    if metadata == "strip":
        raise VideoFormatError(
            f"{path}: a clip keeps its metadata, which cannot be left out of it",
            options=["metadata=keep"],
        )
    if icc == "srgb":
        raise VideoFormatError(
            f"{path}: a clip keeps the colours that its stream states; they are not converted",
            options=["icc=keep"],
        )


def read_clip(path: Path, *, max_pixels: int = MAX_PIXELS) -> Clip:
    """Read what a clip states about itself, and decode its first frames.

    Args:
        path: The file.
        max_pixels: The largest picture that is decoded.

    Raises:
        VideoReadError: The file is missing, damaged, encrypted, or holds no video.
        VideoFormatError: The video is Dolby Vision, transparent, or in an unsupported colour
            coding.
        ImageTooLargeError: Its pictures are too large.
        MissingExtraError: The extra `video` is not installed.
    """
    load_av()
    _check_there(path)
    incomplete = missing_bytes(path)
    with opened(path) as container:
        stream = video_of(container, path)
        context = stream.codec_context
        _check_size(path, context.width, context.height, max_pixels)
        text = _described(container)
        if "DOVI configuration" in text:
            raise VideoFormatError(
                f"{path}: is Dolby Vision, whose metadata would no longer fit the frames; "
                "convert it to HDR10, HLG or SDR first"
            )
        # VP8 and VP9 keep transparency beside the frames, and their decoders ignore it.
        if stream.metadata.get("alpha_mode") == "1":
            raise VideoFormatError(f"{path}: {HAS_ALPHA}")
        frames = _first_frames(container, stream, path)
        first = frames[0]
        layout = layout_of(first.format, found=str(path))
        colour = Colour(
            matrix=context.colorspace if context.colorspace != 3 else 2,
            range=context.color_range or (2 if first.format.name.startswith("yuvj") else 0),
            primaries=context.color_primaries or 2,
            transfer=context.color_trc or 2,
            siting=_siting(text, stream.index),
            mastering=_mastering(first),
        )
        colour.check(found=str(path))
        rate, base = _rate(stream), stream.base_rate
        return Clip(
            path=path,
            format=container.format.name,
            index=stream.index,
            codec=context.codec.canonical_name,
            width=first.width,
            height=first.height,
            layout=layout,
            colour=colour,
            time_base=stream.time_base,
            rate=rate,
            nominal_rate=Fraction(base if base and base <= _FASTEST else rate),
            aspect=stream.sample_aspect_ratio or None,
            matrix=_display_matrix(first),
            frames=_count_frames(container, stream),
            duration=stream.duration,
            seconds=_seconds(container, stream),
            clock=_clock(container),
            interlaced=context.field_order in _INTERLACED
            or any(each.interlaced_frame for each in frames),
            has_captions=any(_side_data(each, "A53_CC", "u1") is not None for each in frames),
            is_hdr10_plus=_side_data(first, "DYNAMIC_HDR_PLUS", "u1") is not None,
            incomplete=incomplete,
        )


def _check_there(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise VideoReadError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise VideoReadError(f"{str(path)!r}: not a file name ({error})") from error
    if path.is_dir():
        raise VideoReadError(f"{path}: is a folder, expected a clip")
    if not size:
        raise VideoReadError(f"{path}: is empty, expected a clip")
    try:
        path.open("rb").close()
    except OSError as error:
        raise VideoReadError(f"{path}: cannot be read ({error.strerror})") from error


def _check_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    max_pixels = whole_number(max_pixels, "max_pixels of at least 1", least=1)
    if width * height > max_pixels:
        found = f"{path}: its pictures are {width}x{height}"
        raise ImageTooLargeError(found=found, pixels=width * height, max_pixels=max_pixels)


def _unreadable(path: Path, error: Exception) -> VideoReadError:
    if not lexists(path):
        return VideoReadError(f"{path}: no such file")
    why = reason(error)
    if isinstance(error, load_av().ArgumentError):  # none of `_CONTAINERS`
        why = "it is another kind of file"
    return VideoReadError(f"{path}: is not a clip that can be read ({_cut_short(path) or why})")


def _cut_short(path: Path) -> str:
    """Say how many bytes are missing at the end, where an MP4 file often has its index."""
    try:
        missing = missing_bytes(path)
    except OSError:
        return ""
    return f"{missing:,} bytes or more are missing at its end" if missing else ""


def _first_frames(container: Any, stream: Any, path: Path) -> list[Any]:  # noqa: ANN401 (av's)
    av = load_av()
    frames: list[Any] = []
    failed: Exception | None = None
    for packet in islice(packets_in(container, stream, path), 40 * _LOOKED_AT):
        try:
            frames += packet.decode()
        except av.FFmpegError as error:
            failed = error
        if len(frames) >= _LOOKED_AT:
            break
    if not frames:
        why = "its video holds no frames"
        if failed:
            why = f"no frame of its video can be decoded ({reason(failed)})"
        raise VideoReadError(f"{path}: {why}")
    return frames


def _described(container: Any) -> str:  # noqa: ANN401 (av's)
    """Give FFmpeg's description of a file, the only place that names the chroma siting."""
    av = load_av()
    log = av.logging
    with _logging:
        level = log.get_level()
        try:
            log.set_level(log.VERBOSE)
            log.set_libav_level(log.VERBOSE)
            return str(container.dumps_format())
        finally:
            log.set_libav_level(log.ERROR)
            log.set_level(level)


def _siting(text: str, index: int) -> str | None:
    for line in text.splitlines():
        if f"Stream #0:{index}" in line and (found := _SITING.search(line)):
            return found[1]
    return None


def _side_data(frame: Any, name: str, dtype: str) -> NDArray[Any] | None:  # noqa: ANN401 (av's)
    """Give a frame's side data by FFmpeg's name for it, as numbers; None if there is none."""
    found = (each for each in frame.side_data if each.type.name == name)
    return next((np.frombuffer(each, dtype) for each in found), None)


def _display_matrix(frame: Any) -> tuple[int, ...] | None:  # noqa: ANN401 (av's)
    values = _side_data(frame, "DISPLAYMATRIX", "<i4")
    return None if values is None else tuple(int(value) for value in values)


def _mastering(frame: Any) -> Mastering | None:  # noqa: ANN401 (av's)
    display = _side_data(frame, "MASTERING_DISPLAY_METADATA", "<i4")
    light = _side_data(frame, "CONTENT_LIGHT_LEVEL", "<u4")
    stated = levels = None
    if display is not None and display[20:22].all():  # primaries, luminance are stated
        over, under = display[:20:2], display[1:20:2]
        stated = tuple(float(value) for value in over / under)
    if light is not None:
        levels = int(light[0]), int(light[1])
    return Mastering(display=stated, light=levels) if stated or levels else None


def _rate(stream: Any) -> Fraction:  # noqa: ANN401 (av's)
    return Fraction(stream.average_rate or stream.guessed_rate or 25)


def _count_frames(container: Any, stream: Any) -> int:  # noqa: ANN401 (av's)
    return stream.frames or round(_seconds(container, stream) * _rate(stream))


def _seconds(container: Any, stream: Any) -> float:  # noqa: ANN401 (av's)
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return float(container.duration or 0) / 1_000_000


def _clock(container: Any) -> int:  # noqa: ANN401 (av's)
    start = (container.start_time or 0) // 1_000_000
    is_far = start < 0 or start > _LATE  # it wraps after 26 hours, when FFmpeg counts below 0
    return int(start) if is_far and container.format.name in _CLOCKS else 0
