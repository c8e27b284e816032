"""Judges how well models upscale clips, for `widesr evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING

from widesr.cli.terminal import progress, table
from widesr.errors import UsageError

if TYPE_CHECKING:
    from widesr.engine import EngineOptions
    from widesr.video.judge import ClipsReport

CLIP_PROTOCOL = "vid4-"
"""The prefix of the names of protocols for clips."""


def judge_clips(
    hr: Path,
    *,
    model: str,
    scale: int,
    protocols: list[str],
    engine: "EngineOptions",
    quiet: bool,
) -> "tuple[ClipsReport, list[str]]":
    """Upscale the LR of HR clips; return the report, and its lines for people.

    Raises:
        UsageError: Several protocols were given.
    """
    from widesr.upscaling.target import Target
    from widesr.video.frames import load_frame_upscaler
    from widesr.video.judge import evaluate_clips

    if len(protocols) > 1:
        raise UsageError("one protocol of clips is judged at a time; give one")
    upscaler = load_frame_upscaler(model, target=Target(scale=scale), options=engine)
    with progress(1, quiet=quiet) as show:
        show(0, str(hr))
        report = evaluate_clips(hr, upscaler=upscaler, scale=scale, protocol=protocols[0])
    return report, _as_lines(report)


def _as_lines(report: "ClipsReport") -> list[str]:
    rows = [
        ("clip", "frames", "dB PSNR-Y", "SSIM", "flicker", "TCC", "s/frame"),
        *(
            (
                clip.name,
                str(len(clip.frames)),
                f"{clip.psnr:.2f}",
                f"{clip.ssim:.4f}",
                f"{clip.flicker:+.2f}",
                "" if clip.tcc is None else f"{clip.tcc:.4f}",
                f"{clip.seconds:.2f}",
            )
            for clip in report.clips
        ),
        ("mean", "", f"{report.psnr:.2f}", f"{report.ssim:.4f}", "", "", ""),
    ]
    left_out = f"crop {report.crop} px, {report.skip or 'no'} frames left out at both ends"
    return [
        f"{report.model} x{report.scale} on {report.folder}, LR: {report.degradation}",
        *table(rows),
        f"{report.protocol}: Y, {left_out}. {report.source}",
        "flicker: temporal information (ITU-T P.910) less that of HR; above 0 it flickers",
        "TCC: temporal change consistency, SSIM of what changes between frames; 1 is best",
    ]
