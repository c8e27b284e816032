"""A run that explodes goes back and on with other photographs, three times, then says why."""

import json
import signal

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facts import names, refused
from recipes import stage
from widesr.data.loader import Loader
from widesr.train.checkpoint import list_states, load_newest_state, load_weights
from widesr.train.guard import Guard
from widesr.train.loop import prepare, train
from widesr.train.losses import LOSSES
from widesr.train.photographs import load_photographs
from widesr.train.recipe import load_recipe
from widesr.train.run import ExplosionError, Learned, Run

pytestmark = pytest.mark.train


@pytest.fixture
def run(recipe_file) -> Run:
    recipe = load_recipe(recipe_file(("steps = 12", "steps = 1000")))
    return prepare(recipe, init=None, threads=1, device="cpu")


def watch(guard: Guard, run: Run, losses) -> None:
    for loss in losses:
        run.step += 1
        guard.watch(Learned(loss, 1.0, {}))


@pytest.mark.parametrize(
    ("losses", "jumps"),
    [
        ([0.1] * 50 + [1.1] * 10, True),
        ([0.1] * 50 + [1.1] * 9 + [0.2] + [1.1] * 9, False),  # spikes that it recovered from
        ([0.1] * 50 + [0.9] * 500, False),
        ([0.1] * 15 + [2.0] * 50, False),  # too early to say what is usual
        ([0.3] + [50.0] * 10, True),  # at once, and beyond all pictures
        ([50.0] * 300, False),  # bad, but no worse than it began
        ([0.001, 0.2] * 100, False),
        ([1e-9] * 300, False),
        ([0.0] * 30 + [1e-9] * 10, True),
    ],
)
def test_a_jump_is_ten_times_the_usual_loss_ten_times_in_a_row(run, losses, jumps):
    guard = Guard(run)
    if jumps:
        watch(guard, run, losses[:-1])
        with pytest.raises(ExplosionError, match="jumped"):
            watch(guard, run, losses[-1:])
    else:
        watch(guard, run, losses)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.floats(0, 3), st.floats(1e-6, 10))
def test_uneven_losses_are_no_jump(run, seed, spread, size):
    run.losses, run.step = [], 0
    losses = np.minimum(size * np.random.default_rng(seed).lognormal(0, spread, 400), 10)
    watch(Guard(run), run, losses.tolist())


def test_another_loss_may_be_of_another_size(recipe_file):
    finish = stage('steps = 50\nloss = "l1"')
    recipe = load_recipe(
        recipe_file(("steps = 12", "steps = 100"), ('loss = "l1"', 'loss = "mse"'), finish)
    )
    run = prepare(recipe, init=None, threads=1, device="cpu")
    watch(Guard(run), run, [0.001] * 50 + [0.1] * 50)


def test_going_back_restores_every_bit_each_time(run, photographs):
    loaded = load_photographs(photographs, run.recipe)
    loader = Loader(loaded.training, scale=2, lr_patch=12, batch=4, seed=1)
    with loader:
        for _ in range(5):
            run.advance(loader.next())
        guard = Guard(run)
        before = {name: tensor.clone() for name, tensor in run.state()[0].items()}
        for time in (1, 2, 3):
            for _ in range(4):
                run.advance(loader.next())
            assert not torch.equal(
                run.state()[0]["optimizer.0.exp_avg"], before["optimizer.0.exp_avg"]
            )
            said = guard.rewind(ExplosionError("boom"))
            assert names(said, "boom", "step 5", f"{time} of 3")
            after = run.state()[0]
            assert after.keys() == before.keys()
            assert all(torch.equal(after[name], before[name]) for name in before)
            assert (run.step, run.rewinds) == (5, time)
        with refused("training", "boom", "3 times", "step 5"):
            guard.rewind(ExplosionError("boom"))


@pytest.fixture
def poisoned(photographs, recipe_file, monkeypatch):
    """Make the seventh batch of a run one whose loss is no number, wherever it is learned from."""
    recipe = load_recipe(recipe_file())
    loaded = load_photographs(photographs, recipe)
    with Loader(loaded.training, scale=2, lr_patch=12, batch=4, seed=1) as loader:
        batches = [loader.next()[1] for _ in range(7)]
    bad = torch.from_numpy(batches[-1]).permute(0, 3, 1, 2).float() / 255
    l1 = LOSSES["l1"]

    def loss(sr, hr):
        return l1(sr, hr) * (float("nan") if torch.equal(hr, bad) else 1)

    monkeypatch.setitem(LOSSES, "l1", loss)
    return recipe


def test_a_batch_that_explodes_is_gone_around(poisoned, photographs, tmp_path):
    said = []
    out = tmp_path / "run"
    train(poisoned, data=photographs, out=out, threads=1, on_notice=said.append)
    (line,) = said
    assert names(line, "finite", "step 6", "step 4", "1 of 3")
    assert names(line, "optim.learning_rate (0.01)", "optim.clip_grad_norm", "optim.warmup (2)")
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["rewinds"]) for line in log] == [(4, 0), (8, 1), (12, 1)]
    assert len(list_states(out)) == 3


def test_a_run_that_went_back_and_is_killed_ends_with_the_same_weights(
    poisoned, photographs, tmp_path
):
    train(poisoned, data=photographs, out=tmp_path / "whole", threads=1)

    class KilledError(Exception):
        pass

    def kill(progress):
        if progress.step == 8:
            raise KilledError  # gone back already, and not yet kept

    with pytest.raises(KilledError):
        train(poisoned, data=photographs, out=tmp_path / "parts", threads=1, on_progress=kill)
    assert load_newest_state(tmp_path / "parts")[1]["step"] == 4
    train(poisoned, data=photographs, out=tmp_path / "parts", threads=1, resume=True)
    ours, theirs = (load_newest_state(tmp_path / name)[0] for name in ("whole", "parts"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("rate", ["1e30", "1e4"])
def test_a_loss_that_explodes_again_and_again_stops_the_run_and_says_what_may_help(
    photographs, recipe_file, tmp_path, rate
):
    change = ("learning_rate = 1e-2", f"learning_rate = {rate}")
    longer = ("steps = 12", "steps = 120"), ("validate_every = 4", "validate_every = 60")
    recipe = load_recipe(recipe_file(change, ("warmup = 2", "warmup = 0"), *longer))
    said = []
    with refused("training", "3 times", "step 0", "optim.learning_rate"):
        train(recipe, data=photographs, out=tmp_path / "run", threads=1, on_notice=said.append)
    assert len(said) == 3
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("interrupted", [False, True])
def test_weights_that_are_no_numbers_are_never_kept(
    photographs, recipe_file, tmp_path, monkeypatch, interrupted
):
    recipe = load_recipe(recipe_file())
    advance = Run.advance

    def spoiled(self, batch):
        learned = advance(self, batch)
        if self.step == 8:  # a loss that is still finite, of weights that no longer are
            next(self.network.parameters()).data.fill_(float("nan"))
            if interrupted:
                signal.raise_signal(signal.SIGINT)
        return learned

    monkeypatch.setattr(Run, "advance", spoiled)
    with refused("training", "finite", "step 8"):
        train(recipe, data=photographs, out=tmp_path / "run", threads=1)
    assert [path.name for path in list_states(tmp_path / "run")] == ["state-000000004.safetensors"]
    weights, provenance = load_weights(tmp_path / "run" / "tiny-x2.safetensors")
    assert provenance.steps == 4
    assert all(torch.isfinite(p).all() for p in weights.parameters())
