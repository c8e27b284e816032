"""Makes LR pictures from HR ones by the degradations of the field, as `widesr degrade`."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from os.path import lexists
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from widesr.cli import options, values
from widesr.cli.outcomes import report_outcomes
from widesr.cli.pipes import piped
from widesr.errors import ImageFormatError, UsageError
from widesr.system.folders import is_folder

if TYPE_CHECKING:
    from widesr.batch.jobs import Job
    from widesr.pictures.picture import Picture


def degrade_pictures(
    output: Annotated[
        values.Output,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            parser=values.output,
            help="A file for one picture, a folder for more. A name that ends in / is made as a "
            "folder, and - is standard output.",
        ),
    ],
    scale: options.Shrink,
    inputs: options.Inputs = None,
    input_option: options.InputOption = None,
    degradation: Annotated[
        str,
        typer.Option(
            "--degradation",
            metavar="NAME",
            help="How detail is lost: bicubic, bd, unknown, mild, difficult, wild, realistic, "
            "realistic-light, second-order-light or second-order.",
        ),
    ] = "bicubic",
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            help="The seed of what is random, beside the file's name; a pack holds 0 to 3.",
        ),
    ] = 0,
    edges: Annotated[
        Literal["symmetric", "replicate"],
        typer.Option(
            help="Mirror the picture beyond its border, as MATLAB does today, or repeat its edge, "
            "as older MATLAB did.",
        ),
    ] = "symmetric",
    float_arithmetic: Annotated[
        bool,
        typer.Option("--float", help="Round once at the end, and not between the two passes too."),
    ] = False,
    overwrite: options.Overwrite = False,
    skip_existing: options.SkipExisting = False,
    recursive: options.Recursive = False,
    max_pixels: options.MaxPixels = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    _verbose: options.Verbose = 0,
) -> None:
    """Shrink pictures by MATLAB's bicubic, as published LR pictures were made, or spoil them more.

    Each is first cropped to a multiple of the scale. The pictures of a folder are written as PNG,
    so that no value changes.
    """
    from widesr.batch.jobs import plan_jobs
    from widesr.batch.many import transform_many
    from widesr.batch.settings import FileSettings
    from widesr.pictures.reading import read_header

    if degradation == "bicubic":
        shrunk = _by_bicubic(scale, edges=edges, float_arithmetic=float_arithmetic)
    elif edges != "symmetric" or float_arithmetic:
        raise UsageError(
            f"--edges and --float belong to bicubic, but the degradation is {degradation}"
        )
    else:
        shrunk = _by_name(degradation, scale=scale, seed=seed)
    existing = options.existing(overwrite=overwrite, skip=skip_existing)
    given = options.gather_inputs(inputs, input_option)
    with piped(given, output, as_json=as_json) as pictures:
        sources, into = pictures.inputs, pictures.output or output
        one_file = len(sources) == 1 and not is_folder(sources[0])
        one_file = one_file and not (into.is_folder or is_folder(into.path))
        if one_file and not skip_existing and not lexists(sources[0]):
            read_header(sources[0])  # reports the missing input before any fault of the output
        jobs = plan_jobs(
            sources,
            output=into.path,
            into_folder=into.is_folder,
            name_end="",
            format=None if one_file else "png",
            recursive=recursive,
        )
        report_outcomes(
            lambda _, on_outcome: transform_many(
                jobs,
                transform=shrunk,
                settings=FileSettings(**options.limits(max_pixels=max_pixels)),
                existing=existing,
                on_outcome=on_outcome,
            ),
            jobs=jobs,
            by="imresize" if degradation == "bicubic" else degradation,
            as_json=as_json,
            quiet=quiet or pictures.into_pipe,
        )


_Shrunk = Callable[["Picture", "Job"], "Picture"]


def _by_bicubic(
    scale: int, *, edges: Literal["symmetric", "replicate"], float_arithmetic: bool
) -> _Shrunk:
    """Make the function that shrinks colours and opacity of any depth by bicubic."""
    from widesr.degrade.bicubic import degrade

    less = partial(
        degrade,
        scale=scale,
        edges=edges,
        arithmetic="float" if float_arithmetic else "integer",
    )
    return lambda picture, _: picture.with_planes(less)


def _by_name(degradation: str, *, scale: int, seed: int) -> _Shrunk:
    """Make the function that shrinks 8-bit colours as training does, and opacity by bicubic."""
    import numpy as np

    from widesr.degrade.bicubic import degrade
    from widesr.degrade.named import DEGRADATIONS, photograph_seed

    if degradation not in DEGRADATIONS:
        raise UsageError(
            f"degradation {degradation} is not known; expected one of {', '.join(DEGRADATIONS)}"
        )
    shrink = DEGRADATIONS[degradation].shrink

    def shrunk(picture: "Picture", job: "Job") -> "Picture":
        hr, alpha = picture.pixels, picture.alpha
        if hr.dtype != np.uint8:
            raise ImageFormatError(
                f"{job.source}: has 16 bits, but {degradation} takes 8; convert it, or take bicubic"
            )
        lr = shrink(
            hr.astype(np.uint8, copy=False),
            scale=scale,
            seed=photograph_seed(job.source.name, variant=seed),
        )
        return replace(
            picture, pixels=lr, alpha=None if alpha is None else degrade(alpha, scale=scale)
        )

    return shrunk
