"""Shows people result lines, and a progress bar that never mixes with them."""

import logging
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from widesr.errors import ImageWriteError, UsageError, WidesrError, with_options

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress

_BESIDE_PIPE_S = 0.1
"""Seconds that the bar stays hidden after a line into a pipe, which may end in this terminal."""


class _Terminal:
    """Prints lines, above the bar if there is one."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._away_until = 0.0
        self.names: dict[str, str] = {}
        """The names to print in place of some paths, by the regular expressions of these paths."""

    def line(self, text: str, *, err: bool) -> None:
        """Print a line on stdout, or on stderr."""
        for path, name in self.names.items():
            text = re.sub(path, name, text)
        if self._bar is None:
            _echo(text, err=err)
            return
        # Rich's own thread must not draw meanwhile. It takes this lock before the console's, so
        # waiting for this lock while holding the console's would sometimes deadlock both threads.
        with self._bar.live._lock:  # noqa: SLF001
            self._away_until = float("inf")
            self._bar.live.refresh()  # draws nothing in place of the bar
            _echo(text, err=err)
            beside = 0 if err or not _is_pipe(sys.stdout) else _BESIDE_PIPE_S
            self._away_until = time.monotonic() + beside

    @contextmanager
    def bar(self, total: int) -> Iterator[Callable[[float, str], None]]:
        """Show a bar on stderr, and yield the same function as `progress`."""
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
"""The names of flags, if they differ from those of the library's options."""
_TURNING = (*range(0x2028, 0x202F), *range(0x2066, 0x206A))
"""Unicode's line separators, and the codes that change the direction of the text after them."""
_ESCAPED = {n: repr(chr(n))[1:-1] for n in (*range(32), *range(127, 160), *_TURNING)}
"""The control characters as Python escapes them, such as \\n."""
_ESCAPED_IN_JSON = {n: f"\\u{n:04x}" for n in (*range(127, 160), *_TURNING)}
"""The control characters that writers of JSON leave as they are, as JSON escapes them."""
_terminal = _Terminal()
"""The only instance, since there is one stdout and one stderr."""


def _is_pipe(stream: object) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False


@contextmanager
def onto_stdout() -> Iterator[None]:
    """Say why standard output takes no more, as on a full disk.

    Raises:
        ImageWriteError: It takes no more.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # a reader that has seen enough is no error
    except OSError as error:
        raise ImageWriteError(f"standard output: takes no more ({error.strerror})") from error


def _echo(text: str, *, err: bool, nl: bool = True) -> None:
    # Nobody can be told that standard error takes no more.
    with suppress(OSError) if err else onto_stdout():
        typer.echo(text, err=err, nl=nl)


def print_text(text: str) -> None:
    """Print text of our own on stdout, as it is."""
    _echo(text, err=False, nl=False)


def print_line(text: str, *, err: bool = False) -> None:
    """Print a whole line on stdout, or on stderr, apart from any bar.

    Control characters are escaped: file names may hold line breaks, and codes that a terminal would
    obey.
    """
    _terminal.line(escaped(text), err=err)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines on stdout, each as `print_line` does."""
    for line in lines:
        print_line(line)


def print_json(text: str) -> None:
    """Print JSON on stdout, and escape the codes in it that a terminal would obey, as JSON does."""
    _terminal.line(text.translate(_ESCAPED_IN_JSON), err=False)


def escaped(text: str) -> str:
    """Escape the control characters of a text, as `print_line` does."""
    return text.translate(_ESCAPED)


@contextmanager
def naming(path: str, name: str) -> Iterator[None]:
    """Print a name in place of the path of a file that the user does not know, in every line.

    Args:
        path: A regular expression for the path.
        name: The name, such as "standard input".
    """
    _terminal.names[path] = name
    try:
        yield
    finally:
        del _terminal.names[path]


def print_error(error: WidesrError) -> None:
    """Print an error as one line on stderr."""
    print_line(f"widesr: error[{error.code}]: {said(error)}", err=True)


