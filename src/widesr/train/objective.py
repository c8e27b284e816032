"""Judges what a network made of a batch: a sum of named terms, some with a network of their own."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from widesr.errors import CheckpointError
from widesr.train.adversary import Adversary, Judgement, Share
from widesr.train.checkpoint import part_of
from widesr.train.features import Perceptual
from widesr.train.losses import LOSSES, lattice
from widesr.train.optimizers import gradients_of
from widesr.train.parallel import World
from widesr.train.recipe import Recipe
from widesr.train.regions import RegionLoss
from widesr.train.tables import LossTable


class _Terms:
    """The terms of a loss by name, and those of them that count, by their weights."""

    def __init__(self) -> None:
        self.found: dict[str, Tensor] = {}
        self._parts: list[Tensor] = []

    def add(self, name: str, term: Tensor, weight: float) -> None:
        """Take a term that is shown, and counts with a weight."""
        self.found[name] = term
        self.count(term, weight)

    def count(self, term: Tensor, weight: float) -> None:
        """Let a term count that is not shown, or was taken before."""
        self._parts.append(term if weight == 1 else term * weight)

    def judgement(self) -> Judgement:
        """Sum up the terms that count."""
        first, *others = self._parts
        loss = sum(others, start=first)
        return Judgement(loss, {name: value.detach() for name, value in self.found.items()})


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
        self.region_loss: RegionLoss | None = None
        self.adversary: Adversary | None = None
        if recipe.features:
            self.perceptual = Perceptual(Path(recipe.features.weights))
            self.perceptual.to(device)
        if recipe.detector:
            self.region_loss = RegionLoss(recipe.detector, device=device)
        if table and table.adversarial:
            self.adversary = Adversary(
                table.adversarial,
                device=device,
                world=world,
                ratio=table.adversarial.learning_rate / recipe.optim.learning_rate,
                n_in=self.region_loss.detector.n_features if self.region_loss else None,
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
            sr: The pictures that the network made, (n, 3, H, W) float32 around [0, 1].
            target: The pictures that it should have made.
            table: The terms, with their weights.
            share: The process' part of the batch.
            objects: The objects of each patch, (m, 5), as in `Batch`; empty if no one has looked.
            step: The step of the run.
        """
        terms = _Terms()
        for name, weight in table.pixel_terms().items():
            terms.add(name, LOSSES[name](sr, target), weight)
        if table.lattice:
            terms.add("lattice", lattice(sr, target, scale=self._scale), table.lattice)
        # Samples are of one law: judging one of each patch says what judging all would.
        n = share.n if table.samples else len(sr)
        if table.needs_detector:
            assert self.region_loss is not None
            regions = self.region_loss.compare(sr[:n], target[:n], objects)
            terms.found |= regions.terms
            for name, weight in table.region_terms().items():
                terms.count(regions.terms[name], weight)
        if table.perceptual or table.adversarial or table.needs_detector:
            # By the means of the whole batch: those of a few patches lie apart by chance.
            off = (sr.detach() - target).mean(dim=(0, 2, 3)).abs().max()
            terms.found["colour"] = off * 255
            sr, target = self._window(sr, target, step=step)
        if table.perceptual:
            terms.add("perceptual", self._distance(sr, target, table, share), table.perceptual)
        if table.adversarial:
            assert self.adversary is not None
            counts = step >= table.adversarial.begin
            pair = sr[:n], target[:n]
            if table.adversarial.discriminator == "mtgan":
                pair = regions.sr, regions.target
            judged = self.adversary.judge(*pair, share, counts=counts)
            terms.found |= judged.terms
            terms.count(judged.loss, table.adversarial.weight)
        return terms.judgement()

    def _distance(self, sr: Tensor, target: Tensor, table: LossTable, share: Share) -> Tensor:
        """Measure LPIPS: of several samples, by the nearest of them at each place."""
        assert self.perceptual is not None
        if table.samples:
            return self.perceptual.maps(sr, target[: share.n]).amin(dim=0).mean()
        distance: Tensor = self.perceptual(sr, target)
        return distance

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
        return not (self.perceptual or self.adversary or self.region_loss)

    @property
    def features(self) -> str | None:
        """SHA-256 of the file of the feature network; None without one."""
        return self.perceptual.sha256 if self.perceptual else None

    @property
    def detector(self) -> str | None:
        """SHA-256 of the detector's file; None without one."""
        return self.region_loss.detector.sha256 if self.region_loss else None

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
