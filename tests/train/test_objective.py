"""Losses as a table of terms, with networks of their own: exact in a resume, refused when wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional as F  # noqa: N812 (torch's own habit)

from facts import names, refused
from killed import KILLED, train_until_killed
from recipes import rewritten, stage
from widesr.data.patches import Batch
from widesr.evaluation.perceptual.lpips import Lpips
from widesr.train import validation
from widesr.train.adversary import Adversary, Share
from widesr.train.checkpoint import load_newest_state, load_weights
from widesr.train.discriminators import DiscriminatorName
from widesr.train.dry_run import plan
from widesr.train.features import Perceptual, SqueezeNet
from widesr.train.guard import Guard
from widesr.train.loop import prepare, train
from widesr.train.parallel import ALONE, World
from widesr.train.recipe import load_recipe
from widesr.train.run import ExplosionError, Learned
from widesr.train.schedule import settings_at
from widesr.train.tables import AdversarialTable, BestTable, Scores
from yolox import tiny_yolox

pytestmark = pytest.mark.train

TERMS = """
[loss]
l1 = 1.0
perceptual = 0.1
side = 24
[loss.adversarial]
weight = 1e-2
kind = "relativistic"
discriminator = "unet"
n_feats = 4
learning_rate = 1e-3
begin = 3
[features]
weights = "{weights}"
[best]
score = "lpips"
[log]"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A feature network that has learned nothing: a random one tells pictures apart as well."""
    file = tmp_path_factory.mktemp("features") / "features.safetensors"
    torch.manual_seed(0)
    save_file(SqueezeNet().state_dict(), file)
    return file


@pytest.fixture
def gan(recipe_file, weights):
    """Write the tiny recipe with all terms, and other changes."""

    def write(*changes):
        text = rewritten(TERMS.format(weights=weights), *changes)
        net = ("scale = 2", "scale = 2\nconsistent = true")
        return recipe_file(('loss = "l1"\n', ""), net, ("[log]", text))

    return write


SEEN = """
[loss]
l1 = 1.0
classification = 1e-2
regression = 1e-2
[loss.adversarial]
weight = 1e-3
kind = "vanilla"
discriminator = "mtgan"
n_feats = 4
learning_rate = 1e-3
begin = 3
[detector]
weights = "{detector}"
side = 32
score = 0.05
[log]"""


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return tiny_yolox(tmp_path_factory.mktemp("detector") / "yolox.onnx")


@pytest.fixture
def mtgan(recipe_file, detector):
    """Write the tiny recipe with the terms of a detector, and other changes."""

    def write(*changes):
        text = rewritten(SEEN.format(detector=detector), *changes)
        return recipe_file(('loss = "l1"\n', ""), ("[log]", text))

    return write


def pictures(n, side, seed):
    return torch.rand((n, 3, side, side), generator=torch.Generator().manual_seed(seed))


def same(one, other):
    one, other = load_newest_state(one)[0], load_newest_state(other)[0]
    assert any(name.startswith("objective.adversary.network") for name in one)
    assert any(name.startswith("objective.adversary.optimizer") for name in one)
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


# ---- resume ------------------------------------------------------------------------------------


def whole_and_killed(file, photographs, tmp_path):
    """Train a recipe at once, and again with a kill in between; give both folders."""
    train(load_recipe(file), data=photographs, out=tmp_path / "whole", threads=1)
    out = tmp_path / "killed"
    train_until_killed(file, photographs, out, after=8)
    train(load_recipe(file), data=photographs, out=out, threads=1, resume=True)
    return tmp_path / "whole", out