def said(error: WidesrError) -> str:
    """Write an error as one line, with the flags that help."""
    message = with_options(error.message, [flag(option) for option in error.options])
    return " ".join(part.strip() for part in message.splitlines())


def flag(option: str) -> str:
    """Write an option of the library (`overwrite=True`, `tile=128`) as a command-line flag."""
    name, _, value = option.partition("=")
    spelled = "--" + _FLAGS.get(name, name.replace("_", "-"))
    value = "0" if value == "None" else value.strip(chr(34))  # as in `--tile 0`
    return spelled if value in ("", "True") else f"{spelled} {value}"


class _PlainTypes:
    """Shows in the help the words that an option takes, and no type for flags without a value."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 (typer's own)
        super().__init__(*args, **options)
        _show_values(self.params)  # type: ignore[attr-defined]

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 (typer's own)
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        _show_values(params)  # the option for the help is among them
        return params

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 (typer's own)
        with onto_stdout():
            super().format_help(ctx, formatter)  # type: ignore[misc]


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
        """Refuse an empty path, such as "$UNSET" gives: it would mean the current folder."""
        given: dict[str, Any] = {}
        if not ctx.resilient_parsing:  # not for completion, whose arguments are unfinished
            given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        for param in self.params:
            kind = getattr(getattr(param, "type_descriptor", None), "annotation", None)
            value = given.get(str(param.name))
            if (kind is Path and value == "") or (kind == list[Path] and value and "" in value):
                raise UsageError(f"{param.name} is empty; expected the name of a file or folder")
        return super().parse_args(ctx, args)


class Group(_PlainTypes, TyperGroup):
    """Commands under one name, with the help that we want."""


def group(text: str, *, cls: type[Group] = Group) -> typer.Typer:
    """Make a group of commands with this help text."""
    return typer.Typer(
        cls=cls,
        help=text,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def show_help(context: typer.Context) -> None:
    """Print the help of a group if no command follows, and exit with the code of wrong usage."""
    if context.invoked_subcommand is None:
        print_text(f"{context.get_help()}\n")
        raise typer.Exit(2)


def print_note(note: str) -> None:
    """Print a note on stderr if it is a terminal; print nothing for ""."""
    if note and sys.stderr.isatty():
        print_line(f"widesr: note: {note}", err=True)


def print_advice(advice: str) -> None:
    """Print advice on stderr, even into a pipe, since it is about the result; nothing for ""."""
    if advice:
        print_line(f"widesr: note: {advice}", err=True)


@contextmanager
def progress(total: int, *, quiet: bool = False) -> Iterator[Callable[[float, str], None]]:
    """Show a bar on stderr if it is a terminal, and nothing in a pipe or a log.

    Args:
        total: The number of pictures to do.
        quiet: Show nothing.

    Yields:
        A function to call with the number of pictures done, fractions included, and a text on the
        present work.
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
    """Show a bar as `progress` does, with the name of the picture that is being done.

    Yields:
        A function to call with the number of pictures done, fractions included.
    """
    with progress(len(names), quiet=quiet) as show:
        yield lambda done: show(done, names[int(done)] if done < len(names) else "")


class _Lines(logging.Handler):
    """Prints log records as lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        print_line(f"widesr: {record.levelname.lower()}: {self.format(record)}", err=True)


@contextmanager
def logged() -> Iterator[None]:
    """Print what widesr logs: warnings, and more after `be_verbose`.

    If the program that runs the command has handlers of its own, they get the records too.
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
    """Print also what is chosen and done, or all records from a count of 2, within `logged`."""
    if count:
        logging.getLogger("widesr").setLevel(logging.INFO if count == 1 else logging.DEBUG)
    return count


def be_quiet(quiet: bool) -> bool:
    """Print no warnings within `logged`."""
    if quiet:
        logging.getLogger("widesr").setLevel(logging.ERROR)
    return quiet


def table(rows: Sequence[tuple[str, ...]], *, left: frozenset[int] = frozenset({0})) -> list[str]:
    """Align rows of cells: the columns in `left` to the left, all others to the right."""
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
