"""Published sets from a server on this machine: named, unpacked safely, or refused."""

import bz2
import hashlib
import io
import json
import lzma
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from disk import left_in
from facts import names, refusal, refused
from widesr.cli import run
from widesr.data.archives import unpack
from widesr.data.opening import open_source
from widesr.data.published import get
from widesr.data.sets import LR_SIDES, SETS, archives_of
from widesr.errors import DataError


def png(colour):
    file = io.BytesIO()
    Image.new("RGB", (48, 48), colour).save(file, "PNG")
    return file.getvalue()


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def tarred(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


# ---- the table -----------------------------------------------------------------------------


def test_every_set_has_its_archives_with_a_published_hash():
    assert len(SETS) == 5
    for name in SETS:
        (*_, last) = archives_of([name])
        assert last.urls[0].startswith("https://")
        assert last.digest
    div2k = archives_of(["div2k"], lr=LR_SIDES)
    assert len(div2k) == 22  # as published: HR and ten LR sides, for training and validation
    assert len({each.digest for each in div2k}) == 22
    assert all(each.n_bytes and len(each.digest) == 71 for each in div2k)
    gives = {each.name: each.gives for each in div2k}
    assert gives["DIV2K_train_LR_bicubic_X3.zip"] == ("DIV2K_train_LR_bicubic/X3",)
    assert gives["DIV2K_valid_LR_mild.zip"] == ("DIV2K_valid_LR_mild",)


def test_the_benchmarks_share_one_archive():
    (only,) = archives_of(["set5", "b100", "set5"])
    assert only.name == "benchmark.tar"
    assert only.holds == ("benchmark/Set5", "benchmark/B100")


@pytest.mark.parametrize(
    ("sets", "lr", "url", "facts"),
    [
        (["set6"], [], None, ["set6", "div2k", "set5"]),
        (["div2k"], ["bicubic_X8"], None, ["bicubic_X8", "bicubic_X2"]),
        (["set5"], ["mild"], None, ["div2k", "lr"]),
        (["div2k"], [], "https://a/b.zip", ["https://a/b.zip", 2, "/"]),
    ],
)
def test_what_cannot_be_meant_is_said(sets, lr, url, facts):
    with refused("usage", *facts):
        archives_of(sets, lr=lr, url=url)


def test_a_mirror_is_a_folder_or_the_file():
    folder = archives_of(["div2k"], url="http://here/")
    assert [each.urls for each in folder] == [
        ("http://here/DIV2K_train_HR.zip",),
        ("http://here/DIV2K_valid_HR.zip",),
    ]
    assert folder[0].digest == archives_of(["div2k"])[0].digest
    (one,) = archives_of(["div2k"], url="http://here/DIV2K_valid_HR.zip?download=true")
    assert (one.name, one.n_bytes) == ("DIV2K_valid_HR.zip", 448993893)
    (other,) = archives_of(["set5"], url="http://here/Set5.zip")
    assert (other.name, other.digest, other.holds) == ("Set5.zip", None, ())


# ---- unpacking -----------------------------------------------------------------------------


MEMBERS = {"Set/HR/a.png": b"one", "Set/HR/b.png": b"two", "Set/LR/a.png": b"three"}


@pytest.mark.parametrize("make", [zipped, tarred])
def test_archives_are_unpacked_beside_what_is_there(tmp_path, make):
    (tmp_path / "a").write_bytes(make(MEMBERS | {"__MACOSX/Set/._a.png": b"junk"}))
    (tmp_path / "Set/HR").mkdir(parents=True)
    (tmp_path / "Set/HR/mine.png").write_bytes(b"mine")
    (tmp_path / "Set/HR/a.png").write_bytes(b"older")
    assert sorted(unpack(tmp_path / "a", tmp_path)) == sorted(MEMBERS)
    for name, data in MEMBERS.items():
        assert (tmp_path / name).read_bytes() == data
    assert (tmp_path / "Set/HR/mine.png").read_bytes() == b"mine"
    assert left_in(tmp_path) == ["Set", "a"]


@pytest.mark.parametrize("make", [zipped, tarred])
def test_only_the_wanted_folders_are_unpacked(tmp_path, make):
    (tmp_path / "a").write_bytes(make(MEMBERS))
    assert unpack(tmp_path / "a", tmp_path, holds=["Set/LR"]) == ["Set/LR/a.png"]
    assert left_in(tmp_path / "Set") == ["LR"]
    with refused("data", tmp_path / "a", "Set/L"):
        unpack(tmp_path / "a", tmp_path, holds=["Set/L"])


@pytest.mark.parametrize("make", [zipped, tarred])
@pytest.mark.parametrize(
    "name", ["../out.png", "/out.png", "a/../../out.png", "..\\out.png", "C:\\out.png", "C:out"]
)
def test_a_name_that_leads_out_refuses_all(tmp_path, make, name):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a").write_bytes(make({"good.png": b"good", name: b"evil"}))
    with refused("data", folder / "a", repr(name)):
        unpack(folder / "a", folder)
    assert left_in(folder) == ["a"]
    assert left_in(tmp_path) == ["in"]


@given(st.lists(st.sampled_from(["..", ".", "a", "b.png", "", "/", "\\"]), min_size=1, max_size=6))
def test_no_name_is_ever_written_outside(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("outer") / "in"
    folder.mkdir()
    (folder / "archive").write_bytes(tarred({"/".join(parts) or "x": b"data"}))
    written = []
    try:
        written = unpack(folder / "archive", folder)
    except DataError:
        assert left_in(folder) == ["archive"]
    assert left_in(folder.parent) == ["in"]
    assert all((folder / name).resolve().is_relative_to(folder.resolve()) for name in written)


def test_links_are_refused(tmp_path):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    (tmp_path / "a.tar").write_bytes(file.getvalue())
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc")
    for name in ("a.tar", "a.zip"):
        with refused("data", tmp_path / name, "a link"):
            unpack(tmp_path / name, tmp_path)
    assert left_in(tmp_path) == ["a.tar", "a.zip"]


@pytest.mark.parametrize("make", [zipped, tarred])
def test_half_an_archive_leaves_nothing(tmp_path, make):
    whole = make({f"{i}.png": os.urandom(5000) for i in range(4)})
    (tmp_path / "a").write_bytes(whole[:12_000])
    with refused("data", tmp_path / "a", "zip", "tar"):
        unpack(tmp_path / "a", tmp_path)
    assert left_in(tmp_path) == ["a"]


def test_a_damaged_member_is_found_by_its_own_hash(tmp_path):
    whole = zipped({"a.png": b"0123456789" * 50})
    at = whole.index(b"0123456789") + 7
    (tmp_path / "a.zip").write_bytes(whole[:at] + b"#" + whole[at + 1 :])
    with refused("data", tmp_path / "a.zip", "zip", "tar"):
        unpack(tmp_path / "a.zip", tmp_path)
    assert left_in(tmp_path) == ["a.zip"]


def test_an_archive_that_needs_a_password_is_refused(tmp_path):
    whole = bytearray(zipped({"a.png": b"one"}))
    for start, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        whole[whole.index(start) + flags] |= 1
    (tmp_path / "a.zip").write_bytes(whole)
    with refused("data", tmp_path / "a.zip", "a.png", "encrypted"):
        unpack(tmp_path / "a.zip", tmp_path)
    assert left_in(tmp_path) == ["a.zip"]


def test_damaged_data_and_names_are_refused(tmp_path):
    whole = tarred({"a.png": os.urandom(50_000)})
    packed, by_bz2 = bytearray(lzma.compress(whole)), bytearray(bz2.compress(whole))
    packed[20_000:20_100] = by_bz2[20_000:20_100] = bytes(100)
    named = zipped({"é.png": b"one"}).replace("é".encode(), b"\xff\xff")
    for name, damaged in (("a.tar.xz", packed), ("a.tar.bz2", by_bz2), ("a.zip", named)):
        (tmp_path / name).write_bytes(damaged)
        with refused("data", tmp_path / name, "whole"):
            unpack(tmp_path / name, tmp_path)
    assert left_in(tmp_path) == ["a.tar.bz2", "a.tar.xz", "a.zip"]


def test_an_archive_that_would_fill_the_disk_is_not_begun(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(zipped(MEMBERS))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5))
    with refused("data", tmp_path, "a unpacked", "MB", "out"):
        unpack(tmp_path / "a", tmp_path)
    assert left_in(tmp_path) == ["a"]


# ---- a whole set ---------------------------------------------------------------------------


def div2k_on(server, monkeypatch):
    """Serve a small DIV2K, published with the hashes that its archives have."""
    from widesr.data import sets

    for name in ("train_HR", "valid_HR", "train_LR_unknown_X2", "valid_LR_unknown_X2"):
        split, _, track = name.partition("_")
        below = f"DIV2K_{name}".replace("_X2", "/X2")
        first = 1 if split == "train" else 801
        end = "x2" if track != "HR" else ""
        side = 48 if track == "HR" else 24
        members = {}
        for i in range(first, first + 2):
            file = io.BytesIO()
            Image.new("RGB", (side, side), (i % 256, 9, 9)).save(file, "PNG")
            members[f"{below}/{i:04}{end}.png"] = file.getvalue()
        data = zipped(members)
        server.files[f"/DIV2K_{name}.zip"] = data
        monkeypatch.setitem(sets._DIV2K, name, (len(data), hashlib.sha256(data).hexdigest()))


def test_div2k_is_one_command_away_from_training(server, tmp_path, monkeypatch, capsys):
    div2k_on(server, monkeypatch)
    command = ["data", "get", "DIV2K", "--lr", "unknown_X2", "--url", server.url]
    command += ["-o", str(tmp_path / "data")]
    assert run(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    place = tmp_path / "data/DIV2K/DIV2K_train_HR"
    assert names(lines[0], "DIV2K_train_HR.zip", "2 files", place, "sha256", "academic")
    source = open_source(tmp_path / "data" / "DIV2K", scale=2, degradation="unknown")
    assert len(source.load(source.names)) == 2
    assert not list((tmp_path / "data").rglob("*.zip"))
    asked = len(server.asked)
    assert run(command) == 0
    assert len(server.asked) == asked
    again = capsys.readouterr().out.splitlines()
    assert [names(line, "already") for line in again] == [True] * 4
    shutil.rmtree(tmp_path / "data/DIV2K/DIV2K_valid_HR")
    assert run([*command, "--keep", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["files"] for each in found] == [0, 2, 0, 0]
    assert (tmp_path / "data/DIV2K/DIV2K_valid_HR.zip").is_file()


def test_one_set_of_the_benchmarks_is_unpacked_alone(server, tmp_path, capsys):
    members = {f"benchmark/{name}/HR/a.png": png("red") for name in ("Set5", "Set14")}
    server.files["/my.tar"] = tarred(members)
    out = tmp_path / "data"
    wanted = archives_of(["set5"])[0]
    md5 = hashlib.md5(server.files["/my.tar"], usedforsecurity=False)
    digest = f"md5:{md5.hexdigest()}"
    got = get(wanted._replace(urls=(f"{server.url}my.tar",), digest=digest), out)
    assert got.pictures == 1
    assert left_in(out / "benchmark") == ["Set5"]
    assert (out / "benchmark.tar.sha256").read_text().endswith("  benchmark.tar\n")


def test_a_file_without_a_published_hash_is_held_to_the_first_time(server, tmp_path, capsys):
    server.files["/Set5.zip"] = zipped({"Set5/HR/a.png": png("red")})
    command = ["data", "get", "set5", "--url", f"{server.url}Set5.zip", "-o", str(tmp_path)]
    assert run(command) == 0
    assert names(capsys.readouterr().out, "not checked", "sha256")
    recorded = (tmp_path / "Set5.zip.sha256").read_text()
    assert recorded == f"{hashlib.sha256(server.files['/Set5.zip']).hexdigest()}  Set5.zip\n"
    assert run(command) == 0
    assert names(capsys.readouterr().out, "sha256", "first time")
    server.files["/Set5.zip"] = zipped({"Set5/HR/a.png": png("blue")})
    assert run(command) == 1
    refusal(capsys.readouterr().err, "download", "Set5.zip.sha256")


def test_a_page_in_the_place_of_an_archive_is_refused(server, tmp_path, capsys):
    server.files["/Set5.zip"] = b"<html>log in first</html>"
    url = f"{server.url}Set5.zip"
    assert run(["data", "get", "set5", "--url", url, "-o", str(tmp_path)]) == 1
    refusal(capsys.readouterr().err, "data", url, "zip", "tar")
    assert left_in(tmp_path) == []


def test_too_little_room_is_said_before_anything_is_fetched(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5 * 10**9))
    with refused("data", "DIV2K_train_HR.zip", "7.1 GB"):
        get(archives_of(["div2k"], url=server.url)[0], Path(tmp_path))
    assert server.asked == []
