"""An open file is locked against other processes, whatever the platform has for that."""

import errno
import fcntl
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from widesr.system import locks

HOLD = """
import sys
from widesr.system.locks import lock
file = open(sys.argv[1], "r+b")
lock(file.fileno(), wait=True)
print("locked", flush=True)
sys.stdin.read()
"""


def by_bytes(fd, mode, n):
    """Stand in for Windows' `msvcrt.locking`, by POSIX' own locks on bytes."""
    how = fcntl.LOCK_EX if mode == "wait" else fcntl.LOCK_EX | fcntl.LOCK_NB
    fcntl.lockf(fd, how, n, os.lseek(fd, 0, os.SEEK_CUR))


@pytest.fixture(params=["posix", "windows"])
def file(request, tmp_path, monkeypatch):
    program = HOLD
    if request.param == "windows":
        windows = SimpleNamespace(locking=by_bytes, LK_LOCK="wait", LK_NBLCK="try")
        monkeypatch.setattr(locks, "fcntl", None)
        monkeypatch.setattr(locks, "msvcrt", windows)
        program = HOLD.replace(
            "file =",
            "import os, fcntl\n"
            "import widesr.system.locks as locks\n"
            "locks.fcntl = None\n"
            "class msvcrt:\n"
            "    LK_LOCK, LK_NBLCK = 0, 1\n"
            "    locking = lambda fd, _, n: fcntl.lockf(fd, 2, n, os.lseek(fd, 0, 1))\n"
            "locks.msvcrt = msvcrt\n"
            "file =",
        )
    (tmp_path / "file").write_bytes(b"some bytes")
    (tmp_path / "hold.py").write_text(program)
    with (tmp_path / "file").open("r+b") as opened:
        yield opened


def test_a_lock_is_refused_while_another_process_has_it_and_ends_with_that_process(file, tmp_path):
    command = [sys.executable, tmp_path / "hold.py", file.name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(BlockingIOError):
            locks.lock(file.fileno(), wait=False)
        other.kill()
    locks.lock(file.fileno(), wait=True)


def test_locking_leaves_the_file_and_the_place_in_it_as_they_were(file):
    assert file.read(4) == b"some"
    locks.lock(file.fileno(), wait=False)
    assert file.read() == b" bytes"
    assert os.fstat(file.fileno()).st_size == 10


def test_a_platform_without_locks_says_so(file, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(locks, "msvcrt", None)
    with pytest.raises(OSError) as caught:  # noqa: PT011 (the number is asserted)
        locks.lock(file.fileno(), wait=False)
    assert caught.value.errno == errno.ENOLCK
