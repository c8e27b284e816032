"""Time against decibels, ours and others' in one run: docs/benchmarks/pareto.svg and the tables.

    python benchmarks/pareto.py --peers ../shared/teachers --bench ../shared/data/bench
    python benchmarks/pareto.py --draw            # draw what benchmarks/results/pareto.json has
    python benchmarks/pareto.py --quick FOLDER    # a small picture, once; all goes to FOLDER

Needs the `train` extra, the dependency group `plots`, and some half an hour of a quiet machine.

Our models and every network of peers.csv that the zoo can hold take turns on OpenVINO, the engine
that we ship, round by round, network alone on a whole picture of 480x270 LR pixels: at each scale
in bf16, where the CPU computes in it, and in fp32, on one thread and on all. What counts is how
many times as long as SPAN each takes in the same turns: by processor time on one thread, which
other work on the machine hardly changes, and by the wall on several. A time is the best of the
rounds; a network that takes seconds is read once. A + is the self-ensemble, `widesr upscale -x`.

Others' weights come from the folder --peers (`SPAN` and the like, see peers.csv) and are scored on
the sets in --bench; scores of the same weights are kept for runs without it. The others have random
weights, which take as long, and the decibels that peers.csv has of them, with their source. Ours
have those of their cards and of results/self_ensemble.json (quality.py), computed in fp32; bf16
loses them at most 0.01 dB.
"""

import argparse
import json
import os
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

import peers as told
from contest import (
    config_of,
    imported_model,
    load_average,
    photograph,
    random_model,
    runner,
    take_turns,
)
from widesr.engine.choice import has_fast_bf16
from widesr.models.catalog import ModelFile, list_shipped
from widesr.system.machine import this_machine
from widesr.upscaling.self_ensemble import ensemble

HERE = Path(__file__).parent
PLOT = HERE.parent / "docs" / "benchmarks" / "pareto.svg"
SIZE, QUICK_SIZE = "480x270", "96x64"
OURS, THEIRS, FRONT = "#0b7a75", "#8a8f98", "#0b7a7580"
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    parser.add_argument("--quick", type=Path, metavar="FOLDER")
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="of others' weights")
    parser.add_argument("--bench", type=Path, metavar="FOLDER", help="with Set5 and Set14")
    parser.add_argument("--without", nargs="+", default=[], metavar="PEER", help="as RDN VDSR")
    parser.add_argument("--scales", nargs="+", type=int, default=[2, 3, 4])
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    result_file = options.quick / "pareto.json" if options.quick else told.RESULT
    if not options.draw:
        result = measured(options)
        result_file.parent.mkdir(parents=True, exist_ok=True)
        result_file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    result = json.loads(result_file.read_text(encoding="utf-8"))
    draw(result, options.quick / "pareto.svg" if options.quick else PLOT)
    if options.quick:
        (options.quick / "models.md").write_text(told.tables(result), encoding="utf-8")
    else:
        told.write()


# ---- measuring -----------------------------------------------------------------------------


def measured(options):
    """All networks at all scales, and how many times as long as SPAN each takes."""
    size = QUICK_SIZE if options.quick else SIZE
    rounds = options.rounds or (1 if options.quick else 12)
    names = ["bf16", "fp32"] if has_fast_bf16() else ["fp32"]
    rows = []
    for scale in options.scales:
        with tempfile.TemporaryDirectory() as folder:
            networks = entries(scale, Path(folder), options)
            of_span = turns(networks, names, sorted({1, options.threads}), size, rounds)
        for entry in networks:
            rows.append({**entry.facts, **of_span[entry.facts["name"]]})
            print(told_in_a_line(rows[-1]))
    here = this_machine()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{here.cpu}, {here.cores} CPUs",
        "threads": options.threads,
        "load_average": load_average(),
        "rounds": rounds,
        "picture": size,
        "networks": rows,
    }


class Entry:
    """A network that takes part, and what is known of it beside its times."""

    def __init__(self, name, model: ModelFile, *, is_ours=False, weights="", psnr=None):
        self.model = model
        self.facts = {
            "name": name,
            "is_ours": is_ours,
            "scale": model.card.scale,
            "parameters": model.card.parameters_fused,
            "weights": weights,
            "weights_sha256": model.card.weights_sha256,
            "psnr": psnr or {},
        }


def entries(scale, folder: Path, options):
    """All that take part at a scale: ours, their self-ensembles, and the others."""
    shipped = [m for m in list_shipped() if m.card.scale == scale and m.card.frames == 1]
    # as Set5 was shrunk
    ours = [model for model in shipped if model.card.degradation == "bicubic"]
    found = [Entry(m.card.name, m, is_ours=True, weights="in the package") for m in ours]
    ensembles = told.self_ensembles()
    found += [
        Entry(f"{m.card.name}+", m, is_ours=True, weights="in the package")
        for m in ours
        if f"{m.card.name}+" in ensembles
    ]
    scores = earlier_scores()
    for index, peer in enumerate(told.peers()):
        if peer.scale != scale or not peer.network or peer.name in options.without:
            continue
        file = folder / f"{index}.onnx"
        weights = options.peers and options.peers / f"{peer.weights}.safetensors"
        if not (peer.weights and weights and weights.is_file()):
            model = random_model(config_of(peer.network, scale=scale), file)
            found.append(Entry(peer.name, model, weights="random"))
            continue
        model = imported_model(weights, file)
        psnr = scores.get(model.card.weights_sha256, {})
        if options.bench and not options.quick:
            psnr = scored(model, options.bench)
        found.append(Entry(peer.name, model, weights=weights.name, psnr=psnr))
    return found


