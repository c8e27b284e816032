"""Clips, if the extra `video` is installed: recognised by their first bytes, then upscaled."""

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from widesr.engine import EngineOptions, find_model, load_engine
from widesr.errors import ImageTooLargeError, MissingExtraError, VideoFormatError
from widesr.web.wishes import CLIP_FORMATS, Wishes
from widesr.web.work import Made, Watch

if TYPE_CHECKING:
    from widesr.video.clip import Glance

CLIPS = frozenset(("mp4", "mov", "mkv", "webm", "avi", "ts", "mpg"))
"""The kinds of clips that are accepted, by their suffixes without the dot."""

_SIGNS = (
    (rb"....ftypqt  ", "mov"),
    (rb"....ftyp", "mp4"),
    (rb"....(moov|mdat|wide|free|skip)", "mov"),
    (rb"\x1a\x45\xdf\xa3.{,60}webm", "webm"),
    (rb"\x1a\x45\xdf\xa3", "mkv"),
    (rb"RIFF....AVI ", "avi"),
    (rb"\x47.{187}\x47.{187}\x47", "ts"),
    (rb"\x00\x00\x01\xba", "mpg"),
)
"""The first bytes of containers. FFmpeg gets no other file, because it would follow a playlist."""

_IN, _OUT, _OUT_LARGE, _OUT_MUCH = 40, 150, 100, 220
"""Bytes of memory per pixel of a clip (`_IN`) and of its result, for frames in flight and the
reference frames of codecs. The H.264 encoder is told to hold fewer large frames (`_OUT_LARGE`); the
encoders of HEVC and AV1 hold many frames (`_OUT_MUCH`)."""


def is_clip(source: str) -> bool:
    """Tell by its name whether an accepted file is a clip."""
    return source.rpartition(".")[2] in CLIPS


def kind_of_clip(head: bytes) -> str | None:
    """Tell which of `CLIPS` a file is by its first KiB; None if it is none of them.

    Rule out pictures first: AVIF and HEIC files begin as MP4 files do.
    """
    return next((kind for sign, kind in _SIGNS if re.match(sign, head, re.DOTALL)), None)


def are_clips_taken() -> bool:
    """Tell whether the extra `video` is installed."""
    try:
        check_extra()
    except MissingExtraError:
        return False
    return True


def check_extra() -> None:
    """Refuse clips if this installation cannot decode them.

    Raises:
        MissingExtraError: The extra `video` is not installed.
    """
    from widesr.video.library import load_av

    load_av()


def look_at_clip(source: Path, wishes: Wishes, *, max_pixels: int) -> "Glance":
    """Read what a clip states about itself, and check that it can be upscaled as asked.

    Raises:
        WidesrError: The clip holds no video, has frames that are too large, or cannot be upscaled
            with these options.
    """
    from widesr.video.clip import check_kept, check_progressive, glance
    from widesr.video.encoding import check_codec

    if wishes.format is not None and wishes.format not in CLIP_FORMATS:
        raise VideoFormatError(
            f"{source}: a clip is no {wishes.format.upper()}; expected one of "
            f"{', '.join(CLIP_FORMATS)}",
            options=["format=mp4"],
        )
    check_kept(source, icc=wishes.icc, metadata=wishes.metadata)
    out = _target(source, source.parent, wishes)
    check_codec(wishes.codec, out, crf=wishes.crf, lossless=wishes.lossless)
    clip = glance(source, max_pixels=max_pixels)
    check_progressive(source, interlaced=clip.interlaced, deinterlace=wishes.deinterlace)
    return clip


def clip_memory(source: Path, clip: "Glance", size: tuple[int, int], *, wishes: Wishes) -> int:
    """Forecast the memory for a clip beside its network, in bytes.

    `size` is the (height, width) of the result.
    """
    from widesr.video.encoding import LARGE, container_of, default_codec
    from widesr.video.temporal import find_temporal

    made = size[0] * size[1]
    container = container_of(_target(source, source.parent, wishes))
    # HDR is recognised only once a frame is decoded, but it always has more than 8 bits.
    codec = wishes.codec or default_codec(clip.codec, container, is_hdr=clip.bits > 8)
    each = _OUT_MUCH if codec in ("hevc", "av1") else _OUT if made <= LARGE else _OUT_LARGE
    frames = (_IN * clip.height * clip.width + each * made) * (5 if clip.bits > 8 else 3) // 3
    temporal = find_temporal(wishes.model, target=wishes.target)
    states = _bytes_of_states(temporal.path, temporal.card.weights_sha256) if temporal else 0
    return frames + states * clip.height * clip.width


@lru_cache(maxsize=8)
def _bytes_of_states(path: Path, weights_sha256: str) -> int:  # noqa: ARG001 (tells files apart)
    """Count the bytes per pixel of a clip for the state before a frame and the one after it."""
    # Only the loaded network tells how many channels its state has.
    engine = load_engine(find_model(path, scale=None), backend="onnxruntime", threads=1)
    return 2 * 4 * sum(state.channels or 0 for state in engine.inputs[1:])


def clip_bytes(*, frames: int, size: tuple[int, int], wishes: Wishes) -> int:
    """Forecast the size of a result's file in bytes, on the high side."""
    is_large = wishes.lossless or wishes.codec in ("ffv1", "prores")
    return int(frames * size[0] * size[1] * (0.6 if is_large else 0.03))


def _target(source: Path, folder: Path, wishes: Wishes) -> Path:
    """Name the result's file, with the suffix of its container."""
    from widesr.video.upscale import output_beside

    target = folder / output_beside(source, "").name
    return target if wishes.format is None else target.with_suffix(f".{wishes.format}")


def upscale_clip_file(
    source: Path,
    folder: Path,
    *,
    wishes: Wishes,
    options: EngineOptions,
    watch: Watch,
    max_pixels: int,
    most: int,
) -> Made:
    """Upscale a clip to a whole file or none, and resume one that was begun before.

    Args:
        source: The clip.
        folder: The folder for the result.
        wishes: The options that the client asked for.
        options: The settings with which networks are run.
        watch: Called after each frame with the number of frames done and in total.
        max_pixels: The largest frame that is read, in pixels.
        most: The most pixels of the result, all frames together.

    Raises:
        WidesrError: A fault of the clip, or an error that `watch` raised.
    """
    from widesr.video.frames import load_frame_upscaler
    from widesr.video.upscale import plan_work, upscale_clip

    # The network is loaded for this clip alone, because it remembers tiles of the last frame.
    upscaler = load_frame_upscaler(wishes.model, target=wishes.target, options=options)
    target = _target(source, folder, wishes)
    work = plan_work(
        source,
        target,
        upscaler=upscaler,
        codec=wishes.codec,
        crf=wishes.crf,
        lossless=wishes.lossless,
        damaged=wishes.damaged,
        deinterlace=wishes.deinterlace,
        max_pixels=max_pixels,
        run_with=options,
    )
    pixels = work.encoding.height * work.encoding.width

    def on_frame(done: int, frames: int) -> None:
        if done * pixels > most:  # the clip has more frames than it states
            found = f"{source}: {done} frames of {work.encoding.width}x{work.encoding.height}"
            raise ImageTooLargeError(found=found, pixels=done * pixels, max_pixels=most)
        watch(done, frames)

    result = upscale_clip(work, overwrite=True, on_progress=on_frame)
    return Made.of(target, size=result.output_size, made_by=result.model, notices=result.notices)
