"""Makes many plausible pictures of one, as `widesr samples`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from widesr.cli import engines, options, values
from widesr.cli.outcomes import end_command, error_as_json, sides_as_json, sides_as_line
from widesr.cli.terminal import print_error, print_json, print_line, progress_over

if TYPE_CHECKING:
    from widesr.batch.sampling import Sampled


def sample_pictures(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="INPUT", help="Pictures, folders or patterns.", readable=False),
    ] = None,
    input_option: options.InputOption = None,
    output: Annotated[
        values.Output | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            parser=values.output,
            help="A file whose name begins those of the samples of one picture, or a folder. A "
            "name that ends in / is made as a folder. Default: beside the input.",
        ),
    ] = None,
    scale: Annotated[
        Literal[2, 3, 4, 8],
        typer.Option("-s", "--scale", help="Output pixels per input pixel, as the model has it."),
    ] = 4,
    count: Annotated[
        int,
        typer.Option(
            "--count",
            metavar="N",
            parser=values.whole_number("count", most=99_999),
            help="The number of samples of each picture.",
        ),
    ] = 5,
    seed: Annotated[
        int, typer.Option(min=0, help="The seed of the first; the others have the next ones.")
    ] = 0,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="How much they differ; 1 is as the model learned.")
    ] = 1.0,
    model: Annotated[
        str, typer.Option("-n", "--model", metavar="NAME", help="A model that reads noise.")
    ] = "samples",
    challenge: Annotated[
        bool,
        typer.Option(
            "--challenge", help="Name files as NTIRE's challenge does: 000000_sample00000.png."
        ),
    ] = False,
    format: options.Format = None,  # noqa: A002 (users' word)
    quality: options.Quality = 95,
    lossless: options.Lossless = False,
    icc: options.Icc = "keep",
    metadata: options.Metadata = "keep",
    overwrite: options.Overwrite = False,
    recursive: options.Recursive = False,
    tile: engines.Tile = "auto",
    threads: engines.Threads = None,
    max_pixels: options.MaxPixels = None,
    max_memory: options.MaxMemory = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    _verbose: options.Verbose = 0,
) -> None:
    """Make several pictures of one, each with other detail, and a map of where they differ.

    photo.png becomes photo_x4_1.png, photo_x4_2.png and so on, and photo_x4_variance.png. Each
    shrinks back to the input, by MATLAB's bicubic. In the map what is bright is invented, and what
    is black is sure. The same seed gives the same pictures.
    """
    from widesr.batch.jobs import plan_jobs
    from widesr.batch.sampling import sample_many
    from widesr.batch.settings import UpscaleSettings
    from widesr.engine import EngineOptions
    from widesr.upscaling.sampling import load_sampler
    from widesr.upscaling.target import Target

    engine = EngineOptions(
        tile=values.tile(tile),
        threads=threads,
        seed=seed,
        temperature=temperature,
        **options.limits(max_memory=max_memory),
    )
    settings = UpscaleSettings(
        target=Target(scale=scale),
        model=model,
        engine=engine,
        format=format,
        quality=quality,
        lossless=lossless,
        icc=icc,
        metadata=metadata,
        **options.limits(max_pixels=max_pixels),
    )
    jobs = plan_jobs(
        options.gather_inputs(inputs, input_option),
        output=output and output.path,
        into_folder=output is not None and output.is_folder,
        name_end=settings.target.name_end,
        format=settings.format,
        recursive=recursive,
    )
    sampler = load_sampler(model, scale=scale, options=engine)
    failed = 0
    with progress_over([job.source.name for job in jobs], quiet=quiet) as show:
        for each in sample_many(
            jobs,
            count=count,
            seed=seed,
            settings=settings,
            sampler=sampler,
            challenge=challenge,
            overwrite=overwrite,
            on_progress=lambda done, _: show(done / count),
        ):
            if each.error:
                failed += 1
                print_error(each.error)
            if as_json:
                print_json(json.dumps(_as_json(each, sampler.model, seed)))
            elif not quiet and not each.error:
                print_line(_as_line(each, sampler.model))
    end_command(failed, of=len(jobs))


def _as_line(each: "Sampled", by: str) -> str:
    last = f" to {each.targets[-1].name}" if len(each.targets) > 1 else ""
    beside = f", {each.variance.name}" if each.variance else ""
    assert each.input_size is not None
    assert each.output_size is not None
    sizes = sides_as_line(each.input_size, each.output_size)
    return f"{each.source} -> {each.targets[0]}{last}{beside}  {sizes}  {by}  {each.seconds:.1f} s"


def _as_json(each: "Sampled", by: str, seed: int) -> dict[str, Any]:
    return {
        "input": str(each.source),
        "outputs": [str(target) for target in each.targets],
        "variance": str(each.variance) if each.variance else None,
        "seeds": [seed + i for i in range(len(each.targets))],
        "status": "failed" if each.error else "done",
        "model": by,
        **sides_as_json(each.input_size, each.output_size),
        "seconds": round(each.seconds, 3),
        "error": error_as_json(each.error),
    }
