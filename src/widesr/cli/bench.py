"""Measures how fast a model is on this machine, and with which settings, as `widesr bench`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from widesr.cli import engines, options, values
from widesr.cli.terminal import print_json, print_lines, print_note, table
from widesr.errors import UsageError

if TYPE_CHECKING:
    from widesr.tune.speed import Bench, Speed

_PHOTO = 12
"""The megapixels of an ordinary photograph."""


def measure_model(
    model: options.Model = "default",
    scale: Annotated[
        int,
        typer.Option(
            "-s",
            "--scale",
            metavar="N",
            parser=values.whole_number("scale"),
            help="The scale of the model.",
        ),
    ] = 2,
    threads: engines.Threads = None,
    backend: engines.Backend = "auto",
    precision: engines.Precision = "auto",
    as_json: options.Json = False,
) -> None:
    """Measure a model on this machine, and let "auto" go by it from now on.

    It takes about a minute; do nothing else meanwhile. The result is kept in your cache folder
    until the CPU or a runtime changes. With --backend or --precision only that is measured, and
    nothing is kept.
    """
    from widesr.engine import advice, find_model
    from widesr.engine.tuned import keep_best
    from widesr.models.catalog import BICUBIC
    from widesr.tune.speed import bench

    if model == BICUBIC:
        raise UsageError(f"{BICUBIC} is no network, so there is nothing to measure")
    found = find_model(model, scale=scale)
    if not found.card.tiles:
        raise UsageError(
            f"{model} looks at the whole picture at once, so there are no tiles to choose for it"
        )
    result = bench(
        found,
        backend=backend,
        precision=precision,
        threads=threads,
        on_notice=lambda what: print_note(f"measuring {what}"),
    )
    kept = "not kept, for not all runtimes and precisions were measured"
    if backend == precision == "auto":
        try:
            kept = f"kept in {keep_best(result.weights_sha256, result.best)}"
        except OSError as error:
            kept = f"not kept: {error.strerror}"
    if as_json:
        print_json(result.model_dump_json(indent=2))
        return
    print_lines([*_lines(result), kept])
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
