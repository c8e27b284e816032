"""A teacher's pictures: made once, kept whole, and those that the model gives."""

import numpy as np
import pytest
import torch

from facts import refused
from widesr.data.opening import open_source
from widesr.data.packing import write_pack
from widesr.nets import WDSRConfig, build
from widesr.train.checkpoint import load_weights, save_weights
from widesr.train.loop import train
from widesr.train.recipe import load_recipe
from widesr.train.tables import TeacherTable
from widesr.train.teacher import Teacher, taught
from widesr.upscaling.self_ensemble import ensemble
from widesr.upscaling.tile_policy import MARGIN
from widesr.upscaling.upscaler import Upscaler

pytestmark = pytest.mark.train
CPU = torch.device("cpu")
HUGE = b"\x4e\x00" + b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,)}" % 10**23


def table(model, **options):
    return TeacherTable.model_validate({"model": str(model), "share": 1.0} | options)


@pytest.fixture
def pairs(photographs):
    source = open_source(photographs, scale=2, degradation="bicubic", exclude=["left-out.png"])
    return source.load(source.names)


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    network = build(WDSRConfig(scale=2, block="a", n_resblocks=1, n_feats=4, expansion=2))
    save_weights(tmp_path / "teacher.safetensors", network, None)
    return tmp_path / "teacher.safetensors"


def test_pictures_are_those_of_the_model_and_made_once(pairs, tmp_path):
    teacher = Teacher(table("fast"), scale=2, device=CPU)
    assert "wdsr-a12w16-x2 (Apache-2.0) sha256:" in teacher.origin
    told = []
    found = taught(pairs, teacher, folder=tmp_path, on_progress=lambda *now: told.append(now))
    assert told == [(n, len(pairs)) for n in range(len(pairs) + 1)]
    upscaler = Upscaler.load("fast", scale=2)
    for pair in found:
        assert np.array_equal(pair.taught, upscaler(pair.lr))
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    assert len(files) == len(pairs)
    again = Teacher(table("fast"), scale=2, device=CPU)
    taught(pairs, again, folder=tmp_path)
    assert "upscaler" not in vars(again)  # nothing was to be made, so nothing was loaded
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == files


def test_what_is_cut_short_or_of_another_teacher_is_made_again(pairs, tmp_path):
    fast = Teacher(table("fast"), scale=2, device=CPU)
    first, *_ = taught(pairs, fast, folder=tmp_path)
    expected = np.array(first.taught)
    file = next(tmp_path.rglob("*.npy"))
    head = b"\x93NUMPY\x01\x00"
    for content in (file.read_bytes()[:-1], b"", b"no array", head + b"\x02\x00((", head + HUGE):
        file.unlink()
        file.write_bytes(content)
        assert np.array_equal(taught(pairs, fast, folder=tmp_path)[0].taught, expected)
    both = Teacher(table("fast", self_ensemble=True), scale=2, device=CPU)
    assert not np.array_equal(taught(pairs, both, folder=tmp_path)[0].taught, expected)


def test_what_is_excluded_is_learned_from_as_it_is(pairs, tmp_path):
    name = pairs[0].name
    found = taught(
        pairs, Teacher(table("fast"), scale=2, device=CPU), folder=tmp_path, exclude=[name]
    )
    assert len(found) == len(pairs) > 1
    for pair in found:
        assert np.array_equal(pair.taught, pair.hr) == (pair.name == name)


