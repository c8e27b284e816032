"""`widesr upscale`: pictures in, larger pictures out."""

from functools import partial
from os.path import lexists
from typing import TYPE_CHECKING, Annotated, cast

import typer

from widesr.cli import options
from widesr.cli.advice import recommend
from widesr.cli.outcomes import report_outcomes
from widesr.cli.pipes import piped
from widesr.cli.terminal import print_advice, print_line, print_note

if TYPE_CHECKING:
    from widesr.batch.estimates import Forecast
    from widesr.engine import Backend, Device, Precision
    from widesr.pictures.adapt import Icc, Kept

_WORTH_TELLING = 20
"""Seconds from which on people want to know how long it takes."""


def upscale_pictures(
    inputs: options.Inputs = None,
    input_option: options.InputOption = None,
    output: Annotated[options.Output | None, options.OutputOption] = None,
    scale: options.Scale = None,
    width: options.Width = None,
    height: options.Height = None,
    longest: options.Longest = None,
    fit: options.Fit = None,
    model: options.Model = "default",
    tile: options.Tile = "auto",
    format: Annotated[  # noqa: A002 (users' word)
        str | None,
        typer.Option(
            "-f", "--format", metavar="png|jpg|webp|tiff|avif|gif", help="Default: as the input."
        ),
    ] = None,
    quality: Annotated[
        int,
        typer.Option(
            "-q",
            "--quality",
            metavar="1..100",
            parser=options.whole_number("quality", most=100),
            help="Of JPEG, WebP and AVIF.",
        ),
    ] = 95,
    lossless: options.Lossless = False,
    icc: options.Icc = "keep",
    metadata: options.Metadata = "keep",
    self_ensemble: options.SelfEnsemble = False,
    consistent: options.Consistent = False,
    overwrite: options.Overwrite = False,
    skip_existing: options.SkipExisting = False,
    resume: options.Resume = False,
    recursive: options.Recursive = False,
    suffix: Annotated[
        str | None,
        typer.Option("--suffix", metavar="TEXT", help="End of output names, instead of _x2."),
    ] = None,
    threads: options.Threads = None,
    backend: options.Backend = "auto",
    precision: options.Precision = "auto",
    fast: options.Fast = False,
    device: options.Device = "auto",
    max_pixels: options.MaxPixels = None,
    max_memory: options.MaxMemory = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    _verbose: options.Verbose = 0,
) -> None:
    """Make pictures larger.

    photo.jpg becomes photo_x2.jpg beside it; the pictures of a folder go to folder_x2, under
    their own names; with a size instead of a scale, as photo_1920w.jpg, and with another model than
    the default, as photo_x2_best.jpg. Nothing is overwritten unless you say --overwrite, and no
    input ever.
    """
    from widesr.batch.estimates import forecast
    from widesr.batch.jobs import plan_jobs
    from widesr.batch.many import upscale_many
    from widesr.engine import EngineOptions, advice
    from widesr.models.catalog import BICUBIC, NEAREST
    from widesr.system.folders import count_others, is_folder
    from widesr.upscaling.resize_to import load_upscaler

    target = options.gather_target(scale, width=width, height=height, longest=longest, fit=fit)
    given = options.gather_inputs(inputs, input_option)
    with piped(given, output, as_json=as_json) as pictures:
        jobs = plan_jobs(
            pictures.inputs,
            output=pictures.output and pictures.output.path,
            into_folder=pictures.output is not None and pictures.output.is_folder,
            name_end=target.name_end + options.model_end(model),
            suffix=suffix,
            format=None if format == "auto" else format,
            recursive=recursive,
        )
        upscaler = load_upscaler(
            model,
            target=target,
            options=EngineOptions(
                tile=options.parse_tile(tile),
                self_ensemble=self_ensemble,
                consistent=consistent,
                threads=threads,
                backend=cast("Backend", backend),
                precision=cast("Precision", options.gather_precision(precision, fast=fast)),
                device=cast("Device", device),
                **options.memory_limit(max_memory),
            ),
        )
        limit = options.pixel_limit(max_pixels)
        if not quiet:
            _tell(forecast(jobs, upscaler=upscaler, quality=quality, overwrite=overwrite, **limit))
        if not quiet and not as_json:
            to_do = [job.source for job in jobs if overwrite or not lexists(job.target)]
            print_advice(recommend(to_do, model=model))
        if not quiet and model not in (BICUBIC, NEAREST) and "auto" in (backend, precision):
            print_note(advice())
        outcomes = partial(
            upscale_many,
            jobs,
            upscaler=upscaler,
            existing=options.existing(overwrite=overwrite, skip=skip_existing),
            resume=resume,
            settings={"size": target.name_end.removeprefix("_")},
            quality=quality,
            lossless=lossless,
            icc=cast("Icc", icc),
            metadata=cast("Kept", metadata),
            **limit,
            **options.memory_limit(max_memory),
        )
        has_folder = any(job.root for job in jobs)
        report_outcomes(
            lambda computed, ended: outcomes(progress=computed, ended=ended),
            jobs=jobs,
            by=upscaler.model,
            made_by=upscaler.made_by,
            go_on="--resume" if has_folder else "--skip-existing",
            worded=pictures.worded,
            as_json=as_json,
            quiet=quiet or pictures.into_pipe,
            passed_over=sum(
                count_others(each, recursive=recursive, but=output and output.path)
                for each in given
                if is_folder(each)
            ),
        )


def _tell(to_come: "Forecast | None") -> None:
    from widesr.system.text import readable_size

    if to_come is None or to_come.seconds < _WORTH_TELLING:
        return
    minutes = to_come.seconds / 60
    time = f"{max(minutes, 1):.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
    pictures = f"{to_come.pictures} picture{'s' if to_come.pictures > 1 else ''}"
    most = readable_size(to_come.most_bytes)
    print_line(f"widesr: {pictures}: about {time}, at most {most} on the disk", err=True)
