"""Sources for --data: HR alone, HR with LR in several layouts; and the patches drawn from them."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facts import names, refused
from widesr.data import photographs
from widesr.data.opening import open_source
from widesr.data.patches import Pair, Patch, PatchSampler, cut_patches, turned
from widesr.data.photographs import Folder
from widesr.data.source import hold_out, large_enough, training_data
from widesr.degrade.bicubic import degrade
from widesr.degrade.named import photograph_seed
from widesr.pixels.resize import imresize

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.[jp][pn]g"))


def picture(index=0, *, width=64, height=48):
    """A piece of a real photograph."""
    assert len(EXAMPLES) >= 4
    with Image.open(EXAMPLES[index]) as image:
        return image.convert("RGB").crop((100, 100, 100 + width, 100 + height))


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def shrunk(image, scale):
    return Image.fromarray(degrade(np.asarray(image), scale=scale))


@pytest.fixture
def div2k(tmp_path):
    """DIV2K in small: four tracks, two training photographs and one for validation."""
    for i in range(2):
        hr = picture(i)
        save(tmp_path / f"DIV2K_train_HR/000{i}.png", hr)
        for scale in (2, 3):
            lr = shrunk(hr, scale)
            save(tmp_path / f"DIV2K_train_LR_bicubic/X{scale}/000{i}x{scale}.png", lr)
        dark = Image.fromarray(np.asarray(shrunk(hr, 2)) // 2)
        save(tmp_path / f"DIV2K_train_LR_unknown/X2/000{i}x2.png", dark)
        save(tmp_path / f"DIV2K_train_LR_x8/000{i}x8.png", shrunk(hr, 8))
        save(tmp_path / f"DIV2K_train_LR_mild/000{i}x4m.png", shrunk(hr, 4))
        for n in range(1, 5):
            wild = Image.fromarray(np.asarray(shrunk(hr, 4)) // n)
            save(tmp_path / f"DIV2K_train_LR_wild/000{i}x4w{n}.png", wild)
    save(tmp_path / "DIV2K_valid_HR/0801.png", picture(3))
    return tmp_path


@given(st.integers(0, 7), st.integers(1, 9), st.integers(1, 9))
def test_turning_a_picture_and_its_lr_are_the_same_turn(turn, height, width):
    random = np.random.default_rng(turn)
    lr = random.integers(0, 256, (height, width, 3), np.uint8)
    hr = lr.repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(turned(hr, turn), turned(lr, turn).repeat(2, axis=0).repeat(2, axis=1))


def test_the_objects_of_a_patch_lie_where_it_shows_them():
    # Oracle: each object is painted in a colour of its own, which shows where it is.
    random = np.random.default_rng(0)
    hr = np.zeros((64, 96, 3), np.uint8)
    boxes = [(10, 6, 24, 12), (40, 20, 47, 50), (60, 40, 90, 60), (4, 30, 6, 32)]
    for n, (left, top, right, bottom) in enumerate(boxes):
        hr[top:bottom, left:right] = 50 * (n + 1)
    objects = np.array([(*box, 50 * (n + 1)) for n, box in enumerate(boxes)], np.float32)
    pair = Pair("painted", hr[::2, ::2].copy(), hr, objects=objects)
    draws = [Patch(0, random.integers(13), random.integers(29), turn) for turn in [*range(8)] * 20]
    batch = cut_patches([pair], draws, scale=2, lr_patch=20)
    shown = 0
    for patch, found in zip(batch.hr, batch.objects, strict=True):
        left_over = {50 * (n + 1) for n in range(len(boxes))}
        for left, top, right, bottom, colour in found:
            y, x = np.nonzero(patch[..., 0] == colour)
            assert (x.min(), y.min(), x.max() + 1, y.max() + 1) == (left, top, right, bottom)
            left_over.remove(colour)
            shown += 1
        for colour in left_over:
            whole = (hr[..., 0] == colour).sum()
            assert (patch[..., 0] == colour).sum() < whole / 2
    assert 20 < shown < 4 * len(draws)
    assert cut_patches([pair._replace(objects=None)], draws, scale=2, lr_patch=20).objects is None


def test_the_eight_turns_differ():
    image = np.arange(27).reshape(3, 3, 3)
    assert len({turned(image, turn).tobytes() for turn in range(8)}) == 8


def test_patches_are_aligned_reproducible_and_from_everywhere(tmp_path):
    for i in range(4):
        save(tmp_path / f"{i}.png", picture(i, width=128, height=112))
    source = open_source(tmp_path, scale=2, degradation="bicubic", exclude=["2.png"])
    pairs = source.load(source.names)
    assert [pair.name for pair in pairs] == ["0.png", "1.png", "3.png"]
    sizes = [pair.lr.shape[:2] for pair in pairs]
    sampler = PatchSampler(sizes, lr_patch=12, seed=3)
    lr, hr, *_ = cut_patches(pairs, sampler.draw(40), scale=2, lr_patch=12)
    assert lr.shape == (40, 12, 12, 3)
    assert hr.shape == (40, 24, 24, 3)
    for small, large in zip(lr, hr, strict=True):  # away from the border, shrinking is local
        inside = imresize(large, scale=1 / 2)[4:-4, 4:-4].astype(int)
        assert np.abs(inside - small[4:-4, 4:-4]).max() <= 1
    again = PatchSampler(sizes, lr_patch=12, seed=3)
    assert np.array_equal(cut_patches(pairs, again.draw(40), scale=2, lr_patch=12).hr, hr)
    state = sampler.state
    following = sampler.draw(8)
    again.state = json.loads(json.dumps(state))
    assert again.draw(8) == following


def test_large_photographs_give_more_patches_by_their_area():
    # Positions: 1 x 1, 11 x 11 and 21 x 31; the shares of 20,000 draws within four deviations.
    sampler = PatchSampler([(12, 12), (22, 22), (32, 42)], lr_patch=12, seed=0)
    drawn = np.bincount([patch.pair for patch in sampler.draw(20_000)], minlength=3) / 20_000
    expected = np.array([1, 121, 651]) / 773
    assert (np.abs(drawn - expected) < 4 * np.sqrt(expected * (1 - expected) / 20_000)).all()


def test_photographs_are_held_out_by_file_name_alone():
    names = [f"photo {i}.jpg" for i in range(20)]
    training, held = hold_out(names, 5)
    assert len(held) == 5
    assert sorted(training + held) == sorted(names)
    elsewhere, _ = hold_out([f"deeper/{name}" for name in names], 5)
    assert elsewhere == [f"deeper/{name}" for name in training]


@pytest.mark.parametrize(("n_photographs", "n", "held_out"), [(2, 12, 1), (9, 5, 1), (10, 12, 2)])
def test_of_few_photographs_most_are_learned_from(n_photographs, n, held_out):
    names = [f"{i}.jpg" for i in range(n_photographs)]
    training, held = hold_out(names, n)
    assert len(held) == held_out
    assert sorted(training + held) == names


def test_one_photograph_cannot_be_held_out():
    with refused("data", 1, "two"):
        hold_out(["a.jpg"], 1)


def test_a_photographs_seed_is_its_file_names():
    assert photograph_seed("a/b.png") == photograph_seed("b.png") != photograph_seed("c.png")
    assert photograph_seed("b.png", variant=0) == photograph_seed("b.png")
    assert len({photograph_seed("b.png", variant=n) for n in range(9)}) == 9


# ---- layouts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "track", "pairs", "facts"),
    [
        (2, "bicubic", 2, ["x2", "DIV2K_train_LR_bicubic/X2"]),
        (2, "unknown", 2, ["x2", "DIV2K_train_LR_unknown/X2"]),
        (8, "bicubic", 2, ["x8", "DIV2K_train_LR_x8"]),
        (4, "mild", 2, ["x4", "DIV2K_train_LR_mild"]),
        (4, "wild", 8, ["x4", "DIV2K_train_LR_wild"]),
        (4, "bicubic", 2, ["made", "bicubic"]),
    ],
)
def test_the_layout_of_div2k_is_recognised(div2k, scale, track, pairs, facts):
    source = open_source(div2k, scale=scale, degradation=track)
    assert names(source.what, 2, "DIV2K_train_HR", *facts)
    assert list(source.names) == ["DIV2K_train_HR/0000.png", "DIV2K_train_HR/0001.png"]
    loaded = source.load(source.names)
    assert len(loaded) == pairs
    for pair in loaded:
        assert pair.hr.shape == (pair.lr.shape[0] * scale, pair.lr.shape[1] * scale, 3)
    if track == "bicubic":  # given or made, it is the same
        assert np.array_equal(loaded[1].lr, degrade(np.asarray(picture(1)), scale=scale))
    if track == "wild":
        assert [
            int(pair.lr.mean() * n / loaded[0].lr.mean() + 0.5)
            for pair, n in zip(loaded[:4], range(1, 5), strict=True)
        ] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("hr", "lr", "facts"),
    [
        ("HR/{}.png", "LR/{}.png", ["in HR", "in LR", "bicubic"]),
        ("hr/{}.png", "lr_x2/{}.png", ["in hr", "in lr_x2", "bicubic"]),
        ("hr/{}.png", "lr_x2/{}x2.webp", ["in hr", "in lr_x2", "bicubic"]),
        ("hr/{}.png", "lr/X2/{}.png", ["in hr", "in lr/X2", "bicubic"]),
        ("HR/{}.png", "LR_bicubic/X2/{}x2.png", ["in HR", "in LR_bicubic/X2"]),
        ("hr/deep/{}.png", "lr/deep/{}.png", ["in hr", "in lr", "bicubic"]),
    ],
)
def test_pairs_of_folders_are_recognised(tmp_path, hr, lr, facts):
    for i in range(3):
        save(tmp_path / hr.format(i), picture(i))
        lossless = {"lossless": True} if lr.endswith("webp") else {}
        file = tmp_path / lr.format(i)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - np.asarray(shrunk(picture(i), 2))).save(file, **lossless)
    source = open_source(tmp_path, scale=2, degradation="bicubic", exclude=["1.png"])
    assert names(source.what, "2 HR", "x2", *facts)
    loaded = source.load(source.names)
    assert np.array_equal(loaded[0].hr, np.asarray(picture(0)))
    assert np.array_equal(loaded[1].lr, 255 - degrade(np.asarray(picture(2)), scale=2))


def test_lr_of_ones_own_has_a_name_of_its_own(tmp_path):
    save(tmp_path / "hr/a.png", picture())
    save(tmp_path / "lr/a.png", shrunk(picture(), 2))
    source = open_source(tmp_path, scale=2, degradation="given")
    assert names(source.what, "1 HR", "in hr", "x2", "in lr")
    assert not names(source.what, "bicubic")


def test_a_folder_named_hr_without_lr_is_a_folder_of_photographs(tmp_path):
    save(tmp_path / "hr/a.png", picture())
    save(tmp_path / "more/b.png", picture(1))
    source = open_source(tmp_path, scale=2, degradation="bicubic")
    assert list(source.names) == ["hr/a.png", "more/b.png"]
    assert names(source.what, "2 HR", "made", "bicubic")


def test_published_lr_may_show_the_incomplete_last_rows_of_hr(tmp_path):
    # MATLAB's imresize gives ceil(49 / 2) rows; the last is of half a pixel, and is left out.
    save(tmp_path / "hr/a.png", picture(width=65, height=49))
    lr = imresize(np.asarray(picture(width=65, height=49)), scale=1 / 2)
    assert lr.shape == (25, 33, 3)
    save(tmp_path / "lr/a.png", Image.fromarray(lr))
    (pair,) = open_source(tmp_path, scale=2, degradation="bicubic").load(["hr/a.png"])
    assert pair.lr.shape == (24, 32, 3)
    assert pair.hr.shape == (48, 64, 3)


def test_the_published_pictures_are_read_as_they_lie(bench):
    source = open_source(bench / "Set5", scale=3, degradation="bicubic")
    assert names(source.what, "5 HR", "x3", "LR_bicubic/X3")
    pairs = source.load(source.names)
    assert len(pairs) == 5
    for pair in pairs:
        assert np.array_equal(degrade(pair.hr, scale=3), pair.lr)


def loaded(folder):
    source = open_source(folder, scale=2, degradation="bicubic")
    return source.load(source.names)


# ---- what cannot be used -------------------------------------------------------------------


def lone_hr(folder):
    save(folder / "hr/c.png", picture())


def lone_lr(folder):
    save(folder / "lr/c.png", picture())


def two_lr(folder):
    save(folder / "lr/a.webp", picture())


def two_hr(folder):
    save(folder / "hr/a.webp", picture())


def wrong_size(folder):
    save(folder / "lr/b.png", picture(width=31, height=24))


def no_lr(folder):
    for file in (folder / "lr").iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "facts"),
    [
        (lone_hr, ["data/lr", "no LR", "c.png", "cx2.png"]),
        (lone_lr, ["data/hr", "no HR", "c.png", "data/lr"]),
        (two_lr, ["data/lr", "a.png", "1 other", "one photograph"]),
        (two_hr, ["data/hr", "a.png", "twice"]),
        (wrong_size, ["lr/b.png", "31x24", "hr/b.png", "64x48", "x2", "32x24"]),
        (no_lr, ["data/lr", "no LR", "a.png", "1 other"]),
    ],
)
def test_lr_that_does_not_belong_to_hr_is_named(tmp_path, spoil, facts):
    folder = tmp_path / "data"
    for i, name in enumerate("ab"):
        save(folder / f"hr/{name}.png", picture(i))
        save(folder / f"lr/{name}.png", shrunk(picture(i), 2))
    spoil(folder)
    with refused("data", *facts):
        loaded(folder)


@pytest.mark.parametrize(
    ("scale", "track", "facts"),
    [
        (2, "mild", ["mild", "x4", "x2"]),
        (3, "unknown", ["unknown", "x3", "DIV2K_train_LR_unknown/X3"]),
        (4, "difficult", ["difficult", "x4", "DIV2K_train_LR_difficult"]),
    ],
)
def test_a_track_that_is_not_there_is_said_with_its_place(div2k, scale, track, facts):
    with refused("data", div2k, *facts):
        open_source(div2k, scale=scale, degradation=track)


def test_hr_alone_says_which_lr_can_be_made(tmp_path):
    save(tmp_path / "a.png", picture())
    with refused("data", tmp_path, "given", "bicubic"):
        open_source(tmp_path, scale=2, degradation="given")


def test_lr_of_another_scale_is_not_taken(tmp_path):
    save(tmp_path / "hr/a.png", picture())
    save(tmp_path / "lr_x4/a.png", shrunk(picture(), 4))
    with refused("data", tmp_path, "hr", "lr_x4", "bicubic", "x2", "lr_x2"):
        open_source(tmp_path, scale=2, degradation="bicubic")


def test_a_benchmark_without_this_scale_is_shrunk_here(tmp_path):
    save(tmp_path / "HR/a.png", picture())
    save(tmp_path / "LR_bicubic/X4/ax4.png", shrunk(picture(), 4))
    source = open_source(tmp_path, scale=2, degradation="bicubic")
    assert names(source.what, "1 HR", "in HR", "made", "bicubic")
    assert list(source.names) == ["HR/a.png"]


def test_small_photographs_are_left_out_and_the_last_one_not(tmp_path):
    sizes = [(24, 24), (23, 99), (1, 1), (64, 48)]
    for i, (width, height) in enumerate(sizes):
        save(tmp_path / f"{i}.png", picture(width=width, height=height))
    source = open_source(tmp_path, scale=2, degradation="bicubic")
    said = []
    kept = large_enough(source, scale=2, lr_patch=12, on_notice=said.append)
    assert kept == ["0.png", "3.png"]
    (line,) = said
    assert names(line, tmp_path, "2 of 4", "24x24", "1.png", "23x99")
    said.clear()
    assert large_enough(source, scale=1, lr_patch=1, on_notice=said.append) == list(source.names)
    assert said == []
    with refused("data", tmp_path, "all", "200x200"):
        large_enough(source, scale=2, lr_patch=100, on_notice=said.append)


@pytest.mark.parametrize("clips", [False, True])
def test_a_folder_that_may_not_be_listed_is_one_line(tmp_path, clips):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    script = f"""if True:
        from pathlib import Path
        from widesr.data.opening import open_source
        open_source(Path("{closed}"), scale=2, degradation="bicubic", clips={clips})"""
    owner = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] if not os.geteuid() else []
    command = [*owner, sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert names(done.stderr.splitlines()[-1], "DataError", closed, os.strerror(errno.EACCES))


# ---- licences ------------------------------------------------------------------------------


def test_licences_are_counted_by_origin(tmp_path):
    for i in range(3):
        save(tmp_path / f"hr/{i}.png", picture(i))
    rows = ["file,licence,origin", "hr/0.png,CC0-1.0,here", "hr/1.png,CC0-1.0,here"]
    (tmp_path / "MANIFEST.csv").write_text("\n".join([*rows, "hr/2.png,MIT,there"]))
    source = open_source(tmp_path, scale=2, degradation="bicubic")
    counted = [(each.name, each.licence, each.n) for each in training_data(source, source.names)]
    assert counted == [("here", "CC0-1.0", 2), ("there", "MIT", 1)]
    (tmp_path / "MANIFEST.csv").write_text("\n".join(rows[:2]))
    source = open_source(tmp_path, scale=2, degradation="bicubic")
    with refused("data", "MANIFEST.csv", "1.png", "1 other"):
        training_data(source, source.names)
    (tmp_path / "MANIFEST.csv").write_text("name;licence\n0.png;MIT\n")
    source = open_source(tmp_path, scale=2, degradation="bicubic")
    with refused("data", "MANIFEST.csv", "file", "licence", "origin"):
        training_data(source, source.names)
    for row in ("0.png,MIT", "0.png", f"0.png,MIT,{'x' * 200_000}"):
        (tmp_path / "MANIFEST.csv").write_text(f"file,licence,origin\n{row}\n")
        source = open_source(tmp_path, scale=2, degradation="bicubic")
        with refused("data", "MANIFEST.csv"):
            training_data(source, source.names)


def test_a_folder_that_is_moved_gives_the_same(tmp_path):
    for i in range(2):
        save(tmp_path / f"here/{i}.png", picture(i))
    before = Folder(tmp_path / "here", scales=[2], degradation="bicubic")
    first = before.load(before.names)
    shutil.move(tmp_path / "here", tmp_path / "there")
    after = Folder(tmp_path / "there", scales=[2], degradation="bicubic")
    assert len(first) == 2
    for one, other in zip(first, after.load(after.names), strict=True):
        assert one.name == other.name
        assert np.array_equal(one.lr, other.lr)


def test_more_photographs_than_memory_holds_are_to_be_packed(tmp_path, monkeypatch):
    for i in range(2):
        save(tmp_path / f"{i}.png", picture(i))
    source = open_source(tmp_path, scale=2, degradation="bicubic")
    needed = 2 * 64 * 48 * 3 * 5 // 4
    monkeypatch.setattr(photographs, "free_memory", lambda: needed)
    assert len(source.load(source.names)) == 2
    monkeypatch.setattr(photographs, "free_memory", lambda: needed - 1)
    with refused("data", "2 photographs", "0.0 MB", "memory", "data pack"):
        source.load(source.names)


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs Linux' /proc")
def test_free_memory_is_less_than_all_of_it():
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < photographs.free_memory() < total


def test_a_file_is_not_a_folder(tmp_path):
    save(tmp_path / "a.png", picture())
    with refused("data", tmp_path / "a.png", "file"):
        open_source(tmp_path / "a.png", scale=2, degradation="bicubic")
    with refused("data", tmp_path / "nowhere", "no such"):
        open_source(tmp_path / "nowhere", scale=2, degradation="bicubic")
