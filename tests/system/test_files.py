"""A file is whole or not there: under errors, interrupts, races, full disks and kills."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from widesr.system import files
from widesr.system.files import append_whole, remove_leftovers, whole_file


class StopError(Exception):
    """Whatever goes wrong while a file is written."""


def write(path, data, *, overwrite=False):
    with whole_file(path, overwrite=overwrite) as file:
        file.write(data)


def content(folder):
    """Every file of a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refuse(error):
    def call(*args, **kwargs):
        raise error

    return call


def without_links(monkeypatch):
    monkeypatch.setattr(os, "link", refuse(OSError(errno.EPERM, "no hard links")))


OLD, NEW = b"old " * 1000, b"new " * 1001


@given(
    old=st.none() | st.binary(max_size=100),
    parts=st.lists(st.binary(max_size=20_000), max_size=4),
    overwrite=st.booleans(),
    stops=st.booleans(),
)
def test_the_folder_holds_the_whole_old_file_or_the_whole_new_one(old, parts, overwrite, stops):
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "file"
        if old is not None:
            path.write_bytes(old)
        refused = old is not None and not overwrite
        try:
            with whole_file(path, overwrite=overwrite) as file:
                for part in parts:
                    file.write(part)
                if stops:
                    raise StopError
        except FileExistsError:
            assert refused
        except StopError:
            assert stops
            assert not refused
        else:
            old = b"".join(parts)
        assert content(path.parent) == ({} if old is None else {"file": old})


def test_what_was_written_can_be_read_back_and_changed(tmp_path):
    with whole_file(tmp_path / "file", overwrite=False) as file:
        file.write(b"0123456789")
        file.seek(3)
        assert file.read(2) == b"34"
        file.seek(0)
        file.write(b"x")
    assert content(tmp_path) == {"file": b"x123456789"}


def test_until_it_is_whole_it_has_a_hidden_name_of_ours(tmp_path):
    with whole_file(tmp_path / "file", overwrite=False) as file:
        assert Path(file.name).parent == tmp_path
        (name,) = content(tmp_path)
        assert name.startswith(".widesr-")
        assert name.endswith(".part")


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_comes_meanwhile_is_kept(tmp_path, monkeypatch, links):
    if not links:
        without_links(monkeypatch)
    path = tmp_path / "file"

    def write_too_late():
        with whole_file(path, overwrite=False) as file:
            file.write(NEW)
            path.write_bytes(b"theirs")

    with pytest.raises(FileExistsError):
        write_too_late()
    assert content(tmp_path) == {"file": b"theirs"}


def test_a_file_system_without_links_takes_the_file_too(tmp_path, monkeypatch):
    without_links(monkeypatch)
    write(tmp_path / "file", NEW)
    assert content(tmp_path) == {"file": NEW}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "broken")])
@pytest.mark.parametrize(
    ("step", "overwrite", "links"),
    [
        ("fsync", True, True),
        ("fsync", False, True),
        ("replace", True, True),
        ("link", False, True),
        ("replace", False, False),
    ],
)
def test_a_failure_in_any_step_leaves_what_was_there(
    tmp_path, monkeypatch, step, overwrite, links, error
):
    path = tmp_path / "file"
    if overwrite:
        path.write_bytes(OLD)
    if not links:
        without_links(monkeypatch)
    monkeypatch.setattr(os, step, refuse(error))
    with pytest.raises(type(error)):
        write(path, NEW, overwrite=overwrite)
    assert content(tmp_path) == ({"file": OLD} if overwrite else {})


@contextmanager
def files_end_at(size):
    """A limit on the size of files stands for the full disk: real writes fail."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("size", [100, 100_000])  # fails at the flush, fails in `write`
def test_a_full_disk_leaves_the_old_file(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    with files_end_at(50), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        write(path, b"x" * size, overwrite=True)
    assert content(tmp_path) == {"file": OLD}


def test_an_interrupt_is_not_hidden_by_a_disk_that_is_full_too(tmp_path):
    def be_interrupted():
        with whole_file(tmp_path / "file", overwrite=False) as file:
            file.write(b"waits in the buffer until the file is closed")
            raise KeyboardInterrupt

    with files_end_at(0), pytest.raises(KeyboardInterrupt):
        be_interrupted()
    assert content(tmp_path) == {}


KILLED = """
import os, signal, sys
from pathlib import Path
from widesr.system.files import append_whole, remove_leftovers, whole_file

moment, overwrite = sys.argv[2], sys.argv[3] == "True"

