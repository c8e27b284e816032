"""Judges a model by what a detector finds, for `widesr evaluate --detector`."""

from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from widesr.cli import options
from widesr.cli.terminal import progress_over, table

if TYPE_CHECKING:
    from widesr.engine import EngineOptions
    from widesr.evaluation.detection.judge import DetectionReport, Interval

COLUMNS = {
    "ap": "AP",
    "ap50": "AP50",
    "ap_small": "AP small",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
    "small_recall": "small found",
    "hallucinated": "hallucinated",
}
"""The headings of columns, by the names of the measures."""


def judge_by_detector(
    hr_dir: Path,
    *,
    detector: Path,
    boxes: Path,
    model: str,
    scale: int,
    engine: "EngineOptions",
    max_pixels: int | None,
    quiet: bool,
) -> "tuple[DetectionReport, list[str]]":
    """Judge by what a detector finds in each kind of picture; return the report and its lines."""
    from widesr.evaluation.detection.boxes import read_boxes
    from widesr.evaluation.detection.judge import evaluate_detection

    names = [each.file_name for each in read_boxes(boxes).images]
    with progress_over(names, quiet=quiet) as show:
        report = evaluate_detection(
            hr_dir,
            detector=detector,
            boxes=boxes,
            model=model,
            scale=scale,
            options=engine,
            on_progress=lambda done, _: show(done),
            **options.limits(max_pixels=max_pixels),
        )
    return report, _as_lines(report)


def _as_lines(report: "DetectionReport") -> list[str]:
    rows = [("pictures", *COLUMNS.values())]
    for each in report.judged:
        cells = (cell(each.measures[name], name) for name in COLUMNS)
        rows.append((each.name, *cells))
    title = f"{report.model.name} x{report.scale} on {report.folder}: {report.pictures} pictures"
    counted = f"a score from {report.min_score:g}, at an overlap of 0.5"
    return [
        f"{title}, {report.true_boxes} boxes ({report.small_boxes} small), by {report.detector}",
        *table(rows),
        f"95 % intervals of {report.resamples} draws of the pictures",
        f"small found, in percent, and hallucinated, per picture, count boxes with {counted}",
    ]


def cell(each: "Interval", name: str) -> str:
    """Write a measure with its interval: shares in percent, hallucinated boxes per picture."""
    if isnan(each.value):
        return "-"
    factor, digits = (1, 2) if name == "hallucinated" else (100, 1)
    value, low, high = (
        f"{number * factor:.{digits}f}" for number in (each.value, each.low, each.high)
    )
    return f"{value} ({low} to {high})"
