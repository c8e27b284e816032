"""Trains a discriminator beside the network, and judges pictures by it.

Both learn from the same pictures and the same logits, so each picture is judged once.
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
    """The loss on a process' share of a batch, and the terms that it is made of."""

    loss: Tensor
    """Weighted sum of the terms, as a mean over the share; its gradient reaches SR."""
    terms: dict[str, Tensor]
    """Each term before its weight; the losses and logits (`real` and `fake`) of a discriminator;
    and the error of the mean `colour`, in levels of 255. Those of a discriminator are means over
    the whole batch, all others over the share."""


class Share(NamedTuple):
    """A process' part of a batch."""

    n: int
    """Number of patches in this part."""
    total: int
    """Number of patches in the whole batch."""


class Adversary:
    """A discriminator with its optimizer: logits above 0 for real pictures, below for made ones.

    `"vanilla"` judges each picture alone; `"relativistic"` judges each against the mean of the
    others, over the batch of all processes.

    Source: Goodfellow et al., "Generative Adversarial Nets", 2014, the non-saturating loss;
    Jolicoeur-Martineau, "The relativistic discriminator", 2018, the relativistic average.
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
            device: The device that the discriminator learns on.
            world: The processes that learn together.
            ratio: The discriminator's learning rate, as a multiple of the schedule's.
            n_in: Channels of the detector's features, if the discriminator judges these.
        """
        network = build_discriminator(table.discriminator, table.n_feats, n_in=n_in)
        self.network = network.to(device)
        self._kind: Literal["vanilla", "relativistic"] = table.kind
        self._world, self._ratio = world, ratio
        self.optimizer = Adam(self.network.parameters(), lr=0.0, betas=table.betas, fused=True)

    def judge(self, sr: Tensor, hr: Tensor, share: Share, *, counts: bool) -> Judgement:
        """Judge pictures (n, 3, H, W), or a detector's features of them if it reads these.

        The discriminator's gradients are kept for `step`.

        Args:
            sr: Pictures that the network made, or their features, with their gradient.
            hr: Real pictures, or their features.
            share: The process' part of the batch.
            counts: False to let only the discriminator learn; the loss is then 0.
        """
        made = sr.detach().requires_grad_()
        kind = sr.device.type
        # fp16 would need a loss scale of its own.
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
            # Each process computes the whole loss, so its part of the gradient is already complete.
            towards = (sr * made.grad).sum() * (share.total / share.n)
            loss = towards + (wrong - towards).detach()
        self.optimizer.zero_grad()
        torch.autograd.backward(own / 2, inputs=list(self.network.parameters()))
        return Judgement(loss, terms)

    def _loss(self, judged: Tensor, others: Tensor) -> Tensor:
        """Measure how far logits are from being above 0, or above the mean of the others."""
        if self._kind == "vanilla":
            return F.softplus(-judged).mean()
        return F.softplus(others.mean() - judged).mean()

    def step(self, learning_rate: float) -> None:
        """Learn from the last judgement; `learning_rate` is the schedule's."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * self._ratio
        self.optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """Return all that `restore` needs; the tensors are not copied."""
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        return tensors | {f"optimizer.{n}": t for n, t in moments_of([self.optimizer]).items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned; the tensors are copied."""
        self.network.load_state_dict(part_of(state, "network"))
        load_moments([self.optimizer], part_of(state, "optimizer"))
