"""ONNX Runtime or OpenVINO, in each precision: speed, memory, exactness, loss, on one network.

    python benchmarks/engines.py         # needs both runtimes; some minutes

Writes `benchmarks/results/engines.json`. Each row is measured in a process of its own, and they
take turns, so that what else the machine does falls on all. Each time is the best of several;
`cpu_s`, processor time, is what to compare where the machine had other work (see `load_average`).

`isa` limits the instructions that OpenVINO may use, as on lesser CPUs. `widest_that_differs` is the
width of the widest crop of which some value beyond the halo is not that of the whole picture, among
300 at random. `lost_db` is PSNR-Y against ONNX Runtime, over `training/held_out.txt`, where the
photographs are there (--photographs).
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import files, version
from pathlib import Path

import numpy as np

from widesr.models.catalog import MODELS_DIR, ModelFile, read_card
from widesr.system.machine import cpu_name

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "engines.json"
ENGINES = (
    "onnxruntime fp32",
    "openvino fp32",
    "openvino bf16",
    "openvino fp16",
    "openvino int8",
    "openvino int8 AVX512_CORE_VNNI",
    "openvino fp32 AVX512_CORE_BF16",
    "openvino bf16 AVX512_CORE_BF16",
)
"""Back end, precision and, of some, the instructions that it is held to."""
SIZES = ((270, 480), (540, 960))
ROUNDS = 2
RUNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODELS_DIR / "wdsr-a8-x2.onnx")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--photographs", type=Path, default=ROOT.parent / "shared/data/train")
    parser.add_argument("--worker", choices=ENGINES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(_measure(args.worker, args.model, args.threads, args.photographs)))
        return
    rounds = [{engine: _in_own_process(engine, args) for engine in ENGINES} for _ in range(ROUNDS)]
    card = read_card(args.model)
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{cpu_name()}, {os.cpu_count()} CPUs, {platform.system()}",
        "load_average": round(os.getloadavg()[0], 2),
        "threads": args.threads,
        "network": {"name": card.name, "parameters": card.parameters, "scale": card.scale},
        "engines": {engine: _best([r[engine] for r in rounds]) for engine in ENGINES},
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(RESULT.read_text())


def _in_own_process(engine: str, args: argparse.Namespace) -> dict:
    command = [sys.executable, __file__, "--worker", engine, "--model", str(args.model)]
    command += ["--threads", str(args.threads), "--photographs", str(args.photographs)]
    _, _, *isa = engine.split()
    environment = os.environ | ({"ONEDNN_MAX_CPU_ISA": isa[0]} if isa else {})
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout)


def _measure(engine_name: str, model: Path, threads: int, photographs: Path) -> dict:
    backend, precision, *isa = engine_name.split()
    started, resident = time.perf_counter(), _peak_mib()
    from widesr.engine import load_engine

    file = ModelFile(model, read_card(model))
    engine = load_engine(file, backend=backend, precision=precision, threads=threads)
    load = time.perf_counter() - started
    engine.run(_picture(64, 64))
    row: dict = {
        "version": version(backend),
        "installed_mib": _installed_mib(backend),
        "load_s": load,
        "first_64x64_s": time.perf_counter() - started,
    }
    for height, width in SIZES:
        lr = _picture(height, width)
        walls, cpus = zip(*(_timed(engine, lr) for _ in range(RUNS)), strict=True)
        row[f"{width}x{height}_s"] = min(walls)
        row[f"{width}x{height}_cpu_s"] = min(cpus)
        row[f"{width}x{height}_peak_mib"] = _peak_mib() - resident
    row["widest_that_differs"] = _widest_that_differs(engine)
    if photographs.is_dir() and not isa and precision != "fp32":
        exact = load_engine(file, backend="onnxruntime", threads=threads)
        losses = [_loss(engine, exact, path) for path in _held_out(photographs)]
        row["lost_db"], row["most_lost_db"] = float(np.mean(losses)), max(losses)
    return row


def _timed(engine, lr) -> tuple[float, float]:
    """Return seconds of the clock and of the processors."""
    wall, cpu = time.perf_counter(), time.process_time()
    engine.run(lr)
    return time.perf_counter() - wall, time.process_time() - cpu


def _widest_that_differs(engine) -> int:
    random, widest, scale = np.random.default_rng(0), 0, engine.scale
    for _ in range(20):
        size = random.integers(40, 300, 2)
        lr = random.random((1, 3, *size), np.float32)
        whole = engine.run(lr)
        for _ in range(15):
            read = [_span(random, int(side)) for side in size]
            part = engine.run(lr[:, :, *read])
            rows, columns = (
                _inner(r, int(side), engine) for r, side in zip(read, size, strict=True)
            )
            there = [slice(r.start * scale, r.stop * scale) for r in read]
            same = whole[:, :, *there][:, :, rows, columns] == part[:, :, rows, columns]
            if not same.all():
                widest = max(widest, read[1].stop - read[1].start)
    return widest


def _span(random, length: int) -> slice:
    size = int(random.integers(20, min(length, 150) + 1))
    start = int(random.integers(0, length - size + 1))
    return slice(start, start + size)


def _inner(read: slice, length: int, engine) -> slice:
    """Return what is kept of a crop, in output pixels: all but the halos, which no border has."""
    halo = engine.receptive_radius
    first = halo if read.start else 0
    last = read.stop - read.start - (halo if read.stop < length else 0)
    return slice(first * engine.scale, max(first, last) * engine.scale)


def _held_out(photographs: Path) -> list[Path]:
    lines = (ROOT / "training" / "held_out.txt").read_text().splitlines()
    return [photographs / line for line in lines if line and not line.startswith("#")]


def _loss(engine, exact, path: Path) -> float:
    from widesr.degrade.bicubic import cropped_to_multiple, degrade
    from widesr.pictures.reading import read_picture
    from widesr.pixels.metrics import PROTOCOLS, psnr

    scale = engine.scale
    hr = cropped_to_multiple(read_picture(path).pixels, scale)
    lr = degrade(hr, scale=scale).transpose(2, 0, 1)[np.newaxis].astype(np.float32) / 255

    def quality(of) -> float:
        sr = np.floor(of.run(lr)[0].clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
        return psnr(sr, hr, protocol=PROTOCOLS["benchmark-y"], scale=scale)

    return float(quality(exact) - quality(engine))


def _picture(height: int, width: int):
    return np.random.default_rng(0).random((1, 3, height, width), np.float32)


def _best(rows: list[dict]) -> dict:
    """Each figure at its best; the largest width and loss."""
    worst = ("widest_that_differs", "lost_db", "most_lost_db")
    best = {k: (max if k in worst else min)(r[k] for r in rows) for k in rows[0]}
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in best.items()}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _installed_mib(package: str) -> float:
    sizes = [f.locate().stat().st_size for f in files(package) if f.locate().is_file()]
    return sum(sizes) / 2**20


if __name__ == "__main__":
    main()
