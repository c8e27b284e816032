"""Seconds against decibels: our models and others', drawn into docs/benchmarks/pareto.svg.

    python benchmarks/pareto.py              # measure our models here, draw, write the tables
    python benchmarks/pareto.py --draw       # draw what benchmarks/results/pareto.json has

Needs the dependency group `plots`. A time is the best of several for a picture of 480x270 LR
pixels, network alone, on the engine that `widesr upscale` takes; models take turns, so that what
else the machine does falls on all. A + is the self-ensemble, `widesr upscale -x`. Decibels are
Set5, protocol `benchmark-y`, from the cards and results/self_ensemble.json (quality.py), computed
in fp32; bf16 loses at most 0.01 dB.
peers.csv has the others: run by us earlier on a machine of the same kind (2 cores, 2 threads), each
on the runtime named there, and drawn hollow since they are not of this run.
"""

import argparse
import csv
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from peers import PROTOCOL, of_card, self_ensembles
from peers import write as write_tables
from widesr.catalog import list_shipped
from widesr.engine import load_engine
from widesr.ensemble import ensemble
from widesr.report import machine

HERE = Path(__file__).parent
RESULT = HERE / "results" / "pareto.json"
PLOT = HERE.parent / "docs" / "benchmarks" / "pareto.svg"
HEIGHT, WIDTH = 270, 480
OURS, THEIRS, FRONT = "#0b7a75", "#8a8f98", "#0b7a7580"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    if not options.draw:
        result = measured(options.rounds, options.threads)
        RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    draw(json.loads(RESULT.read_text(encoding="utf-8")), peers())
    write_tables()


def measured(rounds, threads):
    """Seconds and decibels of the models in the package."""
    lr = np.random.default_rng(0).random((1, 3, HEIGHT, WIDTH), np.float32)
    models = [m for m in list_shipped() if m.card.degradation == "bicubic"]  # as Set5 was shrunk
    engines = {m.card.name: load_engine(m, precision="auto", threads=threads) for m in models}
    ensembles = self_ensembles()
    runs = {name: engine.run for name, engine in engines.items()}
    runs |= {f"{name}+": ensemble(runs[name]) for name in runs if f"{name}+" in ensembles}
    seconds = {name: [] for name in runs}
    for round_ in range(rounds + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run(lr)
            if round_ > 0:  # the first compiles
                seconds[name].append(time.perf_counter() - began)
    rows = [
        {
            "model": name,
            "parameters": model.card.parameters_fused,
            "scale": model.card.scale,
            "engine": f"{engines[model.card.name].name} {engines[model.card.name].precision}",
            "seconds": round(min(seconds[name]), 4),
            "set5": decibels[0],
        }
        for model in models
        for name, decibels in (
            (model.card.name, of_card(model.card)[PROTOCOL]),
            (f"{model.card.name}+", ensembles.get(f"{model.card.name}+", {}).get(PROTOCOL)),
        )
        if decibels is not None
    ]
    for row in rows:
        print("{model:14}  {seconds:7.4f} s  {set5:5.2f} dB".format(**row))
    here = machine()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{here.cpu}, {here.cores} CPUs",
        "threads": threads,
        "load_average": round(os.getloadavg()[0], 2),
        "rounds": rounds,
        "picture": f"{WIDTH}x{HEIGHT}",
        "models": rows,
    }


def peers():
    with (HERE / "peers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {
            "name": row["peer"],
            "scale": int(row["scale"]),
            "seconds": float(row["seconds"]),
            "set5": float(row["set5"]),
        }
        for row in rows
    ]


def draw(result, others):
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "widesr", "svg.fonttype": "path", "font.size": 9}
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    for scale, ax in zip((2, 4), axes, strict=True):
        ours = [row for row in result["models"] if row["scale"] == scale]
        theirs = [row for row in others if row["scale"] == scale]
        panel(ax, scale, ours, theirs)
    figure.suptitle(
        f"Set5 PSNR-Y (benchmark-y) against the time for a {result['picture']} picture on two "
        "CPU cores",
        fontsize=11,
    )
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})


def panel(ax, scale, ours, theirs):
    """One scale: ours filled, others hollow, a step along the best of all at each time."""
    front = sorted(pareto([(r["seconds"], r["set5"]) for r in (*ours, *theirs)]))
    ax.plot(*zip(*front, strict=True), color=FRONT, drawstyle="steps-post", zorder=1)
    for rows, face, edge, label in (
        (ours, OURS, OURS, "widesr, measured here"),
        (theirs, "white", THEIRS, "others, measured elsewhere"),
    ):
        x, y = [r["seconds"] for r in rows], [r["set5"] for r in rows]
        ax.scatter(x, y, s=42, facecolor=face, edgecolor=edge, label=label, zorder=2)
    ax.set(xscale="log", xlabel="seconds", ylabel="dB", title=f"x{scale}")
    ax.set_ylim(bottom=min(r["set5"] for r in (*ours, *theirs) if r["set5"] > 30) - 0.4)
    ax.grid(alpha=0.25)
    ax.legend(loc="lower right", fontsize=8)
    name_points(ax, ours, theirs)


def name_points(ax, ours, theirs):
    """Write each name beside its point, at the first of some places that no other name has."""
    ax.figure.draw_without_rendering()  # settles where things are
    taken = [marker_box(ax, row) for row in (*ours, *theirs)]
    places = [
        (6, 4, "left"),
        (6, -10, "left"),
        (-6, 4, "right"),
        (-6, -10, "right"),
        (0, 12, "center"),
    ]
    for row in (*ours, *theirs):
        mine = row in ours
        for dx, dy, side in places:
            text = ax.annotate(
                row.get("model") or row["name"],
                (row["seconds"], row["set5"]),
                xytext=(dx, dy),
                textcoords="offset points",
                ha=side,
                fontsize=7.5,
                color=OURS if mine else "#5b6068",
                weight="bold" if mine else "normal",
                zorder=3,
            )
            box = text.get_window_extent()
            inside = ax.bbox.x0 < box.x0 and box.x1 < ax.bbox.x1
            if inside and not any(box.overlaps(other) for other in taken):
                break
            if (dx, dy, side) != places[-1]:
                text.remove()
        taken.append(box)


def marker_box(ax, row):
    from matplotlib.transforms import Bbox

    x, y = ax.transData.transform((row["seconds"], row["set5"]))
    return Bbox.from_extents(x - 4, y - 4, x + 4, y + 4)


def pareto(points):
    """The points that no other beats in both time and decibels."""
    return [
        (seconds, db)
        for seconds, db in points
        if not any(s <= seconds and d >= db and (s, d) != (seconds, db) for s, d in points)
    ]


if __name__ == "__main__":
    main()
