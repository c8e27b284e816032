"""Images per second: our training loop, with each of its parts taken out, and the plain loop.

    python benchmarks/training.py [--data examples] [--threads 1] [--rounds 5]
    python benchmarks/training.py --table     # print the tables of the last result

The plain loop has EDSR-PyTorch's shape: eager fp32, contiguous tensors, torch's weight_norm
parametrization, Adam as torch has it by default, and a DataLoader whose workers decode the whole
LR and HR picture (PNG, by Pillow) for every patch. Ours is `widesr.train.run.Run` fed by
`widesr.data.loader.Loader`. All take turns, several rounds of a few steps each, so that what else
the machine does falls on all; a ratio is the median over the rounds of the ratios within one.

GFLOP/s count the convolutions forward and backward; the share is of the fastest product of two
matrices that torch makes in that precision, measured in the same rounds, fastest against fastest.
Needs the dependency group `test` for Pillow.
"""

import argparse
import json
import math
import os
import statistics
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from widesr.data.loader import Loader
from widesr.data.patches import PatchSampler, cut_patches
from widesr.nets import WDSRConfig, build
from widesr.nets.weight_norm import WeightNormConv2d
from widesr.system.commit import which_commit
from widesr.system.machine import this_machine
from widesr.train.optimizers import Optimizers
from widesr.train.photographs import load_photographs
from widesr.train.recipe import load_recipe
from widesr.train.run import Run

HERE = Path(__file__).parent
RESULT = HERE / "results" / "training.json"
SHAPE = {"scale": 2, "n_resblocks": 16, "n_feats": 32}
NETWORKS = {
    "WDSR-A 16x32, expansion 4": WDSRConfig(block="a", expansion=4, **SHAPE),
    "WDSR-B 16x32, expansion 6": WDSRConfig(block="b", expansion=6, **SHAPE),
}
PARTS = ("bf16", "channels_last", "fused Adam", "our weight norm", "prefetch")
BATCH, SCALE = 16, 2
WARM_STEPS, STEPS = 1, 3
PEAK_SIDE = 2048


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent / "examples")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--workers", type=int, default=2, help="of the plain loop")
    parser.add_argument("--lr-patch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--table", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if not options.table:
        torch.set_num_threads(options.threads)
        with tempfile.TemporaryDirectory() as folder:
            result = measured(options, Path(folder))
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(tables(json.loads(RESULT.read_text(encoding="utf-8"))))


def measured(options, folder):
    """All contenders of all networks, in turn."""
    photographs = loaded(options)
    write_pngs(photographs, folder)
    contenders = {}
    for name, cfg in NETWORKS.items():
        contenders[name, "plain"] = PlainLoop(cfg, options, folder)
        contenders[name, "plain, patches from memory"] = Ours(
            cfg, options, photographs, without=PARTS
        )
        contenders[name, "ours"] = Ours(cfg, options, photographs)
        for part in PARTS:
            contenders[name, f"ours without {part}"] = Ours(
                cfg, options, photographs, without=(part,)
            )
    seconds = {key: [] for key in contenders}
    peaks = {"fp32": [], "bf16": []}
    for round_ in range(options.rounds):
        for precision, found in peaks.items():
            found.append(gemm_seconds(precision))
        for key, contender in contenders.items():
            seconds[key].append(contender.time_steps())
            print(round_, *key, f"{BATCH / seconds[key][-1]:.1f} images/s", flush=True)
    peak = {name: 2 * PEAK_SIDE**3 / min(found) / 1e9 for name, found in peaks.items()}
    here = this_machine()
    height, width = max((p.hr.shape[:2] for p in photographs.training), key=math.prod)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": which_commit(),
        "machine": f"{here.cpu}, {here.cores} CPUs",
        "threads": options.threads,
        "torch": torch.__version__,
        "load_average": round(os.getloadavg()[0], 1),
        "pictures": f"{len(photographs.training)}, up to {width}x{height}",
        "patches": f"{BATCH} of {options.lr_patch}x{options.lr_patch} LR pixels, x{SCALE}",
        "workers": options.workers,
        "rounds": options.rounds,
        "steps_per_round": STEPS,
        "peak_gflop_per_second": {name: round(value) for name, value in peak.items()},
        "rows": [row(key, seconds, contenders[key], peak) for key in contenders],
    }


def row(key, seconds, contender, peak):
    network, name = key
    plain = seconds[network, "plain"]
    ratios = [theirs / ours for theirs, ours in zip(plain, seconds[key], strict=True)]
    gflops = contender.gflop / min(seconds[key])
    return {
        "network": network,
        "loop": name,
        "images_per_second": round(BATCH / statistics.median(seconds[key]), 1),
        "times_plain": round(statistics.median(ratios), 2),
        "times_plain_range": [round(min(ratios), 2), round(max(ratios), 2)],
        "precision": contender.precision,
        "gflop_per_step": round(contender.gflop, 1),
        "gflop_per_second": round(gflops),
        "share_of_peak": round(gflops / peak[contender.precision], 3),
    }


def loaded(options):
    recipe = load_recipe("wdsr-a8-x2")
    data = {"lr_patch": options.lr_patch, "validation": 1, "exclude": ()}
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update=data)})
    return load_photographs(options.data, recipe)


def write_pngs(photographs, folder):
    """The pictures as the plain loop wants them: HR and LR files, as DIV2K has them."""
    for i, pair in enumerate(photographs.training):
        Image.fromarray(np.asarray(pair.hr)).save(folder / f"{i:04}.hr.png")
        Image.fromarray(np.asarray(pair.lr)).save(folder / f"{i:04}.lr.png")


