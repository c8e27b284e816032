"""A pack is its folder, decoded: patch for patch the same, whole or not there, and checkable."""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from disk import left_in
from facts import names, refusal, refused
from widesr.cli import run
from widesr.data import packing
from widesr.data.loader import Loader
from widesr.data.opening import open_source
from widesr.data.pack import Index, Pack, read_index
from widesr.data.packing import verify_pack, write_pack
from widesr.data.photographs import Folder
from widesr.data.source import hold_out, large_enough

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.[jp][pn]g"))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Pieces of real photographs: of several sizes, one grey, one too small for any patch."""
    assert len(EXAMPLES) >= 4
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "deep").mkdir()
    sizes = [(81, 64), (64, 49), (100, 120), (50, 50)]
    for i, (width, height) in enumerate(sizes):
        with Image.open(EXAMPLES[i]) as image:
            piece = image.convert("L" if i == 3 else "RGB").crop((90, 90, 90 + width, 90 + height))
            piece.save(folder / ("deep" if i == 1 else "") / f"{i}.png")
    Image.new("RGB", (1, 1)).save(folder / "one pixel.png")
    (folder / "MANIFEST.csv").write_text(
        "file,licence,origin\n"
        + "".join(f"{name},CC0-1.0,here\n" for name in ["0.png", "deep/1.png", "2.png", "3.png"])
        + "one pixel.png,MIT,there\n"
    )
    return folder


@pytest.fixture(scope="module")
def pack(photographs, tmp_path_factory):
    """The pack of these photographs, not to be written to."""
    out = tmp_path_factory.mktemp("packs") / "pack"
    write_pack(Folder(photographs, scales=[2, 3], degradation="bicubic"), out)
    return out


@pytest.fixture
def copied(pack, tmp_path):
    return Path(shutil.copytree(pack, tmp_path / "pack"))


def batches(data, *, scale, seed=3, n=5, exclude=()):
    source = open_source(data, scale=scale, degradation="bicubic", exclude=exclude)
    names = large_enough(source, scale=scale, lr_patch=12, on_notice=lambda _: None)
    training, held = hold_out(names, 1)
    loader = Loader(source.load(training), scale=scale, lr_patch=12, batch=4, seed=seed)
    with loader:
        drawn = [part.tobytes() for _ in range(n) for part in loader.next()[:2]]
    (validation,) = source.load(held)
    return training, held, drawn, validation.lr.tobytes(), validation.hr.tobytes()


@settings(max_examples=8)
@given(st.sampled_from([2, 3]), st.integers(0, 99), st.sampled_from([(), ("2.png",)]))
def test_a_pack_gives_the_batches_of_its_folder(photographs, pack, scale, seed, exclude):
    options = {"scale": scale, "seed": seed, "exclude": exclude}
    assert batches(photographs, **options) == batches(pack, **options)


def test_a_pack_states_what_its_folder_does(photographs, pack):
    folder = open_source(photographs, scale=2, degradation="bicubic")
    packed = open_source(pack, scale=2, degradation="bicubic")
    assert isinstance(packed, Pack)
    assert packed.names == folder.names
    assert packed.sizes() == folder.sizes()
    assert packed.licences == folder.licences
    assert packed.title == folder.title
    assert names(packed.what, "pack", 5, "bicubic")
    assert json.loads((pack / "index.json").read_text())["protocol"].startswith("MATLAB imresize")


