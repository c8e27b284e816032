"""What a training run would take, before it is begun."""

import resource
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from widesr.data.patches import Batch
from widesr.data.source import Source, hold_out
from widesr.train.device import Device, describe
from widesr.train.loop import open_photographs, prepare
from widesr.train.recipe import Recipe
from widesr.train.schedule import way_at

_TIMED_STEPS = 3


class Plan(NamedTuple):
    """The size of a run, with the time of its steps as measured here and now."""

    parameters: int
    training: int
    """Photographs learned from."""
    validation: int
    """Photographs held out."""
    steps: int
    gflop_per_step: float
    """Of the convolutions, forward and backward; a multiplication with its addition counts two."""
    seconds_per_step: float
    """Median of three; drawing the patches and validation are not in it."""
    seconds: float
    """Of all steps."""
    memory: int
    """Bytes that this process has taken at most; on a GPU, those there."""
    machine: str


def plan(
    recipe: Recipe,
    *,
    data: Path | Source,
    start_from: str | Path | None = None,
    threads: int | None = None,
    device: Device = "cpu",
) -> Plan:
    """Count what a run is made of, and take a few steps on noise to time them; writes nothing.

    Arguments and errors are those of `widesr.train.loop.train`; photographs are listed, not read.
    """
    eager = recipe.optim.model_copy(update={"compile": False})
    run = prepare(
        recipe.model_copy(update={"optim": eager}),
        start_from=start_from,
        threads=threads,
        device=device,
    )
    way, scale = way_at(recipe, 0), recipe.network.scale
    side = way.lr_patch
    names = open_photographs(data, recipe).names
    training, validation = hold_out(names, recipe.data.validation)
    random = np.random.default_rng(recipe.seed)
    lr = random.integers(0, 256, (way.batch, side, side, 3), np.uint8)
    hr = lr.repeat(scale, axis=1).repeat(scale, axis=2)
    batch = Batch(lr, hr, taught=hr)
    with FlopCounterMode(display=False) as counter:
        run.advance(batch)  # also chooses kernels
    if recipe.optim.compile:  # which the counter does not see into
        run = prepare(recipe, start_from=start_from, threads=threads, device=device)
        run.advance(batch)
    seconds = []
    for _ in range(_TIMED_STEPS):
        began = time.perf_counter()
        run.advance(batch)
        seconds.append(time.perf_counter() - began)
    per_step = statistics.median(seconds)
    return Plan(
        parameters=sum(p.numel() for p in run.network.parameters()),
        training=len(training),
        validation=len(validation),
        steps=recipe.optim.steps,
        gflop_per_step=counter.get_total_flops() / 1e9,
        seconds_per_step=per_step,
        seconds=per_step * recipe.optim.steps,
        memory=_peak_memory(run.device),
        machine=describe(run.device),
    )


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts KiB
