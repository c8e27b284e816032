"""Trains a discriminator beside the network, and judges pictures by it.

Both step from the same pictures and the same judgement of them, so each picture is judged once.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own habit)
from torch.optim import Adam

from widesr.train.checkpoint import part_of
from widesr.train.discriminators import build_discriminator
from widesr.train.optimizers import load_moments, moments_of
from widesr.train.parallel import World
from widesr.train.tables import AdversarialTable


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
            sr: Pictures that the network made, or their features, with their gradient.
            hr: Real pictures, or their features.
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
