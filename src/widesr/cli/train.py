"""`widesr train`: a recipe and photographs in, weights out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from widesr.cli import options
from widesr.cli.terminal import progress
from widesr.errors import MissingExtraError

if TYPE_CHECKING:
    from widesr.train.loop import Progress


def train_network(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe's name, or a .toml file.")
    ],
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="HR photographs, in any folders below.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="Default: runs/RECIPE."),
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="Begin with this model (a name, or an .onnx file) or these weights "
            "(.safetensors); a smaller network grows.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the run in --out stopped.")
    ] = False,
    threads: options.Threads = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a network.

    Weights, a log and all that --resume needs go to the output folder at every validation, and
    when you press Ctrl-C.
    """
    try:
        from widesr.train.loop import train
        from widesr.train.recipe import load_recipe
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra="train", needed_for="training") from error

    parsed = load_recipe(recipe)
    out = out or Path("runs") / parsed.name
    with progress(parsed.optim.steps, quiet=quiet or as_json) as show:

        def report(now: "Progress") -> None:
            show(
                now.step,
                f"loss {now.loss:.5f}  {_validated(now)}  {now.images_per_second:.0f} images/s",
            )
            if as_json:
                typer.echo(json.dumps(now._asdict()))
            elif now.validated and not quiet:
                typer.echo(
                    f"step {now.step}/{now.steps}  loss {now.loss:.5f}  {_validated(now)}  "
                    f"{now.images_per_second:.0f} images/s  {_time(now.seconds_left)} left"
                )

        weights = train(
            parsed,
            data=data,
            out=out,
            resume=resume,
            start_from=start_from,
            threads=threads,
            report=report,
        )
    if not as_json and not quiet:
        typer.echo(f"{weights}  (next: widesr export {weights})")


def _validated(now: "Progress") -> str:
    return "not validated yet" if now.psnr is None else f"{now.psnr:.2f} dB PSNR-Y, benchmark-y"


def _time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