def kill(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

if moment == "named":  # the second fsync is the folder's
    real, seen = os.fsync, []
    os.fsync = lambda fd: kill() if seen else (seen.append(fd), real(fd))
elif moment != "half":
    setattr(os, moment, kill)
with whole_file(Path(sys.argv[1]), overwrite=overwrite) as file:
    file.write(b"new " * 1000)
    if moment == "half":
        file.flush()
        kill()
    file.write(b"new ")
"""


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("moment", ["half", "fsync", "rename", "named", "unlink"])
def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path, moment, overwrite):
    path = tmp_path / "file"
    if overwrite:
        path.write_bytes(OLD)
    is_new = moment in ("named", "unlink")
    if moment == "rename":
        moment = "replace" if overwrite else "link"
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), moment, str(overwrite)], timeout=250
    )
    assert run.returncode == -signal.SIGKILL
    expected = NEW if is_new else OLD if overwrite else None
    found = content(tmp_path)
    assert found.pop("file", None) == expected
    assert all(name.startswith(".widesr-") and name.endswith(".part") for name in found)
    assert len(found) <= 1


def test_a_folder_that_is_missing_or_none_is_told_apart(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").touch()
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "absent" / "file", NEW)
    with pytest.raises(NotADirectoryError):
        write(tmp_path / "plain" / "file", NEW)
    with pytest.raises(IsADirectoryError):
        write(tmp_path / "folder", NEW, overwrite=True)
    with pytest.raises(FileExistsError):
        write(tmp_path / "folder", NEW)
    with pytest.raises(OSError, match=os.strerror(errno.ENAMETOOLONG)):
        write(tmp_path / ("x" * 300), NEW)
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "plain"}


def test_the_longest_name_that_a_file_can_have_is_taken(tmp_path):
    write(tmp_path / ("x" * 255), NEW)
    assert content(tmp_path) == {"x" * 255: NEW}


@pytest.mark.parametrize("kind", ["pipe", "pipe-link", "device-link"])
def test_a_device_or_a_pipe_is_never_replaced_by_a_file(tmp_path, kind):
    special, path = tmp_path / "special", tmp_path / "file"
    os.mkfifo(special)
    if kind != "pipe":
        path.symlink_to(special if kind == "pipe-link" else "/dev/null")
    else:
        path = special
    before = path.lstat()
    (tmp_path / "part").write_bytes(NEW)
    for call in (
        lambda: write(path, NEW, overwrite=True),
        lambda: files.give_name(tmp_path / "part", path, overwrite=True),
    ):
        with pytest.raises(OSError) as caught:  # noqa: PT011 (its number is looked at)
            call()
        assert caught.value.errno == errno.EINVAL
    assert os.path.samestat(path.lstat(), before)
    assert not list(tmp_path.glob(".widesr-*"))


def test_a_link_that_leads_nowhere_is_no_free_name(tmp_path):
    (tmp_path / "file").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        write(tmp_path / "file", NEW)
    write(tmp_path / "file", NEW, overwrite=True)
    assert content(tmp_path) == {"file": NEW}


def test_the_file_and_then_its_folder_reach_the_disk(tmp_path, monkeypatch):
    synced, real = [], os.fsync

    def record(fd):
        info = os.fstat(fd)
        is_folder = stat.S_ISDIR(info.st_mode)
        synced.append(("folder", sorted(content(tmp_path))) if is_folder else info.st_size)
        real(fd)

    monkeypatch.setattr(os, "fsync", record)
    write(tmp_path / "file", NEW, overwrite=True)
    assert synced == [len(NEW), ("folder", ["file"])]


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path, monkeypatch):
    real = os.open

    def refuse_folders(path, flags, *rest, **named):
        if flags & os.O_DIRECTORY:
            raise OSError(errno.EINVAL, "not on this file system")
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse_folders)
    write(tmp_path / "file", NEW)
    assert content(tmp_path) == {"file": NEW}


def test_the_file_gets_the_permissions_that_the_user_wants(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "file", NEW)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    killed = [sys.executable, "-c", KILLED, str(tmp_path / "file"), "half", "True"]
    for _ in range(2):
        assert subprocess.run(killed, timeout=250).returncode == -signal.SIGKILL
    assert len(content(tmp_path)) == 2
    others = [".widesr-0123456789abcdef.part.bak", ".widesr-notes.part", "widesr.part"]
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / f".widesr-{'a' * 16}.part").mkdir()
    (tmp_path / f".widesr-{'b' * 16}.part").symlink_to("widesr.part")
    with whole_file(tmp_path / "file", overwrite=True) as live:
        remove_leftovers(tmp_path)
        kept = {path.name for path in tmp_path.iterdir()}
        live.write(NEW)
    assert kept >= {Path(live.name).name, *others}
    assert len(kept) == len(others) + 3
    assert (tmp_path / "file").read_bytes() == NEW


def test_leftovers_of_a_folder_that_is_not_there_are_none(tmp_path):
    remove_leftovers(tmp_path / "missing")


def test_a_file_that_was_taken_for_a_leftover_as_it_was_made_is_made_anew(tmp_path, monkeypatch):
    real, removed = files.lock, []

    def be_late(fd, *, wait):
        if not removed:
            removed.append(True)
            remove_leftovers(tmp_path)  # before the lock is ours
        real(fd, wait=wait)

    monkeypatch.setattr(files, "lock", be_late)
    write(tmp_path / "file", NEW)
    assert removed
    assert content(tmp_path) == {"file": NEW}


def test_where_nothing_can_be_locked_files_are_written_and_nothing_is_removed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(files, "lock", refuse(OSError(errno.ENOLCK, "no locks")))
    leftover = tmp_path / f".widesr-{'a' * 16}.part"
    leftover.touch()
    remove_leftovers(tmp_path)
    write(tmp_path / "file", NEW)
    assert content(tmp_path) == {"file": NEW, leftover.name: b""}


def test_lines_that_do_not_fit_on_the_disk_leave_the_file_as_it_was(tmp_path):
    path = tmp_path / "lines"
    append_whole(path, b"first\n")
    with files_end_at(50), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        append_whole(path, b"second " * 100 + b"\n")
    assert content(tmp_path) == {"lines": b"first\n"}
