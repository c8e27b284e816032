"""Judges several samples of each picture together, for `widesr evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING

from widesr.cli import options
from widesr.cli.terminal import progress, table
from widesr.errors import UsageError

if TYPE_CHECKING:
    from widesr.engine import EngineOptions
    from widesr.evaluation.space import SamplesReport, SamplesScore


SR_SPACE = "sr-space"
"""The protocol of NTIRE's challenge, which judges several samples of a picture together."""


def judge_samples(
    hr_dir: Path,
    sr_dir: Path | None,
    *,
    model: str,
    engine: "EngineOptions",
    protocol: list[str],
    scale: int,
    samples: int,
    lpips_weights: Path | None,
    max_pixels: int | None,
    quiet: bool,
) -> "tuple[SamplesReport, list[str]]":
    """Judge the samples in `sr_dir`, or those of a model; return the report and its lines.

    Raises:
        UsageError: The protocol is not `SR_SPACE` alone, or no samples are given and the model
            makes none.
        WidesrError: The errors of `evaluate_samples`.
    """
    from widesr.evaluation.scoring import list_pictures
    from widesr.evaluation.space import evaluate_samples
    from widesr.upscaling.sampling import load_sampler

    if protocol != [SR_SPACE]:
        raise UsageError(f"samples are judged by --protocol {SR_SPACE} alone; leave out the others")
    made = sr_dir or load_sampler(model, scale=scale, options=engine)
    done = 0
    with progress(len(list_pictures(hr_dir)), quiet=quiet) as show:

        def count_up(name: str) -> None:
            nonlocal done
            done += 1
            show(done, f"{name} done")

        report = evaluate_samples(
            hr_dir,
            made,
            scale=scale,
            samples=samples,
            lpips_weights=lpips_weights,
            on_picture=count_up,
            **options.limits(max_pixels=max_pixels),
        )
    return report, _as_lines(report)


def _as_lines(report: "SamplesReport") -> list[str]:
    def row(name: str, each: "SamplesScore") -> tuple[str, ...]:
        return (
            name,
            f"{each.score:.2f}",
            f"{each.lpips_mean:.4f}",
            f"{each.lpips_best:.4f}",
            f"{each.lr_psnr_mean:.2f}",
            f"{each.lr_psnr_worst:.2f}",
            f"{each.noise_score:.2f}",
            f"{each.noise_lpips:.4f}",
        )

    head = ("picture", "score", "LPIPS", "best", "LR-PSNR", "worst", "noise: score", "LPIPS")
    rows = [head, *(row(*each) for each in report.pictures.items()), row("mean", report.mean)]
    what = f"{report.samples} samples of {len(report.pictures)} pictures"
    by = f"{report.network}, weights {report.weights_sha256[:12]}"
    return [
        f"{report.samples_folder} x{report.scale} against {report.folder}: {what}",
        *table(rows),
        "score: 100 (best - locally best) / best, by LPIPS; higher is more of the space",
        "noise: the same of noise that varies about the mean of the samples as they do",
        f"LPIPS: {by}; the challenge had AlexNet",
    ]
