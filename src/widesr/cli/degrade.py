"""`widesr degrade`: the LR pictures of the field, from your HR ones."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from widesr.cli import options
from widesr.cli.outcomes import report_outcomes
from widesr.errors import UsageError
from widesr.folder import is_folder

if TYPE_CHECKING:
    from widesr.picture import Picture


def degrade_pictures(
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="PATH", help="A file for one picture, a folder for more."
        ),
    ],
    scale: options.Shrink,
    inputs: options.Inputs = None,
    input_option: options.InputOption = None,
    edges: Annotated[
        str,
        typer.Option(
            metavar="symmetric|replicate",
            help="Beyond the border: mirrored (MATLAB today), or repeated (older MATLAB).",
        ),
    ] = "symmetric",
    float_arithmetic: Annotated[
        bool,
        typer.Option("--float", help="Round once at the end, not between the two passes too."),
    ] = False,
    overwrite: options.Overwrite = False,
    skip_existing: options.SkipExisting = False,
    recursive: options.Recursive = False,
    max_pixels: options.MaxPixels = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Shrink pictures by MATLAB's bicubic, as published LR pictures were made.

    Each is first cropped to a multiple of the scale. The pictures of a folder are written as PNG,
    so that no value changes.
    """
    from widesr.batch import transform_many
    from widesr.degradation import degrade
    from widesr.jobs import plan_jobs

    if edges not in ("symmetric", "replicate"):
        raise UsageError(f"edges {edges!r} is not known; expected symmetric or replicate")

    less = partial(
        degrade,
        scale=scale,
        edges="replicate" if edges == "replicate" else "symmetric",
        arithmetic="float" if float_arithmetic else "integer",
    )

    def shrunk(picture: "Picture") -> "Picture":
        alpha = picture.alpha
        return replace(
            picture, pixels=less(picture.pixels), alpha=None if alpha is None else less(alpha)
        )

    sources = options.gather_inputs(inputs, input_option)
    one_file = len(sources) == 1 and not is_folder(sources[0]) and not is_folder(output)
    jobs = plan_jobs(
        sources,
        output=output,
        name_end="",
        format=None if one_file else "png",
        recursive=recursive,
    )
    outcomes = transform_many(
        jobs,
        transform=shrunk,
        existing=options.existing(overwrite=overwrite, skip=skip_existing),
        **options.pixel_limit(max_pixels),
    )
    report_outcomes(lambda _: outcomes, jobs=jobs, by="imresize", as_json=as_json, quiet=quiet)
