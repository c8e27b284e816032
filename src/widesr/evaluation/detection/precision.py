"""Measures how well found boxes fit true ones: COCO's average precision, recall, hallucinations.

pycocotools matches the boxes. Its matches in each picture are added up here, so that pictures can
be redrawn many times for intervals. Over all pictures, the numbers equal those of pycocotools.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from widesr.errors import MissingExtraError
from widesr.evaluation.detection.boxes import Detections, TrueBoxes

AREAS = ("all", "small", "medium", "large")
_SMALL = 32**2
"""Largest area of a small box in pixels; COCO counts this area as small and as medium."""
_AT_HALF = 0
"""Index of the overlap of 0.5 among COCO's ten, 0.5 to 0.95."""
_MOST = 100
"""Largest number of boxes of one category that count in a picture."""


class Measures(NamedTuple):
    """The result for a set of pictures; NaN where there is no true box of a kind."""

    ap: float
    """COCO's AP, the mean over overlaps of 0.5 to 0.95."""
    ap50: float
    """AP at an overlap of 0.5."""
    ap_small: float
    """AP of boxes of up to 32 x 32 pixels."""
    ap_medium: float
    ap_large: float
    small_recall: float
    """Share of small boxes found with at least the lowest score that counts."""
    hallucinated: float
    """Boxes per picture with such a score where there is no object of their category."""


class Matches:
    """The boxes of all pictures, matched with the true ones."""

    def __init__(
        self, true: TrueBoxes, found: Mapping[int, Detections], *, min_score: float
    ) -> None:
        """Match boxes.

        Args:
            true: The true boxes. A detector's classes are its categories in the order of their ids.
            found: The boxes found, by the picture's id, for all pictures.
            min_score: The lowest score that counts for recall and hallucinated boxes.

        Raises:
            MissingExtraError: pycocotools is not installed.
        """
        evaluator = _matched(true, found)
        self.n_pictures = len(evaluator.params.imgIds)
        rows = list(_parted(evaluator.evalImgs, self.n_pictures))
        self._cells: list[list[list[dict[str, Any] | None]]] = list(_parted(rows, len(AREAS)))
        """Matches by category, area and picture.

        Pictures are in the order of their ids, as in pycocotools: it decides between equal scores.
        """
        self._count(evaluator, min_score)

    def _count(self, evaluator: Any, min_score: float) -> None:  # noqa: ANN401 - untyped
        """Count each picture's small boxes, the found ones among them, and hallucinated boxes."""
        self.small = np.zeros(self.n_pictures, int)
        self.small_found = np.zeros(self.n_pictures, int)
        self.hallucinated = np.zeros(self.n_pictures, int)
        for areas in self._cells:
            for picture, entry in enumerate(areas[0]):
                if entry is None:
                    continue
                sure = np.asarray(entry["dtScores"]) >= min_score
                wrong = (entry["dtMatches"][_AT_HALF] == 0) & ~entry["dtIgnore"][_AT_HALF]
                self.hallucinated[picture] += int((wrong & sure).sum())
                by = dict(zip(entry["dtIds"], sure, strict=True))
                for true_id, match, ignored in zip(
                    entry["gtIds"], entry["gtMatches"][_AT_HALF], entry["gtIgnore"], strict=True
                ):
                    if not ignored and evaluator.cocoGt.anns[true_id]["area"] <= _SMALL:
                        self.small[picture] += 1
                        self.small_found[picture] += bool(match and by[int(match)])

    def measures(self, pictures: Sequence[int] | NDArray[np.intp] | None = None) -> Measures:
        """Measure a set of pictures by their indices, which may repeat; None measures all.

        Args:
            pictures: Indices into the pictures in the order of their ids.
        """
        chosen = np.arange(self.n_pictures) if pictures is None else np.asarray(pictures)
        by_area = [self._precisions(area, chosen) for area in range(len(AREAS))]
        means = [float(np.mean(each)) if each else float("nan") for each in by_area]
        halves = [table[_AT_HALF] for table in by_area[0]]
        small = int(self.small[chosen].sum())
        return Measures(
            ap=means[0],
            ap50=float(np.mean(halves)) if halves else float("nan"),
            ap_small=means[1],
            ap_medium=means[2],
            ap_large=means[3],
            small_recall=int(self.small_found[chosen].sum()) / small if small else float("nan"),
            hallucinated=int(self.hallucinated[chosen].sum()) / len(chosen),
        )

    def _precisions(self, area: int, chosen: NDArray[np.intp]) -> list[NDArray[np.float64]]:
        """List the average precisions by overlap of each category with true boxes of an area."""
        tables = (_precision([areas[area][place] for place in chosen]) for areas in self._cells)
        return [table for table in tables if table is not None]


