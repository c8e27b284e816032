"""Compare ways to x8: networks of x4 and x2 in turn, networks of x8, and bicubic.

    python benchmarks/eight.py PHOTOGRAPHS [WAY ...] [--only LIST] [--lr DIR] [--lpips-weights FILE]

A WAY is a name such as `best`, for x4 and then x2, or an .onnx file of x8. LR pictures are made by
imresize, or matched by name in `--lr`. `--only` is a text file with the names of the photographs to
take. For each way: the mean PSNR-Y by `benchmark-y` and LPIPS, and seconds on one thread.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from widesr import PROTOCOLS, psnr
from widesr.engine import EngineOptions
from widesr.evaluation.measures import Judge, Triple
from widesr.evaluation.scoring import find_pairs
from widesr.system.folders import pictures_in
from widesr.upscaling.interpolation import Bicubic
from widesr.upscaling.resize_to import SizedUpscaler
from widesr.upscaling.target import Target
from widesr.upscaling.upscaler import Upscaler

SCALE = 8
PROTOCOL = PROTOCOLS["benchmark-y"]
OPTIONS = EngineOptions(precision="fp32", threads=1)


def load(way):
    """Load one way to x8."""
    if way == "bicubic":
        return Bicubic(SCALE)
    if way.endswith(".onnx"):
        return Upscaler.load(way, scale=SCALE, options=OPTIONS)
    steps = {scale: Upscaler.load(way, scale=scale, options=OPTIONS) for scale in (4, 2)}
    return SizedUpscaler(Target(scale=SCALE), networks=steps)


def main():
    """Run as the module says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("ways", nargs="*", default=["bicubic", "fast", "default", "best"])
    parser.add_argument("--only", type=Path)
    parser.add_argument("--lr", type=Path)
    parser.add_argument("--lpips-weights", type=Path)
    args = parser.parse_args()
    only = args.only and {Path(line).name for line in args.only.read_text("utf-8").splitlines()}
    judge = Judge(["lpips"] if args.lpips_weights else [], lpips_weights=args.lpips_weights)
    paths = [path for path in pictures_in(args.photographs) if not only or path.name in only]
    pairs = find_pairs(paths, args.lr, scale=SCALE)
    photographs = [(pair.hr_path.name, *pair.read(scale=SCALE)) for pair in pairs]
    for way in args.ways:
        upscaler, scores, seconds = load(way), [], 0.0
        for name, hr, lr in photographs:
            start = time.perf_counter()
            sr = upscaler(lr)
            seconds += time.perf_counter() - start
            measured = judge.measure(Triple(sr=sr, hr=hr, lr=lr, scale=SCALE), name=name)
            scores.append([psnr(sr, hr, protocol=PROTOCOL, scale=SCALE), *measured.values()])
        decibels, *lpips = np.mean(scores, axis=0)
        more = "".join(f"  LPIPS {value:.4f}" for value in lpips)
        print(f"{way}: {decibels:.3f} dB{more}  {seconds:.2f} s  {len(scores)} pictures")


if __name__ == "__main__":
    main()
