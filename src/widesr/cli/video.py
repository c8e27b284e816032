"""Finds the clips among the inputs of `widesr upscale`, upscales them, and reports each."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os.path import lexists, realpath
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from widesr.cli import values
from widesr.cli.outcomes import error_as_json, sides_as_json, sides_as_line
from widesr.cli.pipes import PIPE
from widesr.cli.terminal import clock, print_error, print_json, print_line, progress
from widesr.errors import OutputExistsError, UsageError, WidesrError, output_exists
from widesr.system.folders import CLIP_SUFFIXES, PICTURE_SUFFIXES, is_folder, pictures_in

if TYPE_CHECKING:
    from widesr.engine import EngineOptions
    from widesr.upscaling.target import Target
    from widesr.video.frames import FrameUpscaler
    from widesr.video.upscale import Progress, VideoResult, Work

WORTH_TELLING = 20
"""Seconds; the forecast of a run is printed if it takes at least this long."""

AnyCodec = Literal["auto", "h264", "hevc", "av1", "vp9", "ffv1", "prores"]

CodecName = Annotated[
    AnyCodec,
    typer.Option(
        "--codec", help="The codec of clips; auto takes HEVC for HEVC, VP9 in WebM, or H.264."
    ),
]
Crf = Annotated[
    int | None,
    typer.Option(
        "--crf", metavar="N", min=0, max=63, help="The quality of clips; less is better. H.264: 17."
    ),
]
Deinterlace = Annotated[
    bool,
    typer.Option("--deinterlace", help="Make one picture of both fields of interlaced clips."),
]
DamagedFrames = Annotated[
    Literal["refuse", "repeat"],
    typer.Option(
        "--damaged",
        help="Refuse clips with frames that cannot be decoded, or repeat the last good frame.",
    ),
]
FramesPerSecond = Annotated[
    float | None,
    typer.Option(
        "--fps", metavar="N", min=0.01, max=1000, help="Frames a second, of a folder of frames."
    ),
]


@dataclass(frozen=True, kw_only=True)
class ClipOptions:
    """The user's options for clips."""

    target: "Target"
    codec: AnyCodec
    crf: int | None
    quality: int
    lossless: bool
    deinterlace: bool
    damaged: Literal["refuse", "repeat"]
    fps: float | None
    icc: str
    metadata: str
    existing: Literal["refuse", "overwrite", "skip"]
    max_pixels: dict[str, int]
    """The limit as a keyword argument `max_pixels` for the library; empty for its default."""


