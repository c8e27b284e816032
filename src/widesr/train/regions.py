"""Compares a detector's predictions on SR with their targets, in regions of objects and elsewhere.

Source: Bai et al., "SOD-MTGAN: Small Object Detection via Multi-Task Generative Adversarial
Network", 2018. As there, regions are boxes that a detector proposes, here on the photograph. The
targets of a region that overlaps an object by at least half are the object's class and box.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own habit)

from widesr.train.detector import Detector, Places, Predictions
from widesr.train.tables import DetectorTable

_OVERLAP = 0.5
"""Smallest intersection over union of a region with its object."""
_LEAST = 1e-9
"""Score below which the surest region counts less: a detector may give exactly zero."""


class Comparison(NamedTuple):
    """The features of SR and of the target in a detector, and the errors of its predictions."""

    sr: Tensor
    """Features of SR, (N, C, h, w), with their gradient."""
    target: Tensor
    """Features of the target, (N, C, h, w)."""
    terms: dict[str, Tensor]
    """The result of `region_losses`."""


class RegionLoss:
    """The loss by a frozen detector, which reads patches at the size that it is used on."""

    def __init__(self, table: DetectorTable, *, device: torch.device) -> None:
        """Read the detector.

        Raises:
            CheckpointError: The detector's file cannot be used, as for `Detector`.
        """
        self.detector = Detector(Path(table.weights)).requires_grad_(requires_grad=False).to(device)
        self._side = table.side
        self._places = Places.of(table.side, table.side).to(device)

    def compare(self, sr: Tensor, target: Tensor, objects: Sequence[Tensor]) -> Comparison:
        """Compare patches with their targets.

        Args:
            sr: The patches that the network made, (n, 3, H, H) in [0, 1], with their gradient.
            target: The patches that it should have made.
            objects: The objects of each target, (m, 5), as in `Batch`; empty without labels.
        """
        zoom = self._side / target.shape[3]
        zooms = target.new_tensor([zoom, zoom, zoom, zoom, 1.0])
        times = len(target) // len(objects) if objects else 0
        with torch.no_grad():
            photograph = self._predict(target)
            own = [each * zooms for each in objects] * times
            targets = targets_of(photograph, own, self._places)
        predicted = self._predict(sr)
        with torch.autocast(sr.device.type, enabled=False):
            terms = region_losses(predicted, targets)
        return Comparison(predicted.features, photograph.features, terms)

    def _predict(self, pictures: Tensor) -> Predictions:
        resized = F.interpolate(pictures, size=self._side, mode="bilinear")
        predicted: Predictions = self.detector(resized)
        return predicted


class Targets(NamedTuple):
    """The predictions that a detector should make for a batch of pictures."""

    scores: Tensor
    """Scores of each class at each place, (N, P, K)."""
    offsets: Tensor
    """Offsets of the object's box at each region of an object, (N, P, 4)."""
    shares: Tensor
    """Share of a region in its object, (N, P): 1 in sum over each object, and 0 elsewhere."""
    counts: Tensor
    """Weight of a place among all, (N, P). Large objects have many regions, and small ones few: the
    regions of an object together count as one place does, whatever its size."""


def targets_of(photograph: Predictions, objects: Sequence[Tensor], places: Places) -> Targets:
    """Make the targets of a detector from its predictions on the photograph and from the objects.

    For the class of an object, the target score of its surest region is 1, and those of its other
    regions are in proportion. Elsewhere, and for other classes, the target is the detector's score
    on the photograph.

    Args:
        photograph: The detector's predictions on the photograph.
        objects: The objects of each picture, (m, 5): left, top, right, bottom, in pixels of the
            detector's input, and class.
        places: The places of the predictions.
    """
    scores, offsets = photograph.scores.clone(), photograph.offsets.clone()
    shares, counts = torch.zeros_like(scores[..., 0]), torch.ones_like(scores[..., 0])
    proposals = places.decode(photograph.offsets)
    for n, own in enumerate(objects):
        if not len(own):
            continue
        most, which = _overlaps(proposals[n], own[:, :4]).max(dim=1)
        for m, (box, kind) in enumerate(zip(own[:, :4], own[:, 4].long().tolist(), strict=True)):
            at = torch.nonzero((most >= _OVERLAP) & (which == m)).flatten()
            if len(at):
                sure = photograph.scores[n, at, kind]
                scores[n, at, kind] = sure / sure.max().clamp(min=_LEAST)
                counts[n, at] = 1 / scores[n, at, kind].sum().clamp(min=1)
                shares[n, at] = sure / sure.sum().clamp(min=_LEAST)
                offsets[n, at] = Places(places.at[at], places.stride[at]).encode(box)
    return Targets(scores, offsets, shares, counts)


def region_losses(predicted: Predictions, targets: Targets) -> dict[str, Tensor]:
    """Measure how far predictions are from their targets, as means over the pictures.

    Returns:
        `classification`: cross-entropy of the scores less its smallest possible value, summed over
        places and classes, and divided by the number of the picture's objects that have targets.
        `regression`: smooth L1 of the offsets, divided by the same number.
    """
    n_objects = targets.shares.sum(dim=1).clamp(min=1.0)
    entropy = F.binary_cross_entropy(targets.scores, targets.scores, reduction="none")
    crossed = F.binary_cross_entropy(predicted.scores, targets.scores, reduction="none") - entropy
    wrong = crossed.sum(dim=2) * targets.counts
    missed = F.smooth_l1_loss(predicted.offsets, targets.offsets, reduction="none").sum(dim=2)
    return {
        "classification": (wrong.sum(dim=1) / n_objects).mean(),
        "regression": ((missed * targets.shares).sum(dim=1) / n_objects).mean(),
    }


def _overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Compute the intersection over union of each box with each other: (P, 4), (m, 4) to (P, m)."""
    low = torch.maximum(boxes[:, None, :2], others[:, :2])
    high = torch.minimum(boxes[:, None, 2:], others[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)
    areas, other_areas = ((each[:, 2:] - each[:, :2]).prod(dim=1) for each in (boxes, others))
    return shared / (areas[:, None] + other_areas - shared)
