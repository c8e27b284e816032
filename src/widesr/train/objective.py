"""Judges what a network made of a batch: a sum of named terms, some with a network of their own.

A discriminator learns beside the network that is trained. Both step from the same pictures and the
same judgement of them, so each picture is judged once.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own habit)
from torch.optim import Adam

from widesr.errors import CheckpointError
from widesr.train.discriminators import build_discriminator
from widesr.train.features import Perceptual
from widesr.train.losses import LOSSES, lattice
from widesr.train.optimizers import gradients_of, load_moments, moments_of
from widesr.train.parallel import World
from widesr.train.recipe import Recipe
from widesr.train.regions import Onlooker
from widesr.train.tables import AdversarialTable, LossTable


class Judgement(NamedTuple):
    """The findings of the terms in a process' share of a batch."""

    loss: Tensor
    """The weighted sum, with the gradient of SR; the mean over the share."""
    terms: dict[str, Tensor]
    """Each term before its weight, what a discriminator says (`real` and `fake` are logits), and
    how far the mean `colour` is off, in levels of 255; means over the share."""


class Share(NamedTuple):
    """A process' part of a batch."""

    n: int
    """Patches in it."""
    total: int
    """Patches of the whole batch."""


class Adversary:
    """A discriminator with its optimizer: real pictures get logits above 0, made ones below.

    `"vanilla"` judges each picture alone; `"relativistic"` judges each against the mean of the
    others, over the batch of all processes.

    Source: Goodfellow et al., "Generative Adversarial Nets", 2014, not saturating; Jolicoeur-
    Martineau, "The relativistic discriminator", 2018, relativistic average.
    """

    def __init__(
        self,
        table: AdversarialTable,
        *,
        device: torch.device,
        world: World,
        ratio: float,
        n_in: int | None = None,
    ) -> None:
        """Start from random weights.

        Args:
            table: The settings of the discriminator.
            device: The device that it learns on.
            world: The processes that learn together.
            ratio: Its learning rate, as a multiple of the schedule's.
            n_in: Channels of the detector's features that it judges, if it does.
        """
        network = build_discriminator(table.discriminator, table.n_feats, n_in=n_in)
        self.network = network.to(device)
        self._kind: Literal["vanilla", "relativistic"] = table.kind
        self._world, self._ratio = world, ratio
        self.optimizer = Adam(self.network.parameters(), lr=0.0, betas=table.betas, fused=True)

    def judge(self, sr: Tensor, hr: Tensor, share: Share, *, counts: bool) -> Judgement:
        """Judge pictures (n, 3, H, W), or a detector's features of them, as the network reads.

        What the discriminator learns of it is kept for `step`.

        Args:
            sr: Made by the network, with its gradient.
            hr: Real ones.
            share: The process' part of the batch.
            counts: False to let the discriminator learn alone.
        """
        made = sr.detach().requires_grad_()
        kind = sr.device.type
        # fp16 would need a scale of its own.
        lower = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) != torch.float16
        with torch.autocast(kind, enabled=lower):
            logits = [self.network(pictures).float() for pictures in (hr, made)]
        with torch.autocast(kind, enabled=False):
            return self._judgement(sr, made, logits, share, counts=counts)

    def _judgement(
        self, sr: Tensor, made: Tensor, logits: Sequence[Tensor], share: Share, *, counts: bool
    ) -> Judgement:
        real, fake = (self._world.gather(each, share.total) for each in logits)
        wrong = self._loss(fake, real.detach())
        own = self._loss(real, fake) + self._loss(-fake, -real)
        terms = {
            "adversarial": wrong.detach(),
            "discriminator": own.detach() / 2,
            "real": real.detach().mean(),
            "fake": fake.detach().mean(),
        }
        loss = sr.new_zeros(())
        if counts:
            torch.autograd.backward(wrong, retain_graph=True, inputs=[made])
            assert made.grad is not None
            # Each process has the whole loss, so its part of the gradient is whole already.
            towards = (sr * made.grad).sum() * (share.total / share.n)
            loss = towards + (wrong - towards).detach()
        self.optimizer.zero_grad()
        torch.autograd.backward(own / 2, inputs=list(self.network.parameters()))
        return Judgement(loss, terms)

    def _loss(self, judged: Tensor, others: Tensor) -> Tensor:
        """Return how far logits are from being above 0, or above the mean of the others."""
        if self._kind == "vanilla":
            return F.softplus(-judged).mean()
        return F.softplus(others.mean() - judged).mean()

    def step(self, learning_rate: float) -> None:
        """Learn from the last judgement, at a learning rate of the schedule."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * self._ratio
        self.optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """Return all that `restore` needs; tensors are no copies."""
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        return tensors | {f"optimizer.{n}": t for n, t in moments_of([self.optimizer]).items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over copies of what `state` gave."""
        self.network.load_state_dict(part_of(state, "network"))
        load_moments([self.optimizer], part_of(state, "optimizer"))


