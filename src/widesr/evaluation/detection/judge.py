"""Enlarges pictures that were shrunk, and measures what a detector still finds in them."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from widesr.degrade.bicubic import degrade
from widesr.engine import EngineOptions, EngineSettings, usable_cpus
from widesr.errors import DataError, UsageError
from widesr.evaluation.detection.boxes import Detections, TrueBoxes, read_boxes
from widesr.evaluation.detection.detectors import Detector, load_detector
from widesr.evaluation.detection.precision import Matches, Measures
from widesr.evaluation.report import Frozen, ModelReport, versions
from widesr.evaluation.scoring import cropped_hr, load_judged
from widesr.models.catalog import BICUBIC
from widesr.pictures.picture import MAX_PIXELS
from widesr.pictures.reading import read_picture
from widesr.pixels.depth import in_8_bits
from widesr.system.machine import MachineReport, this_machine
from widesr.system.progress import OnProgress, ignore
from widesr.upscaling.base import ScaleUpscaler

ORIGINAL, SHRUNK = "original", "shrunk"
"""Names of the bounds: the original picture, and the shrunk one as it is."""


class Interval(Frozen):
    """A number, and the middle 95 % of its values over random draws of the pictures."""

    value: float
    low: float
    high: float


class Judged(Frozen):
    """The results of the detector on one kind of picture."""

    name: str
    """"original", "shrunk", "bicubic", or the model's name."""
    measures: dict[str, Interval]
    """Intervals by the name of the number, as in `precision.Measures`."""
    over_bicubic: dict[str, Interval]
    """Differences from bicubic's numbers, on the same draws of pictures."""
    boxes: int
    """Boxes found with at least `min_score`."""


class DetectionReport(Frozen):
    """The result of `evaluate_detection`; `model_validate_json` reads the JSON back."""

    folder: str
    boxes: str
    """The file of the true boxes."""
    scale: int
    model: ModelReport
    detector: str
    """Kind of the detector, "yolox" or "yunet"."""
    detector_sha256: str
    min_score: float
    """The lowest score that counts for recall and hallucinated boxes."""
    resamples: int
    """Number of draws of pictures for the intervals; the draws are the same in each run."""
    pictures: int
    true_boxes: int
    small_boxes: int
    judged: list[Judged]
    """The bounds, bicubic, the model in `against` if there is one, and last the judged model."""
    against: str | None = None
    """Name of the model that the judged one is compared with."""
    over_against: dict[str, Interval] | None = None
    """Differences from the numbers of the model in `against`, on the same draws of pictures."""
    date: str
    """ISO 8601, UTC."""
    versions: dict[str, str]
    machine: MachineReport


def evaluate_detection(
    hr_dir: Path,
    *,
    detector: Path,
    boxes: Path,
    model: str,
    scale: int,
    against: str | None = None,
    min_score: float = 0.3,
    resamples: int = 200,
    options: EngineOptions | None = None,
    max_pixels: int = MAX_PIXELS,
    on_progress: OnProgress = ignore,
    **settings: Unpack[EngineSettings],
) -> DetectionReport:
    """Shrink pictures, enlarge them by bicubic and by a model, and run a detector on all of them.

    Args:
        hr_dir: The folder of the pictures that `boxes` names; other files are ignored.
        detector: An ONNX file of YOLOX or YuNet.
        boxes: The true boxes, in COCO's format; the detector's classes are its categories in the
            order of their ids.
        model: A name or a path, as for `Upscaler.load`, or "bicubic".
        scale: The factor between LR and HR.
        against: A second model to compare the first with, on the same pictures.
        min_score: The lowest score that counts for recall and hallucinated boxes.
        resamples: Number of draws of pictures for the intervals.
        options: The settings by which the network is run; by default in fp32.
        max_pixels: The most pixels of a picture.
        on_progress: Told of the number of pictures done, and of all pictures.
        **settings: Single fields of `options`, by keyword.

    Raises:
        DataError: The boxes cannot be used, or do not fit the pictures or the detector.
        ImageReadError: A picture cannot be read.
        MissingExtraError: pycocotools is not installed.
        ModelFileError: The detector cannot be loaded, or its kind is unknown.
        ModelNotFoundError: There is no such model at this scale.
        UsageError: `min_score` is not between 0 and 1, `resamples` is not positive, or the two
            models have the same name.
    """
    if not 0 < min_score <= 1:
        raise UsageError(f"min_score is {min_score}; expected above 0 and at most 1")
    if resamples < 1:
        raise UsageError(f"resamples is {resamples}; expected 1 or more")
    true = read_boxes(boxes)
    options = (options or EngineOptions(precision="fp32")).but(**settings)
    detect = load_detector(detector, threads=options.threads or usable_cpus())
    if detect.n_classes != len(true.categories):
        raise DataError(
            f"{boxes}: has {len(true.categories)} categories, but {detector} finds "
            f"{detect.n_classes}; expected the same"
        )
    upscalers, judged, other = _load_upscalers(model, against, scale=scale, options=options)
    found = _find_all(
        true, hr_dir, scale, detect, upscalers, max_pixels=max_pixels, on_progress=on_progress
    )
    matches = {name: Matches(true, each, min_score=min_score) for name, each in found.items()}
    draws = _draws(matches, resamples)
    return DetectionReport(
        folder=str(hr_dir),
        boxes=str(boxes),
        scale=scale,
        model=judged,
        detector=detect.kind,
        detector_sha256=detect.sha256,
        min_score=min_score,
        resamples=resamples,
        pictures=len(true.images),
        true_boxes=sum(not box.iscrowd for box in true.annotations),
        small_boxes=int(matches[ORIGINAL].small.sum()),
        judged=[
            Judged(
                name=name,
                measures=_intervals(draws[name]),
                over_bicubic=_intervals(draws[name] - draws[BICUBIC]),
                boxes=sum(int((each.scores >= min_score).sum()) for each in by_picture.values()),
            )
            for name, by_picture in found.items()
        ],
        against=other.name if other else None,
        over_against=_intervals(draws[judged.name] - draws[other.name]) if other else None,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
        machine=this_machine(),
    )


