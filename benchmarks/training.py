"""How long a training step takes, for networks of several shapes: milliseconds and GFLOP/s.

    python benchmarks/training.py [--threads 1] [--json benchmarks/results/training.json]

A step is forward, L1, backward and Adam on 16 patches of 32x32 LR pixels, in bf16 autocast and
fp32, as `widesr train` takes it; data and the moving average are left out. Networks run in turn,
several rounds, so that a machine that slows down slows all of them.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import torch

from widesr.nets import EDSRConfig, WDSRConfig, build

NETWORKS = {
    "WDSR-A 8x32, expansion 2": WDSRConfig(
        scale=2, block="a", n_resblocks=8, n_feats=32, expansion=2
    ),
    "WDSR-A 8x24, expansion 4": WDSRConfig(
        scale=2, block="a", n_resblocks=8, n_feats=24, expansion=4
    ),
    "WDSR-A 16x32, expansion 4": WDSRConfig(
        scale=2, block="a", n_resblocks=16, n_feats=32, expansion=4
    ),
    "WDSR-B 8x24, expansion 6": WDSRConfig(
        scale=2, block="b", n_resblocks=8, n_feats=24, expansion=6
    ),
    "WDSR-B 16x32, expansion 6": WDSRConfig(
        scale=2, block="b", n_resblocks=16, n_feats=32, expansion=6
    ),
    "EDSR 8x32": EDSRConfig(scale=2, n_resblocks=8, n_feats=32),
}
BATCH, PATCH = 16, 32


def stepper(cfg, precision):
    """A function that takes one step of this network."""
    torch.manual_seed(0)
    network = build(cfg)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    layout = {"memory_format": torch.channels_last}
    lr = torch.rand(BATCH, 3, PATCH, PATCH).contiguous(**layout)
    hr = torch.rand(BATCH, 3, PATCH * cfg.scale, PATCH * cfg.scale).contiguous(**layout)

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            sr = network(lr)
        loss = torch.nn.functional.l1_loss(sr.float(), hr)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    cases = [(name, precision) for name in NETWORKS for precision in ("bf16", "fp32")]
    steps = {case: stepper(NETWORKS[case[0]], case[1]) for case in cases}
    seconds = {case: [] for case in cases}
    for round_ in range(options.rounds + 2):
        for case, step in steps.items():
            began = time.perf_counter()
            step()
            if round_ >= 2:  # the first rounds choose and compile kernels
                seconds[case].append(time.perf_counter() - began)

    rows = []
    for name, precision in cases:
        parameters = sum(p.numel() for p in build(NETWORKS[name]).parameters())
        median = statistics.median(seconds[name, precision])
        # Each weight is multiplied and added once per LR pixel, forward and twice backward;
        # EDSR's convolutions behind the shuffle, which see more pixels, count as one here.
        gflops = 6 * parameters * BATCH * PATCH**2 / median / 1e9
        rows.append(
            {
                "network": name,
                "parameters": parameters,
                "precision": precision,
                "milliseconds": round(median * 1e3, 1),
                "fastest": round(min(seconds[name, precision]) * 1e3, 1),
                "gflop_per_second": round(gflops),
            }
        )
        print(
            f"{name:26} {precision}  {parameters:9,}  {median * 1e3:7.1f} ms  {gflops:5.0f} GFLOP/s"
        )
    if options.json:
        facts = {
            "threads": options.threads,
            "torch": torch.__version__,
            "cpu": platform.processor(),
        }
        options.json.write_text(
            json.dumps(facts | {"rows": rows}, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
