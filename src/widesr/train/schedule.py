"""Says with which settings each step of a run is learned: rate, loss, patches, teacher."""

import math
from typing import NamedTuple

from widesr.train.recipe import Recipe
from widesr.train.tables import LossTable, OptimTable, Stage

_RISE, _FALL = 25.0, 1e4
"""Ratios of the one-cycle schedule: the highest rate to the first, and the first to the last."""


class Settings(NamedTuple):
    """The settings that a part of a run is learned with."""

    loss: LossTable
    lr_patch: int
    batch: int
    teacher_share: float
    """Share of the teacher's picture in the target, 0 to 1."""


class Part(NamedTuple):
    """Steps of a run that are learned with the same settings."""

    begin: int
    steps: int
    settings: Settings


def parts(recipe: Recipe) -> list[Part]:
    """List the parts of a run in turn: what its tables say, and its stages."""
    found, end = [], recipe.optim.steps
    for stage in reversed(recipe.stage):
        end -= stage.steps
        found.append(Part(end, stage.steps, _settings_of(recipe, stage)))
    if end:
        found.append(Part(0, end, _settings_of(recipe, None)))
    return found[::-1]


def settings_at(recipe: Recipe, step: int) -> Settings:
    """Return the settings of optimizer step `step`, counted from 0."""
    return next(part.settings for part in reversed(parts(recipe)) if step >= part.begin)


def _settings_of(recipe: Recipe, stage: Stage | None) -> Settings:
    usual = Settings(
        recipe.terms,
        recipe.data.lr_patch,
        recipe.data.batch,
        recipe.teacher.share if recipe.teacher else 0.0,
    )
    if stage is None:
        return usual
    keys = {"lr_patch", "batch", "teacher_share"}
    named = stage.model_dump(include=keys, exclude_none=True)
    loss = LossTable.of(stage.loss) if stage.loss else usual.loss
    return usual._replace(loss=loss, **named)


def learning_rate_at(recipe: Recipe, step: int) -> float:
    """Return the learning rate of optimizer step `step`, counted from 0."""
    end = recipe.optim.steps  # of the schedule that is looked at
    begin = end
    for stage in reversed(recipe.stage):
        begin -= stage.steps
        if stage.learning_rate is not None:
            if step >= begin:
                return _between(stage.learning_rate, 0.0, (step - begin) / (end - begin))
            end = begin
    return _scheduled(recipe.optim, step, steps=end)


def _scheduled(optim: OptimTable, step: int, *, steps: int) -> float:
    if optim.schedule == "one-cycle":
        return _one_cycle(optim, step, last=steps - 1)
    rise = min(1.0, (step + 1) / optim.warmup) if optim.warmup else 1.0
    if optim.schedule == "cosine":
        return optim.learning_rate * rise * (1 + math.cos(math.pi * step / steps)) / 2
    assert optim.decay is not None
    return optim.learning_rate * rise * optim.decay ** sum(step >= at for at in optim.decay_at)


def _one_cycle(optim: OptimTable, step: int, *, last: int) -> float:
    """Rise to the highest rate and fall to nearly nothing, both by half a cosine.

    Source: Smith and Topin, "Super-Convergence", 2018, as torch's OneCycleLR has it, the momentum
    left as it is.
    """
    top, last_rise = optim.learning_rate, optim.warmup - 1
    if step <= last_rise:
        return _between(top / _RISE, top, step / last_rise)
    return _between(top, top / _RISE / _FALL, min((step - last_rise) / (last - last_rise), 1.0))


def _between(start: float, end: float, share: float) -> float:
    """Go from `start` to `end` along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
