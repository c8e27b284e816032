"""`widesr bench`: how fast a model is on this machine, and by which settings."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from widesr.cli import options
from widesr.cli.terminal import print_note, table
from widesr.errors import UsageError

if TYPE_CHECKING:
    from widesr.tune.speed import Bench, Speed

_PHOTO = 12
"""Megapixels of what people call a photograph."""


def measure_model(
    model: options.Model = "default",
    scale: Annotated[
        int,
        typer.Option(
            "-s", "--scale", metavar="N", parser=options.whole_number("scale"), help="Of the model."
        ),
    ] = 2,
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Measure a model on this machine, and let "auto" go by it from now on.

    It takes about a minute; do nothing else meanwhile. What is found is kept in your cache
    folder, and holds until the CPU or a runtime is another.
    """
    from widesr.engine import advice, find_model
    from widesr.engine.tuned import keep_best
    from widesr.models.catalog import BICUBIC
    from widesr.tune.speed import bench

    if model == BICUBIC:
        raise UsageError(f"{BICUBIC} is no network, there is nothing to choose for it")
    found = find_model(model, scale=scale)
    if not found.card.tiles:
        raise UsageError(f"{model} looks at the whole picture, there is nothing to choose for it")
    result = bench(found, threads=threads, tell=lambda doing: print_note(f"measuring {doing}"))
    try:
        kept = f"kept in {keep_best(result.weights_sha256, result.best)}"
    except OSError as error:
        kept = f"not kept: {error.strerror}"
    if as_json:
        typer.echo(result.model_dump_json(indent=2))
        return
    typer.echo("\n".join(_lines(result)))
    typer.echo(kept)
    print_note(advice())


def _lines(result: "Bench") -> list[str]:
    best = result.tiles[0]
    seconds = best.seconds_per_megapixel * _PHOTO * result.scale**2
    names = [f"{speed.backend} {speed.precision}" for speed in result.backends]
    settings = f"--backend {best.backend} --precision {best.precision} -t {best.tile}"
    return [
        f"{result.cpu}, {result.threads} threads; {result.model}",
        "",
        *_speeds("back end", result.backends, names),
        "",
        *_speeds("tile", result.tiles, [str(speed.tile) for speed in result.tiles]),
        "",
        f"best: {settings}; a photograph of {_PHOTO} megapixels takes about {seconds:.0f} s",
    ]


def _speeds(what: str, speeds: "Sequence[Speed]", names: Sequence[str]) -> list[str]:
    head = (what, "s per megapixel", "of peak")
    rows = [
        (name, f"{speed.seconds_per_megapixel:.3f}", f"{speed.share_of_peak:.0%}")
        for name, speed in zip(names, speeds, strict=True)
    ]
    return table([head, *rows])
