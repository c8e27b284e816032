"""Upscales a clip in one call, or frames that someone else decodes."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Unpack

from widesr.engine import EngineOptions, EngineSettings, model_name
from widesr.errors import ShapeError, UsageError
from widesr.pictures.picture import MAX_PIXELS
from widesr.system.arguments import check_flag, path_of
from widesr.system.progress import ignore
from widesr.upscaling.base import AnyUpscaler
from widesr.upscaling.conversion import check_pixels
from widesr.upscaling.target import Target
from widesr.video.colour import Plane
from widesr.video.decoding import Damaged
from widesr.video.encoding import Codec
from widesr.video.frames import MAX_MEMORY, FrameUpscaler, SingleFrames, load_frame_upscaler
from widesr.video.scenes import CutDetector, scenes
from widesr.video.upscale import Progress, VideoResult, output_beside, plan_work, upscale_clip


def upscale_video(
    path: Path | str,
    out: Path | str | None = None,
    *,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    longest: int | None = None,
    fit: tuple[int, int] | None = None,
    model: str | os.PathLike[str] | AnyUpscaler | FrameUpscaler = "default",
    codec: Codec | None = None,
    crf: int | None = None,
    lossless: bool = False,
    deinterlace: bool = False,
    damaged: Damaged = "refuse",
    overwrite: bool = False,
    fps: float | None = None,
    max_pixels: int = MAX_PIXELS,
    on_progress: Progress = ignore,
    **settings: Unpack[EngineSettings],
) -> VideoResult:
    """Upscale a clip: every frame keeps its time, and all other streams are copied.

    The output appears only once it is whole. If the call is stopped or the process killed, the same
    call resumes the work, and makes at most the last segment of frames again.

    Args:
        path: The clip, or a folder of pictures that are its frames, with `fps`.
        out: The output; its ending names the container. None writes beside the clip: clip_x2.mp4.
        scale: Output pixels per input pixel, along each axis, at most 8; 2 if no size is given.
        width: The width of the output in pixels, instead of a scale; the aspect is kept.
        height: The same for the height.
        longest: The same for the longer side.
        fit: (width, height) of a box that the output fills as far as its aspect allows.
        model: A name, as for `Upscaler.load`, or a loaded upscaler, for which neither a size nor
            settings may be given.
        codec: "h264", "hevc", "av1", "vp9", "ffv1" or "prores"; None is HEVC for HEVC and HDR, else
            H.264; in WebM it is AV1 for AV1, else VP9.
        crf: The encoder's quality setting, on the scale of its codec: lower is better.
        lossless: Encode without loss.
        deinterlace: Merge the two fields of an interlaced clip into one picture; such a clip is
            refused otherwise.
        damaged: "refuse" a clip with frames that cannot be decoded, or "repeat" the last good one.
        overwrite: Replace an output that exists.
        fps: The frames per second of a folder of pictures.
        max_pixels: The largest picture that is decoded.
        on_progress: Called after each frame with the number of frames done and the approximate
            total.
        **settings: The settings of `Upscaler.load`: `tile`, `threads`, `precision` and others.

    Raises:
        VideoReadError: The clip is missing, damaged, encrypted, or holds no video.
        VideoFormatError: The clip is Dolby Vision, interlaced or transparent, or the output's
            container cannot hold one of its streams.
        OutputExistsError: The output exists already.
        ImageWriteError: The output cannot be written.
        MissingExtraError: The extra `video` is not installed.
        WidesrError: The errors of `Upscaler.load`.
    """
    path = path_of(path, "the clip")
    flags = {"lossless": lossless, "deinterlace": deinterlace, "overwrite": overwrite}
    for name, value in flags.items():
        check_flag(value, name)
    upscaler: FrameUpscaler
    run_with: EngineOptions | None
    sizes = (scale, width, height, longest, fit)
    if isinstance(model, str | os.PathLike):
        target = Target(
            scale=2 if sizes == (None,) * 5 else scale,
            width=width,
            height=height,
            longest=longest,
            fit=fit,
        )
        run_with = EngineOptions(max_memory=MAX_MEMORY).but(**settings)
        upscaler = load_frame_upscaler(model_name(model), target=target, options=run_with)
        name_end = target.name_end
    elif sizes == (None,) * 5 and not settings:
        run_with = None
        upscaler = SingleFrames(model) if isinstance(model, AnyUpscaler) else model
        name_end = "_upscaled"
    else:
        raise UsageError(
            "a size or how to run it was given with a model that is loaded; give them where it is "
            "loaded"
        )
    work = plan_work(
        path,
        output_beside(path, name_end) if out is None else path_of(out, "out"),
        upscaler=upscaler,
        codec=codec,
        crf=crf,
        lossless=lossless,
        damaged=damaged,
        deinterlace=deinterlace,
        max_pixels=max_pixels,
        fps=fps,
        run_with=run_with,
    )
    return upscale_clip(work, overwrite=overwrite, on_progress=on_progress)


def upscale_frames(
    frames: Iterable[Plane], *, model: AnyUpscaler | FrameUpscaler
) -> Iterator[Plane]:
    """Upscale frames as they arrive: one comes out for each that goes in, in order.

    A frame that equals the one before it is not computed again. Networks that look at several
    frames start afresh at each new scene. Each array that comes out is the caller's own, and one
    that goes in may be filled anew as soon as the next is asked for.

    Args:
        frames: uint8 or uint16, RGB (H, W, 3) or grey (H, W, 1), all of one size and type.
        model: A loaded upscaler, such as `Upscaler.load` gives.

    Raises:
        ShapeError: A frame is neither grey nor RGB, or differs from the first in size or type.
        UsageError: A frame is not an array, or the model is not loaded.
    """
    if not isinstance(model, AnyUpscaler) and not hasattr(model, "upscale_scene"):
        raise UsageError(
            f"{type(model).__name__} was given as the model, expected a loaded upscaler, such as "
            "Upscaler.load gives"
        )
    upscaler = SingleFrames(model) if isinstance(model, AnyUpscaler) else model
    cuts = CutDetector()
    first: tuple[Any, ...] | None = None

    def marked() -> Iterator[tuple[Plane, bool]]:
        nonlocal first
        for number, frame in enumerate(frames, start=1):
            check_pixels(frame)
            if frame.ndim != 3:
                expected = "(H, W, 1) or (H, W, 3)"
                raise ShapeError(f"frame {number} is {frame.shape}, expected {expected}")
            like = (frame.shape, frame.dtype)
            first = first or like
            if like != first:
                raise ShapeError(
                    f"frame {number} is {like[1]} {like[0]}, expected {first[1]} {first[0]} as the "
                    "first"
                )
            yield frame.copy(), cuts.begins(frame)

    for scene in scenes(marked()):
        for sr in upscaler.upscale_scene(scene):
            yield sr.copy()  # it may be given again
