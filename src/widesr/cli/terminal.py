"""Show people result lines, and a bar while they wait that no line is mixed up with."""

import logging
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from widesr.errors import ImageWriteError, UsageError, WidesrError, with_options

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress

_BESIDE_PIPE_S = 0.1
"""Seconds that the bar stays away after a line into a pipe, which may end in the same terminal."""


class _Terminal:
    """Prints lines, above the bar if there is one."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._away_until = 0.0

    def line(self, text: str, *, err: bool) -> None:
        """Print a line on stdout, or on stderr."""
        if self._bar is None:
            _echo(text, err=err)
            return
        # Rich's own thread must not draw meanwhile. It takes this lock before the console's, so to
        # hold the console's and then wait for this one would hang both threads, now and then.
        with self._bar.live._lock:  # noqa: SLF001
            self._away_until = float("inf")
            self._bar.live.refresh()  # draws nothing in place of the bar
            _echo(text, err=err)
            beside = 0 if err or not _is_pipe(sys.stdout) else _BESIDE_PIPE_S
            self._away_until = time.monotonic() + beside

    @contextmanager
    def bar(self, total: int) -> Iterator[Callable[[float, str], None]]:
        """Show a bar on stderr; yields as `progress`."""
        from rich.console import Console

        self._bar = self._made(Console(stderr=True))
        try:
            with self._bar as bar:
                task = bar.add_task("", total=total)
                yield lambda done, doing: bar.update(task, completed=done, description=doing)
        finally:
            self._bar = None

    def _made(self, console: "Console") -> "Progress":
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        terminal = self

        class Bar(Progress):
            def get_renderable(self) -> "RenderableType":
                is_away = time.monotonic() < terminal._away_until
                return "" if is_away else super().get_renderable()

        return Bar(
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )


_FLAGS = {"init": "from"}
"""The names of flags, where those differ from the library's options."""
_TURNING = (*range(0x2028, 0x202F), *range(0x2066, 0x206A))
"""Unicode's ends of lines, and what turns the direction of the text behind it."""
_ESCAPED = {n: repr(chr(n))[1:-1] for n in (*range(32), *range(127, 160), *_TURNING)}
"""The control characters as Python writes them, such as \\n."""
_ESCAPED_IN_JSON = {n: f"\\u{n:04x}" for n in (*range(127, 160), *_TURNING)}
"""The same as JSON does, of those that its writers leave as they are."""
_terminal = _Terminal()
"""The only one, since there is one stdout and one stderr."""


def _is_pipe(stream: object) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False


def _echo(text: str, *, err: bool, nl: bool = True) -> None:
    """Print text, or say why that is not possible, as on a full disk.

    Raises:
        ImageWriteError: Standard output takes no more. Of standard error nobody can be told.
    """
    try:
        typer.echo(text, err=err, nl=nl)
    except BrokenPipeError:
        raise  # a reader that has seen enough is no error
    except OSError as error:
        if not err:
            raise ImageWriteError(f"standard output: takes no more ({error.strerror})") from error


def print_text(text: str) -> None:
    """Print text of our own on stdout, as it is."""
    _echo(text, err=False, nl=False)


