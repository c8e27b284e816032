"""Estimates the time and memory of a training run before it begins."""

import resource
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from widesr.data.patches import Batch
from widesr.data.source import Source, hold_out
from widesr.train.device import Device, describe, find_device
from widesr.train.loop import prepare
from widesr.train.photographs import open_photographs
from widesr.train.recipe import Recipe
from widesr.train.run import Run
from widesr.train.schedule import Part, parts
from widesr.train.teacher import Teacher

_TIMED_STEPS = 3


class TimedPart(NamedTuple):
    """Steps of a run that share the same settings, as timed on this machine."""

    steps: int
    lr_patch: int
    batch: int
    gflop_per_step: float
    """Work of the convolutions, forward and backward; a multiply-add counts as two."""
    seconds_per_step: float
    """Median of three steps, without drawing the patches and without validation."""


class Plan(NamedTuple):
    """The size of a run."""

    parameters: int
    training: int
    """Number of photographs to learn from."""
    validation: int
    """Number of photographs held out."""
    steps: int
    parts: tuple[TimedPart, ...]
    """The part that the recipe's tables define, followed by its stages."""
    seconds: float
    """Time of all steps."""
    teacher_seconds: float | None
    """Time that the teacher takes for one LR picture of each photograph; None without a teacher.
    Its pictures are made once and kept."""
    memory: int
    """Peak memory of this process, in bytes; on a GPU, its peak memory there."""
    machine: str


def plan(
    recipe: Recipe,
    *,
    data: Path | Source,
    init: str | Path | None = None,
    threads: int | None = None,
    device: Device = "cpu",
) -> Plan:
    """Determine the size of a run, and time a few steps on noise; nothing is written.

    Arguments and errors are those of `widesr.train.loop.train`. Photographs are listed, not read.
    """
    source = open_photographs(data, recipe)
    training, validation = hold_out(source.names, recipe.data.validation)

    def prepared(*, compiled: bool) -> Run:
        ours = _changed(recipe, compile=compiled)
        return prepare(ours, init=init, threads=threads, device=device)

    run = prepared(compiled=False)
    gflops = [_gflop(run, part) for part in parts(recipe)]
    if recipe.optim.compile:  # the counter does not see into compiled networks
        run = prepared(compiled=True)
    timed = tuple(
        TimedPart(
            part.steps, part.settings.lr_patch, part.settings.batch, gflop, _seconds(run, part)
        )
        for part, gflop in zip(parts(recipe), gflops, strict=True)
    )
    return Plan(
        parameters=sum(p.numel() for p in run.network.parameters()),
        training=len(training),
        validation=len(validation),
        steps=recipe.optim.steps,
        parts=timed,
        seconds=sum(part.steps * part.seconds_per_step for part in timed),
        teacher_seconds=_teacher_seconds(recipe, source, training, device=run.device),
        memory=_peak_memory(run.device),
        machine=describe(run.device),
    )


def seconds_in_fp32(
    recipe: Recipe,
    *,
    init: str | Path | None = None,
    threads: int | None = None,
    device: Device = "cpu",
) -> float | None:
    """Time a few steps in fp32, to compare the time of all steps with that of a recipe in bf16.

    Arguments and errors are those of `plan`.

    Returns:
        The time of all steps; None on a GPU, for recipes in other precisions, and for networks
        that are compiled.
    """
    optim = recipe.optim
    if find_device(device).type != "cpu" or optim.precision != "bf16" or optim.compile:
        return None
    run = prepare(_changed(recipe, precision="fp32"), init=init, threads=threads, device=device)
    return sum(part.steps * _seconds(run, part) for part in parts(recipe))


def _changed(recipe: Recipe, **changes: object) -> Recipe:
    """Return a recipe with other values in its table `optim`."""
    return recipe.model_copy(update={"optim": recipe.optim.model_copy(update=changes)})


def _gflop(run: Run, part: Part) -> float:
    with FlopCounterMode(display=False) as counter:
        _advance(run, part)
    flops: int = counter.get_total_flops()
    return flops / 1e9


def _seconds(run: Run, part: Part) -> float:
    _advance(run, part)  # a warm-up, in which torch chooses its kernels
    seconds = []
    for _ in range(_TIMED_STEPS):
        began = time.perf_counter()
        _advance(run, part)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _advance(run: Run, part: Part) -> None:
    """Take the first step of a part, on noise."""
    random, side, span = np.random.default_rng(0), part.settings.lr_patch, run.recipe.span
    lr = random.integers(0, 256, (part.settings.batch, side, side, 3 * span.read), np.uint8)
    learned = lr if span.learns_all else lr[..., :3]
    hr = learned.repeat(run.network.cfg.scale, axis=1).repeat(run.network.cfg.scale, axis=2)
    run.step = part.begin
    run.advance(Batch(lr, hr, taught=hr))


def _teacher_seconds(
    recipe: Recipe, source: Source, names: Sequence[str], *, device: torch.device
) -> float | None:
    if recipe.teacher is None:
        return None
    scale, sizes = recipe.network.scale, source.sizes()
    upscaler = Teacher(recipe.teacher, scale=scale, device=device).upscaler
    lr_sizes = [(sizes[name][0] // scale, sizes[name][1] // scale) for name in names]
    return sum(upscaler.seconds_for(*size) for size in lr_sizes)


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts KiB
