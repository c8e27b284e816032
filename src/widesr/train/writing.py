"""Writes the files of a run, whole or not at all, and says why one cannot be written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from widesr.errors import CheckpointError
from widesr.system.files import whole_file


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Convert errors of the operating system to an error that names the file.

    Raises:
        CheckpointError: The folder takes no file, or is full.
    """
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror or error}") from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole, or leave an existing one as it is.

    Raises:
        CheckpointError: The folder takes no file, or is full.
    """
    with named_errors(path), whole_file(path, overwrite=True) as file:
        file.write(data)