def test_a_run_with_a_discriminator_goes_on_after_a_kill_bit_for_bit(gan, photographs, tmp_path):
    whole, out = whole_and_killed(gan(), photographs, tmp_path)
    assert same(whole, out)
    rows = [json.loads(row) for row in (out / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [4, 8, 12]
    assert set(rows[-1]["terms"]) == {
        "l1", "colour", "perceptual", "adversarial", "discriminator", "real", "fake"
    }  # fmt: skip
    assert rows[-1]["lpips"] > 0
    assert rows[-1]["lr_psnr"] > rows[-1]["psnr"]
    best, provenance = load_weights(out / "tiny-x2.best.safetensors")
    assert best.cfg.consistent
    assert provenance.validation_lpips == min(row["lpips"] for row in rows)


def test_a_run_with_a_detector_goes_on_after_a_kill_bit_for_bit(mtgan, photographs, tmp_path):
    whole, out = whole_and_killed(mtgan(), photographs, tmp_path)
    assert same(whole, out)
    row = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    judged = {"adversarial", "discriminator", "real", "fake"}
    assert row["terms"].keys() == {"l1", "colour", "classification", "regression"} | judged
    assert row["terms"]["regression"] > 0  # some patch had an object
    assert list(out.glob("objects-*/*.npy"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gan", "mtgan"])
@pytest.mark.parametrize("processes", [1, 2])
def test_200_steps_with_a_discriminator_are_100_a_kill_and_100(
    request, photographs, tmp_path, kind, processes
):
    text = Path(request.getfixturevalue(kind)()).read_text()
    every = ("validate_every = 4", "validate_every = 100")
    longer = tmp_path / "longer.toml"
    longer.write_text(rewritten(text, ("steps = 12", "steps = 200"), every))
    launch = [sys.executable, "-c", KILLED]
    if processes > 1:
        script = tmp_path / "train.py"
        script.write_text(KILLED)
        launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
        launch += ["--master-port=0", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", script]
    for name, environment in (("whole", {}), ("killed", {"KILL_AFTER": "100"})):
        command = [*launch, str(longer), str(photographs), str(tmp_path / name)]
        done = subprocess.run(
            command, capture_output=True, env=os.environ | environment, check=False
        )
        assert (done.returncode != 0) == (name == "killed")
    assert load_newest_state(tmp_path / "killed")[1]["step"] == 100
    subprocess.run(command, check=True, capture_output=True)
    assert load_newest_state(tmp_path / "killed")[1]["step"] == 200
    assert same(tmp_path / "whole", tmp_path / "killed")


# ---- terms -------------------------------------------------------------------------------------


def test_lpips_in_torch_is_that_of_evaluation(weights):
    random = np.random.default_rng(0)
    one, other = (random.integers(0, 256, (40, 56, 3), np.uint8) for _ in range(2))
    as_tensors = [torch.from_numpy(p).permute(2, 0, 1)[None] / 255 for p in (one, other)]
    found = float(Perceptual(weights)(*as_tensors))
    assert found == pytest.approx(Lpips(weights)(one, other), rel=1e-4)
    assert float(Perceptual(weights)(as_tensors[0], as_tensors[0])) == 0


@pytest.mark.parametrize(("name", "distance"), [("ex_p0", 0.711048), ("ex_p1", 0.147902)])
def test_lpips_in_torch_is_the_authors(perceptual, name, distance):
    # Golden: the lpips package 0.1.4 on the authors' own examples.
    def read(stem):
        with Image.open(perceptual / f"{stem}.png") as picture:
            pixels = np.array(picture.convert("RGB"))
        return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255

    network = Perceptual(perceptual / "squeezenet1_1_features.safetensors")
    assert float(network(read(name), read("ex_ref"))) == pytest.approx(distance, abs=1e-4)


@pytest.mark.parametrize("name", get_args(DiscriminatorName))
@pytest.mark.parametrize("kind", ["vanilla", "relativistic"])
def test_an_adversary_learns_to_tell_pictures_apart_and_says_the_way_to_pass(name, kind):
    table = AdversarialTable(
        weight=1.0, kind=kind, discriminator=name, n_feats=4, learning_rate=1.0
    )
    torch.manual_seed(1)
    adversary = Adversary(table, device=torch.device("cpu"), world=ALONE, ratio=1.0, n_in=3)
    hr = pictures(4, 32, seed=0)
    flat = hr.mean(dim=(2, 3), keepdim=True).expand_as(hr)

    def judged(sr, *, counts=True):
        return adversary.judge(sr, hr, Share(4, 4), counts=counts)

    for _ in range(30):
        judged(flat, counts=False)
        adversary.step(5e-3)
    sr = flat.clone().requires_grad_()
    found = judged(sr)
    assert found.terms["real"] > found.terms["fake"]
    assert float(found.loss.detach()) == pytest.approx(float(found.terms["adversarial"]))
    found.loss.backward()
    better = (sr - 1e-2 * sr.grad / sr.grad.abs().max()).detach()
    assert judged(better).terms["adversarial"] < found.terms["adversarial"]
    assert float(judged(flat, counts=False).loss) == 0


def test_the_relativistic_loss_is_that_of_its_paper():
    table = AdversarialTable(
        weight=1.0, kind="relativistic", discriminator="srgan", n_feats=2, learning_rate=1.0
    )
    adversary = Adversary(table, device=torch.device("cpu"), world=ALONE, ratio=1.0)
    real, fake = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.5], [-1.0]])
    own = (adversary._loss(real, fake) + adversary._loss(-fake, -real)) / 2
    d_real, d_fake = real - fake.mean(), fake - real.mean()
    expected = F.binary_cross_entropy_with_logits(d_real, torch.ones(2, 1))
    expected = expected + F.binary_cross_entropy_with_logits(d_fake, torch.zeros(2, 1))
    assert float(own) == pytest.approx(float(expected) / 2)


def test_the_discriminator_is_not_moved_by_the_networks_step(gan):
    run = prepare(load_recipe(gan()), init=None, threads=1, device="cpu")
    random = np.random.default_rng(0)
    lr = random.integers(0, 256, (4, 12, 12, 3), np.uint8)
    hr = random.integers(0, 256, (4, 24, 24, 3), np.uint8)
    before = [p.clone() for p in run.objective.parameters()]
    learned = run.advance(Batch(lr, hr))
    assert all(np.isfinite(list(learned.terms.values())))
    moved = [(a - b).abs().max() for a, b in zip(before, run.objective.parameters(), strict=True)]
    rate = 1e-3 / 2  # the first of two warm-up steps; Adam's first step is its rate at most
    assert 0 < max(moved) <= rate * 1.01


def test_a_discriminator_that_is_no_number_ends_the_run_before_anything_is_learned(gan):
    run = prepare(load_recipe(gan()), init=None, threads=1, device="cpu")
    next(iter(run.objective.parameters())).data.fill_(float("nan"))
    before = [p.clone() for p in run.network.parameters()]
    batch = Batch(np.zeros((4, 12, 12, 3), np.uint8), np.zeros((4, 24, 24, 3), np.uint8))
    with refused("training", "finite", "step 0"):
        run.advance(batch)
    assert all(torch.equal(a, b) for a, b in zip(before, run.network.parameters(), strict=True))


# ---- samples -----------------------------------------------------------------------------------


@pytest.fixture
def many(gan):
    """Write the recipe of a network that learns three pictures of each patch, and other changes."""

    def write(*changes):
        noisy = ("expansion = 2", "expansion = 2\nnoise = 2"), ("l1 = 1.0", "l1 = 1.0\nsamples = 3")
        text = rewritten(Path(gan()).read_text(), *noisy, ('score = "lpips"', 'score = "space"'))
        file = Path(gan())
        file.write_text(rewritten(text, *changes))
        return str(file)

    return write


def batch(seed, side=12):
    random = np.random.default_rng(seed)
    lr = random.integers(0, 256, (4, side, side, 3), np.uint8)
    return Batch(lr, random.integers(0, 256, (4, 2 * side, 2 * side, 3), np.uint8))


def test_at_each_place_the_nearest_sample_is_learned_from(many, weights):
    run = prepare(load_recipe(many(("side = 24\n", ""))), init=None, threads=1, device="cpu")
    with torch.no_grad():
        run.network.head.weight_v[:, 3:] *= 30  # so that samples differ
    for parameter in run.network.parameters():
        parameter.requires_grad_(requires_grad=False)
    given = batch(0, side=16)
    read = run._input(given, settings_at(run.recipe, 0))
    sr = run.network.supervised(read).requires_grad_()
    hr = torch.from_numpy(given.hr).permute(0, 3, 1, 2) / 255
    table = run.recipe.terms
    judged = run.objective.judge(sr, hr.repeat(3, 1, 1, 1), table, Share(4, 4), step=0)
    # Oracle: the maps of the evaluation, which are in full size, and there the least.
    lpips, least = Lpips(weights), []
    for patch, original in enumerate(hr):
        pictures = [original, *sr.detach().clamp(0, 1).unflatten(0, (3, 4))[:, patch]]
        truth, *seen = (
            lpips.features((each.permute(1, 2, 0).numpy() * 65535).round().astype(np.uint16))
            for each in pictures
        )
        maps = [lpips.distance_map(each, truth, size=(32, 32)) for each in seen]
        assert np.mean(maps[0]) != pytest.approx(np.mean(maps[1]), rel=1e-3)
        least.append(np.minimum.reduce(maps).mean())
    assert float(judged.terms["perceptual"]) == pytest.approx(np.mean(least), rel=0.1)
    apart = run.objective.perceptual.maps(sr.detach(), hr)
    assert apart.shape[:2] == (3, 4)
    assert float(judged.terms["perceptual"]) == pytest.approx(float(apart.amin(0).mean()))
    assert float(judged.terms["perceptual"]) < 0.99 * float(apart.mean())


def test_samples_are_learned_bit_for_bit_after_a_resume(many):
    def advanced(run, steps):
        for step in steps:
            run.advance(batch(step))
        return run

    whole = advanced(prepare(load_recipe(many()), init=None, threads=1, device="cpu"), range(6))
    half = advanced(prepare(load_recipe(many()), init=None, threads=1, device="cpu"), range(3))
    tensors, plain = half.state()
    again = prepare(load_recipe(many()), init=None, threads=1, device="cpu")
    again.restore({name: tensor.clone() for name, tensor in tensors.items()}, plain)
    one, other = whole.state()[0], advanced(again, range(3, 6)).state()[0]
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.network.head.weight_v[:, 3:].abs().min() > 0


def test_processes_share_the_noise_of_one(many):
    run = prepare(load_recipe(many()), init=None, threads=1, device="cpu")
    settings, given = settings_at(run.recipe, 0), batch(0)
    whole = run._input(given, settings).unflatten(0, (3, 4))
    assert not torch.equal(whole[0], whole[1])
    for rank, part in ((0, slice(0, 2)), (1, slice(2, 4))):
        run.world = World(rank, 2)
        mine = run._input(Batch(given.lr[part], given.hr[part]), settings).unflatten(0, (3, 2))
        assert torch.equal(mine, whole[:, part])


def test_a_run_of_samples_validates_how_much_of_the_space_they_have(many, photographs, tmp_path):
    recipe = load_recipe(many(("steps = 12", "steps = 4")))
    assert plan(recipe, data=photographs, threads=1).seconds > 0
    train(recipe, data=photographs, out=tmp_path, threads=1)
    (row,) = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert row["space"] > 0
    assert row["lpips"] > 0
    again = load_recipe(many(("steps = 12", "steps = 4"), ("seed = 1", "seed = 2")))
    train(again, data=photographs, out=tmp_path / "other", threads=1)
    assert json.loads((tmp_path / "other/log.jsonl").read_text())["space"] != row["space"]


# ---- the guard ---------------------------------------------------------------------------------


@pytest.fixture
def guarded(gan):
    run = prepare(
        load_recipe(gan(("begin = 3", "begin = 100"))), init=None, threads=1, device="cpu"
    )
    return Guard(run), run


def steps(guarded, n, **terms):
    guard, run = guarded
    for _ in range(n):
        run.step += 1
        guard.watch(Learned(0.1, 1.0, {"real": 6.0, "fake": -6.0} | terms))


def test_a_discriminator_that_wins_takes_the_run_back_and_names_the_knob(guarded):
    steps(guarded, 149, discriminator=1e-3)  # 100 of which it was alone
    with pytest.raises(ExplosionError, match=r"D\(real\) - D\(fake\) is 12") as caught:
        steps(guarded, 1, discriminator=1e-3)
    said = guarded[0].rewind(caught.value)
    assert "loss.adversarial.learning_rate (0.001)" in said
    assert (guarded[1].step, guarded[1].watched) == (0, {})
    steps(guarded, 149, discriminator=1e-3)
    steps(guarded, 1, discriminator=0.3)
    steps(guarded, 49, discriminator=1e-3)


def test_colours_that_drift_take_the_run_back_and_name_the_knob(guarded):
    steps(guarded, 49, colour=9.0)
    steps(guarded, 1, colour=2.0)  # a few batches may be off by chance
    steps(guarded, 49, colour=9.0)
    with pytest.raises(ExplosionError, match="colours") as caught:
        steps(guarded, 1, colour=9.0)
    assert names(caught.value.advice, "loss.adversarial.weight (0.01)", "loss.perceptual (0.1)")


def test_a_lattice_that_comes_takes_the_run_back(gan, photographs, tmp_path, monkeypatch):
    found = iter([4.0, 60.0, 5.0, 6.0])
    monkeypatch.setattr(validation, "lattice_peak", lambda _, scale: next(found))
    said = []
    recipe = load_recipe(gan())
    train(recipe, data=photographs, out=tmp_path, threads=1, on_notice=said.append)
    assert next(found, None) is None
    (line,) = said
    assert names(line, "step 8", "60.0 dB", "step 4")
    rows = [json.loads(row) for row in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(row["step"], row["lattice"]) for row in rows] == [(4, 4.0), (8, 5.0), (12, 6.0)]


# ---- what is refused -----------------------------------------------------------------------------


def test_a_missing_or_wrong_feature_network_is_one_line(gan, weights, tmp_path):
    with refused("checkpoint", "nowhere.pth", "features.weights"):
        prepare(load_recipe(gan((str(weights), "nowhere.pth"))), init=None, threads=1, device="cpu")
    other = tmp_path / "other.safetensors"
    save_file({"0.weight": torch.zeros(1)}, other)
    with refused("checkpoint", "SqueezeNet"):
        Perceptual(other)
    other.write_bytes(b"no tensors")
    with refused("checkpoint", "other"):
        Perceptual(other)
    torched = tmp_path / "other.pth"
    for content in ([torch.zeros(1)], {1: torch.zeros(1)}):
        torch.save(content, torched)
        with refused("checkpoint", "other.pth"):
            Perceptual(torched)
    torched.write_bytes(b"\x80\x02X\x01\x00\x00\x00\xffq\x00.")  # a name that is no UTF-8
    with refused("checkpoint", "other.pth"):
        Perceptual(torched)


def test_a_run_is_not_resumed_with_another_feature_network(gan, weights, photographs, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(weights.read_bytes())
    recipe = load_recipe(gan((str(weights), str(copy))))
    run = prepare(recipe, init=None, threads=1, device="cpu")
    tensors, plain = run.state()
    save_file({n: t + 1 for n, t in SqueezeNet().state_dict().items()}, copy)
    with refused("checkpoint", "features.weights"):
        prepare(recipe, init=None, threads=1, device="cpu").restore(tensors, plain)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (("l1 = 1.0", "l2 = 1.0"), ["loss.l2", "unknown"]),
        (("l1 = 1.0", "l1 = 0"), ["loss.l1 = 0"]),
        (("side = 24", "side = 20"), ["loss", "multiple of 8", 20]),
        (("side = 24", "side = 16"), ["loss", "perceptual", 17, 16]),
        (('"relativistic"', '"wasserstein"'), ["loss.adversarial.kind = 'wasserstein'"]),
        (('"unet"', '"u-net"'), ["'u-net'", "unet?"]),
        (("n_feats = 4", "features = 4"), ["loss.adversarial.features", "unknown"]),
        (('score = "lpips"', 'score = "ssim"'), ["best.score = 'ssim'"]),
    ],
)
def test_mistakes_in_the_table_are_named(gan, change, facts):
    with refused("recipe", *facts):
        load_recipe(gan(change))


def test_terms_are_refused_that_cannot_judge_the_smallest_patch(recipe_file):
    def recipe(term, *changes):
        return recipe_file(('loss = "l1"\n', ""), ("[log]", f"[loss]\n{term}\n[log]"), *changes)

    small = ("lr_patch = 12", "lr_patch = 5")
    unet = """l1 = 1.0\nside = 64\n[loss.adversarial]\nweight = 1.0
        kind = "vanilla"\ndiscriminator = "unet"\nlearning_rate = 1e-3"""
    with refused("recipe", "loss", "multiple of 8", 10):  # the side is that of the whole patch
        load_recipe(recipe(unet, small))
    with refused("recipe", "loss", "ms_ssim", 11, 10):  # whatever the others judge
        load_recipe(recipe("ms_ssim = 1.0\nside = 64", small))
    assert load_recipe(recipe("ms_ssim = 1.0\nside = 8")).loss.side == 8
    with refused("recipe", "stage", "ms_ssim", 11, 10):
        load_recipe(recipe("ms_ssim = 1.0", stage("steps = 4\nlr_patch = 5")))
    own = stage('steps = 4\nlr_patch = 5\nloss = "l1"')
    assert load_recipe(recipe("ms_ssim = 1.0", own)).stage[0].lr_patch == 5


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (("samples = 3", "samples = 1"), ["loss.samples = 1"]),
        (("noise = 2\n", ""), ["loss", "samples", "noise", "[net]"]),
        (("noise = 2", "noise = -1"), ["net", "noise"]),
        (("perceptual = 0.1\n", ""), ["loss", "samples", "perceptual"]),
    ],
)
def test_mistakes_about_samples_are_named(many, change, facts):
    with refused("recipe", *facts):
        load_recipe(many(change))