def print_line(text: str, *, err: bool = False) -> None:
    """Print a line on stdout, or on stderr, whole, beside whatever bar there is.

    Names of files may hold ends of lines, and codes that a terminal would obey.
    """
    _terminal.line(escaped(text), err=err)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines on stdout, each as `print_line` does."""
    for line in lines:
        print_line(line)


def print_json(text: str) -> None:
    """Print JSON on stdout, of one line or of more, so that it stays JSON and no terminal obeys."""
    _terminal.line(text.translate(_ESCAPED_IN_JSON), err=False)


def escaped(text: str) -> str:
    """Write the control characters of a name as `print_line` does."""
    return text.translate(_ESCAPED)


def print_error(error: WidesrError, *, worded: Callable[[str], str] = str) -> None:
    """Print one line on stderr, the form of all that goes wrong, `worded` as the user would."""
    print_line(f"widesr: error[{error.code}]: {worded(said(error))}", err=True)


def said(error: WidesrError) -> str:
    """Give an error as one line, with the flags that help."""
    message = with_options(error.message, [flag(option) for option in error.options])
    return " ".join(part.strip() for part in message.splitlines())


def flag(option: str) -> str:
    """Give an option of the library (`overwrite=True`, `tile=128`) as the command line says it."""
    name, _, value = option.partition("=")
    spelled = "--" + _FLAGS.get(name, name.replace("_", "-"))
    value = "0" if value == "None" else value.strip(chr(34))  # as in `--tile 0`
    return spelled if value in ("", "True") else f"{spelled} {value}"


class _PlainTypes:
    """Shows in the help which words an option takes, and no type of flags, which take no value."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 (typer's own)
        super().__init__(*args, **options)
        _show_values(self.params)  # type: ignore[attr-defined]

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 (typer's own)
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        _show_values(params)  # that of the help among them
        return params


def _show_values(params: list[Any]) -> None:
    for param in params:
        kind = getattr(param, "type_descriptor", None) or getattr(param, "type", None)
        if getattr(param, "is_flag", False) or getattr(param, "count", False):
            param.metavar = ""
        elif choices := getattr(kind, "choices", None):
            param.metavar = "|".join(map(str, choices))


class Command(_PlainTypes, TyperCommand):
    """A command, with the help that we want."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 (typer's own)
        """Refuse a path that is empty, as "$UNSET" is: it would be the folder that one is in."""
        given: dict[str, Any] = {}
        if not ctx.resilient_parsing:  # as for completion, where much is unfinished
            given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        for param in self.params:
            kind = getattr(getattr(param, "type_descriptor", None), "annotation", None)
            value = given.get(str(param.name))
            if value == "" if kind is Path else kind == list[Path] and "" in (value or ()):
                raise UsageError(f"{param.name} is empty; expected the name of a file or folder")
        return super().parse_args(ctx, args)


class Group(_PlainTypes, TyperGroup):
    """Commands under one name, with the help that we want."""


def group(text: str, *, cls: type[Group] = Group) -> typer.Typer:
    """Make a name for commands below it, with this help."""
    return typer.Typer(
        cls=cls,
        help=text,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def show_help(context: typer.Context) -> None:
    """Print the help of a name that no command follows, and end with the code of wrong usage."""
    if context.invoked_subcommand is None:
        print_text(f"{context.get_help()}\n")
        raise typer.Exit(2)


def print_note(note: str) -> None:
    """Print a line on stderr for someone who looks at it; nothing in a pipe, a log, or for ""."""
    if note and sys.stderr.isatty():
        print_line(f"widesr: note: {note}", err=True)


def print_advice(advice: str) -> None:
    """Print a line on stderr, even into a pipe, for it is about the result; nothing for ""."""
    if advice:
        print_line(f"widesr: note: {advice}", err=True)


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
    with _terminal.bar(total) as show:
        yield lambda done, doing: show(done, escaped(doing))


@contextmanager
def progress_over(
    names: Sequence[str], *, quiet: bool = False
) -> Iterator[Callable[[float], None]]:
    """Show a bar as `progress` does, with the name of the one of these that is being done.

    Yields:
        A function to call with how many of them are done, parts of one too.
    """
    with progress(len(names), quiet=quiet) as show:
        yield lambda done: show(done, names[int(done)] if done < len(names) else "")


class _Lines(logging.Handler):
    """Prints what is logged as lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        print_line(f"widesr: {record.levelname.lower()}: {self.format(record)}", err=True)


@contextmanager
def logged() -> Iterator[None]:
    """Print what widesr logs: warnings, and more after `be_verbose`.

    Where a program runs the command and has handlers of its own, those get it too.
    """
    logger, lines = logging.getLogger("widesr"), _Lines()
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)


def be_verbose(count: int) -> int:
    """Print, within `logged`, also what is chosen and done, and from 2 on all that is logged."""
    if count:
        logging.getLogger("widesr").setLevel(logging.INFO if count == 1 else logging.DEBUG)
    return count


def be_quiet(quiet: bool) -> bool:
    """Print, within `logged`, no warnings."""
    if quiet:
        logging.getLogger("widesr").setLevel(logging.ERROR)
    return quiet


def table(rows: Sequence[tuple[str, ...]], *, left: frozenset[int] = frozenset({0})) -> list[str]:
    """Align rows of cells: columns in `left` to the left, numbers to the right."""
    rows = [tuple(map(escaped, row)) for row in rows]
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