def parametrize(network):
    """Put torch's own weight norm in the place of ours, in every convolution."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, WeightNormConv2d):
                setattr(parent, name, weight_norm(layer.plain()))
    return network


def gflop_of(network, lr_patch):
    """Count the operations of a step: the convolutions, forward and backward."""
    lr = torch.rand(1, 3, lr_patch, lr_patch)
    with FlopCounterMode(display=False) as counter:
        network(lr).sum().backward()
    network.zero_grad()
    return counter.get_total_flops() * BATCH / 1e9


def gemm_seconds(precision):
    """The fastest of a few products of large matrices."""
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    square = torch.rand(PEAK_SIDE, PEAK_SIDE).to(kind)
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        square @ square
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def time_each(step):
    """Seconds of a step, mean over a few, after some that are not counted."""
    for _ in range(WARM_STEPS):
        step()
    began = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - began) / STEPS


class Ours:
    """A `Run` and a `Loader`, with parts taken out of them."""

    def __init__(self, cfg, options, photographs, *, without=()):
        torch.manual_seed(0)
        precision = "fp32" if "bf16" in without else "bf16"
        recipe = load_recipe("wdsr-a8-x2")
        optim = {"precision": precision, "learning_rate": 1e-4, "warmup": 0, "steps": 10**6}
        data = {"batch": BATCH, "lr_patch": options.lr_patch}
        recipe = recipe.model_copy(
            update={
                "net": asdict(cfg),
                "optim": recipe.optim.model_copy(update=optim),
                "data": recipe.data.model_copy(update=data),
            }
        )
        self.precision = precision
        self.run = run = Run(recipe, device=torch.device("cpu"))
        self.gflop = gflop_of(run.network, options.lr_patch)
        if "our weight norm" in without:
            parametrize(run.network)
            parametrize(run.ema)
        if "channels_last" in without:
            run.network.register_forward_pre_hook(lambda _, inputs: inputs[0].contiguous())
        run.optimizers = Optimizers(recipe.optim, run.network)
        if "fused Adam" in without:
            for optimizer in run.optimizers:
                for group in optimizer.param_groups:
                    group["fused"] = None
        self.pairs, self.without = photographs.training, without
        self.patches = {"scale": SCALE, "lr_patch": options.lr_patch}
        sizes = [pair.lr.shape[:2] for pair in self.pairs]
        self.sampler = PatchSampler(sizes, lr_patch=options.lr_patch, seed=0)

    def time_steps(self):
        if "prefetch" in self.without:
            return time_each(lambda: self.run.advance(self.cut()))
        with Loader(self.pairs, batch=BATCH, seed=0, **self.patches) as loader:
            return time_each(lambda: self.run.advance(loader.next()))

    def cut(self):
        return cut_patches(self.pairs, self.sampler.draw(BATCH), **self.patches)


class Decoding(Dataset):
    """A patch of a picture file, which is decoded for it, whole."""

    def __init__(self, folder, lr_patch):
        self.files = sorted(folder.glob("*.hr.png"))
        self.lr_patch = lr_patch

    def __len__(self):
        return 10**6

    def __getitem__(self, index):
        random = np.random.default_rng(index)
        file = self.files[index % len(self.files)]
        hr = np.asarray(Image.open(file))
        lr = np.asarray(Image.open(file.with_suffix("").with_suffix(".lr.png")))
        side = self.lr_patch
        y = int(random.integers(lr.shape[0] - side + 1))
        x = int(random.integers(lr.shape[1] - side + 1))
        lr = lr[y : y + side, x : x + side]
        hr = hr[y * SCALE : (y + side) * SCALE, x * SCALE : (x + side) * SCALE]
        if random.random() < 0.5:
            lr, hr = lr[:, ::-1], hr[:, ::-1]
        if random.random() < 0.5:
            lr, hr = lr[::-1], hr[::-1]
        if random.random() < 0.5:
            lr, hr = lr.transpose(1, 0, 2), hr.transpose(1, 0, 2)
        return tuple(
            torch.from_numpy(np.ascontiguousarray(each.transpose(2, 0, 1))).float() / 255
            for each in (lr, hr)
        )


class PlainLoop:
    """The plain loop that a page of PyTorch gives."""

    precision = "fp32"

    def __init__(self, cfg, options, folder):
        torch.manual_seed(0)
        self.network = parametrize(build(cfg))
        self.gflop = gflop_of(self.network, options.lr_patch)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4)
        self.loader = DataLoader(
            Decoding(folder, options.lr_patch),
            batch_size=BATCH,
            num_workers=options.workers,
        )

    def time_steps(self):
        batches = iter(self.loader)  # new workers each time: none works while others are timed

        def step():
            lr, hr = next(batches)
            self.optimizer.zero_grad()
            loss = nn.functional.l1_loss(self.network(lr), hr)
            loss.backward()
            self.optimizer.step()
            float(loss.detach())

        return time_each(step)


def tables(result):
    """The result as Markdown."""
    lines = []
    for network in dict.fromkeys(row["network"] for row in result["rows"]):
        lines += ["", f"### {network}", ""]
        lines += ["| loop | images/s | times the plain loop | GFLOP/s | share of peak |"]
        lines += ["|---|---:|---:|---:|---:|"]
        for row in result["rows"]:
            if row["network"] == network:
                low, high = row["times_plain_range"]
                lines.append(
                    f"| {row['loop']} | {row['images_per_second']} | {row['times_plain']:.2f} "
                    f"({low:.2f} to {high:.2f}) | {row['gflop_per_second']} {row['precision']} | "
                    f"{row['share_of_peak']:.0%} |"
                )
    return "\n".join(lines[1:])


if __name__ == "__main__":
    main()
