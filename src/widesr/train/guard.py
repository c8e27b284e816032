"""Takes a run that explodes back to its last validation, and on with other photographs."""

import statistics
from collections.abc import Mapping
from typing import Any

from widesr.errors import TrainingError
from widesr.train.recipe import Recipe
from widesr.train.run import ExplosionError, Learned, Run
from widesr.train.schedule import settings_at
from widesr.train.tables import OptimTable

_RECENT = 10
"""Steps in a row whose losses must be far too large."""
_BEFORE = 100
"""Steps before those, whose mean loss they are compared with."""
_LEAST = 20
"""Fewest losses whose mean says what is usual."""
_JUMP = 10.0
"""Multiple of the usual loss above which a loss is far too large.

The mean and not the median: of a loss that does not change, however uneven from batch to batch,
no more than one in ten is above ten times its mean, so ten in a row come about by chance in fewer
than one of 1e10 places.
"""
_WATCHED = 50
"""Steps in a row in which a discriminator has won, or the colours are off."""
_WON = 0.01
"""Loss of a discriminator below which nothing can be learned from it: its logits lie five apart.
Where it knows nothing, its loss is 0.69."""
_FAR_OFF = 8.0
"""Levels of 255 by which the mean of a colour is off where pictures drift."""
_LATTICE = 40.0
"""Checkerboard in dB that is too strong. Networks that are learned by pixels leave up to 25 dB,
as there is little beside it in soft pictures, and it may stand at 35 until a discriminator has seen
it."""
_RISE = 6.0
"""Least rise of a checkerboard since the last validation, in dB, that counts as an explosion."""
_TRIES = 3
"""Rewinds from one place; a run that explodes more often does so on any photographs."""


class Guard:
    """Watches the losses of a run, and takes it back when they explode.

    It goes back to where the run last validated, which is a state on the disk too, and the order
    of photographs stays where it is: so a run that is killed after it was taken back explodes
    again when it is resumed, is taken back again, and ends with the same weights.
    """

    def __init__(self, run: Run, *, lattice: float | None = None) -> None:
        """Take the run, as it stands, for sound; `lattice` is the one of its last validation."""
        self._run, self._lattice = run, lattice
        self.settle()

    def settle(self) -> None:
        """Take the run, as it stands, for sound from now on."""
        tensors, plain = self._run.state()
        self._tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        copies = {name: list(values) for name, values in self._run.watched.items()}
        self._plain: Mapping[str, Any] = plain | {
            "losses": list(self._run.losses),
            "watched": copies,
        }
        self._tries = 0

    def watch(self, learned: Learned) -> None:
        """Look at what the step that was just taken has found.

        Raises:
            ExplosionError: The loss has been far above those before it for several steps, a
                discriminator has won, or the colours have been off.
        """
        run = self._run
        last = run.step - 1
        if last > 0 and settings_at(run.recipe, last) != settings_at(run.recipe, last - 1):
            run.losses.clear()  # of another kind, and another size
            run.watched.clear()
        self._watch_loss(learned.loss)
        self._watch_terms(learned.terms)

    def watch_lattice(self, lattice: float | None) -> None:
        """Look at the checkerboard of a validation, where pictures are judged by more than pixels.

        Raises:
            ExplosionError: It shows, and did not at the last validation.
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
        """Look at a discriminator that counts already, and at the colours."""
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
            The text to show to the user.

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
            f"({self._tries} of {_TRIES}); if it comes again, {self._advice(error)}"
        )

    def refuse(self, error: ExplosionError) -> TrainingError:
        """Make the error of a run that is not taken back any more."""
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
