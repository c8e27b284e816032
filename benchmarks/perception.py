"""Perception and distortion: what models score in both, with and without consistency.

    python benchmarks/perception.py BENCH --lpips-weights FILE [--scales 4] [--sets Set14]
        [--json benchmarks/results/perception.json]
    python benchmarks/perception.py --table benchmarks/results/perception.json
    python benchmarks/perception.py --times PICTURES [--scales 2 3 4]

BENCH is a folder with `Set5/HR`, `Set5/LR_bicubic/X2` ... and `Set14/HR_x2`, `Set14/LR_x2` ..., as
the usual archives have them; FILE is what LPIPS looks with. `--table` prints the table of a run,
and what others published, which is by other networks on other pictures. `--times` upscales each
picture of a folder with and without consistency in turn, and prints the ratio of the seconds that
the processor worked, the least of some rounds.
"""

import argparse
import json
import time
from pathlib import Path

from widesr import evaluate_folder
from widesr.engine import EngineOptions
from widesr.models.catalog import ALIASES, BICUBIC
from widesr.pictures.reading import read_picture
from widesr.system.folders import pictures_in
from widesr.upscaling.upscaler import Upscaler

METRICS = ("lpips", "niqe", "lr-psnr", "spectrum", "lattice")
PUBLISHED = (
    ("RRDB", "0.253", "", "published, LPIPS on DIV2K validation x4, AlexNet"),
    ("ESRGAN", "0.124", "39.01", "published, the same; LR-PSNR from the NTIRE 2021 challenge"),
    ("SRFlow", "0.120", "49.91", "published, the same"),
    ("NCSR", "0.119", "", "published, the same"),
)


def folders(bench, dataset, scale):
    """HR and LR of a set."""
    if dataset == "Set5":
        return bench / "Set5" / "HR", bench / "Set5" / "LR_bicubic" / f"X{scale}"
    return bench / dataset / f"HR_x{scale}", bench / dataset / f"LR_x{scale}"


def models(scale):
    """Bicubic, and the aliases of this scale."""
    return [BICUBIC, *(alias for alias, scales in ALIASES.items() if scale in scales)]


def measured(bench, weights, scales, sets):
    """One row for each model, scale, set, with consistency and without."""
    for scale in scales:
        for dataset in sets:
            hr_dir, lr_dir = folders(bench, dataset, scale)
            for model in models(scale):
                for consistent in (False, True):
                    report = evaluate_folder(
                        hr_dir,
                        model=model,
                        scale=scale,
                        protocol="benchmark-y",
                        metrics=METRICS if weights else METRICS[1:],
                        lpips_weights=weights,
                        lr_dir=lr_dir,
                        consistent=consistent,
                    )
                    yield {
                        "set": dataset,
                        "scale": scale,
                        "model": model,
                        "consistent": consistent,
                        "psnr-y": report.mean["benchmark-y"].psnr,
                        **report.mean_measures,
                        "lr-psnr-worst": min(each.measures["lr-psnr"] for each in report.images),
                        "weights": report.metrics[0].weights_sha256,
                    }


def table(rows):
    """A table in Markdown."""
    head = "set, scale|model|consistent|PSNR-Y|LPIPS|NIQE|LR-PSNR, mean and worst|spectrum|lattice"
    lines = [f"| {head.replace('|', ' | ')} |", f"|{' --- |' * 3}{' ---: |' * 6}"]
    for row in rows:
        lpips = f"{row['lpips']:.4f}" if "lpips" in row else ""
        lines.append(
            f"| {row['set']} x{row['scale']} | {row['model']} | "
            f"{'yes' if row['consistent'] else 'no'} | {row['psnr-y']:.3f} | {lpips} | "
            f"{row['niqe']:.2f} | {row['lr-psnr']:.2f}, {row['lr-psnr-worst']:.2f} | "
            f"{row['spectrum']:.2f} | {row['lattice']:.1f} |"
        )
    lines += ["", "| others | LPIPS | LR-PSNR | from |", "| --- | ---: | ---: | --- |"]
    lines += [f"| {' | '.join(row)} |" for row in PUBLISHED]
    return "\n".join(lines)


def print_times(folder, scales, rounds=3):
    """Print how much longer the processor works for consistency."""
    pictures = [read_picture(path).pixels for path in pictures_in(folder)]
    for scale in scales:
        for model in models(scale)[1:4]:
            both = [
                Upscaler.load(model, scale=scale, options=EngineOptions(consistent=consistent))
                for consistent in (False, True)
            ]
            best = [float("inf")] * 2
            for _ in range(rounds):
                for i, upscaler in enumerate(both):
                    start = time.process_time()
                    for pixels in pictures:
                        upscaler(pixels)
                    best[i] = min(best[i], time.process_time() - start)
            print(
                f"x{scale} {model}: {best[0]:.2f} s, consistent {best[1]:.2f} s, "
                f"{best[1] / best[0]:.3f} times",
                flush=True,
            )


def main():
    """Run as the module says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", type=Path, nargs="?")
    parser.add_argument("--lpips-weights", type=Path)
    parser.add_argument("--scales", type=int, nargs="+", default=[4])
    parser.add_argument("--sets", nargs="+", default=["Set14"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--times", type=Path)
    args = parser.parse_args()
    if args.times:
        print_times(args.times, args.scales)
        return
    if args.table:
        print(table(json.loads(args.table.read_text())))
        return
    rows = []
    for row in measured(args.bench, args.lpips_weights, args.scales, args.sets):
        rows.append(row)
        print(json.dumps(row), flush=True)
        if args.json:
            args.json.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
