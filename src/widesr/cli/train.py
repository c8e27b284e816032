"""Turns a recipe and photographs into weights, as `widesr train`."""

import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from widesr.cli import engines, offers, options, values
from widesr.cli.terminal import clock, print_json, print_line, print_lines, progress, table
from widesr.errors import CheckpointError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from widesr.data.source import Source
    from widesr.train.dry_run import Plan
    from widesr.train.loop import Progress
    from widesr.train.recipe import Recipe


_NOW_AND_THEN = 60.0
"""Seconds between lines of a run that shows no bar."""

_CLEARLY = 0.9
"""Share of the time in bf16 below which fp32 is offered instead."""


def train_network(
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="DIR",
            help="A folder of HR photographs, alone or with LR beside them, or a pack of them.",
        ),
    ],
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="[RECIPE]",
            autocompletion=offers.recipes,
            help='A name from "widesr recipe list", or a .toml file. Without one, the model that '
            "--from names is adapted.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="The output folder. Default: runs/RECIPE."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            autocompletion=offers.models,
            help="Begin with this model (a name, or an .onnx file) or these weights "
            "(.safetensors, or a folder from a model hub). A smaller network grows to the size of "
            "the recipe.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the run in the output folder stopped.")
    ] = False,
    auto_resume: Annotated[
        bool,
        typer.Option(
            "--auto-resume",
            help="Resume if there is a run in the output folder, and begin one if there is none: "
            "for jobs that are restarted automatically.",
        ),
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            metavar="N",
            parser=values.whole_number("steps"),
            help="The number of optimizer steps, instead of that of the recipe.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Another value for a key of the recipe, such as data.batch=8; give it again for "
            "more.",
        ),
    ] = None,
    device: engines.TrainingDevice = "auto",
    threads: engines.Threads = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Time three steps, say what the run would take, and stop."),
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a network, or adapt one to your photographs.

    Weights, a log and all that --resume needs go to the output folder at every validation, and
    when you press Ctrl-C. Several processes, on one machine or more, are started by torchrun.
    """
    try:
        from widesr.train.dry_run import plan, seconds_in_fp32
        from widesr.train.loop import train
        from widesr.train.parallel import PeerError, is_launched, is_main
        from widesr.train.photographs import open_photographs
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra="train", needed_for="training") from error

    if dry_run and is_launched():
        raise UsageError("--dry-run times one process; start it without torchrun")
    if resume and auto_resume:
        raise UsageError("--resume and --auto-resume exclude each other; give one of them")
    quiet = quiet or not is_main()
    as_json = as_json and is_main()
    changes = [*(changes or []), *([f"optim.steps={steps}"] if steps is not None else [])]
    parsed, photographs = _recipe(recipe, init=init, data=data, changes=changes)
    if not as_json and not quiet:
        photographs = open_photographs(photographs, parsed)
        print_line(f"{data}: {photographs.what}")
    run: dict[str, Any] = {
        "data": photographs,
        "init": init,
        "threads": threads,
        "device": device,
    }
    if dry_run:
        planned = plan(parsed, **run)
        in_fp32 = seconds_in_fp32(parsed, init=init, threads=threads, device=device)
        _print_plan(planned, parsed, in_fp32=in_fp32, as_json=as_json)
        return
    out = out or Path("runs") / parsed.name
    with progress(parsed.optim.steps, quiet=quiet or as_json) as show:
        reporter = _Reporter(show, as_json=as_json, quiet=quiet)

        def show_teacher(done: int, total: int) -> None:
            show(0, f"the teacher's pictures: {done} of {total}")

        try:
            weights = train(
                parsed,
                out=out,
                resume="auto" if auto_resume else resume,
                on_progress=reporter,
                on_teacher=show_teacher,
                on_notice=lambda sentence: print_line(f"widesr: {sentence}", err=True),
                **run,
            )
        except PeerError as error:  # the process that failed says why
            raise typer.Exit(error.exit_code) from error
    if not quiet and not reporter.reported:
        _say_finished(parsed, weights)
    if not as_json and not quiet:
        print_line(f"{weights}  (next: widesr export {weights})")


def _say_finished(recipe: "Recipe", weights: Path) -> None:
    """Say why nothing was learned, and how to train further."""
    from widesr.train.extension import how_to_extend

    how = how_to_extend(recipe, weights=str(weights))
    print_line(
        f"widesr: nothing was left to learn: the run has taken all of its "
        f"{recipe.optim.steps:,} steps; {how}",
        err=True,
    )


def _recipe(
    name: str | None, *, init: str | None, data: Path, changes: "Sequence[str]"
) -> "tuple[Recipe, Path | Source]":
    """Load the named recipe, or that of the network to adapt, fitted to the photographs.

    The photographs are returned as the path given, or as an open source if they had to be counted,
    because listing a large folder takes time.
    """
    from widesr.data.opening import open_source
    from widesr.train.changes import changed, fine_tuning
    from widesr.train.grow import load_start
    from widesr.train.recipe import load_recipe

    photographs: Path | Source = data
    if name:
        recipe = load_recipe(name)
    elif init is None:
        raise UsageError("name a RECIPE to train from the start, or --from MODEL to adapt it")
    else:
        known = load_start(init, scale=None).recipe
        if known is None:
            raise CheckpointError(
                f"{init}: it does not say how it was trained; name a RECIPE beside --from"
            )
        scale, degradation = known.network.scale, known.data.degradation
        photographs = open_source(data, scale=scale, degradation=degradation)  # excludes none
        recipe = fine_tuning(known, photographs=len(photographs.names))
    if not changes:
        return recipe, photographs
    # The open source fits the recipe as it was before these changes.
    takes_others = any(change.startswith(("data.", "net.")) for change in changes)
    return changed(recipe, changes), data if takes_others else photographs


class _Reporter:
    """Reports a run by a bar and lines, at each validation and now and then, or by JSON lines."""

    def __init__(self, show: "Callable[[float, str], None]", *, as_json: bool, quiet: bool) -> None:
        self._show, self._as_json, self._quiet = show, as_json, quiet
        self._is_seen = sys.stderr.isatty()  # a bar that is seen says all that such a line would
        self._said = -math.inf
        self._compared = False
        self.reported = False

    def __call__(self, now: "Progress") -> None:
        self.reported = True
        self._show(now.step, f"loss {now.loss:.5f}  {_validated(now)}  {_speed(now)}")
        if self._as_json:
            print_json(json.dumps(now._asdict()))
        elif not self._quiet and (now.validated or self._is_due()):
            self._said = time.monotonic()
            print_line(
                f"step {now.step}/{now.steps}  loss {now.loss:.5f}  {_validated(now)}"
                f"{self._beside(now)}  {_speed(now)}  {clock(now.seconds_left)} left"
            )

    def _is_due(self) -> bool:
        return not self._is_seen and time.monotonic() - self._said > _NOW_AND_THEN

    def _beside(self, now: "Progress") -> str:
        """Return the score of bicubic to compare the first validation with, and "" after that."""
        if self._compared or now.psnr_bicubic is None:
            return ""
        self._compared = True
        return f" (bicubic {now.psnr_bicubic:.2f} dB)"


def _print_plan(plan: "Plan", recipe: "Recipe", *, in_fp32: float | None, as_json: bool) -> None:
    if as_json:
        parts = [part._asdict() for part in plan.parts]
        print_json(json.dumps(plan._asdict() | {"parts": parts, "fp32_seconds": in_fp32}))
        return
    steps = [
        (
            f"{part.steps:,} steps",
            ", ".join(
                (
                    f"{part.batch} patches of {part.lr_patch}x{part.lr_patch}",
                    f"{part.gflop_per_step:.3g} GFLOP",
                    f"{part.seconds_per_step * 1e3:.0f} ms on {plan.machine}",
                )
            ),
        )
        for part in plan.parts
    ]
    teacher = []
    if plan.teacher_seconds is not None:
        teacher = [("teacher", f"{clock(plan.teacher_seconds)} for its pictures, made once")]
    rows = [
        ("recipe", recipe.name),
        ("parameters", f"{plan.parameters:,}"),
        ("photographs", f"{plan.training} to learn from, {plan.validation} held out"),
        *steps,
        ("memory", f"{plan.memory / 2**20:,.0f} MiB at most in a step, photographs not counted"),
        *teacher,
        ("time", f"{clock(plan.seconds)}, validation not counted"),
    ]
    if in_fp32 is not None and in_fp32 < _CLEARLY * plan.seconds:
        quicker = f"{clock(in_fp32)}: this CPU is slow in bf16"
        rows.append(("in fp32", f"{quicker}; --set optim.precision=fp32"))
    print_lines(table(rows, left=frozenset({0, 1})))


def _validated(now: "Progress") -> str:
    if now.psnr is None:
        return "not validated yet"
    start = "" if now.psnr_at_start is None else f" ({now.psnr_at_start:.2f} at the start)"
    lpips = "" if now.lpips is None else f", LPIPS {now.lpips:.4f}"
    return f"{now.psnr:.2f} dB PSNR-Y, benchmark-y{start}{lpips}"


def _speed(now: "Progress") -> str:
    return f"{now.images_per_second:.0f} images/s ({now.data_wait:.1%} data wait)"
