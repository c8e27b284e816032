"""Compares what a detector sees in SR with what it should: the regions of objects, and the rest.

Source: Bai et al., "SOD-MTGAN: Small Object Detection via Multi-Task Generative Adversarial
Network", 2018. As there, regions are boxes that a detector proposes, here on the photograph; those
that overlap an object by a half are to be of its class, with its box.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own habit)

from widesr.train.detector import Detector, Places, Sight
from widesr.train.tables import DetectorTable

_OVERLAP = 0.5
"""Least intersection over union of a region with its object."""
_LEAST = 1e-9
"""Score below which the surest region counts less: a detector may give exactly zero."""


class Comparison(NamedTuple):
    """The findings of a detector that looked at SR and at what it should be."""

    sr: Tensor
    """Features of SR, (N, C, h, w), with their gradient."""
    target: Tensor
    """Features of the target, (N, C, h, w)."""
    terms: dict[str, Tensor]
    """Findings of `apart`."""


class Onlooker:
    """A frozen detector that is shown patches as large as the pictures that it is used on."""

    def __init__(self, table: DetectorTable, *, device: torch.device) -> None:
        """Read the detector.

        Raises:
            CheckpointError: The detector's file cannot be used, as for `Detector`.
        """
        self.detector = Detector(Path(table.weights)).requires_grad_(requires_grad=False).to(device)
        self._side = table.side
        self._places = Places.of(table.side, table.side).to(device)

    def compare(self, sr: Tensor, target: Tensor, objects: Sequence[Tensor]) -> Comparison:
        """Look at patches.

        Args:
            sr: The patches that the network made, (n, 3, H, H) in [0, 1], with their gradient.
            target: The patches that it should have made.
            objects: The objects of each target, (m, 5), as in `Batch`; empty if no one has looked.
        """
        zoom = self._side / target.shape[3]
        zooms = target.new_tensor([zoom, zoom, zoom, zoom, 1.0])
        times = len(target) // len(objects) if objects else 0
        with torch.no_grad():
            photograph = self._look(target)
            own = [each * zooms for each in objects] * times
            wanted = wanted_of(photograph, own, self._places)
        seen = self._look(sr)
        with torch.autocast(sr.device.type, enabled=False):
            terms = apart(seen, wanted)
        return Comparison(seen.features, photograph.features, terms)

    def _look(self, pictures: Tensor) -> Sight:
        sight: Sight = self.detector(F.interpolate(pictures, size=self._side, mode="bilinear"))
        return sight


class Wanted(NamedTuple):
    """The sight of a batch of pictures that a detector should have."""

    scores: Tensor
    """Scores of each class at each place, (N, P, K)."""
    offsets: Tensor
    """Offsets of the object's box where a region is, (N, P, 4)."""
    shares: Tensor
    """Share of a region in its object: those of each object sum to 1; 0 elsewhere, (N, P)."""
    counts: Tensor
    """Weight of a place among all, (N, P). Large objects have many regions, and small ones few:
    those of each object together count as one place does, whatever its size."""


def wanted_of(photograph: Sight, objects: Sequence[Tensor], places: Places) -> Wanted:
    """Say what a detector should see, by what it sees in the photograph and what is there.

    The surest region of each object is to be sure, its other regions in proportion. Elsewhere, and
    of other classes, the detector is to be as sure as it is of the photograph.

    Args:
        photograph: The detector's sight of the photograph.
        objects: The objects of each picture, (m, 5): left, top, right, bottom, in pixels that the
            detector sees, and class.
        places: The places of that sight.
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
    return Wanted(scores, offsets, shares, counts)


def apart(seen: Sight, wanted: Wanted) -> dict[str, Tensor]:
    """Measure how far a sight is from the wanted one, each a mean over pictures.

    Returns:
        `classification`: cross-entropy of the scores above the least that there can be, added up
        over places and classes, by the objects of the picture. `regression`: smooth L1 of the
        offsets, by the same.
    """
    n_objects = wanted.shares.sum(dim=1).clamp(min=1.0)
    entropy = F.binary_cross_entropy(wanted.scores, wanted.scores, reduction="none")
    crossed = F.binary_cross_entropy(seen.scores, wanted.scores, reduction="none") - entropy
    wrong = crossed.sum(dim=2) * wanted.counts
    missed = F.smooth_l1_loss(seen.offsets, wanted.offsets, reduction="none").sum(dim=2)
    return {
        "classification": (wrong.sum(dim=1) / n_objects).mean(),
        "regression": ((missed * wanted.shares).sum(dim=1) / n_objects).mean(),
    }


def _overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of each box with each other: (P, 4), (m, 4) to (P, m)."""
    low = torch.maximum(boxes[:, None, :2], others[:, :2])
    high = torch.minimum(boxes[:, None, 2:], others[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)
    areas, other_areas = ((each[:, 2:] - each[:, :2]).prod(dim=1) for each in (boxes, others))
    return shared / (areas[:, None] + other_areas - shared)
