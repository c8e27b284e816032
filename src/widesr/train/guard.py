"""Rewinds an exploding run to its last validation, and continues with other photographs."""

import statistics
from collections.abc import Mapping
from typing import Any

from widesr.errors import TrainingError
from widesr.train.recipe import Recipe
from widesr.train.run import ExplosionError, Learned, Run
from widesr.train.schedule import settings_at
from widesr.train.tables import OptimTable

_RECENT = 10
"""Consecutive steps whose losses must all be far too large."""
_BEFORE = 100
"""Steps before the recent ones, whose mean loss these are compared with."""
_LEAST = 20
"""Smallest number of losses whose mean tells the usual loss."""
_JUMP = 10.0
"""Multiple of the usual loss above which a loss is far too large.

The usual loss is a mean and not a median: however uneven a steady loss is from batch to batch, no
more than one in ten values is above ten times its mean. Ten in a row therefore occur by chance in
fewer than one of 1e10 places.
"""
_WATCHED = 50
"""Consecutive steps in which the discriminator must have won, or the colours must be off."""
_WON = 0.01
"""Loss of a discriminator below which a network cannot learn from it: its logits lie five apart. A
discriminator that knows nothing has a loss of 0.69."""
_FAR_OFF = 8.0
"""Error of the mean of a colour, in levels of 255, above which the colours drift."""
_LATTICE = 40.0
"""Strength of a checkerboard, in dB, above which it is too strong. Networks trained on pixel losses
leave up to 25 dB, as soft pictures have little power beside it, and it may stay at 35 until a
discriminator has learned to see it."""
_RISE = 6.0
"""Smallest rise of a checkerboard since the last validation, in dB, that counts as an explosion."""
_TRIES = 3
"""Number of rewinds to one place; a run that explodes more often does so on any photographs."""