def test_packing_twice_gives_the_same_bytes(photographs, pack, tmp_path):
    write_pack(Folder(photographs, scales=[2, 3], degradation="bicubic"), tmp_path / "again")
    names = sorted(path.name for path in pack.iterdir())
    assert names == ["hr.bin", "index.json", "lr_x2.bin", "lr_x3.bin"]
    for name in names:
        assert (pack / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_given_lr_is_packed_as_it_is(tmp_path):
    folder = tmp_path / "DIV2K"
    for name in ("DIV2K_train_HR", "DIV2K_train_LR_wild"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for i in range(3):
        hr = random.integers(0, 256, (48, 64, 3), np.uint8)
        Image.fromarray(hr).save(folder / f"DIV2K_train_HR/000{i}.png")
        for n in range(1, 5):
            lr = random.integers(0, 256, (12, 16, 3), np.uint8)
            Image.fromarray(lr).save(folder / f"DIV2K_train_LR_wild/000{i}x4w{n}.png")
    index = write_pack(Folder(folder, scales=[4], degradation="wild"), tmp_path / "pack")
    assert index.protocol == "3 HR in DIV2K_train_HR with LR at x4 in DIV2K_train_LR_wild"
    pairs = [open_source(data, scale=4, degradation="wild") for data in (folder, tmp_path / "pack")]
    ours, theirs = (source.load(source.names) for source in pairs)
    assert len(ours) == len(theirs) == 12
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(one.lr, other.lr)
        assert np.array_equal(one.hr, other.hr)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux' /proc")
def test_a_crop_touches_only_its_pages(tmp_path):
    (tmp_path / "folder").mkdir()
    image = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "folder" / "large.bmp")
    write_pack(Folder(tmp_path / "folder", scales=[2], degradation="bicubic"), tmp_path / "pack")
    source = open_source(tmp_path / "pack", scale=2, degradation="bicubic")
    pairs = source.load(source.names)
    assert resident(tmp_path / "pack" / "hr.bin") == 0
    assert np.array_equal(pairs[0].hr[1000:1048, 2000:2048], image[1000:1048, 2000:2048])
    # 48 rows of 12 kB, and what the kernel reads around them; the file has 36 MB.
    assert 0 < resident(tmp_path / "pack" / "hr.bin") < 5_000_000


def resident(path):
    """Bytes of a mapped file that this process has in memory."""
    inside, total = False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            inside = line.endswith(str(path))
        elif inside and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total


# ---- damage --------------------------------------------------------------------------------


def test_a_whole_pack_is_verified(pack):
    seen = []
    index, damaged = verify_pack(pack, on_progress=lambda n, name: seen.append((n, name)))
    assert damaged == []
    assert seen[-1] == (5, "deep/1.png")
    assert index.sha256 == read_index(pack).sha256


@given(st.data())
@settings(max_examples=20)
def test_a_changed_byte_is_found_and_named(pack, tmp_path_factory, data):
    copy = Path(shutil.copytree(pack, tmp_path_factory.mktemp("copy") / "pack"))
    name = data.draw(st.sampled_from(["hr.bin", "lr_x2.bin", "lr_x3.bin"]))
    content = bytearray((copy / name).read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    (copy / name).write_bytes(content)
    what = {"hr.bin": "HR", "lr_x2.bin": "LR x2", "lr_x3.bin": "LR x3"}[name]

    def stored(photograph):
        return photograph.hr if name == "hr.bin" else photograph.lr[int(name[4])][0]

    (hit,) = [
        photograph.name
        for photograph in read_index(pack).photographs
        if stored(photograph).offset <= at < stored(photograph).offset + stored(photograph).n_bytes
    ]
    assert verify_pack(copy)[1] == [f"{hit} ({what})"]


def cut_short(pack):
    os.truncate(pack / "lr_x2.bin", (pack / "lr_x2.bin").stat().st_size - 1)


def file_gone(pack):
    (pack / "hr.bin").unlink()


def index_gone(pack):
    (pack / "index.json").unlink()


def index_cut(pack):
    os.truncate(pack / "index.json", 500)


def index_changed(pack):
    text = (pack / "index.json").read_text()
    (pack / "index.json").write_text(text.replace("deep/1.png", "deep/4.png"))


def newer(pack):
    text = (pack / "index.json").read_text()
    (pack / "index.json").write_text(text.replace("widesr-pack-1", "widesr-pack-2"))


def nested(pack):
    (pack / "index.json").write_text('{"format": "widesr-pack-1", "what": ' + "[" * 100_000)


def crafted(change):
    """Change the record of the first photograph, and make the hash of the index fit."""

    def damage(pack):
        index = json.loads((pack / "index.json").read_text())
        change(index["photographs"][0])
        made = Index.model_validate_json(json.dumps(index))
        made = made.model_copy(update={"sha256": made.digest()})
        (pack / "index.json").write_text(made.model_dump_json())

    return damage


@pytest.mark.parametrize(
    ("damage", "facts"),
    [
        (nested, ["index.json", "damaged"]),
        (crafted(lambda p: p["hr"].update(offset=10**9)), ["index.json", "damaged at"]),
        (crafted(lambda p: p["hr"].update(height=10**9)), ["index.json", "damaged at"]),
        (crafted(lambda p: p["lr"]["2"][0].update(height=2)), ["index.json", "damaged at"]),
        (crafted(lambda p: p["lr"].pop("2")), ["index.json", "damaged at"]),
        (crafted(lambda p: p["lr"].update({"2": []})), ["index.json", "damaged at"]),
        (cut_short, ["lr_x2.bin", "bytes"]),
        (file_gone, ["hr.bin", os.strerror(errno.ENOENT)]),
        (index_gone, ["index.json", os.strerror(errno.ENOENT)]),
        (index_cut, ["index.json", "damaged"]),
        (index_changed, ["index.json", "damaged", "hash"]),
        (newer, ["widesr-pack-2", "widesr-pack-1"]),
    ],
)
def test_a_damaged_pack_is_never_trained_on(copied, damage, facts):
    damage(copied)
    for use in (verify_pack, lambda p: open_source(p, scale=2, degradation="bicubic")):
        with refused("data", *facts):
            use(copied)


@pytest.mark.parametrize(("scale", "degradation"), [(4, "bicubic"), (2, "unknown")])
def test_a_pack_says_what_it_holds(pack, scale, degradation):
    with refused("data", pack, "bicubic", "x2", "x3", f"{degradation} at x{scale}"):
        open_source(pack, scale=scale, degradation=degradation)


# ---- whole or not at all -------------------------------------------------------------------


def test_all_photographs_that_cannot_be_packed_are_named_at_once(photographs, tmp_path):
    folder = Path(shutil.copytree(photographs, tmp_path / "in"))
    (folder / "MANIFEST.csv").unlink()
    whole = (folder / "0.png").read_bytes()
    (folder / "0.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.zeros((50, 50), np.uint16)).save(folder / "deep.png")
    with refused("data", "0.png", "deep.png", "16-bit") as caught:
        write_pack(Folder(folder, scales=[2], degradation="bicubic"), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path) == ["in"]


def test_a_full_disk_is_said_before_and_leaves_nothing_behind(photographs, tmp_path, monkeypatch):
    folder = Folder(photographs, scales=[2], degradation="bicubic")
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
        with refused("data", tmp_path / "out", "0.1 MB", "0.0 MB", "out"):
            write_pack(folder, tmp_path / "out")

    def full(self, pixels, sha256):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(packing._Growing, "add", full)
    with refused("data", tmp_path / "out", os.strerror(errno.ENOSPC)):
        write_pack(folder, tmp_path / "out")
    assert left_in(tmp_path) == []


def test_what_is_there_is_not_replaced(photographs, tmp_path):
    folder = Folder(photographs, scales=[2], degradation="bicubic")
    (tmp_path / "out").write_text("mine")
    with refused("output-exists", tmp_path / "out"):
        write_pack(folder, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"
    with refused("data", tmp_path / "nowhere", os.strerror(errno.ENOENT)):
        write_pack(folder, tmp_path / "nowhere" / "out")


def test_two_processes_do_not_make_one_pack(photographs, tmp_path):
    part = tmp_path / ".out.widesr-part"
    part.mkdir()
    fd = os.open(part, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with refused("data", tmp_path / "out", "process"):
            write_pack(Folder(photographs, scales=[2], degradation="bicubic"), tmp_path / "out")
    finally:
        os.close(fd)
    assert part.is_dir()


KILLED = """
import sys, time
from pathlib import Path
from widesr.data.packing import write_pack
from widesr.data.photographs import Folder
def slowly(n, name):
    print(n, flush=True)
    time.sleep(60 if n == 3 else 0)
write_pack(Folder(Path(sys.argv[1]), scales=[2, 3], degradation="bicubic"), Path(sys.argv[2]),
           on_progress=slowly)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_after_a_kill_the_same_again_makes_the_pack(photographs, pack, tmp_path, number):
    out = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, photographs, out],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert [process.stdout.readline() for _ in range(3)] == ["1\n", "2\n", "3\n"]
        process.send_signal(number)
        process.wait(250)
    killed = number == signal.SIGKILL
    assert left_in(tmp_path) == ([".out.widesr-part"] if killed else [])
    write_pack(Folder(photographs, scales=[2, 3], degradation="bicubic"), out)
    assert left_in(tmp_path) == ["out"]
    assert (out / "index.json").read_bytes() == (pack / "index.json").read_bytes()


def test_packing_runs_ahead_of_the_disk_only_so_far(photographs, tmp_path, monkeypatch):
    begun = []
    decode = Folder.decode
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(
        Folder, "decode", lambda self, name: begun.append(name) or decode(self, name)
    )
    ahead = []

    def on_progress(n, name):
        time.sleep(0.05)
        ahead.append(len(begun) - n)

    write_pack(
        Folder(photographs, scales=[2], degradation="bicubic"),
        tmp_path / "out",
        on_progress=on_progress,
    )
    assert max(ahead) <= 3


# ---- the command ---------------------------------------------------------------------------


def test_the_commands_say_what_they_did(photographs, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["data", "pack", str(photographs), "-o", str(out), "--scale", "2,4"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert names(first, photographs, 5, "bicubic")
    assert names(second, out, 5, "x2", "x4", "bicubic", "0.1 MB")
    assert run(["data", "verify", str(out)]) == 0
    assert names(capsys.readouterr().out, out, 5, "0.1 MB", "sha256")
    with (out / "lr_x4.bin").open("r+b") as file:
        file.write(b"damage")
    assert run(["data", "verify", str(out), "--json"]) == 1
    ran = capsys.readouterr()
    assert json.loads(ran.out)["damaged"] == ["0.png (LR x4)"]
    refusal(ran.err, "data", out, 1, "0.png (LR x4)")
    assert run(["data", "pack", str(photographs), "-o", str(out / "b"), "--scale", "5"]) == 2
    refusal(capsys.readouterr().err, "usage", "scale 5")


def test_without_a_command_the_help_is_shown(capsys):
    assert run(["data"]) == 2
    ran = capsys.readouterr()
    assert "verify" in ran.out
    assert ran.err == ""
