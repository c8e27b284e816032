"""Draws the curves of a study, PSNR over the steps, into an SVG file. Needs matplotlib."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from widesr.study.design import Study
from widesr.study.runs import Outcome
from widesr.train.writing import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#0b7a75", "#d1495b", "#3d5a98", "#e09f3e", "#7b5ea7", "#8a8f98")
_SHOWN_DB = 6.0
"""Below the best of a panel; what lies deeper would press the rest together."""


def draw_curves(study: Study, outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw a panel for each value of the last axis, and in it a curve for each of the others.

    A curve is the mean over the seeds, in a band of their range; a cross is where a run diverged.

    Raises:
        CheckpointError: The file cannot be written.
    """
    *others, last = study.axis_names
    if not others:
        others, last = [last], ""
    panels = list(dict.fromkeys(outcome.labels.get(last, "") for outcome in outcomes))
    figure = Figure(figsize=(1 + 3.6 * len(panels), 3.8), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, panel in zip(axes, panels, strict=True):
        here = [outcome for outcome in outcomes if outcome.labels.get(last, "") == panel]
        series: dict[str, list[Outcome]] = {}
        for outcome in here:
            name = ", ".join(outcome.labels[axis] for axis in others)
            series.setdefault(name, []).append(outcome)
        for index, (name, runs) in enumerate(series.items()):
            _draw_series(ax, name, runs, _COLOURS[index % len(_COLOURS)])
        ax.set_title(f"{last} {panel}".strip(), fontsize=10)
        ax.set_xlabel("steps")
        ax.grid(alpha=0.25)
        _frame(ax, [point.psnr for outcome in here for point in outcome.curve])
    axes[0].set_ylabel("dB PSNR-Y, held out")
    axes[-1].legend(loc="lower right", fontsize=8)
    svg = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "widesr"}):  # the same curves, the same file
        figure.savefig(svg, format="svg", metadata={"Date": None})
    write_whole(path, svg.getvalue())


def _frame(ax: "Axes", psnr: Sequence[float]) -> None:
    if psnr:  # there is none where all runs diverged before they were validated
        ax.set_ylim(max(min(psnr), max(psnr) - _SHOWN_DB) - 0.1, max(psnr) + 0.2)


def _draw_series(ax: "Axes", name: str, runs: Sequence[Outcome], colour: str) -> None:
    by_step: dict[int, list[float]] = {}
    for run in runs:
        for point in run.curve:
            by_step.setdefault(point.step, []).append(point.psnr)
    steps = sorted(by_step)
    means = [sum(by_step[step]) / len(by_step[step]) for step in steps]
    ax.plot(steps, means, color=colour, label=name, linewidth=1.4)
    low, high = [min(by_step[step]) for step in steps], [max(by_step[step]) for step in steps]
    ax.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    for run in runs:
        if run.diverged_at is not None and run.curve:
            end = run.curve[-1]
            ax.plot(end.step, end.psnr, marker="x", color=colour, markersize=8)