class Guard:
    """Watch the losses of a run, and rewind the run when they explode.

    The run goes back to its last validation, whose state is also on the disk. The order of the
    photographs is not rewound. A run that is killed after a rewind therefore explodes again when it
    is resumed, is rewound again, and ends with the same weights.
    """

    def __init__(self, run: Run, *, lattice: float | None = None) -> None:
        """Accept the current state of the run as sound; `lattice` is from its last validation."""
        self._run, self._lattice = run, lattice
        self.settle()

    def settle(self) -> None:
        """Accept the current state of the run as sound; rewinds lead to it from now on."""
        tensors, plain = self._run.state()
        self._tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        copies = {name: list(values) for name, values in self._run.watched.items()}
        self._plain: Mapping[str, Any] = plain | {
            "losses": list(self._run.losses),
            "watched": copies,
        }
        self._tries = 0

    def watch(self, learned: Learned) -> None:
        """Check the results of the step that was just taken.

        Raises:
            ExplosionError: The loss has been far above its earlier values for several steps, the
                discriminator has won, or the colours have been off.
        """
        run = self._run
        last = run.step - 1
        if last > 0 and settings_at(run.recipe, last) != settings_at(run.recipe, last - 1):
            run.losses.clear()  # the new losses are of another kind and size
            run.watched.clear()
        self._watch_loss(learned.loss)
        self._watch_terms(learned.terms)

    def watch_lattice(self, lattice: float | None) -> None:
        """Check a validation for a checkerboard, if pictures are judged by more than their pixels.

        Raises:
            ExplosionError: A checkerboard shows that did not show at the last validation.
        """
        run, before = self._run, self._lattice
        self._lattice = lattice
        if run.objective.is_of_pixels or lattice is None or before is None:
            return
        if lattice > max(_LATTICE, before + _RISE):
            self._lattice = before
            raise ExplosionError(
                f"a lattice of every {run.recipe.network.scale} pixels shows in the pictures of "
                f"step {run.step}, {lattice:.1f} dB above what is beside it",
                advice=f"raise loss.lattice or lower {_weights(run.recipe)}",
            )

    def _watch_terms(self, terms: Mapping[str, float]) -> None:
        """Check the colours, and the discriminator once it counts."""
        run, recipe = self._run, self._run.recipe
        adversarial = recipe.terms.adversarial
        for name in ("discriminator", "colour"):
            begin = adversarial.begin if adversarial and name == "discriminator" else 0
            if name in terms and run.step > begin:
                values = run.watched.setdefault(name, [])
                values.append(terms[name])
                del values[:-_WATCHED]
        won = run.watched.get("discriminator", [])
        if adversarial and len(won) == _WATCHED and max(won) < _WON:
            raise ExplosionError(
                f"the discriminator has won: D(real) - D(fake) is "
                f"{terms['real'] - terms['fake']:.1f}, and its loss is below {_WON:g} for "
                f"{_WATCHED} steps before step {run.step}",
                advice=f"lower loss.adversarial.learning_rate ({adversarial.learning_rate:g}) or "
                f"loss.adversarial.n_feats ({adversarial.n_feats})",
            )
        off = run.watched.get("colour", [])
        if len(off) == _WATCHED and min(off) > _FAR_OFF:
            raise ExplosionError(
                f"the colours drift: their mean is off by more than {_FAR_OFF:g} levels of 255 for "
                f"{_WATCHED} steps before step {run.step}",
                advice=f"set net.consistent = true or lower {_weights(recipe)}",
            )

    def _watch_loss(self, loss: float) -> None:
        run = self._run
        run.losses.append(loss)
        del run.losses[: -_BEFORE - _RECENT]
        before, recent = run.losses[:-_RECENT], run.losses[-_RECENT:]
        if not before:
            return
        # On pictures in [0, 1], no sane network has a loss above 1, whatever its first batches are.
        usual = statistics.fmean(before) if len(before) >= _LEAST else max(1.0, before[0])
        if min(recent) > _JUMP * usual:
            raise ExplosionError(
                f"the loss jumped from {usual:.4g} to {min(recent):.4g} and more before step "
                f"{run.step}"
            )

    def rewind(self, error: ExplosionError) -> str:
        """Rewind the run to its last sound state.

        Returns:
            The text to show to the user.

        Raises:
            TrainingError: The run has been rewound to this place too often.
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
            f"({self._tries} of {_TRIES}); if it comes again, {self._advice(error)}"
        )

    def refuse(self, error: ExplosionError) -> TrainingError:
        """Make the error for a run that is not rewound again."""
        tried = f", taken back {self._tries} times to step {self._plain['step']}"
        return TrainingError(
            f"{error.message}{tried if self._tries else ''}; the files of the run are older; "
            + self._advice(error),
            diverged_at=self._run.step,
        )

    def _advice(self, error: ExplosionError) -> str:
        return error.advice or _usual_advice(self._run.recipe.optim)


def _weights(recipe: Recipe) -> str:
    """Name the weights of the terms that do not compare pixels, with their values."""
    terms = recipe.terms
    parts = []
    if terms.adversarial:
        parts.append(f"loss.adversarial.weight ({terms.adversarial.weight:g})")
    if terms.perceptual:
        parts.append(f"loss.perceptual ({terms.perceptual:g})")
    parts += [f"loss.{name} ({weight:g})" for name, weight in terms.region_terms().items()]
    return " or ".join(parts)


def _usual_advice(optim: OptimTable) -> str:
    """Name the settings to change so that a run does not explode, with their values."""
    clip = "set optim.clip_grad_norm"
    if optim.clip_grad_norm is not None:
        clip = f"lower optim.clip_grad_norm ({optim.clip_grad_norm:g})"
    parts = [f"lower optim.learning_rate ({optim.learning_rate:g})", clip]
    if optim.precision == "fp16":
        parts.append('take optim.precision = "bf16"')
    return f"{', '.join(parts)} or lengthen optim.warmup ({optim.warmup})"
