"""Writes files whole or not at all, and treats open files as byte strings."""

import errno
import hashlib
import os
import re
import secrets
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom, FileIO
from pathlib import Path

from widesr.system.locks import lock


@contextmanager
def whole_file(path: Path, *, overwrite: bool) -> Iterator[BufferedRandom]:
    """Open a hidden file beside `path` that is renamed to it on success, and removed otherwise.

    The content is on the disk before the file gets its name, so that not even a loss of power
    leaves half a file. Only a killed process may leave `.widesr-*.part` behind; `remove_leftovers`
    tells such a file from that of a live process.

    Args:
        path: The file to write; a symbolic link is replaced, not followed.
        overwrite: Replace an existing file. If False, none is replaced, not even one that appears
            while this one is written.

    Yields:
        The hidden file, empty, for writing and reading back; its `name` is its path.

    Raises:
        FileExistsError: `path` exists, and `overwrite` is False.
        IsADirectoryError: `path` is a folder.
        FileNotFoundError: The folder is missing.
        OSError: No file can be written to the folder, or the disk is full; or `path` is a device, a
            pipe or a socket.
    """
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    if os.path.isdir(path):  # noqa: PTH112 (False, not an error, for a name that is too long)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    refuse_special(path)
    part = path.parent / f".widesr-{secrets.token_hex(8)}.part"
    try:  # around `open` too: Ctrl-C may come between the file and its name in `file`
        file = _open_locked(part)
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if os.name == "nt":  # which renames no open file
                file.close()
            if overwrite:
                part.replace(path)
            else:
                _take_name(part, path)
        finally:
            with suppress(OSError):  # closing after a failed write; that failure is raised
                file.close()
        sync_folder(path.parent)
    finally:
        with suppress(OSError):  # never made, or named by now
            part.unlink()


def refuse_special(path: Path) -> None:
    """Refuse the name of a device, which a file would replace: root could even lose /dev/null.

    Raises:
        OSError: `path` is a device, a pipe or a socket, or a link to one, as /dev/stdout is.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (follows links)
    except (OSError, ValueError):
        return  # nothing is there, or the caller's own call says what is wrong with the name
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "it is a device or a pipe and not a file", str(path))


def is_full(error: OSError) -> bool:
    """Tell whether a file could not grow because the disk, or the user's share of it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def sha256_of(path: Path) -> str:
    """Hash a whole file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def give_name(part: Path, path: Path, *, overwrite: bool) -> None:
    """Rename a file that is whole and on the disk to `path`, in the same file system.

    Raises:
        FileExistsError: `path` exists, and `overwrite` is False.
        OSError: No file can be written to the folder, or `path` is a device, a pipe or a socket.
    """
    if overwrite:
        refuse_special(path)
        part.replace(path)
    else:
        _take_name(part, path)
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


_PART = re.compile(r"\.widesr-[0-9a-f]{16}\.part")


def remove_leftovers(folder: Path) -> None:
    """Remove the hidden files of `whole_file` that killed processes left; live ones keep theirs.

    A live process holds a lock on its file, which ends with the process, however that ends. A file
    that cannot be locked or removed stays.
    """
    with suppress(OSError):  # no such folder, or not ours to look into
        for part in folder.iterdir():
            if _PART.fullmatch(part.name):
                with suppress(OSError):  # locked: alive
                    _remove_unlocked(part)


def _remove_unlocked(part: Path) -> None:
    if os.name == "nt":  # where no file that is open can be removed
        part.unlink()
        return
    fd = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        lock(fd, wait=False)
        # Only the holder of the lock removes a file of this name, so it stays the same file.
        if os.path.samestat(os.fstat(fd), part.lstat()):
            part.unlink()
    finally:
        os.close(fd)


def _open_locked(part: Path) -> BufferedRandom:
    """Make a file that `remove_leftovers` leaves alone for as long as it is open."""
    while True:
        file = part.open("x+b")
        with suppress(OSError):  # a file system without locks, where nothing is removed either
            lock(file.fileno(), wait=True)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # it was taken for a leftover between the two calls


def _take_name(part: Path, path: Path) -> None:
    """Give the file its name, unless another file has it by now."""
    try:
        os.link(part, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
    else:
        return
    # a file system without hard links: take the name with an empty file, then fill it
    path.open("xb").close()
    try:
        part.replace(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk; where that fails, the files exist all the same."""
    with suppress(OSError):  # Windows opens no folder at all
        fd = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def append_whole(path: Path, lines: bytes) -> None:
    """Append lines to a file, which may be missing: all of them are written to the disk, or none.

    An incomplete last line from a killed process is cut off first. Several processes may append at
    once.

    Raises:
        OSError: Nothing could be appended; the file is as it was.
    """
    is_new = not os.path.lexists(path)
    with path.open("a+b", buffering=0) as file:
        with suppress(OSError):  # a file system without locks
            lock(file.fileno(), wait=True)
        end = _end_of_lines(file)
        file.truncate(end)
        try:
            left = memoryview(lines)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):
                file.truncate(end)
            raise
    if is_new:
        sync_folder(path.parent)


def _end_of_lines(file: FileIO) -> int:
    """Find the end of the last whole line."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(end - _STEP, 0)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


_STEP = 2**16


class FileBytes:
    """An open file as a byte string, to be read by slices, overwritten in places, and extended."""

    def __init__(self, fd: int) -> None:
        self.fd, self._moving = fd, threading.Lock()

    def __len__(self) -> int:
        return os.fstat(self.fd).st_size

    def __getitem__(self, span: slice) -> bytes:
        start, stop, _ = span.indices(len(self))
        n = max(stop - start, 0)
        if hasattr(os, "pread"):
            return os.pread(self.fd, n, start)
        with self._at(start):
            return os.read(self.fd, n)

    def put(self, at: int, data: bytes) -> None:
        """Write all of the data at an offset."""
        if hasattr(os, "pwrite"):
            view = memoryview(data)
            while view:  # a full disk takes a part, and fails at the next write
                written = os.pwrite(self.fd, view, at)
                view, at = view[written:], at + written
            return
        with self._at(at):
            os.write(self.fd, data)

    @contextmanager
    def _at(self, offset: int) -> Iterator[None]:
        """Move to an offset and back: Windows reads and writes only at the file's position."""
        with self._moving:
            before = os.lseek(self.fd, 0, os.SEEK_CUR)
            os.lseek(self.fd, offset, os.SEEK_SET)
            try:
                yield
            finally:
                os.lseek(self.fd, before, os.SEEK_SET)

    def append(self, data: bytes) -> None:
        """Write all of the data at the end."""
        os.lseek(self.fd, 0, os.SEEK_END)
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]