@pytest.mark.parametrize("change", [("samples = 3\n", ""), ('score = "space"', "max_lpips = 0.1")])
def test_what_goes_with_samples_may_be_left_out(many, change):
    load_recipe(many(change))


def test_the_score_of_samples_needs_noise_and_features(gan, recipe_file):
    with refused("recipe", "best", "space", "noise", "[net]"):
        load_recipe(gan(('score = "lpips"', 'score = "space"')))
    with refused("recipe", "max_lpips", "[features]"):
        load_recipe(recipe_file(("[log]", "[best]\nmax_lpips = 0.1\n[log]")))


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (("side = 32", "side = 40"), ["detector.side = 40", 32]),
        (("score = 0.05", "score = 1.5"), ["detector.score = 1.5"]),
        (("score = 0.05", "scores = 0.05"), ["detector.scores", "score"]),
        (("classification = 1e-2", "classification = 0"), ["loss.classification = 0"]),
        (("[detector]", "[features]"), ["[detector]"]),
    ],
)
def test_mistakes_about_a_detector_are_named(mtgan, change, facts):
    with refused("recipe", *facts):
        load_recipe(mtgan(change))


def test_a_network_of_several_frames_has_no_detector(mtgan):
    text = Path(mtgan()).read_text()
    file = Path(mtgan())
    file.write_text(rewritten(text, ("expansion = 2", "expansion = 2\ntemporal_size = 3")))
    with refused("recipe", "detector"):
        load_recipe(str(file))


