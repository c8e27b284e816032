"""Clips, where the extra `video` is installed: known by their first bytes, then made whole."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from widesr.engine import EngineOptions
from widesr.errors import ImageTooLargeError, MissingExtraError, VideoFormatError
from widesr.web.wishes import CLIP_FORMATS, Wishes
from widesr.web.work import Made, Watch

if TYPE_CHECKING:
    from widesr.video.clip import Glance

CLIPS = frozenset(("mp4", "mov", "mkv", "webm", "avi", "ts", "mpg"))
"""The kinds of clips that are taken, by their endings."""

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
"""The first bytes of containers. Nothing else is given to FFmpeg, which would follow a playlist."""

_IN, _OUT, _OUT_LARGE, _OUT_MUCH = 40, 150, 100, 220
"""Memory for a pixel of a clip and of its result: frames on their way, and those that codecs refer
to. H.264's encoder is told to hold fewer of the large ones, those of HEVC and AV1 hold many."""


def is_clip(source: str) -> bool:
    """Say whether a file that was taken in is a clip, by its name."""
    return source.rpartition(".")[2] in CLIPS


def kind_of_clip(head: bytes) -> str | None:
    """Tell which of `CLIPS` a file is by its first KiB; None for what is none that is taken.

    What is a picture must be known before: AVIF and HEIC begin as MP4 does.
    """
    return next((kind for sign, kind in _SIGNS if re.match(sign, head, re.DOTALL)), None)


def are_clips_taken() -> bool:
    """Say whether the extra `video` is installed."""
    try:
        check_extra()
    except MissingExtraError:
        return False
    return True


def check_extra() -> None:
    """Refuse clips where they cannot be decoded.

    Raises:
        MissingExtraError: The extra `video` is not installed.
    """
    from widesr.video.library import load_av

    load_av()


def look_at_clip(source: Path, wishes: Wishes, *, max_pixels: int) -> "Glance":
    """Read what a clip states.

    Raises:
        WidesrError: It holds no video, its frames are too large, or it cannot become what is asked.
    """
    from widesr.video.clip import check_progressive, glance
    from widesr.video.encoding import check_codec

    if wishes.format not in (None, *CLIP_FORMATS):
        raise VideoFormatError(
            f"{source}: a clip is no {wishes.format.upper()}; expected one of "
            f"{', '.join(CLIP_FORMATS)}",
            options=["format=mp4"],
        )
    if wishes.metadata == "strip":
        raise VideoFormatError(
            f"{source}: a clip keeps its metadata; they cannot be left out of it",
            options=["metadata=keep"],
        )
    out = _target(source, source.parent, wishes)
    check_codec(wishes.codec, out, crf=wishes.crf, lossless=wishes.lossless)
    clip = glance(source, max_pixels=max_pixels)
    check_progressive(source, interlaced=clip.interlaced, deinterlace=wishes.deinterlace)
    return clip


def clip_memory(source: Path, clip: "Glance", size: tuple[int, int], *, wishes: Wishes) -> int:
    """Forecast the bytes that a clip takes beside its network; `size` is (height, width) made."""
    from widesr.video.encoding import LARGE, container_of, default_codec

    made = size[0] * size[1]
    container = container_of(_target(source, source.parent, wishes))
    # What is HDR is not known before a frame is decoded; it has more than 8 bits.
    codec = wishes.codec or default_codec(clip.codec, container, is_hdr=clip.bits > 8)
    each = _OUT_MUCH if codec in ("hevc", "av1") else _OUT if made <= LARGE else _OUT_LARGE
    return (_IN * clip.height * clip.width + each * made) * (5 if clip.bits > 8 else 3) // 3


def clip_bytes(*, frames: int, size: tuple[int, int], wishes: Wishes) -> int:
    """Forecast the bytes of a result, on the high side."""
    is_large = wishes.lossless or wishes.codec in ("ffv1", "prores")
    return int(frames * size[0] * size[1] * (0.6 if is_large else 0.03))


def _target(source: Path, folder: Path, wishes: Wishes) -> Path:
    """Name the result, whose ending is that of its container."""
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
    """Make a clip larger, the whole file or none; one that was begun before is gone on with.

    Args:
        source: The clip.
        folder: The folder for the result.
        wishes: The options that the client asked for.
        options: The settings by which networks are run.
        watch: Called after each frame with the frames that are done, and those in all.
        max_pixels: The largest frame that is read, in pixels.
        most: The most pixels of the result, all frames together.

    Raises:
        WidesrError: A fault of the clip, or an error that `watch` raised.
    """
    from widesr.video.frames import load_frame_upscaler
    from widesr.video.upscale import plan_work, upscale_clip

    # The network is loaded for this clip alone: it remembers tiles of the frame before.
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
        if done * pixels > most:  # it has more frames than it says
            found = f"{source}: {done} frames of {work.encoding.width}x{work.encoding.height}"
            raise ImageTooLargeError(found=found, pixels=done * pixels, max_pixels=most)
        watch(done, frames)

    result = upscale_clip(work, overwrite=True, progress=on_frame)
    return Made.of(target, size=result.output_size, made_by=result.model, notices=result.notices)
