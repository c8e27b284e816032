"""What people see: result lines, and a bar while they wait."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from widesr.errors import WidesrError


class _PlainFlags:
    """Shows flags without a type in the help: they take no value."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 (typer's own)
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params


class Command(_PlainFlags, TyperCommand):
    """A command, with the help that we want."""


class Group(_PlainFlags, TyperGroup):
    """Commands under one name, with the help that we want."""


def print_error(error: WidesrError) -> None:
    """Print one line on stderr, the form of all that goes wrong."""
    message = " ".join(part.strip() for part in str(error).splitlines())
    typer.echo(f"widesr: error[{error.code}]: {message}", err=True)


def print_note(note: str) -> None:
    """Print a line on stderr for someone who looks at it; nothing in a pipe or a log, or of ""."""
    if note and sys.stderr.isatty():
        typer.echo(f"widesr: note: {note}", err=True)


def print_advice(advice: str) -> None:
    """Print a line on stderr wherever that goes, for it is on the result; nothing of ""."""
    if advice:
        typer.echo(f"widesr: note: {advice}", err=True)


@contextmanager
def progress(total: int, *, quiet: bool = False) -> Iterator[Callable[[float, str], None]]:
    """Show a bar on stderr where that is a terminal, and nothing in a pipe or a log.

    Args:
        total: Pictures to do.
        quiet: Show nothing.

    Yields:
        A function to call with the pictures done, parts of one too, and what is being done.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _doing: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # a pipe must get the result lines, not the terminal
    )
    with bar:
        task = bar.add_task("", total=total)
        yield lambda done, doing: bar.update(task, completed=done, description=doing)


def table(rows: Sequence[tuple[str, ...]], *, left: frozenset[int] = frozenset({0})) -> list[str]:
    """Align rows of cells: columns in `left` to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def clock(seconds: float) -> str:
    """Write a time as hours, minutes and seconds: 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