def _load_upscalers(
    model: str, against: str | None, *, scale: int, options: EngineOptions
) -> tuple[dict[str, ScaleUpscaler], ModelReport, ModelReport | None]:
    """Load bicubic, the model to compare with, and the judged model, in the order of the report.

    Returns:
        The upscalers by name; the reports of the judged model and of the other.

    Raises:
        ModelNotFoundError: There is no such model at this scale.
        UsageError: Two kinds of pictures would have the same name.
    """
    upscaler, judged = load_judged(model, scale=scale, options=options)
    upscalers = {BICUBIC: load_judged(BICUBIC, scale=scale, options=EngineOptions())[0]}
    other = None
    if against is not None:
        rival, other = load_judged(against, scale=scale, options=options)
        upscalers[other.name] = rival
    upscalers[judged.name] = upscaler
    taken: dict[str, str | None] = dict.fromkeys((ORIGINAL, SHRUNK, BICUBIC))
    for each in filter(None, (other, judged)):
        if taken.setdefault(each.name, each.sha256) != each.sha256:
            raise UsageError(
                f"two kinds of pictures would be called {each.name}; export the model under "
                "another name"
            )
    return upscalers, judged, other


def _find_all(
    true: TrueBoxes,
    hr_dir: Path,
    scale: int,
    detect: Detector,
    upscalers: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]],
    *,
    max_pixels: int,
    on_progress: OnProgress,
) -> dict[str, dict[int, Detections]]:
    """Run the detector on each kind of picture; return boxes in HR pixels, by the picture's id."""
    found: dict[str, dict[int, Detections]] = {name: {} for name in (ORIGINAL, SHRUNK, *upscalers)}
    for done, each in enumerate(true.images, start=1):
        path = hr_dir / each.file_name
        pixels = read_picture(path, max_pixels=max_pixels).pixels
        if pixels.shape[:2] != (each.height, each.width):
            raise DataError(
                f"{path}: has {pixels.shape[1]}x{pixels.shape[0]} pixels, but its boxes are for "
                f"{each.width}x{each.height}"
            )
        hr = cropped_hr(pixels, scale, path=path)
        lr = degrade(hr, scale=scale)
        found[ORIGINAL][each.id] = detect(_rgb8(hr))
        found[SHRUNK][each.id] = detect(_rgb8(lr)).times(scale)
        for name, upscaler in upscalers.items():
            found[name][each.id] = detect(_rgb8(upscaler(lr)))
        on_progress(done, len(true.images))
    return found


def _rgb8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert a picture to the detectors' input, uint8 RGB, (H, W, 3)."""
    return in_8_bits(pixels if pixels.shape[2] == 3 else np.repeat(pixels[..., :1], 3, axis=2))


def _draws(matches: Mapping[str, Matches], resamples: int) -> dict[str, NDArray[np.float64]]:
    """Measure all pictures (the first row) and random draws of them, the same for each kind."""
    random = np.random.default_rng(0)
    n = next(iter(matches.values())).n_pictures
    picks = [None, *(random.integers(0, n, n) for _ in range(resamples))]
    return {
        name: np.array([each.measures(pick) for pick in picks]) for name, each in matches.items()
    }


def _intervals(draws: NDArray[np.float64]) -> dict[str, Interval]:
    """Summarise draws, (1 + resamples, numbers), as intervals by the names of the numbers."""
    intervals = {}
    for name, column in zip(Measures._fields, draws.T, strict=True):
        drawn = column[1:][~np.isnan(column[1:])]
        low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
        intervals[name] = Interval(value=float(column[0]), low=float(low), high=float(high))
    return intervals
