"""Labels the objects in photographs, from a file of true boxes or by a detector."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own habit)

from widesr.data.patches import Pair
from widesr.errors import DataError
from widesr.evaluation.detection.boxes import read_boxes
from widesr.evaluation.detection.detectors import suppressed
from widesr.train.detector import MULTIPLE, PADDING, Detector, Places
from widesr.train.kept import identity, keep, open_kept
from widesr.train.tables import DetectorTable

_SAME = 0.65
"""Overlap from which two boxes of a class count as one object, as in YOLOX's evaluation."""


def labelled(
    pairs: Sequence[Pair], detector: Detector, table: DetectorTable, *, folder: Path
) -> list[Pair]:
    """Add its objects to each photograph: from the table's file, or as the detector finds them.

    Args:
        pairs: All photographs that the network learns from.
        detector: The detector, which reads each whole photograph once.
        table: The settings that name the file, or the lowest score that counts.
        folder: The place for a folder that keeps the objects that the detector found.

    Raises:
        CheckpointError: The folder takes no file, or is full.
        DataError: The file cannot be read, or belongs to other photographs or other classes.
    """
    if table.boxes is not None:
        return _stated(pairs, Path(table.boxes), n_classes=detector.n_classes)
    kept = folder / f"objects-{detector.sha256[:16]}-{table.score:g}"
    found = []
    for pair in pairs:
        path = kept / f"{identity(pair.hr)}.npy"
        objects = open_kept(path, dtype=np.float32, shape=(None, 5))
        if objects is None:
            objects = _seen(pair.hr, detector, score=table.score)
            keep(path, objects)
        found.append(pair._replace(objects=np.array(objects)))
    return found


def _seen(hr: NDArray[np.uint8], detector: Detector, *, score: float) -> NDArray[np.float32]:
    """Find the objects in a photograph at its full size, (m, 5) as in `Pair`."""
    device = next(detector.buffers()).device
    height, width = hr.shape[:2]
    rgb = torch.from_numpy(hr.copy()).to(device).permute(2, 0, 1)[None] / 255
    rgb = F.pad(rgb, (0, -width % MULTIPLE, 0, -height % MULTIPLE), value=PADDING)
    with torch.no_grad():
        predicted = detector(rgb)
        boxes = Places.of(*rgb.shape[2:]).to(device).decode(predicted.offsets[0])

    def array(values: Tensor) -> NDArray[np.float64]:
        return values.cpu().numpy().astype(np.float64)

    corners, scores = array(boxes), array(predicted.scores[0])
    sides = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    found = suppressed(sides, scores.max(axis=1), scores.argmax(axis=1), overlap=_SAME)
    sure = found.scores >= score
    return _objects(found.boxes[sure], found.labels[sure], height=height, width=width)


def _stated(pairs: Sequence[Pair], file: Path, *, n_classes: int) -> list[Pair]:
    """Take the objects from a file in COCO's format; photographs that are not in it have none."""
    true = read_boxes(file)
    if len(true.categories) != n_classes:
        raise DataError(
            f"{file}: has {len(true.categories)} categories, but the detector has {n_classes} "
            "classes; expected the same"
        )
    kinds = sorted(each.id for each in true.categories)
    images = {PurePosixPath(each.file_name).name: each for each in true.images}
    if not any(PurePosixPath(pair.name).name in images for pair in pairs):
        raise DataError(
            f"{file}: names none of the {len(pairs)} photographs, such as {pairs[0].name}"
        )
    found = []
    for pair in pairs:
        height, width = pair.hr.shape[:2]
        own = []
        if image := images.get(PurePosixPath(pair.name).name):
            factor = height // pair.lr.shape[0]
            if not (0 <= image.height - height < factor and 0 <= image.width - width < factor):
                raise DataError(
                    f"{file}: its boxes are for {pair.name} of {image.width}x{image.height} "
                    f"pixels, but it has {width}x{height}"
                )
            own = [b for b in true.annotations if b.image_id == image.id and not b.iscrowd]
        boxes = np.array([box.bbox for box in own], np.float64).reshape(-1, 4)
        classes = np.array([kinds.index(box.category_id) for box in own])
        objects = _objects(boxes, classes, height=height, width=width)
        found.append(pair._replace(objects=objects))
    return found


def _objects(
    boxes: NDArray[np.float64], classes: NDArray[Any], *, height: int, width: int
) -> NDArray[np.float32]:
    """Join boxes (left, top, width, height), cut to the picture, with their classes."""
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    corners = corners.clip(0, [width, height, width, height])
    objects = np.concatenate([corners, classes.reshape(-1, 1)], axis=1).astype(np.float32)
    found: NDArray[np.float32] = objects[(corners[:, 2:] - corners[:, :2] >= 1).all(axis=1)]
    return found
