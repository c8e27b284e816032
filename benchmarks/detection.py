"""Measure what a detector finds in pictures that were shrunk four times and enlarged by models.

    python benchmarks/detection.py DETECTOR BOXES PICTURES    # measure, then write the page's table
    python benchmarks/detection.py --page [--check]           # write it again, or only compare

DETECTOR is an ONNX file of YOLOX or YuNet, BOXES a file in COCO's format, PICTURES the folder of
what it names. The result of each set is kept by the name of the folder that PICTURES lies in.
--models names others, such as files, and --against one that they are compared with.
"""

import argparse
import json
import sys
from math import isnan
from pathlib import Path

from widesr.cli.detect import COLUMNS, cell
from widesr.evaluation.detection.judge import DetectionReport, Interval, evaluate_detection
from widesr.models.catalog import ALIASES, BICUBIC

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "detection.json"
PAGE = ROOT / "docs" / "benchmarks" / "detection.md"
START, END = "<!-- table:start -->\n", "<!-- table:end -->"

SCALE = 4
MODELS = [alias for alias, scales in ALIASES.items() if SCALE in scales]
COMPARED = ("ap50", "small_recall")
GAINS = ("ap", *COMPARED)


def main() -> int | str:
    """Measure all models on a set of pictures, or write the page alone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("detector", type=Path, nargs="?")
    parser.add_argument("boxes", type=Path, nargs="?")
    parser.add_argument("pictures", type=Path, nargs="?")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--against")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if not arguments.page:
        measure(arguments)
    old, new = PAGE.read_text(encoding="utf-8"), page()
    if arguments.check:
        return 0 if old == new else f"{PAGE}: not what benchmarks/detection.py writes"
    PAGE.write_text(new, encoding="utf-8")
    return 0


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
            against=arguments.against,
            threads=arguments.threads,
        ).model_copy(update=named)
        name = report.model.name if Path(model).suffix else model
        of_set[name] = json.loads(report.model_dump_json())
        RESULT.write_text(json.dumps(kept, indent=1) + "\n")  # what was measured stays measured
        print(name, report.judged[-1].measures["ap50"], flush=True)


def page() -> str:
    """Put the tables of all sets between the two marks of the page."""
    kept = json.loads(RESULT.read_text())
    tables = "\n".join(as_table(kept[name]) for name in sorted(kept))
    before, rest = PAGE.read_text(encoding="utf-8").split(START)
    return f"{before}{START}\n{tables}\n{END}{rest.split(END)[1]}"


def as_table(kept: dict[str, object]) -> str:
    """Write the table of one set: the bounds, bicubic, and a row for each model."""
    reports = {name: DetectionReport.model_validate(each) for name, each in kept.items()}
    first = next(iter(reports.values()))
    rows = {
        each.name: each for each in first.judged if each.name in ("original", "shrunk", BICUBIC)
    }
    for name, report in reports.items():
        rows |= {f"`{each.name}`": each for each in report.judged if each.name == report.against}
        rows[f"`{name}`"] = report.judged[-1]
    compared = [f"{COLUMNS[key]} over bicubic" for key in COMPARED]
    counts = f"{first.true_boxes} boxes, {first.small_boxes} of them small"
    lines = [
        f"**{first.folder}**: {first.pictures} pictures, {counts}; {first.detector}",
        "",
        f"| pictures | {' | '.join([*COLUMNS.values(), *compared])} |",
        f"|---|{'---:|' * (len(COLUMNS) + len(COMPARED))}",
    ]
    for name, judged in rows.items():
        cells = [cell(judged.measures[key], key) for key in COLUMNS]
        cells += [gain(judged.over_bicubic[key]) for key in COMPARED]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name, report in reports.items():
        if over := report.over_against:
            cells = ", ".join(f"{COLUMNS[key]} {gain(over[key])}" for key in GAINS)
            lines += ["", f"`{name}` over `{report.against}`: {cells}"]
    return "\n".join(lines) + "\n"


def gain(each: Interval) -> str:
    """Write a difference of shares with its interval, in points of percent."""
    if isnan(each.value):
        return "-"
    return f"{each.value * 100:+.1f} ({each.low * 100:+.1f} to {each.high * 100:+.1f})"


if __name__ == "__main__":
    sys.exit(main())
