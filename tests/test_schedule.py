"""The learning rate of every step."""

import pytest
import torch

from widesr.train.recipe import load_recipe
from widesr.train.schedule import learning_rate_at, loss_at

pytestmark = pytest.mark.train


def test_the_learning_rate_follows_its_schedule(recipe_file):
    cosine = load_recipe(recipe_file()).optim
    assert learning_rate_at(cosine, 0) == pytest.approx(0.5e-2)  # the first of two warm-up steps
    assert learning_rate_at(cosine, 6) == pytest.approx(0.5e-2)  # half way
    assert learning_rate_at(cosine, 12) == pytest.approx(0)
    steps = load_recipe(
        recipe_file(
            ('"cosine"', '"step"\ndecay_at = [5, 9]\ndecay = 0.1'), ("warmup = 2", "warmup = 0")
        )
    ).optim
    rates = [learning_rate_at(steps, step) for step in (0, 4, 5, 8, 9, 11)]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4])


def test_one_cycle_is_that_of_torch(recipe_file):
    optim = load_recipe(
        recipe_file(
            ('"cosine"', '"one-cycle"'), ("steps = 12", "steps = 40"), ("warmup = 2", "warmup = 12")
        )
    ).optim
    ours = torch.optim.SGD([torch.zeros(1)], lr=1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        ours, optim.learning_rate, total_steps=40, pct_start=12 / 40, cycle_momentum=False
    )
    for step in range(40):
        assert learning_rate_at(optim, step) == pytest.approx(ours.param_groups[0]["lr"])
        ours.step()
        if step < 39:
            theirs.step()


def test_the_last_steps_are_learned_by_another_loss(recipe_file):
    plain = load_recipe(recipe_file()).optim
    assert {loss_at(plain, step) for step in range(12)} == {"l1"}
    finish = 'loss = "l1"\nfinish_loss = "mse"\nfinish_steps = 3'
    optim = load_recipe(recipe_file(('loss = "l1"', finish))).optim
    assert [loss_at(optim, step) for step in range(12)] == ["l1"] * 9 + ["mse"] * 3
