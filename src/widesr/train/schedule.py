"""What each step of a run is learned with: its learning rate and its loss."""

import math

from widesr.train.recipe import LossName, OptimTable

_RISE, _FALL = 25.0, 1e4
"""Of the one-cycle schedule: the highest rate by the first, and the first by the last."""


def learning_rate_at(optim: OptimTable, step: int) -> float:
    """Learning rate of optimizer step `step`, counted from 0."""
    if optim.schedule == "one-cycle":
        return _one_cycle(optim, step)
    rise = min(1.0, (step + 1) / optim.warmup) if optim.warmup else 1.0
    if optim.schedule == "cosine":
        return optim.learning_rate * rise * (1 + math.cos(math.pi * step / optim.steps)) / 2
    assert optim.decay is not None
    return optim.learning_rate * rise * optim.decay ** sum(step >= at for at in optim.decay_at)


def _one_cycle(optim: OptimTable, step: int) -> float:
    """Rise to the highest rate and fall to nearly nothing, both by half a cosine.

    Source: Smith and Topin, "Super-Convergence", 2018, as torch's OneCycleLR has it, the momentum
    left as it is.
    """
    top, last_rise, last = optim.learning_rate, optim.warmup - 1, optim.steps - 1
    if step <= last_rise:
        return _between(top / _RISE, top, step / last_rise)
    return _between(top, top / _RISE / _FALL, min((step - last_rise) / (last - last_rise), 1.0))


def _between(start: float, end: float, share: float) -> float:
    """Go from `start` to `end` along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def loss_at(optim: OptimTable, step: int) -> LossName:
    """Name the loss of optimizer step `step`, counted from 0."""
    if optim.finish_loss and step >= optim.steps - optim.finish_steps:
        return optim.finish_loss
    return optim.loss
