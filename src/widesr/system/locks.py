"""Locks open files against other processes, with the standard library of each platform.

A lock ends when its file is closed, or with the process, however that ends.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt
except ImportError:  # everywhere else
    msvcrt = None  # type: ignore[assignment]

_FAR = 2**40
"""Offset of the byte that stands for the file on Windows, where locked bytes cannot be read."""


def lock(fd: int, *, wait: bool) -> None:
    """Take the lock of an open file; it belongs to the process that opened the file.

    Args:
        fd: The descriptor of the file.
        wait: Wait until no other process holds the lock.

    Raises:
        BlockingIOError: Another process holds the lock, and `wait` is False.
        OSError: The file system, or the platform, has no locks.
    """
    if fcntl is not None:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif msvcrt is not None:
        _lock_far_byte(fd, wait=wait)
    else:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def lock_if_possible(fd: int) -> None:
    """Take the lock of an open file, or none where the file system or the platform has no locks.

    Raises:
        BlockingIOError: Another process holds the lock.
    """
    try:
        lock(fd, wait=False)
    except BlockingIOError:
        raise
    except OSError:
        pass


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; on Windows and on file systems without locks, hold nothing.

    Raises:
        BlockingIOError: Another process holds it, or this one does already.
    """
    try:
        fd = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows opens no folder
        yield
        return
    try:
        lock_if_possible(fd)
        yield
    finally:
        os.close(fd)


def _lock_far_byte(fd: int, *, wait: bool) -> None:
    at = os.lseek(fd, 0, os.SEEK_CUR)
    os.lseek(fd, _FAR, os.SEEK_SET)
    try:
        while True:
            try:
                msvcrt.locking(fd, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            except OSError as error:
                if not wait:
                    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
                if error.errno != errno.EDEADLK:  # ten seconds have passed: keep waiting
                    raise
            else:
                return
    finally:
        os.lseek(fd, at, os.SEEK_SET)
