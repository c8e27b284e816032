"""Takes `-` for a picture from standard input, or to standard output.

Decoders seek in their files, so a picture that comes from a pipe or goes into one is kept in a
temporary file meanwhile.
"""

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from widesr.cli import values
from widesr.cli.terminal import naming, onto_stdout
from widesr.errors import ImageReadError, UsageError, WidesrError
from widesr.system.folders import is_folder

PIPE = Path("-")
"""The name of standard input and standard output."""


@dataclass(frozen=True, kw_only=True)
class Piped:
    """The files that a command works on in place of those that the user named."""

    inputs: list[Path]
    output: values.Output | None
    into_pipe: bool = False
    """True if the picture goes to stdout, so that nothing else may go there."""


@contextmanager
def piped(
    inputs: Sequence[Path], output: values.Output | None, *, as_json: bool
) -> Iterator[Piped]:
    """Put stdin into a file, and the result onto stdout once all has gone well.

    Yields:
        The inputs and output to work with: those that the user named, if none is `-`.

    Raises:
        UsageError: `-` is not valid here.
        ImageReadError: Standard input cannot be read.
        ImageWriteError: Standard output takes nothing more.
    """
    from_pipe = PIPE in inputs
    into_pipe = output.path == PIPE if output else from_pipe
    if not (from_pipe or into_pipe):
        yield Piped(inputs=list(inputs), output=output)
        return
    _check(inputs, into_pipe=into_pipe, as_json=as_json)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="widesr-")))
        source, made = inputs[0], folder / "out"
        if from_pipe:
            source = _received(folder)
            stack.enter_context(naming(re.escape(str(source)), "standard input"))
        if into_pipe:
            stack.enter_context(naming(rf"{re.escape(str(made))}/[^:]*", "standard output"))
        yield Piped(
            inputs=[source],
            output=values.Output(made, is_folder=True) if into_pipe else output,
            into_pipe=into_pipe,
        )
        if into_pipe:
            _send(made)


def _check(inputs: Sequence[Path], *, into_pipe: bool, as_json: bool) -> None:
    if len(inputs) > 1 or is_folder(inputs[0]):
        raise UsageError(
            "- is one picture from standard input; give no folder and no other input beside it"
        )
    if PIPE in inputs and sys.stdin.isatty():
        raise UsageError("input - is standard input, which is a terminal; pipe a picture into it")
    if into_pipe and sys.stdout.isatty():
        raise UsageError(
            "output - is standard output, which is a terminal; pipe it on, or name a file with -o"
        )
    if into_pipe and as_json:
        raise UsageError("--json and the picture would both go to standard output; leave one out")


def _received(folder: Path) -> Path:
    """Write all of stdin to a file with the suffix of its kind."""
    from widesr.pictures.sniff import kind_of
    from widesr.pictures.sources import PictureFile
    from widesr.pictures.writing import FORMATS

    path = folder / "stdin"
    try:
        with path.open("w+b") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
            file.flush()
            try:
                kind = kind_of(PictureFile(file.fileno(), path))
            except WidesrError:
                return path  # the error is reported when the file is read
    except OSError as error:
        raise ImageReadError(f"standard input: cannot be kept ({error.strerror})") from error
    suffixes = {each: suffix for suffix, each in reversed(FORMATS.items())}
    return path.rename(folder / f"stdin{suffixes.get(kind, f'.{kind}')}")


def _send(folder: Path) -> None:
    (made,) = folder.iterdir()
    with made.open("rb") as file, onto_stdout():
        shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
