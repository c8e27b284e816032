"""Measure what a detector finds in pictures that were shrunk four times and enlarged by models.

    python benchmarks/detection.py DETECTOR BOXES PICTURES    # measure, then write the page's table
    python benchmarks/detection.py --page                     # write it from the result again

DETECTOR is an ONNX file of YOLOX or YuNet, BOXES a file in COCO's format, PICTURES the folder of
what it names. The result of each set is kept by the name of the folder that PICTURES lies in.
"""

import argparse
import json
from math import isnan
from pathlib import Path

from widesr.evaluation.detection.judge import DetectionReport, Interval, Judged, evaluate_detection
from widesr.models.catalog import BICUBIC

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "detection.json"
PAGE = ROOT / "docs" / "benchmarks" / "detection.md"
START, END = "<!-- table:start -->\n", "<!-- table:end -->"

MODELS = ("fast", "default", "best", "realistic")
SCALE = 4
COLUMNS = {
    "ap": "AP",
    "ap50": "AP50",
    "ap_small": "AP small",
    "small_recall": "small found",
    "hallucinated": "hallucinated",
}


def main() -> None:
    """Measure all models on a set of pictures, or write the page alone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("detector", type=Path, nargs="?")
    parser.add_argument("boxes", type=Path, nargs="?")
    parser.add_argument("pictures", type=Path, nargs="?")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if not arguments.page:
        measure(arguments)
    write_page()


def measure(arguments: argparse.Namespace) -> None:
    """Judge each model, and keep the reports of the set."""
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    of_set = kept.setdefault(arguments.pictures.parent.name, {})
    # A folder of this machine means nothing to others; its name does.
    named = {"folder": arguments.pictures.parent.name, "boxes": arguments.boxes.name}
    for model in arguments.models:
        report = evaluate_detection(
            arguments.pictures,
            detector=arguments.detector,
            boxes=arguments.boxes,
            model=model,
            scale=SCALE,
            threads=arguments.threads,
        ).model_copy(update=named)
        of_set[model] = json.loads(report.model_dump_json())
        RESULT.write_text(json.dumps(kept, indent=1) + "\n")  # what was measured stays measured
        print(model, report.judged[-1].measures["ap50"], flush=True)


def write_page() -> None:
    """Put the tables of all sets between the two marks of the page."""
    kept = json.loads(RESULT.read_text())
    tables = "\n".join(as_table(kept[name]) for name in sorted(kept))
    page = PAGE.read_text()
    before, after = page.partition(START)[0], page.partition(END)[2]
    PAGE.write_text(f"{before}{START}\n{tables}\n{END}{after}")


def as_table(kept: dict[str, object]) -> str:
    """Write the table of one set: the bounds, bicubic, and a row for each model."""
    reports = {name: DetectionReport.model_validate(each) for name, each in kept.items()}
    first = next(iter(reports.values()))
    rows = {
        each.name: each for each in first.judged if each.name in ("original", "shrunk", BICUBIC)
    }
    rows |= {f"`{name}`": report.judged[-1] for name, report in reports.items()}
    counts = f"{first.true_boxes} boxes, {first.small_boxes} of them small"
    lines = [
        f"**{first.folder}**: {first.pictures} pictures, {counts}; {first.detector}",
        "",
        f"| pictures | {' | '.join(COLUMNS.values())} | AP50 over bicubic |",
        f"|---|{'---:|' * (len(COLUMNS) + 1)}",
    ]
    for name, judged in rows.items():
        cells = [cell(judged, key) for key in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} | {gain(judged.over_bicubic['ap50'])} |")
    return "\n".join(lines) + "\n"


def cell(judged: Judged, key: str) -> str:
    """Write a number with its interval."""
    each = judged.measures[key]
    if isnan(each.value):
        return "-"
    factor, digits = (1, 2) if key == "hallucinated" else (100, 1)
    low, high = (f"{bound * factor:.{digits}f}" for bound in (each.low, each.high))
    return f"{each.value * factor:.{digits}f} ({low} to {high})"


def gain(each: Interval) -> str:
    """Write a difference with its interval."""
    return f"{each.value * 100:+.1f} ({each.low * 100:+.1f} to {each.high * 100:+.1f})"


if __name__ == "__main__":
    main()
