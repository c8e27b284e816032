"""Runs that can go on with other numbers of steps, and what is said of those that cannot."""

import pytest

from facts import names
from recipes import TINY_RECIPE
from widesr.train.changes import changed
from widesr.train.extension import goes_on, how_to_extend
from widesr.train.recipe import load_recipe
from widesr.train.schedule import learning_rate_at

pytestmark = pytest.mark.train

STEP = ("optim.schedule=step", "optim.decay_at=[6]", "optim.decay=0.5")
FINISH = ("optim.finish_loss=mse", "optim.finish_steps=4")


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY_RECIPE)  # cosine, 12 steps
    return load_recipe(str(tmp_path / "tiny.toml"))


@pytest.mark.parametrize(
    ("changes", "steps", "at", "expected"),
    [
        (STEP, 30, 12, True),
        (STEP, 10, 8, True),  # fewer, and not past them yet
        (STEP, 10, 12, False),
        ((*STEP, *FINISH), 30, 8, True),  # the finish has not begun
        ((*STEP, *FINISH), 30, 9, False),
        ((), 30, 1, True),  # the first rate is that of the warmup, whatever follows
        ((), 30, 12, False),
        ((), 12, 12, True),
        (("optim.schedule=one-cycle",), 30, 12, False),
    ],
)
def test_a_run_goes_on_if_its_steps_so_far_would_have_been_the_same(
    recipe, changes, steps, at, expected
):
    then = changed(recipe, changes)
    now = changed(then, [f"optim.steps={steps}"])
    assert goes_on(then, now, step=at) is expected
    if expected:
        for step in range(at):
            assert learning_rate_at(then, step) == learning_rate_at(now, step)


@pytest.mark.parametrize("change", ["seed=9", "data.batch=5", "optim.loss=mse", "net.n_feats=8"])
def test_a_run_goes_on_with_nothing_else_changed(recipe, change):
    then = changed(recipe, STEP)
    assert not goes_on(then, changed(then, [change, "optim.steps=30"]), step=12)
    assert goes_on(then, changed(then, ["log.validate_every=1", "optim.steps=30"]), step=12)


def test_what_to_do_after_the_last_step_hangs_on_the_schedule(recipe):
    assert "w.safetensors" in how_to_extend(recipe, weights="w.safetensors")
    assert names(how_to_extend(changed(recipe, STEP), weights="w"), "optim.steps")
    finished = changed(recipe, (*STEP, *FINISH))
    assert "w.safetensors" in how_to_extend(finished, weights="w.safetensors")
