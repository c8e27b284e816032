"""Files from a server or a folder on this machine: resumed, checked, or refused."""

import errno
import hashlib
import os
import socket
from collections import namedtuple
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disk import left_in
from facts import names, refused
from server import Asked, Server, closed_port
from widesr.errors import ModelFileError
from widesr.system import download, places
from widesr.system.download import fetch_bytes, remove_part

Wanted = namedtuple("Wanted", ["name", "urls", "n_bytes", "digest"])

DATA = os.urandom(300_000)
SHA256 = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
fetch = partial(download.fetch, option="url")


def wanted(server, *, checked="sha256", places=1):
    """Return a wanted file whose bytes are `DATA`; of several places only the last has it."""
    md5 = hashlib.md5(DATA, usedforsecurity=False)
    digest = {"sha256": SHA256, "md5": f"md5:{md5.hexdigest()}", None: None}[checked]
    server.files.setdefault("/a.zip", DATA)
    urls = [f"{server.url}{'x' * i}a.zip" for i in reversed(range(places))]
    return Wanted("a.zip", urls, len(DATA) if checked == "sha256" else None, digest)


@pytest.mark.parametrize("checked", ["sha256", "md5", None])
@pytest.mark.parametrize("length", [True, False])
def test_a_file_comes_whole(server, tmp_path, checked, length):
    server.length = length
    seen = []
    fetched = fetch(
        wanted(server, checked=checked), tmp_path, on_progress=lambda *n: seen.append(n)
    )
    assert fetched.path.read_bytes() == DATA
    assert fetched.sha256 == hashlib.sha256(DATA).hexdigest()
    assert seen[-1] == (len(DATA), len(DATA) if length else None)
    assert left_in(tmp_path) == ["a.zip"]
    assert names(fetched.checked, checked or "not checked")


def test_a_connection_that_breaks_is_resumed_where_it_broke(server, tmp_path):
    server.cut_after = [1000, 200_000]
    fetched = fetch(wanted(server), tmp_path)
    assert fetched.path.read_bytes() == DATA
    assert [(each.start, each.status) for each in server.asked] == [
        (0, 200),
        (1000, 206),
        (201_000, 206),
    ]


def test_a_broken_connection_shows_without_a_length_too_where_the_file_is_known(server, tmp_path):
    server.length = False
    server.cut_after = [1000]
    assert fetch(wanted(server), tmp_path).path.read_bytes() == DATA
    assert [each.start for each in server.asked] == [0, 1000]


