"""How far each of our models is from each of the others: the tables of docs/benchmarks/models.md.

    python benchmarks/peers.py [--check]     # write them, or only compare

Seconds of ours are those of benchmarks/results/pareto.json, decibels those of the cards, and of the
self-ensembles (+) those of benchmarks/results/self_ensemble.json. What the others have is in
peers.csv, run by us earlier, and for x3 in published.csv, as its source has it.
`benchmarks/pareto.py` writes the tables too, when it has measured.
"""

import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from widesr.catalog import LADDER, ModelCard, list_shipped

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks" / "models.md"
START, END = "<!-- peers:start -->\n", "<!-- peers:end -->"
SETS = ("Set5", "Set14")
PROTOCOL = "benchmark-y"


Decibels = tuple[float | None, ...]
"""On each of `SETS`, where known."""


class Ours(NamedTuple):
    """A model of the package."""

    name: str
    scale: int
    seconds: float
    """For a picture of 480x270 LR pixels."""
    psnr: dict[str, Decibels]
    """By protocol."""


class Other(NamedTuple):
    """A model of another project."""

    name: str
    scale: int
    seconds: float | None
    """None where it was not run."""
    psnr: Decibels
    protocol: str
    where: str
    """Runtime, or where the decibels are from."""


def ours() -> list[Ours]:
    """The models that benchmarks/results/pareto.json has times of, the quickest first."""
    measured = json.loads((HERE / "results" / "pareto.json").read_text(encoding="utf-8"))
    seconds = {row["model"]: row["seconds"] for row in measured["models"]}
    psnr = {model.card.name: of_card(model.card) for model in list_shipped()} | self_ensembles()
    scales = {model.card.name: model.card.scale for model in list_shipped()}
    found = [
        Ours(name, scales[name.rstrip("+")], seconds[name], psnr[name])
        for name in psnr
        if name in seconds
    ]
    return sorted(found, key=lambda each: (each.scale, each.seconds))


def of_card(card: ModelCard) -> dict[str, Decibels]:
    """What a model has by itself, by protocol."""
    found = {(score.protocol, score.dataset): round(score.psnr, 2) for score in card.scores}
    protocols = {protocol for protocol, _ in found}
    return {each: tuple(found.get((each, name)) for name in SETS) for each in protocols}


def self_ensembles() -> dict[str, dict[str, Decibels]]:
    """The same of those that were scored with `widesr upscale -x`, by name, a + at its end."""
    file = HERE / "results" / "self_ensemble.json"
    found = json.loads(file.read_text(encoding="utf-8"))["reports"]
    return {
        name: {
            protocol: tuple(round(report["mean"][protocol]["psnr"], 2) for report in reports)
            for protocol in reports[0]["mean"]
        }
        for name, reports in found.items()
    }


def theirs() -> list[Other]:
    """Other projects' models, the quickest first, those that were not run as in the file."""
    others = []
    for file in ("peers.csv", "published.csv"):
        with (HERE / file).open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                found = tuple(float(row[key]) if row[key] else None for key in ("set5", "set14"))
                seconds = float(row["seconds"]) if "seconds" in row else None
                protocol = row.get("protocol", PROTOCOL)
                where = row.get("runtime") or f"as published, `{protocol}`"
                others.append(
                    Other(row["peer"], int(row["scale"]), seconds, found, protocol, where)
                )
    return sorted(others, key=lambda each: (each.scale, each.seconds or 0))


def tables() -> str:
    """A table for each scale: a row for each of the others, a column for each of ours."""
    mine, others = ours(), theirs()
    parts = [ahead(mine, others)]
    for scale in sorted({each.scale for each in mine}):
        columns = [each for each in mine if each.scale == scale]
        parts.append(table(scale, columns, [each for each in others if each.scale == scale]))
    return "\n\n".join(parts) + "\n"


def table(scale: int, mine: list[Ours], others: list[Other]) -> str:
    rungs = {name: rung for rung, models in LADDER.items() for name in models.values()}
    head = [f"x{scale}", "runtime", "seconds", " / ".join(SETS)]
    head += [f"`{each.name}` ({named(each.name, rungs)})" for each in mine]
    lines = [head, ["---"] * len(head)]
    itself = [f"{each.seconds:.3f} s, {decibels(each.psnr[PROTOCOL])}" for each in mine]
    lines.append(["**itself**", "", "", "", *itself])
    for other in others:
        seconds = "" if other.seconds is None else f"{other.seconds:g}"
        row = [other.name, other.where, seconds, decibels(other.psnr)]
        lines.append([*row, *(against(each, other) for each in mine)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def named(name: str, rungs: dict[str, str]) -> str:
    """What to type for it after -n."""
    rung = rungs.get(name.rstrip("+"), "by name")
    return f"{rung} -x" if name.endswith("+") else rung


def against(mine: Ours, other: Other) -> str:
    """What ours has more or less, and how many times as long the other takes."""
    more = [
        None if a is None or b is None else round(a - b, 2)
        for a, b in zip(mine.psnr[other.protocol], other.psnr, strict=True)
    ]
    told = decibels(more, sign="+")
    if other.seconds is None:
        return told
    times = other.seconds / mine.seconds
    return f"{told}; {times:.{0 if times >= 10 else 1}f}×"


def decibels(values: Iterable[float | None], sign: str = "") -> str:
    return " / ".join(f"{value:{sign}.2f}" for value in values if value is not None)


def ahead(mine: list[Ours], others: list[Other]) -> str:
    """Which of the others are both as quick as one of ours and finer."""
    found = [
        f"{other.name} is ahead of `{each.name}`"
        for each in mine
        for other in others
        if (each.scale == other.scale and other.seconds is not None)
        and (other.seconds <= each.seconds and other.psnr[0] > each.psnr[other.protocol][0])
    ]
    what = "; ".join(found) or "none"
    return f"Of the models below that take no longer than one of ours, ahead of it on Set5: {what}."


def fresh(text: str) -> str:
    """The page with new tables."""
    before, rest = text.split(START)
    return before + START + tables() + END + rest.split(END)[1]


def write() -> None:
    PAGE.write_text(fresh(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def main() -> int | str:
    text = PAGE.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        return 0 if fresh(text) == text else f"{PAGE}: not what benchmarks/peers.py writes"
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