def earlier_scores():
    """Decibels that an earlier run found, by the weights."""
    if not told.RESULT.is_file():
        return {}
    rows = json.loads(told.RESULT.read_text(encoding="utf-8")).get("networks", [])
    return {row["weights_sha256"]: row["psnr"] for row in rows if row["psnr"]}


def scored(model: ModelFile, bench):
    from quality import PROTOCOLS, judged

    scores, _ = judged(str(model.path), model.card.scale, bench)
    by = {(score.protocol, score.dataset): round(score.psnr, 2) for score in scores}
    return {p: [by.get((p, dataset)) for dataset in told.SETS] for p in PROTOCOLS}


def turns(networks, names, counts, size, rounds):
    """`seconds` of each network and how many times as long as SPAN's they are, by its name."""
    width, height = map(int, size.split("x"))
    lr = photograph(height, width)
    found = {n.facts["name"]: {"seconds": {}, "of_span": {}} for n in networks}
    for precision in names:
        for each in found.values():
            each["seconds"][precision], each["of_span"][precision] = {}, {}
        for threads in counts:
            runs = {}
            for entry in networks:
                run = runner(entry.model, precision=precision, threads=threads)
                if entry.facts["name"].endswith("+"):
                    run = ensemble(run)
                runs[entry.facts["name"]] = partial(run, lr)
            times = take_turns(runs, rounds=rounds)
            for name, took in times.items():
                wall, cpu = round(took.wall, 4), round(took.cpu, 4)
                ratio = took.of(times[told.REFERENCE], threads=threads)
                found[name]["seconds"][precision][str(threads)] = {"wall": wall, "cpu": cpu}
                found[name]["of_span"][precision][str(threads)] = round(ratio, 3)
    return found


def told_in_a_line(row):
    took = "  ".join(
        f"{precision} " + " / ".join(f"{ratio:6.2f}" for ratio in by_threads.values())
        for precision, by_threads in row["of_span"].items()
    )
    return f"x{row['scale']}  {row['name']:22} {row['parameters']:12,}  of SPAN's: {took}"


# ---- drawing -------------------------------------------------------------------------------


def draw(result, plot: Path):
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "widesr", "svg.fonttype": "path", "font.size": 9}
    from matplotlib import pyplot as plt

    timed = [each for each in told.contenders(result) if set5(each) is not None]
    scales, names = sorted({each.scale for each in timed}), told.precisions(result)
    figure, axes = plt.subplots(
        len(names),
        len(scales),
        figsize=(5.2 * len(scales), 4.2 * len(names)),
        layout="constrained",
        squeeze=False,
    )
    for precision, row in zip(names, axes, strict=True):
        for scale, ax in zip(scales, row, strict=True):
            panel(ax, precision, [each for each in timed if each.scale == scale])
            ax.set_title(f"x{scale}, {precision}")
    figure.suptitle(f"Set5 PSNR-Y against time, {result['picture']} on one thread", fontsize=11)
    plot.parent.mkdir(exist_ok=True)
    figure.savefig(plot, metadata={"Date": None})


def set5(each):
    return each.psnr.get(told.chosen_protocol(each.psnr), (None,))[0]


def place(each, precision):
    return each.of_span[precision]["1"], set5(each)


def panel(ax, precision, timed):
    """One scale in one precision: ours, the others, and a step along the best at each time."""
    front = sorted(pareto([place(each, precision) for each in timed]))
    ax.plot(*zip(*front, strict=True), color=FRONT, drawstyle="steps-post", zorder=1)
    for is_ours, is_scored, colour, face, label in (
        (True, True, OURS, OURS, "widesr"),
        (False, True, THEIRS, THEIRS, "others, decibels scored by us"),
        (False, False, THEIRS, "white", "others, decibels as published"),
    ):
        here = [e for e in timed if (e.is_ours, told.PROTOCOL in e.psnr) == (is_ours, is_scored)]
        if not here:
            continue
        points = np.array([place(each, precision) for each in here])
        ax.scatter(*points.T, s=42, facecolor=face, edgecolor=colour, label=label, zorder=2)
    ax.set(xscale="log", xlabel="times as long as SPAN", ylabel="dB")
    ax.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    ax.minorticks_off()
    ax.set_xlim(*limits([place(each, precision)[0] for each in timed]))
    ax.grid(alpha=0.25)
    ax.legend(loc="lower right", fontsize=7)
    name_points(ax, precision, timed)


def limits(ratios):
    """Return the limits of the axis: all values, and room for names."""
    return min(ratios) / 1.3, max(ratios) * 1.6


def name_points(ax, precision, timed):
    """Write each name beside its point, at the first of some places that no other name has."""
    ax.figure.draw_without_rendering()  # settles where things are
    taken = [marker_box(ax, place(each, precision)) for each in timed]
    places = [
        (6, 4, "left"),
        (6, -10, "left"),
        (-6, 4, "right"),
        (-6, -10, "right"),
        (0, 12, "center"),
    ]
    for each in timed:
        for dx, dy, side in places:
            text = ax.annotate(
                each.name,
                place(each, precision),
                xytext=(dx, dy),
                textcoords="offset points",
                ha=side,
                fontsize=7.5,
                color=OURS if each.is_ours else "#5b6068",
                weight="bold" if each.is_ours else "normal",
                zorder=3,
            )
            box = text.get_window_extent()
            inside = ax.bbox.x0 < box.x0 and box.x1 < ax.bbox.x1
            if inside and not any(box.overlaps(other) for other in taken):
                break
            if (dx, dy, side) != places[-1]:
                text.remove()
        taken.append(box)


def marker_box(ax, point):
    from matplotlib.transforms import Bbox

    x, y = ax.transData.transform(point)
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
