"""ONNX Runtime or OpenVINO: speed, start-up, memory, exactness and size, on one network.

Run: `python benchmarks/engines.py` (needs both runtimes; about a minute). Writes
`benchmarks/results/engines.json`. Each row is measured in a process of its own, and the back ends
take turns, so that what else the machine does falls on both. Each time is the best of several;
`cpu_s`, processor time, is what to compare where the machine had other work (see `load_average`).
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

from widesr.catalog import MODELS_DIR, ModelFile, read_card

RESULT = Path(__file__).parent / "results" / "engines.json"
BACKENDS = ("onnxruntime", "openvino")
SIZES = ((270, 480), (540, 960))
ROUNDS = 2
RUNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODELS_DIR / "wdsr-a8-x2.onnx")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--worker", choices=BACKENDS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(_measure(args.worker, args.model, args.threads)))
        return
    rounds = [
        {backend: _in_own_process(backend, args.model, args.threads) for backend in BACKENDS}
        for _ in range(ROUNDS)
    ]
    card = read_card(args.model)
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "load_average": os.getloadavg()[0],
        "threads": args.threads,
        "network": {"name": card.name, "parameters": card.parameters, "scale": card.scale},
        "backends": {backend: _best([r[backend] for r in rounds]) for backend in BACKENDS},
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(RESULT.read_text())


def _in_own_process(backend: str, model: Path, threads: int) -> dict:
    command = [sys.executable, __file__, "--worker", backend]
    command += ["--model", str(model), "--threads", str(threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def _measure(backend: str, model: Path, threads: int) -> dict:
    started, resident = time.perf_counter(), _peak_mib()
    from widesr.engine import load_engine

    engine = load_engine(
        ModelFile(model, read_card(model)), backend=backend, precision="fp32", threads=threads
    )
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
    row["tiles_differ"] = _values_that_differ_between_tiles_and_whole(engine)
    return row


def _timed(engine, lr) -> tuple[float, float]:
    """Seconds on the wall and of processors."""
    wall, cpu = time.perf_counter(), time.process_time()
    engine.run(lr)
    return time.perf_counter() - wall, time.process_time() - cpu


def _values_that_differ_between_tiles_and_whole(engine) -> int:
    from widesr.tiling import plan_tiles

    lr, differ = _picture(97, 131), 0
    whole = engine.run(lr)
    for tile in (16, 23, 64):
        for t in plan_tiles(97, 131, tile=tile, halo=engine.receptive_radius):
            part = engine.run(lr[:, :, t.read_y, t.read_x])
            rows, columns = t.kept(engine.scale)
            placed = t.placed(engine.scale)
            differ += int((part[:, :, rows, columns] != whole[(..., *placed)]).sum())
    return differ


def _picture(height: int, width: int):
    return np.random.default_rng(0).random((1, 3, height, width), np.float32)


def _best(rows: list[dict]) -> dict:
    """Each figure at its best; the largest count of differing values."""
    best = {k: min(r[k] for r in rows) for k in rows[0]}
    best["tiles_differ"] = max(r["tiles_differ"] for r in rows)
    return {k: round(v, 3) if isinstance(v, float) else v for k, v in best.items()}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _installed_mib(package: str) -> float:
    sizes = [f.locate().stat().st_size for f in files(package) if f.locate().is_file()]
    return sum(sizes) / 2**20


def _machine() -> str:
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    name = names[0] if names else platform.processor()
    return f"{name}, {os.cpu_count()} CPUs, {platform.system()}"


if __name__ == "__main__":
    main()