def test_a_later_process_goes_on_where_the_first_stopped(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(DATA[:123_456])
    assert fetch(wanted(server), tmp_path).path.read_bytes() == DATA
    assert server.asked == [Asked("/a.zip", 123_456, 206)]


@pytest.mark.parametrize("said", ["bytes 500-299999/300000", "bytes x", f"bytes {'9' * 5000}-1/2"])
def test_a_part_that_is_not_the_one_that_was_asked_for_is_never_joined(server, tmp_path, said):
    server.said_range = said
    (tmp_path / "a.zip.part").write_bytes(DATA[:1000])
    assert fetch(wanted(server), tmp_path).path.read_bytes() == DATA
    assert [(each.start, each.status) for each in server.asked] == [(1000, 206), (0, 200)]


def test_a_part_whose_length_is_not_said_is_taken(server, tmp_path):
    server.said_range = "bytes 1000-299999/*"
    (tmp_path / "a.zip.part").write_bytes(DATA[:1000])
    assert fetch(wanted(server), tmp_path).path.read_bytes() == DATA
    assert server.asked == [Asked("/a.zip", 1000, 206)]


def test_a_part_that_another_process_made_whole_meanwhile_is_let_go(server, tmp_path, monkeypatch):
    locks = []

    def lock(fd, *, wait):
        locks.append(wait)
        if len(locks) == 1:  # the other process: it had the lock until now
            (tmp_path / "a.zip.part").replace(tmp_path / "a.zip")

    monkeypatch.setattr("widesr.system.locks.lock", lock)
    assert fetch(wanted(server), tmp_path).path.read_bytes() == DATA
    assert len(locks) == 2
    assert left_in(tmp_path) == ["a.zip"]


def test_a_file_is_fetched_where_there_are_no_locks(server, tmp_path, monkeypatch):
    def lock(_fd, *, wait):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("widesr.system.locks.lock", lock)
    assert fetch(wanted(server), tmp_path).path.read_bytes() == DATA
    assert left_in(tmp_path) == ["a.zip"]


def test_a_damaged_version_is_as_none(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(b"of another file")
    (tmp_path / "a.zip.part.version").write_bytes(b"\xff\x80")
    assert fetch(wanted(server, checked=None), tmp_path).path.read_bytes() == DATA
    assert left_in(tmp_path) == ["a.zip"]


def test_what_is_whole_but_was_not_checked_is_not_fetched_again(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(DATA)
    assert fetch(wanted(server), tmp_path).path.read_bytes() == DATA
    assert server.asked == []


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    server.ranges = False
    (tmp_path / "a.zip.part").write_bytes(b"x" * 5000)
    assert fetch(wanted(server), tmp_path).path.read_bytes() == DATA
    assert server.asked == [Asked("/a.zip", 0, 200)]


def test_a_part_that_is_longer_than_the_file_goes(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(DATA + b"more")
    assert fetch(wanted(server, checked="md5"), tmp_path).path.read_bytes() == DATA
    assert [each.status for each in server.asked] == [416, 200]


def test_parts_of_two_files_are_never_joined(server, tmp_path):
    # Nothing is published about this file: only the server knows that it has changed.
    server.cut_after = [1000, 0, 0, 0]
    unknown = wanted(server, checked=None)
    with refused("download", "a.zip"):
        fetch(unknown, tmp_path)
    assert (tmp_path / "a.zip.part").stat().st_size == 1000
    server.files["/a.zip"] = b"y" * 2000
    assert fetch(unknown, tmp_path).path.read_bytes() == b"y" * 2000
    assert left_in(tmp_path) == ["a.zip"]


def test_an_unchanged_file_of_which_nothing_is_published_is_resumed(server, tmp_path):
    server.cut_after = [1000]
    assert fetch(wanted(server, checked=None), tmp_path).path.read_bytes() == DATA
    assert [each.status for each in server.asked] == [200, 206]


def test_the_next_place_goes_on_with_what_the_first_gave(server, tmp_path):
    file = wanted(server, places=3)  # "xxa.zip" is not there, and "xa.zip" breaks off for good
    server.files["/xa.zip"] = DATA
    server.cut_after = [1000, 0, 0, 0]
    assert fetch(file, tmp_path).path.read_bytes() == DATA
    assert [each.status for each in server.asked] == [404, 200, 206, 206, 206, 206]
    assert server.asked[-1] == Asked("/a.zip", 1000, 206)


def test_another_file_is_never_taken(server, tmp_path):
    wrong = DATA[:-1] + bytes([DATA[-1] ^ 1])
    server.files["/xa.zip"] = wrong
    assert fetch(wanted(server, places=2), tmp_path).path.read_bytes() == DATA
    (tmp_path / "a.zip").unlink()
    server.files["/a.zip"] = wrong
    with refused("download", "sha256"):
        fetch(wanted(server), tmp_path)
    assert left_in(tmp_path) == []


def test_a_file_of_another_size_is_not_even_begun(server, tmp_path):
    server.files["/a.zip"] = b"<html>come back later</html>"
    with refused("download", "a.zip", 28, "300,000"):
        fetch(wanted(server), tmp_path)
    assert left_in(tmp_path) == []


def test_a_whole_file_that_is_another_is_refused(server, tmp_path):
    (tmp_path / "a.zip").write_bytes(b"mine")
    with refused("download", "sha256"):
        fetch(wanted(server), tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == b"mine"


def test_no_server_is_one_line(tmp_path):
    with closed_port() as url, refused("download", "a.zip", os.strerror(errno.ECONNREFUSED)):
        fetch(Wanted("a.zip", [f"{url}a.zip"], None, None), tmp_path)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://here/a.zip", "a.zip"])
def test_only_the_web_is_fetched_from(tmp_path, url):
    with refused("usage", "https://"):
        fetch(Wanted("a.zip", [url], None, None), tmp_path)


def test_a_full_disk_keeps_what_came(server, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "_CHUNK", 100_000)
    came = []

    def report(n, _total):
        came.append(n)
        if n > 150_000:
            raise OSError(28, "no room")

    with refused("download", tmp_path / "a.zip", "make room"):
        fetch(wanted(server), tmp_path, on_progress=report)
    assert (tmp_path / "a.zip.part").stat().st_size == came[-1]
    fetch(wanted(server), tmp_path)
    assert server.asked[-1].start == came[-1]


def test_a_folder_that_takes_no_files_is_not_called_full(server, tmp_path):
    (tmp_path / "a.zip.part").mkdir()
    with refused("download", tmp_path / "a.zip", os.strerror(errno.EISDIR)) as told:
        fetch(wanted(server), tmp_path)
    assert "make room" not in told.value.message


def test_a_part_of_another_state_of_the_file_is_given_up_and_begun_anew(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(b"x" * 5000)
    assert fetch(wanted(server), tmp_path).path.read_bytes() == DATA
    assert [each.start for each in server.asked] == [5000, 0]


@pytest.mark.parametrize("length", [True, False])
def test_never_more_is_written_than_the_file_has(server, tmp_path, length):
    server.length = length
    server.files["/a.zip"] = DATA + b"more"
    with refused("download", "a.zip", "300,000"):
        fetch(wanted(server), tmp_path)
    assert left_in(tmp_path) == []


def test_a_place_that_leads_on_is_followed_with_what_was_asked_for(server, tmp_path):
    server.moved["/old.zip"] = f"{server.url}a.zip"
    (tmp_path / "a.zip.part").write_bytes(DATA[:1000])
    file = wanted(server)._replace(urls=[f"{server.url}old.zip"])
    assert fetch(file, tmp_path).path.read_bytes() == DATA
    assert server.asked == [Asked("/old.zip", 0, 302), Asked("/a.zip", 1000, 206)]


def test_a_place_that_leads_to_a_file_of_this_machine_is_refused(server, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(DATA)
    server.moved["/b.zip"] = secret.as_uri()
    file = wanted(server)._replace(urls=[f"{server.url}b.zip"])
    with refused("download"):
        fetch(file, tmp_path)


def test_a_server_that_falls_silent_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.zip"
        with refused("download", "a.zip", "timed out"):
            fetch(Wanted("a.zip", [url], None, None), tmp_path)


@pytest.mark.parametrize("host", ["[", "a b", "here:port", "a" * 70])
def test_an_address_that_is_none_is_one_line(tmp_path, host):
    with refused("download", "a.zip"):
        fetch(Wanted("a.zip", [f"http://{host}/a.zip"], None, None), tmp_path)


def test_a_file_comes_out_of_a_folder_and_is_resumed_there_too(tmp_path):
    (tmp_path / "mirror").mkdir()
    source = tmp_path / "mirror" / "b.zip"
    source.write_bytes(DATA)
    file = Wanted("a.zip", [tmp_path / "none", source], len(DATA), SHA256)
    seen = []
    (tmp_path / "a.zip.part").write_bytes(DATA[:1000])
    fetch(file, tmp_path, on_progress=lambda n, _: seen.append(n))
    assert (tmp_path / "a.zip").read_bytes() == DATA
    assert seen == [len(DATA)]
    assert source.exists()
    (tmp_path / "a.zip.part").write_bytes(b"y" * (len(DATA) + 1))
    again = fetch(file, tmp_path, overwrite=True)
    assert again.path.read_bytes() == DATA
    assert left_in(tmp_path) == ["a.zip", "mirror"]


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path):
    with refused("download", "a.zip", os.strerror(errno.EISDIR)):
        fetch(Wanted("a.zip", [tmp_path], None, None), tmp_path)


def test_a_file_that_is_there_is_replaced_only_if_asked(server, tmp_path):
    (tmp_path / "a.zip").write_bytes(b"mine")
    file = wanted(server)
    with refused("download", "a.zip"):
        fetch(file, tmp_path)
    server.cut_after = [10, 0, 0, 0]
    with refused("download", "a.zip"):
        fetch(file, tmp_path, overwrite=True)
    assert (tmp_path / "a.zip").read_bytes() == b"mine"
    fetch(file, tmp_path, overwrite=True)
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_whole_file_that_is_not_welcome_never_takes_its_name(server, tmp_path):
    def refuse(path):
        assert path.read_bytes() == DATA
        raise ModelFileError("not this one")

    with refused("model-file"):
        fetch(wanted(server), tmp_path, accept=refuse)
    assert left_in(tmp_path) == []


def test_two_processes_do_not_get_one_file_at_once(server, tmp_path):
    file = wanted(server)
    meanwhile = []

    def fetch_too(*_):
        with refused("download", "a.zip") as caught:
            fetch(file, tmp_path)
        meanwhile.append(caught.value)

    assert fetch(file, tmp_path, on_progress=fetch_too).path.read_bytes() == DATA
    assert meanwhile
    assert left_in(tmp_path) == ["a.zip"]


def test_what_is_left_of_a_file_can_be_removed(server, tmp_path):
    server.cut_after = [1000, 0, 0, 0]
    with refused("download"):
        fetch(wanted(server, checked=None), tmp_path)
    assert left_in(tmp_path) == ["a.zip.part", "a.zip.part.version"]
    assert remove_part(tmp_path / "a.zip")
    assert left_in(tmp_path) == []
    assert not remove_part(tmp_path / "a.zip")


# ---- small files -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lasting_server():
    server = Server()
    yield server
    server.close()


@given(n=st.integers(0, 3000), most=st.integers(0, 3000), length=st.booleans())
def test_a_small_file_comes_whole_or_not_at_all(lasting_server, n, most, length):
    server = lasting_server
    server.length = length
    server.files["/a"] = DATA[:n]
    url = f"{server.url}a"
    if n <= most:
        assert fetch_bytes(url, most=most) == DATA[:n]
    else:
        with refused("download", url, f"{most:,}"):
            fetch_bytes(url, most=most)


def test_half_a_small_file_is_refused(server, tmp_path):
    server.files["/a"] = DATA
    server.cut_after = [1000]
    with refused("download", "a"):
        fetch_bytes(f"{server.url}a", most=10**6)
    with refused("download", "404"):
        fetch_bytes(f"{server.url}b", most=10**6)
    with refused("download", "none"):
        fetch_bytes(tmp_path / "none", most=10**6)
    with refused("usage", "https://"):
        fetch_bytes("file:///etc/passwd", most=10**6)
