"""Makes pictures larger, as `widesr upscale`."""

from os.path import lexists
from typing import TYPE_CHECKING, Annotated

import typer

from widesr.cli import engines, options, sizes, values
from widesr.cli.advice import recommend
from widesr.cli.outcomes import end_command, report_outcomes
from widesr.cli.pipes import piped
from widesr.cli.terminal import print_advice, print_line, print_note
from widesr.cli.video import (
    WORTH_TELLING,
    ClipOptions,
    CodecName,
    Crf,
    DamagedFrames,
    Deinterlace,
    FramesPerSecond,
    find_clips,
    upscale_clips,
)

if TYPE_CHECKING:
    from widesr.batch.estimates import Forecast


def upscale_pictures(
    inputs: options.Inputs = None,
    input_option: options.InputOption = None,
    output: Annotated[values.Output | None, options.OutputOption] = None,
    scale: sizes.Scale = None,
    width: sizes.Width = None,
    height: sizes.Height = None,
    longest: sizes.Longest = None,
    fit: sizes.Fit = None,
    model: options.Model = "default",
    crisp: options.Crisp = None,
    tile: engines.Tile = "auto",
    format: options.Format = None,  # noqa: A002 (users' word)
    quality: options.Quality = 95,
    lossless: options.Lossless = False,
    codec: CodecName = "auto",
    crf: Crf = None,
    deinterlace: Deinterlace = False,
    damaged: DamagedFrames = "refuse",
    fps: FramesPerSecond = None,
    icc: options.Icc = "keep",
    metadata: options.Metadata = "keep",
    self_ensemble: engines.SelfEnsemble = False,
    consistent: engines.Consistent = False,
    overwrite: options.Overwrite = False,
    skip_existing: options.SkipExisting = False,
    resume: options.Resume = False,
    recursive: options.Recursive = False,
    suffix: Annotated[
        str | None,
        typer.Option("--suffix", metavar="TEXT", help="The end of output names, instead of _x2."),
    ] = None,
    threads: engines.Threads = None,
    backend: engines.Backend = "auto",
    precision: engines.Precision = "auto",
    fast: engines.Fast = False,
    device: engines.Device = "auto",
    max_pixels: options.MaxPixels = None,
    max_memory: options.MaxMemory = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    _verbose: options.Verbose = 0,
) -> None:
    """Make pictures and clips larger.

    photo.jpg becomes photo_x2.jpg beside it, and the pictures of a folder go to folder_x2 under
    their own names. A size instead of a scale makes photo_1920w.jpg, and another model than the
    default photo_x2_best.jpg. Nothing is overwritten unless you say --overwrite, and an input
    never is. Of a clip, clip.mp4, each frame is made larger and all else is copied; the same
    command goes on with one that was stopped.
    """
    from widesr.batch.estimates import forecast
    from widesr.batch.jobs import plan_jobs
    from widesr.batch.many import upscale_many
    from widesr.batch.settings import UpscaleSettings
    from widesr.engine import EngineOptions, advice
    from widesr.models.catalog import BICUBIC, NEAREST
    from widesr.system.folders import count_others, is_folder
    from widesr.video.frames import MAX_MEMORY

    model = options.crisp_model(model, crisp)
    target = sizes.gather_target(scale, width=width, height=height, longest=longest, fit=fit)
    settings = UpscaleSettings(
        target=target,
        model=model,
        engine=EngineOptions(
            tile=values.tile(tile),
            self_ensemble=self_ensemble,
            consistent=consistent,
            threads=threads,
            backend=backend,
            precision=engines.gather_precision(precision, fast=fast),
            device=device,
            **options.limits(max_memory=max_memory),
        ),
        format=format,
        quality=quality,
        lossless=lossless,
        icc=icc,
        metadata=metadata,
        **options.limits(max_pixels=max_pixels),
    )
    existing = options.existing(overwrite=overwrite, skip=skip_existing)
    given = options.gather_inputs(inputs, input_option)
    clips, given = find_clips(
        given,
        output=output,
        name_end=target.name_end + options.model_end(model),
        suffix=suffix,
        format=settings.format,
        recursive=recursive,
    )
    clips_failed = 0
    if clips:
        clips_failed = upscale_clips(
            clips,
            model,
            ClipOptions(
                target=target,
                codec=codec,
                crf=crf,
                quality=quality,
                lossless=lossless,
                deinterlace=deinterlace,
                damaged=damaged,
                fps=fps,
                icc=icc,
                metadata=metadata,
                existing=existing,
                max_pixels=options.limits(max_pixels=max_pixels),
            ),
            settings.engine if max_memory else settings.engine.but(max_memory=MAX_MEMORY),
            is_all=not given,
            as_json=as_json,
            quiet=quiet,
        )
        if not given:
            end_command(clips_failed, of=len(clips))
            return
    with piped(given, output, as_json=as_json) as pictures:
        jobs = plan_jobs(
            pictures.inputs,
            output=pictures.output and pictures.output.path,
            into_folder=pictures.output is not None and pictures.output.is_folder,
            name_end=target.name_end + options.model_end(model),
            suffix=suffix,
            format=settings.format,
            recursive=recursive,
        )
        upscaler = settings.load()
        if not quiet:
            _tell(forecast(jobs, settings=settings, upscaler=upscaler, overwrite=overwrite))
        if not quiet and not as_json:
            to_do = [job.source for job in jobs if overwrite or not lexists(job.target)]
            print_advice(recommend(to_do, model=model))
        if not quiet and model not in (BICUBIC, NEAREST) and "auto" in (backend, precision):
            print_note(advice())
        has_folder = any(job.root for job in jobs)
        report_outcomes(
            lambda on_progress, on_outcome: upscale_many(
                jobs,
                settings=settings,
                upscaler=upscaler,
                existing=existing,
                resume=resume,
                on_progress=on_progress,
                on_outcome=on_outcome,
            ),
            jobs=jobs,
            by=upscaler.model,
            made_by=upscaler.made_by,
            go_on="--resume" if has_folder else "--skip-existing",
            as_json=as_json,
            quiet=quiet or pictures.into_pipe,
            passed_over=sum(
                count_others(each, recursive=recursive, but=output and output.path)
                for each in given
                if is_folder(each)
            ),
            clips_done=len(clips) - clips_failed,
        )
    end_command(clips_failed, of=len(clips) + len(jobs))


def _tell(to_come: "Forecast | None") -> None:
    from widesr.system.text import readable_size

    if to_come is None or to_come.seconds < WORTH_TELLING:
        return
    minutes = to_come.seconds / 60
    time = f"{max(minutes, 1):.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
    pictures = f"{to_come.pictures} picture{'s' if to_come.pictures > 1 else ''}"
    most = readable_size(to_come.most_bytes)
    print_line(f"widesr: {pictures}: about {time}, at most {most} on the disk", err=True)
