"""Writes the findings of a study: a table in Markdown and CSV, the budget, and each cell's log."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from widesr.study.design import Study
from widesr.study.runs import Outcome
from widesr.train.writing import write_whole


class Row(NamedTuple):
    """The cells that differ only in the seed."""

    labels: dict[str, str]
    parameters: int
    gflop: float
    """Work to make a picture of 1280x720."""
    psnr: tuple[float, ...]
    """PSNR-Y of the runs that reached their end, in dB."""
    diverged_at: tuple[int, ...]
    """Steps at which the other runs diverged."""
    rewinds: int
    """Total number of times that runs exploded and were rewound."""
    seconds: float
    """Training time, as a mean over the runs."""

    @property
    def mean(self) -> float | None:
        """Mean PSNR-Y; None if all runs diverged."""
        return sum(self.psnr) / len(self.psnr) if self.psnr else None

    @property
    def spread(self) -> float | None:
        """Half of the range of the PSNR over the seeds; None for fewer than two runs."""
        return (max(self.psnr) - min(self.psnr)) / 2 if len(self.psnr) > 1 else None

    @property
    def text(self) -> str:
        """Mean and spread, and the steps at which runs diverged, for people."""
        parts = []
        if self.mean is not None:
            parts.append(f"{self.mean:.2f}")
        if self.spread is not None:
            parts[0] += f" ± {self.spread:.2f}"
        if self.diverged_at:
            steps = " and ".join(f"{step:,}" for step in dict.fromkeys(self.diverged_at))
            parts.append(f"diverged at step {steps}")
        if self.rewinds:
            parts.append(f"taken back {self.rewinds} times")
        return "; ".join(parts)


def rows_of(outcomes: Sequence[Outcome]) -> list[Row]:
    """Group the outcomes that differ only in the seed, in the order of the cells."""
    alike: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in outcomes:
        alike.setdefault(tuple(outcome.labels.values()), []).append(outcome)
    return [
        Row(
            labels=group[0].labels,
            parameters=group[0].parameters,
            gflop=group[0].gflop,
            psnr=tuple(each.psnr for each in group if each.psnr is not None),
            diverged_at=tuple(e.diverged_at for e in group if e.diverged_at is not None),
            rewinds=sum(each.rewinds for each in group),
            seconds=sum(each.seconds for each in group) / len(group),
        )
        for group in alike.values()
    ]


def markdown(study: Study, outcomes: Sequence[Outcome]) -> str:
    """Format the tables of a study, and the budget that they were made with."""
    rows = rows_of(outcomes)
    parts = [_budget(study, outcomes)]
    if len(study.axes) == 2:
        parts.append(_crossed(study, rows))
    heads = [*study.axis_names, "PSNR-Y (dB)", "parameters", "GFLOP", "seconds"]
    lines = [
        [
            *row.labels.values(),
            row.text,
            f"{row.parameters:,}",
            f"{row.gflop:.1f}",
            f"{row.seconds:.0f}",
        ]
        for row in rows
    ]
    parts.append(_table(heads, lines, n_left=len(study.axes)))
    return "\n\n".join(parts) + "\n"


def write_findings(study: Study, outcomes: Sequence[Outcome], folder: Path) -> None:
    """Write `table.md`, `table.csv`, and `cells.jsonl` with a line and its curve for each cell.

    Raises:
        CheckpointError: The folder takes no file, or is full.
    """
    written = {
        "table.md": markdown(study, outcomes),
        "table.csv": _csv(study, outcomes),
        "cells.jsonl": "".join(f"{outcome.model_dump_json()}\n" for outcome in outcomes),
    }
    for name, text in written.items():
        write_whole(folder / name, text.encode())


def read_outcomes(file: Path) -> list[Outcome]:
    """Read a file `cells.jsonl`."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [Outcome.model_validate_json(line) for line in lines]


def _budget(study: Study, outcomes: Sequence[Outcome]) -> str:
    """Describe the budget of the figures in a paragraph."""

    def all_of(get: Callable[[Outcome], object]) -> str:
        return " or ".join(dict.fromkeys(str(get(outcome)) for outcome in outcomes))

    planned = len(study.seeds) * math.prod(map(len, study.axes.values()))
    minutes = sum(outcome.seconds for outcome in outcomes) / 60
    runs = f"{len(outcomes)} runs" if len(outcomes) >= planned else f"{len(outcomes)} runs so far"
    return (
        f"Budget: {all_of(lambda o: f'{o.recipe.optim.steps:,}')} steps of "
        f"{all_of(lambda o: o.recipe.data.batch)} patches of "
        f"{all_of(lambda o: f'{o.recipe.data.lr_patch}x{o.recipe.data.lr_patch}')} LR pixels, "
        f"{all_of(lambda o: o.recipe.optim.precision)}, "
        f"{all_of(lambda o: o.photographs)} photographs; "
        f"seeds {', '.join(map(str, study.seeds))}; {runs}, {minutes:.0f} minutes of training. "
        f"PSNR-Y by `benchmark-y` over the middles of {all_of(lambda o: o.held_out)} others; "
        "± is half of the range over the seeds. GFLOP: to make 1280x720. "
        f"Machine: {all_of(lambda o: o.machine)}. Commit {all_of(lambda o: o.commit)}."
    )


def _crossed(study: Study, rows: Sequence[Row]) -> str:
    """Lay out a study of two axes as a square: the first axis down, the second across."""
    down, across = study.axis_names
    found = {(row.labels[down], row.labels[across]): row.text for row in rows}
    columns = list(dict.fromkeys(row.labels[across] for row in rows))
    lines = [
        [label, *(found.get((label, column), "") for column in columns)]
        for label in dict.fromkeys(row.labels[down] for row in rows)
    ]
    return _table([f"{down} \\ {across}", *columns], lines, n_left=1)


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]], *, n_left: int) -> str:
    """Format a table in Markdown; columns after the first `n_left` are aligned to the right."""
    rule = ["---" if i < n_left else "---:" for i in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *lines))


def _csv(study: Study, outcomes: Sequence[Outcome]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = ["psnr_mean", "psnr_min", "psnr_max", "runs", "diverged", "parameters", "gflop"]
    writer.writerow([*study.axis_names, *heads, "seconds"])
    for row in rows_of(outcomes):
        psnr = [f"{row.mean:.4f}", min(row.psnr), max(row.psnr)] if row.psnr else ["", "", ""]
        runs = [len(row.psnr) + len(row.diverged_at), len(row.diverged_at)]
        sizes = [row.parameters, f"{row.gflop:.2f}", f"{row.seconds:.1f}"]
        writer.writerow([*row.labels.values(), *psnr, *runs, *sizes])
    return text.getvalue()
