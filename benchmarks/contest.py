"""Networks that take turns on the engine that we ship: what pareto.py and shapes.py time with."""

import os
import time
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from widesr.catalog import ModelFile, read_card
from widesr.engine.vino import OpenVinoEngine
from widesr.pictures.reading import read_picture

EXAMPLES = Path(__file__).parents[1] / "examples"


class Times(NamedTuple):
    """The best of several rounds, in seconds."""

    wall: float
    cpu: float
    """Of all threads of the process: what to compare where the machine has other work."""


def photograph(height, width):
    """(1, 3, height, width), float32 in [0, 1]; noise is not what networks were made for."""
    pixels = read_picture(EXAMPLES / "kitten.jpg").pixels
    rows, columns = np.arange(height) % len(pixels), np.arange(width) % pixels.shape[1]
    return (pixels[np.ix_(rows, columns)].transpose(2, 0, 1)[np.newaxis] / 255).astype(np.float32)


def runner(model: ModelFile, *, precision: str, threads: int, lr) -> Callable[[], object]:
    """Load a network into OpenVINO, as `widesr upscale` does, without the guard over what it makes.

    The guard would run networks of random weights a second time, in fp32.
    """
    engine = OpenVinoEngine(model, threads=threads, streams=1, precision=precision)
    return lambda: engine.run(lr)


def random_model(cfg, path: Path) -> ModelFile:
    """Export a network of random weights, which takes as long as a trained one."""
    import torch

    from widesr.export import export_onnx
    from widesr.nets import build
    from widesr.train.checkpoint import save_weights

    torch.manual_seed(0)
    save_weights(path.with_suffix(".safetensors"), build(cfg), None)
    export_onnx(path.with_suffix(".safetensors"), path, licence="CC0-1.0", overwrite=True)
    return ModelFile(path, read_card(path))


def take_turns(
    runs: Mapping[Hashable, Callable[[], object]], *, rounds: int
) -> dict[Hashable, Times]:
    """Time each in turn, round by round, so that what else the machine does falls on all."""
    best = {}
    for round_ in range(rounds + 1):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            took = Times(time.perf_counter() - wall, time.process_time() - cpu)
            if round_ > 0:  # the first compiles
                earlier = best.get(name, took)
                best[name] = Times(min(earlier.wall, took.wall), min(earlier.cpu, took.cpu))
    return best


def load_average():
    return round(os.getloadavg()[0], 2)