def find_clips(
    inputs: list[Path],
    *,
    output: values.Output | None,
    name_end: str,
    suffix: str | None,
    format: str | None,  # noqa: A002 (users' word)
    recursive: bool,
) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Pair each clip with its output; return the pairs, and the inputs that are not clips.

    Raises:
        UsageError: Several clips, or clips and other inputs, would go to one output file; or a clip
            would go to standard output.
    """
    from widesr.batch.jobs import folder_beside

    pairs: list[tuple[Path, Path]] = []
    rest: list[Path] = []
    file = output.path if output and output.path.suffix and not output.is_folder else None
    if file and is_folder(file):
        file = None
    for each in inputs:
        if each == PIPE:  # even if there is a folder of this name
            rest.append(each)
        elif is_folder(each) and file and file.suffix.lower() in CLIP_SUFFIXES:
            pairs.append((each, file))  # its pictures are the frames
        elif is_folder(each):
            root = output.path if output else folder_beside(each, name_end)
            found, has_others = _clips_in(each, root, suffix or "", format, recursive=recursive)
            pairs += found
            if has_others:
                rest.append(each)
        elif each.suffix.lower() not in CLIP_SUFFIXES:
            rest.append(each)
        elif file:
            pairs.append((each, file))
        elif output:
            pairs.append((each, _named(each, output.path, suffix or "", format)))
        else:
            end = name_end if suffix is None else suffix
            pairs.append((each, _named(each, each.parent, end, format)))
    if pairs and output and output.path == PIPE:
        raise UsageError("a clip cannot go to standard output; name a file or a folder for it")
    pairs = list(dict.fromkeys(pairs))  # a clip that was named twice is one job
    if file:
        for target, count in Counter(target for _, target in pairs).items():
            if count > 1:
                raise UsageError(f"{count} clips would be written to {target}; give a folder")
        if pairs and rest:
            raise UsageError(f"{len(inputs)} inputs cannot go into the one file {file}")
    return pairs, rest


def _clips_in(
    folder: Path,
    root: Path,
    end: str,
    format: str | None,  # noqa: A002 (users' word)
    *,
    recursive: bool,
) -> tuple[list[tuple[Path, Path]], bool]:
    """Pair the clips of a folder with their outputs below `root`; tell if other inputs are in it.

    The answer is also True for a folder without clips, and for one with a subfolder that cannot be
    listed, so that the code that lists pictures deals with them.
    """
    shut: dict[Path, WidesrError] = {}
    files = pictures_in(
        folder,
        recursive=recursive,
        but=root,
        unlisted=shut.__setitem__,
        suffixes=CLIP_SUFFIXES | PICTURE_SUFFIXES,
    )
    clips = [file for file in files if file.suffix.lower() in CLIP_SUFFIXES]
    pairs = [
        (clip, _named(clip, root / clip.parent.relative_to(folder), end, format)) for clip in clips
    ]
    return pairs, not clips or bool(shut) or len(clips) < len(files)


def _named(clip: Path, folder: Path, end: str, format: str | None) -> Path:  # noqa: A002
    from widesr.video.upscale import output_beside

    beside = output_beside(clip, end)
    return folder / (beside.name if format is None else f"{clip.stem}{end}.{format.lstrip('.')}")


def upscale_clips(
    pairs: list[tuple[Path, Path]],
    model: str,
    asked: ClipOptions,
    engine: "EngineOptions",
    *,
    is_all: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Upscale clips one after another, and print the outcome of each.

    Args:
        pairs: The inputs and outputs.
        model: The model's name.
        asked: The user's options for the clips.
        engine: The settings with which the network is run.
        is_all: True if no other inputs follow.
        as_json: Print JSON instead of text.
        quiet: Print errors only.

    Raises:
        WidesrError: The only input failed, or the model cannot be used and no other inputs follow.

    Returns:
        The number of clips that failed.
    """
    from widesr.video.frames import load_frame_upscaler

    try:
        upscaler = load_frame_upscaler(model, target=asked.target, options=engine)
    except WidesrError as error:
        if is_all:
            raise
        print_error(error)  # pictures among the inputs need no decoder of clips
        return len(pairs)
    failed = done = 0
    begin = time.perf_counter()
    sources: defaultdict[Path, list[Path]] = defaultdict(list)
    for source, target in pairs:
        sources[target].append(source)
    inputs = {realpath(source) for source, _ in pairs}
    for source, target in pairs:
        try:
            _check_alone(source, target, sources[target])
            if realpath(target) in inputs:
                raise OutputExistsError(f"{target}: is an input too; name another output")
            if asked.existing != "overwrite" and _is_there(target):
                if asked.existing == "skip":
                    _say_skipped(source, target, as_json=as_json, quiet=quiet)
                    continue
                raise output_exists(target)
            result = _one(source, target, upscaler, asked, engine, quiet=quiet)
        except WidesrError as error:
            if is_all and len(pairs) == 1 and not as_json:
                raise
            failed += 1
            print_error(error)
            if as_json:
                _print_not_made(source, target, "failed", error)
            continue
        done += 1
        if as_json:
            print_json(json.dumps(_as_json(result)))
        elif not quiet:
            print_line(_as_line(result))
    if len(pairs) > 1 and not as_json and not quiet:
        seconds = time.perf_counter() - begin
        print_line(f"{len(pairs)} clips: {done} done, {failed} failed  {seconds:.1f} s")
    return failed


def _is_there(target: Path) -> bool:
    """Say whether a clip, or the pictures that a pattern names, exist already."""
    from widesr.video.sequence import are_there, is_pattern

    return are_there(target) if is_pattern(target) else lexists(target)


def _check_alone(source: Path, target: Path, sources: list[Path]) -> None:
    """Refuse a clip if others, such as clip.avi beside clip.mkv, would be written to its output.

    Raises:
        UsageError: `sources`, the clips with this output, are several.
    """
    others = [str(other) for other in sources if other != source]
    if others:
        raise UsageError(
            f"{source}: would be written to {target}, and so would {' and '.join(others)}; "
            "rename one, or give each an output of its own"
        )