def _parted(items: list[Any], n: int) -> Iterator[list[Any]]:
    return (items[at : at + n] for at in range(0, len(items), n))


def _precision(entries: Sequence[dict[str, Any] | None]) -> NDArray[np.float64] | None:
    """Compute average precision by overlap for a category and area; None if it has no true box.

    Source: pycocotools, `COCOeval.accumulate`: 101 recalls, precision made non-increasing.
    """
    there = [entry for entry in entries if entry is not None]
    n_true = sum(int((np.asarray(entry["gtIgnore"]) == 0).sum()) for entry in there)
    if n_true == 0:
        return None
    scores = np.concatenate([np.asarray(entry["dtScores"], float) for entry in there])
    order = np.argsort(-scores, kind="mergesort")
    matched = np.concatenate([entry["dtMatches"] for entry in there], axis=1)[:, order] != 0
    counts = ~np.concatenate([entry["dtIgnore"] for entry in there], axis=1)[:, order].astype(bool)
    right = np.cumsum(matched & counts, axis=1).astype(float)
    wrong = np.cumsum(~matched & counts, axis=1).astype(float)
    recall, precision = right / n_true, right / (right + wrong + np.spacing(1))
    falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # The last column stands for recalls that are never reached.
    falling = np.concatenate([falling, np.zeros((len(falling), 1))], axis=1)
    wanted = np.linspace(0, 1, 101)
    at = np.stack([np.searchsorted(each, wanted, side="left") for each in recall])
    averages: NDArray[np.float64] = np.take_along_axis(falling, at, axis=1).mean(axis=1)
    return averages


def _matched(true: TrueBoxes, found: Mapping[int, Detections]) -> Any:  # noqa: ANN401 - untyped
    """Match the boxes of each picture by pycocotools."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra="detect", needed_for="judging by a detector") from error

    kinds = sorted(each.id for each in true.categories)
    boxes = [
        {"image_id": picture, "category_id": kinds[label], "bbox": box, "score": score}
        for picture, each in found.items()
        for box, score, label in zip(
            each.boxes.tolist(), each.scores.tolist(), each.labels.tolist(), strict=True
        )
    ]
    for box in boxes:
        box |= {"area": box["bbox"][2] * box["bbox"][3], "iscrowd": 0}
    listed = {
        "images": [each.model_dump() for each in true.images],
        "categories": [each.model_dump() for each in true.categories],
    }
    sets = []
    with redirect_stdout(StringIO()):  # pycocotools prints what it does
        for annotations in ([each.model_dump(mode="json") for each in true.annotations], boxes):
            coco = COCO()
            # Ids from 1: pycocotools takes a match with id 0 for none.
            numbered = [{**each, "id": n} for n, each in enumerate(annotations, start=1)]
            coco.dataset = {**listed, "annotations": numbered}
            coco.createIndex()
            sets.append(coco)
        evaluator = COCOeval(*sets, iouType="bbox")
        evaluator.params.maxDets = [_MOST]
        evaluator.evaluate()
    return evaluator
