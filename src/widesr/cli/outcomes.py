"""Reports the outcome of each picture, and ends the command with one exit code for all."""

import json
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import typer

from widesr.cli.terminal import print_error, print_json, print_line, progress_over, said
from widesr.errors import WidesrError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from widesr.batch.jobs import Job, Outcome
    from widesr.batch.stages import OnOutcome
    from widesr.system.progress import OnProgress

SOME_FAILED = 3
"""Exit code when some of several pictures failed, and others did not."""


def report_outcomes(
    start: "Callable[[OnProgress, OnOutcome], Generator[Outcome]]",
    *,
    jobs: "Sequence[Job]",
    by: str,
    made_by: "Callable[[int, int], str] | None" = None,
    go_on: str = "--skip-existing",
    as_json: bool = False,
    quiet: bool = False,
    passed_over: int = 0,
    clips_done: int = 0,
) -> None:
    """Print each outcome as it comes and a summary if there are several, and end the command.

    Args:
        start: Function that yields the outcomes of `jobs` in order. It gets two callbacks: one for
            the number of pictures computed, fractions included, and one for each outcome as soon as
            it is there.
        jobs: All jobs that are to be done.
        by: The user's name for the model or method that makes the pictures.
        made_by: Function from a picture's height and width to that name, if it is not the same for
            all pictures.
        go_on: The flag with which the same command does the rest of a stopped run.
        as_json: Print one JSON object per picture on stdout instead of text.
        quiet: Print errors only.
        passed_over: The number of files in the folders whose names are not those of pictures.
        clips_done: The number of clips that the same command has made before, or skipped.

    Raises:
        typer.Exit: A picture failed; the exception carries the exit code.
    """
    counts: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    begin = time.perf_counter()
    reached = 0.0
    with ExitStack() as stack:
        stack.enter_context(_saying_what_is_done(ended, jobs=len(jobs), go_on=go_on, quiet=quiet))
        names = [job.source.name for job in jobs]
        show = stack.enter_context(progress_over(names, quiet=quiet))

        def show_computed(pictures: float, _total: float = len(jobs)) -> None:
            nonlocal reached
            reached = max(reached, pictures)  # outcomes come after the pictures are computed
            show(reached)

        show_computed(0)
        # The generator is always closed, so that no waiting picture is begun after an early end.
        outcomes = stack.enter_context(
            closing(start(show_computed, lambda outcome: ended.update([outcome.status])))
        )
        for outcome in outcomes:
            counts[outcome.status] += 1
            show_computed(counts.total())
            if outcome.error:
                print_error(outcome.error)
            size = outcome.input_size
            name = made_by(*size) if made_by and size else by
            if as_json:
                print_json(json.dumps(_as_json(outcome, name)))
            elif not quiet and not outcome.error:
                print_line(_as_line(outcome, name))
    if (len(jobs) > 1 or passed_over) and not as_json and not quiet:
        parts = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
        if passed_over:
            parts += f"; {passed_over} other file{'s' if passed_over > 1 else ''} passed over"
        pictures = f"{len(jobs)} picture{'s' if len(jobs) > 1 else ''}"
        print_line(f"{pictures}: {parts}  {time.perf_counter() - begin:.1f} s")
    end_command(counts["failed"], of=len(jobs) + clips_done)


def end_command(failed: int, *, of: int) -> None:
    """End the command with an exit code, if any of several inputs failed.

    Raises:
        typer.Exit: Some failed.
    """
    if failed:
        raise typer.Exit(1 if failed == of else SOME_FAILED)


@contextmanager
def _saying_what_is_done(
    ended: "Counter[str]", *, jobs: int, go_on: str, quiet: bool
) -> "Iterator[None]":
    """Print how far the run came and how to resume it, if Ctrl-C or SIGTERM ends it."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if not quiet:
            parts = [f"{ended['done']} of {jobs} picture{'s' if jobs > 1 else ''} done"]
            parts += [f"{n} {status}" for status, n in sorted(ended.items()) if status != "done"]
            rest = jobs - ended.total()
            hint = f"; for the rest give the same command with {go_on}" if rest and jobs > 1 else ""
            print_line(f"widesr: stopped: {', '.join(parts)}{hint}", err=True)
        raise


def _as_line(outcome: "Outcome", by: str) -> str:
    job = outcome.job
    if outcome.input_size is None or outcome.output_size is None:
        return f"{job.source} -> {job.target}  {outcome.status}: the output exists"
    line = (
        f"{job.source} -> {job.target}  "
        f"{sides_as_line(outcome.input_size, outcome.output_size)}  {by}  {outcome.seconds:.1f} s"
    )
    if outcome.count > 1:
        line += f"  {outcome.count} {'pages' if job.target.suffix[:4] == '.tif' else 'frames'}"
    if job.becomes_png:
        line += f"  ({job.source.suffix or 'its format'} is not written, so PNG)"
    return line


def _as_json(outcome: "Outcome", by: str) -> dict[str, Any]:
    return {
        "input": str(outcome.job.source),
        "output": str(outcome.job.target),
        "status": outcome.status,
        "model": by,
        **sides_as_json(outcome.input_size, outcome.output_size),
        "frames": outcome.count,
        "seconds": round(outcome.seconds, 3),
        "error": error_as_json(outcome.error),
    }


def sides_as_json(
    input_size: tuple[int, int] | None, output_size: tuple[int, int] | None
) -> dict[str, int | None]:
    """Return the input's and the output's (height, width) as in the JSON of upscaling commands."""
    sides: dict[str, int | None] = {}
    for name, size in (("input", input_size), ("output", output_size)):
        height, width = size or (None, None)
        sides |= {f"{name}_width": width, f"{name}_height": height}
    return sides


def error_as_json(error: WidesrError | None) -> dict[str, str] | None:
    """Return an error as in the JSON of these commands; None if all went well."""
    return {"code": error.code, "message": said(error)} if error else None


def sides_as_line(input_size: tuple[int, int], output_size: tuple[int, int]) -> str:
    """Write the input's and the output's (height, width) for people: 40x30 -> 80x60."""
    return " -> ".join(f"{width}x{height}" for height, width in (input_size, output_size))
