"""Runs a grid of short trainings from one file, and shows its table and curves: `widesr study`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from widesr.cli import engines, offers, options
from widesr.cli.terminal import clock, print_json, print_line, print_lines, progress, table
from widesr.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from widesr.study.design import Cell, Study
    from widesr.study.runs import Outcome
    from widesr.train.loop import Progress


def run_studies(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]",
            autocompletion=offers.studies,
            help="The name of a study, or a .toml file of your own.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="A folder of HR photographs; its subfolders count too."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="DIR", help="The output folder. Default: studies/STUDY."
        ),
    ] = None,
    show_list: Annotated[
        bool, typer.Option("--list", help="List the studies that come with the package, and stop.")
    ] = False,
    device: engines.TrainingDevice = "auto",
    threads: engines.Threads = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="List the cells, time three steps of each, and stop."),
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train the same with one setting after another, and lay the results side by side.

    The output folder gets table.md, table.csv, curves.svg, and cells.jsonl with every log. After
    Ctrl-C or a kill, the same command goes on where the study stopped.
    """
    try:
        from widesr.study.design import list_studies, load_study
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra="train", needed_for="training") from error

    if show_list:
        _print_studies([load_study(name) for name in list_studies()], as_json=as_json)
        return
    if study is None:
        raise UsageError(f"name a STUDY, one of {', '.join(list_studies())}, or a .toml file")
    if data is None:
        raise UsageError("--data is missing: the folder of HR photographs to learn from")
    parsed = load_study(study)
    out = out or Path("studies") / parsed.name
    run: dict[str, Any] = {"data": data, "threads": threads, "device": device}
    if dry_run:
        _print_plan(parsed, out, run, as_json=as_json)
        return
    _run(parsed, out, run, as_json=as_json, quiet=quiet)


def _run(study: "Study", out: Path, run: dict[str, Any], *, as_json: bool, quiet: bool) -> None:
    from widesr.study.design import cells
    from widesr.study.findings import write_findings
    from widesr.study.runs import run_study

    outcomes: list[Outcome] = []
    total = len(cells(study))
    with progress(total, quiet=quiet or as_json) as show:

        def on_progress(cell: "Cell", now: "Progress") -> None:
            psnr = "" if now.psnr is None else f"  {now.psnr:.2f} dB"
            show(len(outcomes) + now.step / now.steps, f"{_words(cell.labels, cell.seed)}{psnr}")

        def on_outcome(outcome: "Outcome") -> None:
            outcomes.append(outcome)
            write_findings(study, outcomes, out)
            if as_json:
                print_json(outcome.model_dump_json())
            elif not quiet:
                print_line(
                    f"{len(outcomes)}/{total}  {_words(outcome.labels, outcome.seed)}  "
                    f"{_result(outcome)}  {outcome.seconds:.0f} s"
                )

        run_study(
            study,
            out=out,
            on_progress=on_progress,
            on_outcome=on_outcome,
            on_notice=lambda sentence: print_line(f"widesr: {sentence}", err=True),
            **run,
        )
    drawn = _draw(study, outcomes, out / "curves.svg")
    if not as_json and not quiet:
        print_line(f"{out / 'table.md'}{drawn}")


def _draw(study: "Study", outcomes: "Sequence[Outcome]", path: Path) -> str:
    """Draw the curves; return their path for the last line, or how to install what they need."""
    try:
        from widesr.study.curves import draw_curves
    except ModuleNotFoundError:
        return "  (curves: pip install 'widesr[plots]', and the same command again)"
    draw_curves(study, outcomes, path)
    return f", {path}"


def _result(outcome: "Outcome") -> str:
    if outcome.diverged_at is not None:
        return f"diverged at step {outcome.diverged_at}"
    return f"{outcome.psnr:.2f} dB PSNR-Y, benchmark-y"


def _words(labels: dict[str, str], seed: int) -> str:
    return " ".join([*labels.values(), f"s{seed}"])


def _print_studies(studies: "Sequence[Study]", *, as_json: bool) -> None:
    from widesr.study.design import cells

    for study in studies:
        if as_json:
            print_json(study.model_dump_json())
        else:
            print_line(f"{study.name}: {study.title}, {len(cells(study))} cells")
            print_line(f"    {study.claim}")


def _print_plan(study: "Study", out: Path, run: dict[str, Any], *, as_json: bool) -> None:
    """Print each cell with its size and remaining time, which is measured for one of its seeds."""
    from widesr.study.design import cells, size_of
    from widesr.study.runs import is_finished, time_cell

    times: dict[tuple[str, ...], float] = {}
    total = 0.0
    lines = [("cell", "parameters", "GFLOP", "time")]
    for cell in cells(study):
        key = tuple(cell.labels.values())
        if key not in times:
            times[key] = time_cell(cell, **run)
        seconds = 0.0 if is_finished(cell, out) else times[key]
        total += seconds
        size = size_of(cell.recipe.network)
        if as_json:
            facts = {"cell": cell.name, "labels": cell.labels, "seed": cell.seed}
            print_json(json.dumps(facts | size._asdict() | {"seconds": seconds}))
        name, left = _words(cell.labels, cell.seed), clock(seconds) if seconds else "finished"
        lines.append((name, f"{size.parameters:,}", f"{size.gflop:.1f}", left))
    if not as_json:
        lines.append(("all", "", "", f"{clock(total)}, validation not counted"))
        print_lines(table(lines))