def _one(
    source: Path,
    target: Path,
    upscaler: "FrameUpscaler",
    asked: ClipOptions,
    engine: "EngineOptions",
    *,
    quiet: bool,
) -> "VideoResult":
    from widesr.batch.jobs import make_folder
    from widesr.video.clip import check_kept, glance
    from widesr.video.sequence import is_pattern
    from widesr.video.upscale import plan_work, upscale_clip, upscale_into_pictures

    overwrite = asked.existing == "overwrite"
    if is_pattern(target):
        _check_for_pictures(target, asked)
        n_frames = glance(source, **asked.max_pixels).frames
        with _frames_shown(source, n_frames, quiet=quiet) as frame_done:
            return upscale_into_pictures(
                source,
                target,
                upscaler=upscaler,
                deinterlace=asked.deinterlace,
                damaged=asked.damaged,
                quality=asked.quality,
                lossless=asked.lossless,
                overwrite=overwrite,
                run_with=engine,
                on_progress=frame_done,
                **asked.max_pixels,
            )
    check_kept(source, icc=asked.icc, metadata=asked.metadata)
    work = plan_work(
        source,
        target,
        upscaler=upscaler,
        codec=None if asked.codec == "auto" else asked.codec,
        crf=asked.crf,
        lossless=asked.lossless,
        deinterlace=asked.deinterlace,
        damaged=asked.damaged,
        fps=asked.fps,
        run_with=engine,
        **asked.max_pixels,
    )
    if not quiet:
        _tell_forecast(work)
    make_folder(target.parent)
    with _frames_shown(source, work.clip.frames, quiet=quiet) as frame_done:
        return upscale_clip(work, overwrite=overwrite, on_progress=frame_done)


def _check_for_pictures(target: Path, asked: ClipOptions) -> None:
    """Refuse options that only clips have.

    Raises:
        UsageError: There is such an option.
    """
    given = {
        "--codec": asked.codec != "auto",
        "--crf": asked.crf is not None,
        "--fps": asked.fps is not None,
    }
    if flags := [flag for flag, is_given in given.items() if is_given]:
        raise UsageError(
            f"{target}: pictures do not take {' and '.join(flags)}; leave it out, or write a clip"
        )


@contextmanager
def _frames_shown(source: Path, n_frames: int, *, quiet: bool) -> Iterator["Progress"]:
    """Show the progress of a clip, and say how to go on if it is stopped.

    Args:
        source: The clip.
        n_frames: The approximate number of its frames; 0 if it is not known.
        quiet: Show nothing.

    Yields:
        A function to call after each frame with the number of frames done and in all.
    """
    start, reached, before = time.perf_counter(), 0, 0
    with progress(n_frames or 1, quiet=quiet) as show:

        def frame_done(done: int, total: int) -> None:
            nonlocal reached, before
            reached, before = done, before or done - 1  # the frames that an earlier run had made
            fps = (done - before) / max(time.perf_counter() - start, 1e-9)
            show(done * (n_frames or 1) / total, f"{done}/{total} frames  {fps:.3g} fps")

        try:
            yield frame_done
        except (KeyboardInterrupt, SystemExit):
            if not quiet:
                print_line(
                    f"widesr: stopped: {reached} frames of {source} were done; give the same "
                    "command again to go on",
                    err=True,
                )
            raise


def _tell_forecast(work: "Work") -> None:
    from widesr.system.text import readable_size
    from widesr.video.estimate import forecast

    coming = forecast(work)
    if coming.seconds >= WORTH_TELLING:
        print_line(
            f"widesr: {work.clip.path}: {coming.frames} frames, about {clock(coming.seconds)}, "
            f"about {readable_size(coming.bytes)} on the disk",
            err=True,
        )


def _as_line(result: "VideoResult") -> str:
    fps = (result.frames - result.resumed) / max(result.seconds, 1e-9)
    line = (
        f"{result.source} -> {result.target}  "
        f"{sides_as_line(result.input_size, result.output_size)}  {result.model}  {result.codec}  "
        f"{result.frames} frames  {result.seconds:.1f} s  {fps:.3g} fps"
    )
    if result.resumed:
        line += f"  (resumed at frame {result.resumed})"
    return line + "".join(f"  ({notice})" for notice in result.notices)


def _as_json(result: "VideoResult") -> dict[str, Any]:
    return {
        "input": str(result.source),
        "output": str(result.target),
        "status": "done",
        "model": result.model,
        **sides_as_json(result.input_size, result.output_size),
        "frames": result.frames,
        "resumed": result.resumed,
        "codec": result.codec,
        "notices": list(result.notices),
        "seconds": round(result.seconds, 3),
        "error": None,
    }


def _print_not_made(
    source: Path, target: Path, status: str, error: WidesrError | None = None
) -> None:
    """Print the JSON of a clip that was not made."""
    found = {"input": str(source), "output": str(target), "status": status}
    print_json(json.dumps(found | {"error": error_as_json(error)}))


def _say_skipped(source: Path, target: Path, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        _print_not_made(source, target, "skipped")
    elif not quiet:
        print_line(f"{source} -> {target}  skipped: the output exists")
