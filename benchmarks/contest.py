"""Networks that take turns on the engine that we ship: what pareto.py and shapes.py time with."""

import os
import time
import tomllib
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from widesr.engine.vino import OpenVinoEngine
from widesr.models.catalog import ModelFile, read_card
from widesr.pictures.reading import read_picture

EXAMPLES = Path(__file__).parents[1] / "examples"
SLOW = 4
"""Seconds of processors from which on the first reading of a network is the only one."""


class Times(NamedTuple):
    """The best of several rounds, in seconds."""

    wall: float
    cpu: float
    """Seconds of all threads of the process, to compare by where the machine has other work."""

    def of(self, other: "Times", *, threads: int) -> float:
        """Divide by the other's time: of the processor on one thread, else of the clock."""
        return self.cpu / other.cpu if threads == 1 else self.wall / other.wall


def photograph(height, width):
    """(1, 3, height, width), float32 in [0, 1]; noise is not what networks were made for."""
    pixels = read_picture(EXAMPLES / "kitten.jpg").pixels
    rows, columns = np.arange(height) % len(pixels), np.arange(width) % pixels.shape[1]
    return (pixels[np.ix_(rows, columns)].transpose(2, 0, 1)[np.newaxis] / 255).astype(np.float32)


def runner(model: ModelFile, *, precision: str, threads: int):
    """Load a network into OpenVINO, as `widesr upscale` does, without the guard over what it makes.

    The guard would run networks of random weights a second time, in fp32.
    """
    network = OpenVinoEngine(model, threads=threads, streams=1, precision=precision)
    return lambda lr: network.run_all(lr)[0]


def config_of(spec: str, *, scale: int):
    """Read "family=wdsr net.block=a net.n_feats=48 ..." as the network's configuration.

    The family is wdsr, with block A and expansion 2, where nothing else is said.
    """
    from widesr.nets import parse_config

    values = tomllib.loads("\n".join(_quoted(setting) for setting in spec.split()))
    family, net = values.get("family", "wdsr"), values.get("net", {})
    usual = {"block": "a", "expansion": 2.0} if family == "wdsr" else {}
    return parse_config(family, {"scale": scale, **usual, **net})


def _quoted(setting):
    """Put words into quotation marks, as TOML wants them."""
    key, _, value = setting.partition("=")
    is_word = value[:1].isalpha() and value not in ("true", "false")
    return f'{key} = "{value}"' if is_word else f"{key} = {value}"


def random_model(cfg, path: Path) -> ModelFile:
    """Export a network of random weights, which takes as long as a trained one."""
    import torch

    from widesr.nets import build

    torch.manual_seed(0)
    return exported(build(cfg), path)


def imported_model(weights: Path, path: Path) -> ModelFile:
    """Export a network of other makers' weights."""
    from widesr.exchange.importers import import_file

    return exported(import_file(weights).network, path)


def exported(network, path: Path) -> ModelFile:
    """Export a network to where it is timed; the file goes with its folder."""
    from widesr.exchange.export import export_onnx
    from widesr.train.checkpoint import save_weights

    save_weights(path.with_suffix(".safetensors"), network, None)
    export_onnx(path.with_suffix(".safetensors"), path, licence="LicenseRef-Timed", overwrite=True)
    return ModelFile(path, read_card(path))


def take_turns(
    runs: Mapping[Hashable, Callable[[], object]], *, rounds: int
) -> dict[Hashable, Times]:
    """Time each in turn, round by round, so that what else the machine does falls on all."""
    best, slow = {}, set()
    for round_ in range(rounds + 1):
        for name, run in runs.items():
            if name in slow:
                continue
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            took = Times(time.perf_counter() - wall, time.process_time() - cpu)
            if round_ == 0 and took.cpu > SLOW:
                slow.add(name)
            elif round_ == 0:  # the first compiles, which is nothing beside seconds
                continue
            earlier = best.get(name, took)
            best[name] = Times(min(earlier.wall, took.wall), min(earlier.cpu, took.cpu))
    return best


def load_average():
    return round(os.getloadavg()[0], 2)