class Objective:
    """The terms of a recipe, with the networks that they need."""

    def __init__(self, recipe: Recipe, *, device: torch.device, world: World) -> None:
        """Build a discriminator from torch's generator, and read the networks of files.

        Raises:
            CheckpointError: The file of the feature network or of the detector is missing, or of
                another network.
        """
        table = recipe.loss
        self._scale = recipe.network.scale
        self._side, self._seed = table.side if table else None, recipe.seed
        self.perceptual: Perceptual | None = None
        self.onlooker: Onlooker | None = None
        self.adversary: Adversary | None = None
        if recipe.features:
            self.perceptual = Perceptual(Path(recipe.features.weights))
            self.perceptual.to(device)
        if recipe.detector:
            self.onlooker = Onlooker(recipe.detector, device=device)
        if table and table.adversarial:
            self.adversary = Adversary(
                table.adversarial,
                device=device,
                world=world,
                ratio=table.adversarial.learning_rate / recipe.optim.learning_rate,
                n_in=self.onlooker.detector.n_features if self.onlooker else None,
            )

    def judge(
        self,
        sr: Tensor,
        target: Tensor,
        table: LossTable,
        share: Share,
        objects: Sequence[Tensor] = (),
        *,
        step: int,
    ) -> Judgement:
        """Add up the terms of a table.

        Args:
            sr: Made by the network, (n, 3, H, W) float32 around [0, 1].
            target: The pictures that it should have made.
            table: The terms, with their weights.
            share: The process' part of the batch.
            objects: Those of each patch, (m, 5), as in `Batch`; empty if no one has looked.
            step: The step of the run.
        """
        terms: dict[str, Tensor] = {}
        parts: list[Tensor] = []
        for name, weight in table.pixel_terms().items():
            terms[name] = LOSSES[name](sr, target)
            parts.append(terms[name] if weight == 1 else terms[name] * weight)
        if table.lattice:
            terms["lattice"] = lattice(sr, target, scale=self._scale)
            parts.append(terms["lattice"] * table.lattice)
        # Samples are of one law: judging one of each patch says what judging all would.
        n = share.n if table.samples else len(sr)
        if table.needs_detector:
            assert self.onlooker is not None
            seen = self.onlooker.compare(sr[:n], target[:n], objects)
            terms |= seen.terms
            parts += [terms[name] * weight for name, weight in table.region_terms().items()]
        if table.perceptual or table.adversarial or table.needs_detector:
            # By the means of the whole batch: those of a few patches lie apart by chance.
            terms["colour"] = (sr.detach() - target).mean(dim=(0, 2, 3)).abs().max() * 255
            sr, target = self._window(sr, target, step=step)
        if table.perceptual:
            assert self.perceptual is not None
            if table.samples:
                apart = self.perceptual.maps(sr, target[: share.n])
                terms["perceptual"] = apart.amin(dim=0).mean()
            else:
                terms["perceptual"] = self.perceptual(sr, target)
            parts.append(terms["perceptual"] * table.perceptual)
        if table.adversarial:
            assert self.adversary is not None
            counts = step >= table.adversarial.begin
            pair = sr[:n], target[:n]
            if table.adversarial.discriminator == "mtgan":
                pair = seen.sr, seen.target
            judged = self.adversary.judge(*pair, share, counts=counts)
            terms |= judged.terms
            parts.append(judged.loss * table.adversarial.weight)
        loss = parts[0]
        for part in parts[1:]:
            loss = loss + part
        return Judgement(loss, {name: value.detach() for name, value in terms.items()})

    def _window(self, *pictures: Tensor, step: int) -> list[Tensor]:
        """Cut the same square out of pictures (N, C, H, W), at another place in each step.

        Networks with strides judge by the grid that they begin with: were it always the same, a
        lattice that they do not see could be learned.
        """
        height, width = pictures[0].shape[2:]
        side = self._side
        if side is None or side >= min(height, width):
            return list(pictures)
        random = np.random.default_rng((self._seed, step))
        top, left = (int(random.integers(room - side + 1)) for room in (height, width))
        return [each[:, :, top : top + side, left : left + side] for each in pictures]

    def gradients(self, table: LossTable) -> list[Tensor]:
        """Return the gradients of the networks that learn by a table, beside the one trained."""
        return gradients_of(self.adversary.network) if self.adversary and table.adversarial else []

    def step(self, table: LossTable, learning_rate: float) -> None:
        """Let these networks learn from the last judgement."""
        if self.adversary and table.adversarial:
            self.adversary.step(learning_rate)

    @property
    def is_of_pixels(self) -> bool:
        """True if no network judges the pictures."""
        return not (self.perceptual or self.adversary or self.onlooker)

    @property
    def features(self) -> str | None:
        """SHA-256 of the file of the feature network; None without one."""
        return self.perceptual.sha256 if self.perceptual else None

    @property
    def detector(self) -> str | None:
        """SHA-256 of the detector's file; None without one."""
        return self.onlooker.detector.sha256 if self.onlooker else None

    def parameters(self) -> Iterable[nn.Parameter]:
        """Go through all that learns here."""
        return self.adversary.network.parameters() if self.adversary else ()

    def state(self) -> dict[str, Tensor]:
        """Return all that `restore` needs; tensors are no copies."""
        if self.adversary is None:
            return {}
        return {f"adversary.{name}": tensor for name, tensor in self.adversary.state().items()}

    def restore(
        self, state: Mapping[str, Tensor], *, features: str | None, detector: str | None
    ) -> None:
        """Take over copies of what `state` gave.

        Raises:
            CheckpointError: The run had another feature network, or another detector.
        """
        for key, then, now in (
            ("features.weights", features, self.features),
            ("detector.weights", detector, self.detector),
        ):
            if then != now:
                raise CheckpointError(
                    f"the run was started with another file in {key} (SHA-256 {then}, now {now}); "
                    "resume with that one"
                )
        if self.adversary:
            self.adversary.restore(part_of(state, "adversary"))


def part_of(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Take what belongs to one part of a state, by its names there."""
    prefix = f"{name}."
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
