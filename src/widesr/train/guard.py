"""Takes a run that explodes back to where it was well, and on with other photographs."""

import statistics
from collections.abc import Mapping
from typing import Any

from widesr.errors import TrainingError
from widesr.train.recipe import OptimTable
from widesr.train.run import ExplosionError, Run
from widesr.train.schedule import way_at

_RECENT, _BEFORE, _LEAST = 10, 100, 20
_JUMP = 10.0
"""A jump is this many times the mean of the `_BEFORE` losses before, in each of `_RECENT` steps.

The mean and not the median: of a loss that does not change, however uneven from batch to batch,
no more than one in ten is above ten times its mean, so ten in a row come about by chance in fewer
than one of 1e10 places.
"""
_TRIES = 3
"""Rewinds from one place; a run that explodes more often does so on any photographs."""


class Guard:
    """Watches the losses of a run, and takes it back when they explode.

    It goes back to where the run last validated, which is a state on the disk too, and the order
    of photographs stays where it is: so a run that is killed after it was taken back explodes
    again when it is resumed, is taken back again, and ends with the same weights.
    """

    def __init__(self, run: Run) -> None:
        """Take where the run stands for well."""
        self._run = run
        self.settle()

    def settle(self) -> None:
        """Take where the run stands for well, from now on."""
        tensors, plain = self._run.state()
        self._tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        self._plain: Mapping[str, Any] = plain | {"losses": list(self._run.losses)}
        self._tries = 0

    def watch(self, loss: float) -> None:
        """Look at the loss of the step that was just taken.

        Raises:
            ExplosionError: It has been far above those before it for several steps.
        """
        run = self._run
        last = run.step - 1
        if last > 0 and way_at(run.recipe, last) != way_at(run.recipe, last - 1):
            run.losses.clear()  # of another kind, and another size
        run.losses.append(loss)
        del run.losses[: -_BEFORE - _RECENT]
        before, recent = run.losses[:-_RECENT], run.losses[-_RECENT:]
        if not before:
            return
        # Of pictures in [0, 1] no sane network has a loss above 1, whatever its first batches were.
        usual = statistics.fmean(before) if len(before) >= _LEAST else max(1.0, before[0])
        if min(recent) > _JUMP * usual:
            raise ExplosionError(
                f"the loss jumped from {usual:.4g} to {min(recent):.4g} and more before step "
                f"{run.step}"
            )

    def rewind(self, error: ExplosionError) -> str:
        """Take the run back.

        Returns:
            What to tell the user.

        Raises:
            TrainingError: It has been taken back to this place too often.
        """
        run = self._run
        if self._tries == _TRIES:
            raise self.refuse(error) from error
        rewinds = run.rewinds + 1
        self._tries += 1
        run.restore(self._tensors, dict(self._plain))
        run.rewinds = rewinds
        return (
            f"{error.message}; back to step {run.step} and on with other photographs "
            f"({self._tries} of {_TRIES}); if it comes again, {knobs(run.recipe.optim)}"
        )

    def refuse(self, error: ExplosionError) -> TrainingError:
        """Make the error of a run that is not taken back any more."""
        tried = f", taken back {self._tries} times to step {self._plain['step']}"
        return TrainingError(
            f"{error.message}{tried if self._tries else ''}; the files of the run are of before; "
            + knobs(self._run.recipe.optim),
            diverged_at=self._run.step,
        )


def knobs(optim: OptimTable) -> str:
    """Name what to turn so that a run does not explode, and where it stands."""
    clip = "set optim.clip_grad_norm"
    if optim.clip_grad_norm is not None:
        clip = f"lower optim.clip_grad_norm ({optim.clip_grad_norm:g})"
    parts = [f"lower optim.learning_rate ({optim.learning_rate:g})", clip]
    if optim.precision == "fp16":
        parts.append('take optim.precision = "bf16"')
    return f"{', '.join(parts)} or lengthen optim.warmup ({optim.warmup})"
