"""Recipes, patches, the loop and its checkpoints: what someone who trains relies on."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import widesr
from widesr.errors import CheckpointError, DataError, RecipeError, TrainingError
from widesr.resize import imresize
from widesr.train import loop
from widesr.train.checkpoint import load_state, load_weights
from widesr.train.loop import train
from widesr.train.pairs import PatchSampler, hold_out, list_photographs, load_pairs, turned
from widesr.train.recipe import list_recipes, load_recipe

pytestmark = pytest.mark.train

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.[jp][pn]g"))

RECIPE = """
name = "tiny-x2"
source = "made for a test"
seed = 1
family = "wdsr"
[net]
scale = 2
block = "a"
n_resblocks = 1
n_feats = 4
expansion = 2
[data]
degradation = "bicubic"
lr_patch = 12
batch = 4
validation = 1
exclude = ["left-out.png"]
[optim]
loss = "l1"
steps = 12
learning_rate = 1e-2
warmup = 2
schedule = "cosine"
betas = [0.9, 0.999]
ema_decay = 0.9
precision = "fp32"
[log]
validate_every = 4
"""


@pytest.fixture
def recipe_file(tmp_path):
    def write(*changes):
        text = RECIPE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "tiny.toml"
        file.write_text(text)
        return str(file)

    return write


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder of real photographs, small, with one to be left out."""
    assert len(EXAMPLES) >= 4
    folder = tmp_path_factory.mktemp("photographs")
    for file in EXAMPLES[:4]:
        with Image.open(file) as picture:
            picture.convert("RGB").crop((100, 100, 228, 212)).save(folder / f"{file.stem}.png")
    shutil.copy(next(folder.glob("*.png")), folder / "left-out.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_every_recipe_of_the_package_is_complete_and_named_as_its_file():
    assert list_recipes()
    for name in list_recipes():
        assert load_recipe(name).name == name
        assert load_recipe(name).network.scale in (2, 3, 4, 8)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_feats = 4", "n_featz = 4", "n_featz"),
        ("steps = 12", "step = 12", r"steps: missing; .*step: unknown key, did you mean steps\?"),
        ("learning_rate = 1e-2", 'learning_rate = "fast"', r"optim\.learning_rate = 'fast'"),
        ('loss = "l1"', 'loss = "l3"', r"optim\.loss = 'l3'"),
        ("batch = 4", "batch = 0", r"data\.batch = 0"),
        ('family = "wdsr"', 'family = "wsdr"', "expected one of edsr, wdsr, got 'wsdr'"),
        ('schedule = "cosine"', 'schedule = "step"', "needs decay_at and decay"),
        ("scale = 2", "scale = 5", "scale"),
        ("[log]", "[log", "not TOML"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_recipe_is_named(recipe_file, old, new, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe_file((old, new)))


def test_all_mistakes_of_a_recipe_are_named_at_once(recipe_file):
    file = recipe_file(("batch = 4", "batch = 0"), ("warmup = 2", ""), ("seed = 1", "seed = 'x'"))
    mistakes = r"(?=.*seed = 'x')(?=.*data\.batch = 0)(?=.*warmup: missing)"
    with pytest.raises(RecipeError, match=mistakes):
        load_recipe(file)


def test_an_unknown_recipe_is_answered_with_the_nearest_name():
    with pytest.raises(RecipeError, match=r"no such recipe .* did you mean wdsr-a8-x2\?"):
        load_recipe("wdsr-a8-x22")


@given(st.integers(0, 7), st.integers(1, 9), st.integers(1, 9))
def test_turning_a_picture_and_its_lr_are_the_same_turn(turn, height, width):
    random = np.random.default_rng(turn)
    lr = random.integers(0, 256, (height, width, 3), np.uint8)
    hr = lr.repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(turned(hr, turn), turned(lr, turn).repeat(2, axis=0).repeat(2, axis=1))


def test_the_eight_turns_differ():
    image = np.arange(27).reshape(3, 3, 3)
    assert len({turned(image, turn).tobytes() for turn in range(8)}) == 8


def test_patches_are_aligned_reproducible_and_from_everywhere(photographs):
    photographs = list_photographs(photographs, exclude=["left-out.png"])
    pairs = load_pairs(photographs, scale=2, lr_patch=12)
    sampler = PatchSampler(pairs, scale=2, lr_patch=12, seed=3)
    lr, hr = sampler.batch(40)
    assert lr.shape == (40, 12, 12, 3)
    assert hr.shape == (40, 24, 24, 3)
    for small, large in zip(lr, hr, strict=True):  # away from the border, shrinking is local
        inside = imresize(large, scale=1 / 2)[4:-4, 4:-4].astype(int)
        assert np.abs(inside - small[4:-4, 4:-4]).max() <= 1
    again = PatchSampler(pairs, scale=2, lr_patch=12, seed=3)
    assert np.array_equal(again.batch(40)[1], hr)
    state = sampler.state
    following = sampler.batch(8)[0]
    again.state = json.loads(json.dumps(state))
    assert np.array_equal(again.batch(8)[0], following)


def test_photographs_are_held_out_by_name_alone(tmp_path):
    names = [f"photo {i}.jpg" for i in range(20)]
    training, held = hold_out([tmp_path / name for name in names], 5)
    assert len(held) == 5
    assert sorted(training + held) == sorted(tmp_path / name for name in names)
    elsewhere, _ = hold_out([tmp_path / "deeper" / name for name in names], 5)
    assert [p.name for p in elsewhere] == [p.name for p in training]
    with pytest.raises(DataError, match="20 photographs cannot spare 20"):
        hold_out([tmp_path / name for name in names], 20)


def tensors_of(folder):
    return load_state(folder / "state.safetensors")[0]


def test_a_run_writes_weights_that_beat_their_start_and_say_how_they_came_to_be(
    photographs, recipe_file, tmp_path
):
    recipe = load_recipe(recipe_file(("steps = 12", "steps = 60")))
    seen = []
    weights = train(recipe, data=photographs, out=tmp_path / "run", threads=1, report=seen.append)
    network, provenance = load_weights(weights)
    assert network.cfg == recipe.network
    assert provenance.recipe == recipe
    assert provenance.steps == 60
    assert sum(source.n for source in provenance.training_data) == 3  # 5, less 1 held, 1 left out
    log = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in log]
    assert [line["step"] for line in lines] == list(range(4, 61, 4))
    assert lines[-1]["psnr"] > lines[0]["psnr"] + 3
    assert [report.step for report in seen if report.validated] == list(range(4, 61, 4))


def test_two_runs_of_one_recipe_give_the_same_weights(photographs, recipe_file, tmp_path):
    recipe = load_recipe(recipe_file())
    for name in ("one", "two"):
        train(recipe, data=photographs, out=tmp_path / name, threads=1)
    one, two = tensors_of(tmp_path / "one"), tensors_of(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    photographs, recipe_file, tmp_path, precision
):
    recipe = load_recipe(recipe_file(('precision = "fp32"', f'precision = "{precision}"')))
    train(recipe, data=photographs, out=tmp_path / "whole", threads=1)

    class StoppedError(Exception):
        pass

    def stop(progress):
        if progress.step == 8:
            raise StoppedError  # at a validation, before its checkpoint: step 4 is what is left

    with pytest.raises(StoppedError):
        train(recipe, data=photographs, out=tmp_path / "parts", threads=1, report=stop)
    assert load_state(tmp_path / "parts" / "state.safetensors")[1]["step"] == 4
    train(recipe, data=photographs, out=tmp_path / "parts", threads=1, resume=True)
    whole, parts = tensors_of(tmp_path / "whole"), tensors_of(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_ctrl_c_keeps_what_was_learned(photographs, recipe_file, tmp_path, monkeypatch):
    batch = PatchSampler.batch
    calls = []

    def interrupted(self, n):
        calls.append(n)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return batch(self, n)

    monkeypatch.setattr(PatchSampler, "batch", interrupted)
    recipe = load_recipe(recipe_file())
    with pytest.raises(KeyboardInterrupt):
        train(recipe, data=photographs, out=tmp_path / "run", threads=1)
    assert load_state(tmp_path / "run" / "state.safetensors")[1]["step"] == 6


def test_a_network_of_another_scale_starts_from_the_body_it_is_given(
    photographs, recipe_file, tmp_path
):
    x2 = train(load_recipe(recipe_file()), data=photographs, out=tmp_path / "x2", threads=1)
    x3_file = recipe_file(("scale = 2", "scale = 3"), ('"tiny-x2"', '"tiny-x3"'), ("1e-2", "1e-9"))
    x3 = train(
        load_recipe(x3_file), data=photographs, out=tmp_path / "x3", threads=1, start_from=x2
    )
    given_network, _ = load_weights(x2)
    network, provenance = load_weights(x3)
    assert provenance.started_from.startswith("tiny-x2.safetensors sha256:")
    assert torch.allclose(network.body[0][0].weight_v, given_network.body[0][0].weight_v, atol=1e-6)
    assert network.tail.weight_v.shape != given_network.tail.weight_v.shape


def test_a_run_is_neither_overwritten_nor_resumed_with_other_settings(
    photographs, recipe_file, tmp_path
):
    train(load_recipe(recipe_file()), data=photographs, out=tmp_path / "run", threads=1)
    with pytest.raises(CheckpointError, match="add --resume"):
        train(load_recipe(recipe_file()), data=photographs, out=tmp_path / "run")
    other = load_recipe(recipe_file(("seed = 1", "seed = 2"), ("batch = 4", "batch = 5")))
    with pytest.raises(CheckpointError, match=r"other settings \(data, seed\)"):
        train(other, data=photographs, out=tmp_path / "run", resume=True)
    with pytest.raises(CheckpointError, match="no such file"):
        train(other, data=photographs, out=tmp_path / "nothing here", resume=True)


def test_a_loss_that_explodes_stops_the_run_and_names_the_knob(photographs, recipe_file, tmp_path):
    recipe = load_recipe(recipe_file(("learning_rate = 1e-2", "learning_rate = 1e30")))
    with pytest.raises(TrainingError, match=r"lower optim\.learning_rate"):
        train(recipe, data=photographs, out=tmp_path / "run", threads=1)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such folder"),
        ("empty", "no pictures in it"),
        ("one pixel", "1x1 is smaller than a patch of 24x24"),
        ("broken", "broken.png"),
        ("16 bits", "16-bit pictures are not trained on"),
    ],
)
def test_photographs_that_cannot_be_used_are_named(
    recipe_file, tmp_path, photographs, kind, message
):
    folder = tmp_path / "data"
    if kind != "missing":
        folder.mkdir()
    if kind not in ("missing", "empty"):
        for file in photographs.glob("[!l]*.png"):
            shutil.copy(file, folder)
    match kind:
        case "one pixel":
            Image.new("RGB", (1, 1)).save(folder / "one.png")
        case "broken":
            whole = next(photographs.glob("*.png")).read_bytes()
            (folder / "broken.png").write_bytes(whole[: len(whole) // 2])
        case "16 bits":
            Image.fromarray(np.zeros((99, 99), np.uint16)).save(folder / "deep.png")
    with pytest.raises(DataError, match=message):
        train(load_recipe(recipe_file()), data=folder, out=tmp_path / "run", threads=1)


def test_weights_are_never_unpickled(tmp_path):
    pickled = tmp_path / "weights.safetensors"
    torch.save({"a": torch.zeros(3)}, pickled)
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_weights(pickled)


def test_the_learning_rate_follows_its_schedule(recipe_file):
    cosine = load_recipe(recipe_file()).optim
    assert loop._learning_rate(cosine, 0) == pytest.approx(0.5e-2)  # the first of two warm-up steps
    assert loop._learning_rate(cosine, 6) == pytest.approx(0.5e-2)  # half way
    assert loop._learning_rate(cosine, 12) == pytest.approx(0)
    steps = load_recipe(
        recipe_file(
            ('"cosine"', '"step"\ndecay_at = [5, 9]\ndecay = 0.1'), ("warmup = 2", "warmup = 0")
        )
    ).optim
    rates = [loop._learning_rate(steps, step) for step in (0, 4, 5, 8, 9, 11)]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4])