@pytest.mark.parametrize("self_ensemble", [False, True])
def test_weights_teach_as_their_network_computes(pairs, weights, tmp_path, self_ensemble):
    teacher = Teacher(table(weights, self_ensemble=self_ensemble), scale=2, device=CPU)
    found, *_ = taught(pairs, teacher, folder=tmp_path)
    network, _ = load_weights(weights)

    def run(lr):
        with torch.inference_mode():
            return network(torch.from_numpy(lr)).numpy()

    padded = np.pad(found.lr, [(MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)], mode="symmetric")
    lr = np.ascontiguousarray(padded.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    sr = (ensemble(run) if self_ensemble else run)(lr)[0].transpose(1, 2, 0)
    cut = slice(2 * MARGIN, -2 * MARGIN)
    levels = np.floor(np.clip(sr[cut, cut] * 255 + 0.5, 0, 255))
    assert np.abs(found.taught - levels).max() <= 1  # where a value lies on the edge of rounding
    assert (found.taught == levels).mean() > 0.999


def test_a_network_that_reads_noise_teaches_one_of_its_pictures(pairs, tmp_path):
    torch.manual_seed(0)
    sizes = {"n_resblocks": 1, "n_feats": 4, "expansion": 2, "noise": 2}
    weights = tmp_path / "noisy.safetensors"
    save_weights(weights, build(WDSRConfig(scale=2, block="a", **sizes)), None)
    upscaler = Teacher(table(weights), scale=2, device=CPU).upscaler
    first = upscaler(pairs[0].lr)
    assert np.array_equal(upscaler(pairs[0].lr), first)
    assert not np.array_equal(upscaler.sample(1)(pairs[0].lr), first)


def test_a_network_of_several_frames_is_no_teacher(pairs, tmp_path):
    sizes = {"n_resblocks": 1, "n_feats": 4, "expansion": 2, "temporal_size": 3}
    weights = tmp_path / "temporal.safetensors"
    save_weights(weights, build(WDSRConfig(scale=2, block="a", **sizes)), None)
    with refused("model-file", "temporal", "9 channels"):
        taught(pairs, Teacher(table(weights), scale=2, device=CPU), folder=tmp_path)


def test_a_teacher_of_another_scale_is_refused(weights):
    with refused("recipe", "x2", "x3"):
        Teacher(table(weights), scale=3, device=CPU)


def test_a_run_learns_from_its_teacher_and_says_who_that_was(
    photographs, recipe_file, weights, tmp_path
):
    lesson = f'[teacher]\nmodel = "{weights}"\nshare = 1.0\n[log]'
    told = []
    made = train(
        load_recipe(recipe_file(("[log]", lesson))),
        data=photographs,
        out=tmp_path / "run",
        threads=1,
        on_teacher=lambda *now: told.append(now),
    )
    assert told[-1][0] == told[-1][1] > 0
    assert load_weights(made)[1].teacher.startswith("teacher (")
    alone = train(load_recipe(recipe_file()), data=photographs, out=tmp_path / "alone", threads=1)
    assert load_weights(alone)[1].teacher is None
    ours, theirs = (load_weights(path)[0].state_dict() for path in (made, alone))
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_is_not_resumed_with_another_teacher(photographs, recipe_file, weights, tmp_path):
    lesson = f'[teacher]\nmodel = "{weights}"\nshare = 1.0\n[log]'
    recipe = load_recipe(recipe_file(("[log]", lesson)))
    train(recipe, data=photographs, out=tmp_path / "run", threads=1)
    network, _ = load_weights(weights)
    network.load_state_dict({name: t * 0.9 for name, t in network.state_dict().items()})
    save_weights(weights, network, None)
    with refused("checkpoint", "teacher"):
        train(recipe, data=photographs, out=tmp_path / "run", resume=True, threads=1)


def test_what_a_pack_is_taught_stays_in_the_pack(photographs, recipe_file, weights, tmp_path):
    pack = tmp_path / "pack"
    write_pack(open_source(photographs, scale=2, degradation="bicubic"), pack)
    recipe = load_recipe(
        recipe_file(("[log]", f'[teacher]\nmodel = "{weights}"\nshare = 0.5\n[log]'))
    )
    train(recipe, data=pack, out=tmp_path / "run", threads=1)
    assert list(pack.glob("teacher-*/*.npy"))
    assert not list((tmp_path / "run").glob("teacher-*"))
