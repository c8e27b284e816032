"""Score every model of the package, and bicubic, on Set5 and Set14; put the scores on their cards.

    python benchmarks/quality.py BENCH [--cards] [--json benchmarks/results/quality.json]
    python benchmarks/quality.py BENCH --only MODEL [--cards]
    python benchmarks/quality.py BENCH --self-ensemble --json benchmarks/results/self_ensemble.json

BENCH is a folder with `Set5/HR`, `Set5/LR_bicubic/X2` ... and `Set14/HR_x2`, `Set14/LR_x2` ...,
as the usual archives have them. `--only` scores one model, by name or path, and no bicubic: for one
that is not in the package yet. The file of `--json` then keeps what it has of others.
`--self-ensemble` is `widesr upscale -x`, of the finest models alone, and for no card. `--cards`
writes the scores into the model files (needs the `train` extra), and `scripts/models_table.py`
takes them from there into the README.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

from widesr import evaluate_folder
from widesr.engine import find_model
from widesr.models.catalog import ALIASES, BICUBIC, Score, list_shipped
from widesr.system.commit import which_commit

PROTOCOLS = ("benchmark-y", "matlab-y", "basicsr-rgb")


def sets(bench, scale):
    """Name, HR folder and LR folder of each test set at a scale."""
    yield "Set5", bench / "Set5" / "HR", bench / "Set5" / "LR_bicubic" / f"X{scale}"
    yield "Set14", bench / "Set14" / f"HR_x{scale}", bench / "Set14" / f"LR_x{scale}"


def judged(name, scale, bench, self_ensemble=False):
    """Scores of one model, one for each set and protocol, and the reports they come from."""
    scores, reports = [], []
    for dataset, hr_dir, lr_dir in sets(bench, scale):
        report = evaluate_folder(
            hr_dir,
            model=name,
            scale=scale,
            protocol=PROTOCOLS,
            lr_dir=lr_dir,
            self_ensemble=self_ensemble,
        )
        reports.append(report)
        for protocol in PROTOCOLS:
            mean = report.mean[protocol]
            scores.append(
                Score(
                    dataset=dataset,
                    protocol=protocol,
                    psnr=round(mean.psnr, 4),
                    ssim=round(mean.ssim, 4),
                )
            )
            print(f"{report.model.name:12}  x{scale}  {dataset:5}  {protocol:11}  "
                  f"{mean.psnr:7.4f} dB  {mean.ssim:.4f}")  # fmt: skip
    return scores, reports


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", type=Path)
    parser.add_argument("--only", metavar="MODEL", help="a name, or the path of an .onnx file")
    parser.add_argument("--cards", action="store_true", help="write scores into the model files")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--self-ensemble", action="store_true")
    options = parser.parse_args()
    if options.cards and options.self_ensemble:
        parser.error("scores of the self-ensemble are for no card")

    # first: cards that are written make the tree another
    commit = which_commit()

    finest = set(ALIASES["best"].values())
    if options.only:
        models = [find_model(options.only, scale=None)]
    else:
        of_pictures = [m for m in list_shipped() if m.card.frames == 1]
        models = [m for m in of_pictures if m.card.name in finest or not options.self_ensemble]
    alone = options.only or options.self_ensemble
    scales = set() if alone else {model.card.scale for model in models}
    found = {}
    for scale in sorted(scales):
        found[f"{BICUBIC}-x{scale}"] = judged(BICUBIC, scale, options.bench)[1]
    for model in models:
        name = options.only or model.card.name
        scores, reports = judged(name, model.card.scale, options.bench, options.self_ensemble)
        found[reports[0].model.name] = reports
        if options.cards:
            from widesr.exchange.export import put_scores

            put_scores(model.path, scores)
    if options.json:
        plain = {name: [json.loads(r.model_dump_json()) for r in rs] for name, rs in found.items()}
        for model in models:  # the hash of the file as it is now, with the scores on its card
            for report in plain.get(model.card.name, ()):
                report["model"]["sha256"] = hashlib.sha256(model.path.read_bytes()).hexdigest()
        result = {
            "command": " ".join(["python", *sys.argv]),
            "commit": commit,
            "reports": plain,
        }
        if options.only and options.json.is_file():  # the rest is of the run that it names
            kept = json.loads(options.json.read_text(encoding="utf-8"))
            result = kept | {"reports": kept["reports"] | plain}
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