def test_the_licences_of_the_photographs_go_into_the_weights(photographs, recipe_file, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(photographs, folder / "hr")
    names = sorted(p.name for p in (folder / "hr").glob("*.png"))
    rows = [f"hr/{name},CC0-1.0,here" for name in names]
    (folder / "MANIFEST.csv").write_text("file,licence,origin\n" + "\n".join(rows) + "\n")
    weights = train(load_recipe(recipe_file()), data=folder, out=tmp_path / "run", threads=1)
    (source,) = load_weights(weights)[1].training_data
    assert (source.name, source.licence, source.n) == ("here", "CC0-1.0", 3)
    (folder / "MANIFEST.csv").write_text("file,licence,origin\n")
    with pytest.raises(DataError, match="has no row for"):
        train(load_recipe(recipe_file()), data=folder, out=tmp_path / "again", threads=1)


def test_weights_name_the_commit_only_of_widesr_itself(tmp_path, monkeypatch):
    assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?|widesr .*", loop._commit())
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    commit = ["commit", "-q", "--allow-empty", "-m", "theirs"]
    subprocess.run(["git", "-C", tmp_path, *author, *commit], check=True)
    installed = tmp_path / ".venv" / "widesr" / "train" / "loop.py"
    installed.parent.mkdir(parents=True)
    installed.touch()
    monkeypatch.setattr(loop, "__file__", str(installed))
    assert loop._commit() == f"widesr {widesr.__version__}"


def test_recipes_of_the_package_leave_the_examples_out():
    held_out = (Path(__file__).parents[1] / "training" / "held_out.txt").read_text().splitlines()
    names = {Path(line).name for line in held_out if line and not line.startswith("#")}
    assert names
    for name in list_recipes():
        assert names <= set(load_recipe(name).data.exclude)