def test_a_run_is_not_resumed_with_another_detector(mtgan, detector, tmp_path):
    copy = tiny_yolox(tmp_path / "copy.onnx")
    recipe = load_recipe(mtgan((str(detector), str(copy))))
    tensors, plain = prepare(recipe, init=None, threads=1, device="cpu").state()
    prepare(recipe, init=None, threads=1, device="cpu").restore(tensors, plain)
    tiny_yolox(copy, seed=1)
    with refused("checkpoint", "detector.weights"):
        prepare(recipe, init=None, threads=1, device="cpu").restore(tensors, plain)


def test_there_is_exactly_one_loss_and_its_features(recipe_file):
    with refused("recipe", "optim.loss", "[loss]", "neither"):
        load_recipe(recipe_file(('loss = "l1"\n', "")))
    with refused("recipe", "optim.loss", "[loss]", "both"):
        load_recipe(recipe_file(("[log]", "[loss]\nmse = 1.0\n[log]")))
    with refused("recipe", "loss.perceptual", "[features]"):
        load_recipe(
            recipe_file(('loss = "l1"\n', ""), ("[log]", "[loss]\nperceptual = 1.0\n[log]"))
        )
    with refused("recipe", "lpips", "[features]"):
        load_recipe(recipe_file(("[log]", '[best]\nscore = "lpips"\n[log]')))
    with refused("recipe", "loss", "no term", "l1"):
        load_recipe(recipe_file(('loss = "l1"\n', ""), ("[log]", "[loss]\n[log]")))


def test_one_term_is_the_loss_of_old_recipes(recipe_file):
    old = load_recipe(recipe_file())
    new = load_recipe(recipe_file(('loss = "l1"\n', ""), ("[log]", "[loss]\nl1 = 1.0\n[log]")))
    assert old.terms == new.terms
    assert old.terms.pixel_terms() == {"l1": 1.0}


def test_the_best_weights_are_within_the_limits_first():
    best = BestTable(score="lpips", min_lr_psnr=50.0, max_lattice=6.0)
    good = Scores(psnr=28.0, lpips=0.2, lr_psnr=60.0, lattice=3.0)
    ranked = [
        good._replace(lpips=0.05, lattice=20.0),
        good._replace(lpips=0.3),
        good,
    ]
    assert sorted(ranked, key=best.rank) == ranked
    assert best.rank(good._replace(lpips=0.01, lr_psnr=40.0)) < best.rank(good)
    assert BestTable().rank(good) < BestTable().rank(good._replace(psnr=28.1))
    space = BestTable(score="space", max_lpips=0.25)
    varied = good._replace(space=12.0)
    assert space.rank(varied) > space.rank(varied._replace(space=11.0))
    assert space.rank(varied) > space.rank(varied._replace(space=30.0, lpips=0.3))
