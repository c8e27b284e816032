"""Opens the sources and targets of pictures: paths, bytes and open files."""

import io
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from widesr.errors import ImageReadError, ImageWriteError, UsageError, write_error
from widesr.pictures.boxes import Heif
from widesr.system.files import FileBytes, whole_file
from widesr.system.folders import web_address

Target = str | os.PathLike[str] | BinaryIO
"""The place a picture goes to: a path, or a file object open for writing in binary mode."""
Source = Target | bytes | bytearray | memoryview
"""The place a picture comes from: a path, the bytes of a file, or a file object open for reading in
binary mode, which need not be seekable and is read from its current position to its end."""

_PIECE = 2**20
"""Bytes that are copied at once."""


class PictureFile(FileBytes):
    """An open file that a picture is read from."""

    def __init__(self, fd: int, path: Path) -> None:
        super().__init__(fd)
        self.path = path
        """The file's name in messages."""

    @cached_property
    def heif(self) -> Heif:
        """The items of an AVIF or HEIC file, which are read once."""
        return Heif(self)


def name_of(source: Source) -> Path:
    """Name a source or a target in messages: by its path, else by its type."""
    if isinstance(source, str | os.PathLike):
        return Path(source)
    return Path(f"<{type(source).__name__}>")


@contextmanager
def opened(source: Source) -> Iterator[PictureFile]:
    """Open the source of a picture; bytes and file objects are copied to a temporary file.

    Raises:
        ImageReadError: There is no such file, it cannot be read, or it is empty.
        UsageError: The source is none of the kinds of `Source`.
    """
    path = name_of(source)
    if isinstance(source, str | os.PathLike):
        fd = _open_path(path)
        try:
            yield PictureFile(_checked(fd, path), path)
        finally:
            os.close(fd)
        return
    with tempfile.TemporaryFile() as copy:
        try:
            _copy(source, copy)
            copy.flush()
        except (OSError, ValueError, BufferError) as error:  # the last of a memoryview with gaps
            why = getattr(error, "strerror", None) or error
            raise ImageReadError(f"{path}: cannot be read ({why})") from error
        if os.fstat(copy.fileno()).st_size == 0:
            raise ImageReadError(
                f"{path}: there is nothing to read; a file object is read from where it stands"
            )
        yield PictureFile(copy.fileno(), path)


def _copy(source: bytes | bytearray | memoryview | BinaryIO, copy: BinaryIO) -> None:
    if isinstance(source, bytes | bytearray | memoryview):
        copy.write(source)
        return
    _check_binary(source, "read")
    while piece := source.read(_PIECE):
        copy.write(piece)


def _check_binary(file: object, method: str) -> None:
    """Refuse what is neither a path nor a file object in binary mode."""
    if isinstance(file, io.TextIOBase) or not callable(getattr(file, method, None)):
        kind = type(file).__name__
        found = f"a file in text mode ({kind})" if isinstance(file, io.TextIOBase) else kind
        expected = "a path, bytes" if method == "read" else "a path"
        raise UsageError(
            f"{found} was given, expected {expected} or a file object that is open in binary mode"
        )


def _open_path(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not wait for its writer
    except FileNotFoundError as error:
        if address := web_address(path):
            raise ImageReadError(
                f"{address}: is a web address, and widesr fetches no pictures; download it and "
                "name the file"
            ) from error
        raise ImageReadError(f"{path}: no such file; check the name and the folder") from error
    except OSError as error:
        raise ImageReadError(
            f"{path}: cannot be opened ({error.strerror}); check its permissions"
        ) from error
    except ValueError as error:
        raise ImageReadError(f"{str(path)!r}: not a file name ({error})") from error


def _checked(fd: int, path: Path) -> int:
    info = os.fstat(fd)
    if stat.S_ISDIR(info.st_mode):
        raise ImageReadError(f"{path}: is a folder, a picture was expected; name a file in it")
    if not stat.S_ISREG(info.st_mode):
        raise ImageReadError(f"{path}: is not a regular file; save the picture to one first")
    if info.st_size == 0:
        raise ImageReadError(f"{path}: the file is empty; get a whole copy of it")
    return fd


@contextmanager
def whole_target(target: Target, *, overwrite: bool) -> Iterator[io.BufferedRandom]:
    """Open a file to write a picture to, which reaches its target only if it becomes whole.

    Args:
        target: A path, which names the file only at the end; or a file object, which is written
            to at the end, from its current position.
        overwrite: True to replace an existing file.

    Yields:
        An empty file, for writing and reading back.

    Raises:
        UsageError: The target is neither a path nor a file object in binary mode.
        OutputExistsError: The path exists, and `overwrite` is False.
        ImageWriteError: The folder is missing, full, or takes no file; or the file object fails.
    """
    path = name_of(target)
    try:
        if isinstance(target, str | os.PathLike):
            if "\0" in str(path):
                raise ImageWriteError(f"{str(path)!r}: not a file name (embedded null byte)")
            with whole_file(path, overwrite=overwrite) as file:
                yield file
            return
        _check_binary(target, "write")
        with tempfile.TemporaryFile() as whole:
            yield whole
            _hand_over(whole, target)
    except OSError as error:
        raise write_error(path, error) from error


def _hand_over(whole: BinaryIO, target: BinaryIO) -> None:
    whole.seek(0)
    while piece := whole.read(_PIECE):
        left = memoryview(piece)
        while left:
            try:
                n = target.write(left)
            except ValueError as error:  # it is closed
                raise ImageWriteError(f"{name_of(target)}: cannot be written ({error})") from error
            if n is None and isinstance(target, io.RawIOBase):
                raise ImageWriteError(f"{name_of(target)}: takes nothing more without blocking")
            left = left[len(left) if n is None else n :]
