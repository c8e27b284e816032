"""Clips to learn from: made of photographs, read from folders, cut in time and space."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facts import refused
from widesr.cli import run
from widesr.data.clips import ClipFolder, write_clips
from widesr.data.loader import Loader
from widesr.data.motion import make_clip
from widesr.data.patches import Pair, PatchSampler, Span, cut_patches, stills
from widesr.data.photographs import Folder
from widesr.degrade.bicubic import degrade
from widesr.degrade.named import blur_down
from widesr.pixels.metrics import luma


@pytest.fixture(scope="module")
def clips(photographs, tmp_path_factory):
    """A folder of clips, two of each of five photographs."""
    out = tmp_path_factory.mktemp("clips")
    write_clips(folder_of(photographs), out, seed=0, frames=4, side=48, each=2)
    return out


def folder_of(photographs):
    return Folder(photographs, scales=[1], degradation="bicubic")


def photograph(photographs):
    return folder_of(photographs).read(folder_of(photographs).names[0])


# ---- made of photographs -------------------------------------------------------------------


def test_the_same_seed_makes_the_same_clip_and_another_another(photographs):
    pixels = photograph(photographs)
    one, again, other = (make_clip(pixels, frames=3, side=40, seed=n) for n in (1, 1, 2))
    assert [frame.shape for frame in one] == [(40, 40, 3)] * 3
    assert all(map(np.array_equal, one, again))
    assert not np.array_equal(one[0], other[0])


def test_clips_move_by_parts_of_a_pixel_up_to_several(photographs):
    pixels = photograph(photographs)
    changes = []
    for seed in range(12):
        frames = [luma(f, rounded=False) for f in make_clip(pixels, frames=2, side=48, seed=seed)]
        changes.append(float(np.abs(frames[1] - frames[0]).mean()))
    assert min(changes) < 2 < 5 < max(changes)


def test_a_clip_has_the_detail_of_its_photograph(photographs):
    # A frame of enlarged noise keeps more contrast than bilinear sampling would leave.
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    frame = make_clip(noise, frames=1, side=64, seed=5)[0]
    assert frame.std() > 0.3 * noise.std()


def test_a_run_beside_the_clips_is_no_scene(clips, tmp_path):
    data = shutil.copytree(clips, tmp_path / "clips")
    (data / "run").mkdir()
    frame = next(data.rglob("0000.png"))
    shutil.copy(frame, data / "run" / "tiny.png")
    (data / "run" / "tiny.safetensors").touch()
    wanted = {"scale": 2, "degradation": "bicubic"}
    assert ClipFolder(data, **wanted).names == ClipFolder(clips, **wanted).names


def test_photographs_whose_clips_would_share_a_folder_are_refused(photographs, tmp_path):
    for name in ("a/1.png", "a/2.png", "b/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(next(photographs.glob("*.png")).read_bytes())
    out = tmp_path / "clips"
    with refused("data", "a/2.png", "b/2.png"):
        write_clips(folder_of(tmp_path), out, seed=0, frames=2, side=16, each=1)
    assert not out.exists()


def test_clips_are_written_with_the_licences_and_go_on_after_a_kill(photographs, tmp_path):
    source = tmp_path / "photographs"
    source.mkdir()
    names = sorted(path.name for path in photographs.glob("*.png"))[:2]
    for name in names:
        (source / name).write_bytes((photographs / name).read_bytes())
    table = "file,licence,origin\n" + "".join(f"{name},CC0-1.0,here\n" for name in names)
    (source / "MANIFEST.csv").write_text(table)
    wanted = {"seed": 3, "frames": 3, "side": 32, "each": 2}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    seen = []
    made = write_clips(
        folder_of(source), whole, on_progress=lambda *now: seen.append(now), **wanted
    )
    assert made == 4
    assert seen == [(2, names[0]), (4, names[1])]
    half = killed / names[0] / ".001.part"  # what a kill leaves
    half.mkdir(parents=True)
    (half / "0000.png").write_bytes(b"half")
    write_clips(folder_of(source), killed, **wanted)
    files = contents(whole)
    assert contents(killed) == files
    assert len([path for path in files if path.suffix == ".png"]) == 12
    assert ClipFolder(whole, scale=2, degradation="bicubic").licences[names[0]].licence == "CC0-1.0"


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_command_makes_clips(photographs, tmp_path, capsys):
    out = tmp_path / "clips"
    arguments = [photographs, "-o", out, "--frames", 2, "--side", 32, "--each", 1, "--json"]
    assert run(["data", "clips", *map(str, arguments)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"clips": 5, "frames": 10, "folder": str(out)}
    assert len([path for path in out.rglob("*.png") if path.is_file()]) == 10


# ---- read from folders ---------------------------------------------------------------------


@pytest.mark.parametrize(("degradation", "shrink"), [("bicubic", degrade), ("bd", blur_down)])
def test_a_clip_is_its_frames_side_by_side_with_their_lr(clips, degradation, shrink):
    source = ClipFolder(clips, scale=4, degradation=degradation)
    name = source.names[0]
    pairs = source.load([name])
    assert [pair.name for pair in pairs] == [name, name]
    paths = sorted((clips / name / "001").glob("*.png"))
    frames = [np.asarray(Image.open(path)) for path in paths]
    assert np.array_equal(pairs[1].hr, np.concatenate(frames, axis=2))
    assert np.array_equal(pairs[1].lr[..., 3:6], shrink(frames[1], scale=4))
    assert source.sizes()[name] == (48, 48)


def test_frames_may_lie_in_the_scene_itself_and_sides_need_no_multiple(tmp_path):
    scene = tmp_path / "scene"
    scene.mkdir()
    for n in range(2):
        Image.new("RGB", (17, 19), (n, 0, 0)).save(scene / f"{n}.png")
    source = ClipFolder(tmp_path, scale=4, degradation="bicubic")
    (pair,) = source.load(source.names)
    assert pair.lr.shape == (4, 4, 6)
    assert pair.hr.shape == (16, 16, 6)
    Image.new("RGB", (20, 19)).save(scene / "2.png")
    source = ClipFolder(tmp_path, scale=4, degradation="bicubic")
    with refused("data", scene / "2.png", "20x19", "17x19"):
        source.load(source.names)


def test_what_is_no_folder_of_clips_is_refused(photographs, tmp_path, clips):
    for folder in (photographs, tmp_path, tmp_path / "missing"):
        with refused("data", folder, "no clips"):
            ClipFolder(folder, scale=2, degradation="bicubic")
    with refused("data", "given"):
        ClipFolder(clips, scale=2, degradation="given")


def test_scenes_are_left_out_by_name(clips):
    every = ClipFolder(clips, scale=2, degradation="bicubic").names
    left = ClipFolder(clips, scale=2, degradation="bicubic", exclude=[every[0]]).names
    assert left == every[1:]


# ---- cut into patches ----------------------------------------------------------------------


def numbered(frames=5, side=12, scale=2):
    """A clip whose pixels say their frame, row and column."""
    y, x = np.mgrid[0:side, 0:side].astype(np.uint8)
    lr = np.concatenate([np.dstack([np.full_like(y, n), y, x]) for n in range(frames)], axis=2)
    return Pair("clip", lr, lr.repeat(scale, 0).repeat(scale, 1))


def batches(span, n=64):
    pair = numbered()
    sampler = PatchSampler([(12, 12)], lr_patch=4, seed=0, span=span, frames=[5])
    patches = sampler.draw(n)
    return patches, cut_patches([pair], patches, scale=2, lr_patch=4, span=span)


def test_a_window_has_its_frame_in_the_middle_edges_clamped_and_time_both_ways():
    patches, batch = batches(Span(3))
    assert batch.lr.shape == (64, 4, 4, 9)
    assert batch.hr.shape == (64, 8, 8, 3)
    order = {tuple(int(f) for f in lr[0, 0, ::3]) for lr in batch.lr}
    forwards = {(0, 0, 1), (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 4)}
    assert order == forwards | {frames[::-1] for frames in forwards}
    for patch, lr, hr in zip(patches, batch.lr, batch.hr, strict=True):
        assert tuple(lr[0, 0, ::3]) == patch.frames
        assert np.array_equal(hr, lr[..., 3:6].repeat(2, 0).repeat(2, 1))


def test_all_frames_of_a_run_are_learned_in_their_order():
    patches, batch = batches(Span(4, learns_all=True))
    assert np.array_equal(batch.hr, batch.lr.repeat(2, 1).repeat(2, 2))
    runs = {(0, 1, 2, 3), (1, 2, 3, 4)}
    assert {patch.frames for patch in patches} == runs | {frames[::-1] for frames in runs}


def test_photographs_are_drawn_as_before_there_were_clips():
    one = PatchSampler([(12, 12)], lr_patch=4, seed=0).draw(50)
    two = PatchSampler([(12, 12)], lr_patch=4, seed=0, span=Span(), frames=[1]).draw(50)
    assert one == two
    assert {patch.frames for patch in one} == {(0,)}


def test_a_loader_of_clips_goes_on_where_it_was():
    def loader():
        return Loader([numbered()], scale=2, lr_patch=4, batch=3, seed=0, span=Span(3))

    with loader() as whole, loader() as first, loader() as second:
        expected = [whole.next() for _ in range(4)]
        for _ in range(2):
            first.next()
        second.state = first.state
        for batch in expected[2:]:
            assert all(map(np.array_equal, second.next()[:2], batch[:2]))


def test_stills_are_the_learned_frames_with_their_own_lr():
    clip = numbered(frames=3)
    assert [int(pair.lr[0, 0, 0]) for pair in stills([clip])] == [0, 1, 2]
    middle = clip._replace(hr=clip.hr[..., 3:6])
    (pair,) = stills([middle])
    assert int(pair.lr[0, 0, 0]) == int(pair.hr[0, 0, 0]) == 1
    assert Path(pair.name).name == "clip"
