"""Measure the gain of `compile = true`: milliseconds of a step, eager and compiled in turn.

    python benchmarks/compiled.py [--threads 1] [--rounds 20]

Each round takes a step of each, so that what else the machine does falls on both; medians and the
fastest. The first step of a compiled network, which compiles it, is counted by itself. Needs g++.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from widesr.data.patches import Batch
from widesr.system.commit import which_commit
from widesr.system.machine import this_machine
from widesr.train.loop import prepare
from widesr.train.recipe import load_recipe

RESULT = Path(__file__).parent / "results" / "compiled.json"
NETWORKS = {
    "WDSR-A 8x32, expansion 2": {"block": "a", "n_resblocks": 8, "expansion": 2},
    "WDSR-A 16x32, expansion 4": {"block": "a", "n_resblocks": 16, "expansion": 4},
    "WDSR-B 16x32, expansion 6": {"block": "b", "n_resblocks": 16, "expansion": 6},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    rows = []
    for name, network in NETWORKS.items():
        rows.append({"network": name} | measured(network, options))
        print(json.dumps(rows[-1]), flush=True)
    result = {
        "commit": which_commit(),
        "machine": this_machine().cpu,
        "threads": options.threads,
        "torch": torch.__version__,
        "load_average": round(os.getloadavg()[0], 1),
        "rows": rows,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measured(network, options):
    """Milliseconds of a step of a network, as `widesr train` takes it."""
    recipe = load_recipe("wdsr-a8-x2")
    recipe = recipe.model_copy(update={"net": {**recipe.net, **network}})
    side, batch = recipe.data.lr_patch, recipe.data.batch
    lr = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)
    hr = lr.repeat(2, axis=1).repeat(2, axis=2)
    runs, first, later = {}, {}, {}
    for way in ("eager", "compiled"):
        optim = recipe.optim.model_copy(update={"compile": way == "compiled"})
        runs[way] = prepare(
            recipe.model_copy(update={"optim": optim}),
            init=None,
            threads=options.threads,
            device="cpu",
        )
        first[way] = seconds_of_step(runs[way], lr, hr)
        seconds_of_step(runs[way], lr, hr)
        later[way] = []
    for _ in range(options.rounds):
        for way, run in runs.items():
            later[way].append(seconds_of_step(run, lr, hr))
    pairs = zip(later["eager"], later["compiled"], strict=True)
    return {
        "precision": recipe.optim.precision,
        "patches": f"{batch} of {side}x{side}",
        "ms_median": {way: round(1e3 * statistics.median(each)) for way, each in later.items()},
        "ms_fastest": {way: round(1e3 * min(each)) for way, each in later.items()},
        "times_eager": round(statistics.median(a / b for a, b in pairs), 2),
        "first_step_s": round(first["compiled"]),
    }


def seconds_of_step(run, lr, hr):
    began = time.perf_counter()
    run.advance(Batch(lr, hr))
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
