"""Score models on clips by `vid4-bi`, and time them in turn; put scores on cards of clip models.

    python benchmarks/clips.py CLIPS [--scale 4] [--cards] [--json benchmarks/results/clips_x4.json]

CLIPS holds a folder of HR frames for each clip, such as the clips of Vid4. All models that
are for clean input are scored as `widesr upscale` runs them. Times are of the processor, for a
frame of the first clip on one thread, in the precision that "auto" takes and in fp32. All models
take turns, and the quickest of the rounds counts. `--cards` writes the mean scores into the files
of the models that look at several frames (needs the `train` extra).
"""

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from widesr.engine import EngineOptions, find_model
from widesr.models.catalog import BICUBIC, Score
from widesr.pictures.reading import read_picture
from widesr.system.commit import which_commit
from widesr.system.folders import frames_in
from widesr.upscaling.target import Target
from widesr.video.frames import load_frame_upscaler
from widesr.video.judge import degrade_frame, evaluate_clips

PROTOCOL = "vid4-bi"
MODELS = (BICUBIC, "fast", "default", "best", "video")
PRECISIONS = ("auto", "fp32")
TIMED = 12
"""Number of frames that are timed."""


def load(model, precision, threads, scale):
    options = EngineOptions(precision=precision, threads=threads)
    return load_frame_upscaler(model, target=Target(scale=scale), options=options)


def processor_seconds(folder, rounds, scale):
    """Return the processor seconds of each model for a frame, by precision."""
    clip = next(each for each in sorted(folder.iterdir()) if each.is_dir())
    hr = [read_picture(path).pixels for path in frames_in(clip)[:TIMED]]
    frames = [degrade_frame(each, scale=scale, degradation="BI") for each in hr]
    each = {(m, p): load(m, p, 1, scale) for m in MODELS if m != BICUBIC for p in PRECISIONS}
    best = dict.fromkeys(each, float("inf"))
    for _ in range(rounds + 1):  # the first round is slower
        for key, upscaler in each.items():
            # Another frame each time: equal ones would not be computed again.
            start = time.process_time()
            for _ in upscaler.upscale_scene(frames):
                pass
            best[key] = min(best[key], (time.process_time() - start) / len(frames))
    return {m: {p: best[m, p] for p in PRECISIONS} for m in MODELS if m != BICUBIC}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--cards", action="store_true", help="write scores into the model files")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    commit = which_commit()

    scale = options.scale
    seconds = processor_seconds(options.clips, options.rounds, scale)
    found: dict[str, Any] = {}
    print("| model | dB PSNR-Y | SSIM | flicker | TCC | CPU s a frame | in fp32 |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for model in MODELS:
        report = evaluate_clips(
            options.clips,
            upscaler=load(model, "auto", None, scale),
            scale=scale,
            protocol=PROTOCOL,
        )
        found[model] = {
            "model": report.model,
            "psnr": round(report.psnr, 4),
            "ssim": round(report.ssim, 4),
            "flicker": round(float(np.mean([clip.flicker for clip in report.clips])), 3),
            "tcc": round(float(np.mean([clip.tcc for clip in report.clips])), 4),
            "clips": {clip.name: round(clip.psnr, 4) for clip in report.clips},
            "seconds": {name: round(took, 4) for name, took in seconds.get(model, {}).items()},
        }
        row = found[model]
        took = " | ".join(f"{each:.3f}" for each in row["seconds"].values()) or "- | -"
        print(
            f"| `{model}` | {row['psnr']:.2f} | {row['ssim']:.4f} | {row['flicker']:+.2f} | "
            f"{row['tcc']:.4f} | {took} |",
            flush=True,
        )
        if model == BICUBIC:
            continue
        file = find_model(model, scale=scale)
        if options.cards and file.card.frames > 1:
            from widesr.exchange.export import put_scores

            dataset = f"{options.clips.name} ({', '.join(row['clips'])})"
            scores = {"psnr": row["psnr"], "ssim": row["ssim"]}
            put_scores(file.path, [Score(dataset=dataset, protocol=PROTOCOL, **scores)])
        row["sha256"] = hashlib.sha256(file.path.read_bytes()).hexdigest()
    if options.json:
        result = {"command": " ".join(["python", *sys.argv]), "commit": commit, "models": found}
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
