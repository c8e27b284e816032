"""The learning rate of every step."""

import pytest
import torch

from recipes import stage
from widesr.train.recipe import load_recipe
from widesr.train.schedule import Part, Settings, learning_rate_at, parts, settings_at
from widesr.train.tables import LossTable

pytestmark = pytest.mark.train

L1, MSE = LossTable.of("l1"), LossTable.of("mse")


def test_the_learning_rate_follows_its_schedule(recipe_file):
    cosine = load_recipe(recipe_file())
    assert learning_rate_at(cosine, 0) == pytest.approx(0.5e-2)  # the first of two warm-up steps
    assert learning_rate_at(cosine, 6) == pytest.approx(0.5e-2)  # half way
    assert learning_rate_at(cosine, 12) == pytest.approx(0)
    steps = load_recipe(
        recipe_file(
            ('"cosine"', '"step"\ndecay_at = [5, 9]\ndecay = 0.1'), ("warmup = 2", "warmup = 0")
        )
    )
    rates = [learning_rate_at(steps, step) for step in (0, 4, 5, 8, 9, 11)]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4])


def test_one_cycle_is_that_of_torch(recipe_file):
    recipe = load_recipe(
        recipe_file(
            ('"cosine"', '"one-cycle"'), ("steps = 12", "steps = 40"), ("warmup = 2", "warmup = 12")
        )
    )
    ours = torch.optim.SGD([torch.zeros(1)], lr=1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        ours, recipe.optim.learning_rate, total_steps=40, pct_start=12 / 40, cycle_momentum=False
    )
    for step in range(40):
        assert learning_rate_at(recipe, step) == pytest.approx(ours.param_groups[0]["lr"])
        ours.step()
        if step < 39:
            theirs.step()


def test_stages_are_the_last_steps_of_a_run(recipe_file):
    plain = load_recipe(recipe_file())
    assert {settings_at(plain, step) for step in range(12)} == {Settings(L1, 12, 4, 0.0)}
    assert parts(plain) == [Part(0, 12, Settings(L1, 12, 4, 0.0))]
    two = load_recipe(recipe_file(stage(
        'steps = 4\nlr_patch = 16\nbatch = 2\n[[stage]]\nsteps = 3\nloss = "mse"'
    )))  # fmt: skip
    usual, large = Settings(L1, 12, 4, 0.0), Settings(L1, 16, 2, 0.0)
    last = Settings(MSE, 12, 4, 0.0)
    assert [settings_at(two, step) for step in range(12)] == [usual] * 5 + [large] * 4 + [last] * 3
    assert parts(two) == [Part(0, 5, usual), Part(5, 4, large), Part(9, 3, last)]
    whole = load_recipe(recipe_file(stage("steps = 12\nbatch = 8")))
    assert parts(whole) == [Part(0, 12, Settings(L1, 12, 8, 0.0))]


def test_a_stage_may_begin_a_schedule_of_its_own(recipe_file):
    warm = load_recipe(recipe_file(stage("steps = 4\nlearning_rate = 4e-3")))
    rates = [learning_rate_at(warm, step) for step in range(12)]
    alone = load_recipe(recipe_file(("steps = 12", "steps = 8")))
    assert rates[:8] == [learning_rate_at(alone, step) for step in range(8)]
    assert rates[8:] == pytest.approx(
        [4e-3, 4e-3 * (2 + 2**0.5) / 4, 2e-3, 4e-3 * (2 - 2**0.5) / 4]
    )
    on = load_recipe(recipe_file(stage('steps = 4\nloss = "mse"')))
    usual = load_recipe(recipe_file())
    assert all(learning_rate_at(on, n) == learning_rate_at(usual, n) for n in range(12))


def test_recipes_of_before_there_were_stages_are_read(recipe_file):
    finish = 'loss = "l1"\nfinish_loss = "mse"\nfinish_steps = 3'
    then = load_recipe(recipe_file(('loss = "l1"', finish)))
    assert then == load_recipe(recipe_file(stage('steps = 3\nloss = "mse"')))
