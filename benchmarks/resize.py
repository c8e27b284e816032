"""`imresize` against torch's antialiased bicubic, one thread each, in turn: milliseconds and ratio.

    python benchmarks/resize.py [--json benchmarks/results/resize.json]

Both get a 1920x1080 RGB picture. "picture": uint8 (H, W, 3) to uint8 (H, W, 3), as pictures are
read and written; torch goes through float32, rounds and clips, ours rounds between the passes
too, as MATLAB does, in float64. "float32": each in its own layout, (H, W, 3) and (1, 3, H, W).
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from widesr import imresize

SCALES = {"1/2": 1 / 2, "1/3": 1 / 3, "1/4": 1 / 4, "2": 2.0, "3": 3.0, "4": 4.0}


def torch_float(tensor, scale):
    return torch.nn.functional.interpolate(
        tensor, scale_factor=scale, mode="bicubic", antialias=True
    )


def torch_picture(picture, scale):
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    resized = torch_float(tensor, scale).round_().clamp_(0, 255)
    return resized[0].permute(1, 2, 0).to(torch.uint8).contiguous().numpy()


def in_turn(functions, rounds):
    """Seconds of each function, round by round."""
    seconds = [[] for _ in functions]
    for round_ in range(rounds + 1):
        for i, function in enumerate(functions):
            began = time.perf_counter()
            function()
            if round_:  # the first round warms up
                seconds[i].append(time.perf_counter() - began)
    return seconds


def main():
    parser = argparse.ArgumentParser(description="imresize against torch, one thread each")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)

    picture = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), np.uint8)
    floats = picture.astype(np.float32)
    tensor = torch.from_numpy(floats).permute(2, 0, 1)[None].contiguous()
    rows = []
    for name, scale in SCALES.items():
        for kind, ours, theirs in (
            (
                "picture",
                lambda s=scale: imresize(picture, scale=s),
                lambda s=scale: torch_picture(picture, s),
            ),
            (
                "float32",
                lambda s=scale: imresize(floats, scale=s),
                lambda s=scale: torch_float(tensor, s),
            ),
        ):
            mine, other = in_turn((ours, theirs), options.rounds)
            ratios = [b / a for a, b in zip(mine, other, strict=True)]
            row = {
                "scale": name,
                "kind": kind,
                "widesr_ms": round(1e3 * statistics.median(mine), 1),
                "torch_ms": round(1e3 * statistics.median(other), 1),
                "times_as_fast": round(statistics.median(ratios), 2),
            }
            rows.append(row)
            milliseconds = f"{row['widesr_ms']:7.1f} ms, torch {row['torch_ms']:7.1f} ms"
            print(f"x{name:4} {kind:8} {milliseconds}: {row['times_as_fast']:.2f} times as fast")
    if options.json:
        facts = {"numpy": np.__version__, "torch": torch.__version__, "rows": rows}
        options.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
