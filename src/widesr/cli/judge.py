"""Prints scores, each with its protocol, as `widesr compare` and `widesr evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from widesr.cli import engines, offers, options, values
from widesr.cli.clips import CLIP_PROTOCOL, judge_clips
from widesr.cli.detect import judge_by_detector
from widesr.cli.space import SR_SPACE, judge_samples
from widesr.cli.terminal import print_json, print_line, print_lines, progress_over, table
from widesr.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from widesr.evaluation.report import MetricReport, ProtocolReport, Report, Scores


_RUN = {"model", "self_ensemble", "consistent", "tile", "threads", "backend", "precision"}
"""The options of `widesr evaluate` that say how a model makes pictures."""
_OPTIONS = {
    "pictures": {*_RUN, "protocol", "metrics", "lpips_weights", "lr_dir", "max_pixels"},
    "clips": {*_RUN, "protocol"},
    "detections": {*_RUN, "detector", "boxes", "max_pixels"},
    "samples of a model": {*_RUN, "protocol", "samples", "lpips_weights", "max_pixels"},
    "samples in a folder": {"protocol", "samples", "sr_dir", "lpips_weights", "max_pixels"},
}
"""The options that each way of judging takes, beside the folder, the scale and the report."""


def _list_protocols(names: list[str]) -> list[str]:
    if "list" in names:
        from widesr.pixels.metrics import PROTOCOLS
        from widesr.video.judge import CLIP_PROTOCOLS

        rows = [
            (name, str(each).partition(",")[0], each.source) for name, each in PROTOCOLS.items()
        ]
        rows += [(name, "PSNR-Y of clips", each.source) for name, each in CLIP_PROTOCOLS.items()]
        rows.append((SR_SPACE, "LPIPS", "NTIRE 2021, learning the super-resolution space"))
        print_lines(table(rows, left=frozenset({0, 1, 2})))
        raise typer.Exit
    return names


ProtocolNames = Annotated[
    list[str],
    typer.Option(
        "--protocol",
        metavar="NAME",
        callback=_list_protocols,
        autocompletion=offers.protocols,
        is_eager=True,
        help='A protocol; give it again for more. "list" prints those that there are.',
    ),
]


def compare_pictures(
    sr: Annotated[Path, typer.Argument(metavar="SR", help="The picture to judge.")],
    hr: Annotated[Path, typer.Argument(metavar="HR", help="The true picture.")],
    scale: options.Shrink,
    protocol: ProtocolNames = ["benchmark-y"],  # noqa: B006 (typer gives each call its own)
    max_pixels: options.MaxPixels = None,
    as_json: options.Json = False,
) -> None:
    """Print the PSNR and SSIM of SR against HR.

    HR is cropped to a multiple of the scale where SR has that size.
    """
    from widesr.evaluation.scoring import compare_files

    comparison = compare_files(
        sr, hr, scale=scale, protocol=protocol, **options.limits(max_pixels=max_pixels)
    )
    if as_json:
        print_json(comparison.model_dump_json())
        return
    for each in comparison.protocols:
        scores, channel = comparison.scores[each.name], each.channel.upper()
        print_line(
            f"{scores.psnr:.2f} dB PSNR-{channel}  {scores.ssim:.4f} SSIM-{channel}  "
            f"{_described(each, scale)}"
        )


def evaluate_model(
    context: typer.Context,
    hr_dir: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of HR pictures.")],
    scale: options.Shrink,
    model: options.Model = "default",
    protocol: ProtocolNames = ["benchmark-y"],  # noqa: B006 (typer gives each call its own)
    metrics: Annotated[
        str,
        typer.Option(
            "--metrics",
            metavar="NAME,NAME",
            help="Of psnr, ssim, lpips, niqe, lr-psnr, spectrum, lattice.",
        ),
    ] = "psnr,ssim",
    lpips_weights: Annotated[
        Path | None,
        typer.Option(
            "--lpips-weights",
            metavar="FILE",
            help="The network that LPIPS looks with, in safetensors; nothing is fetched.",
        ),
    ] = None,
    sr_dir: Annotated[
        Path | None,
        typer.Option(
            "--sr",
            metavar="DIR",
            help="Samples to judge, with --protocol sr-space alone; else the model makes them.",
        ),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(
            "--samples",
            metavar="N",
            parser=values.whole_number("samples", most=99_999),
            help="The number of samples of each picture, with --protocol sr-space.",
        ),
    ] = 10,
    lr_dir: Annotated[
        Path | None,
        typer.Option(
            "--lr", metavar="DIR", help="LR pictures, matched by name. Default: made by imresize."
        ),
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the whole report here.")
    ] = None,
    detector: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Judge by what a detector finds: an ONNX file of YOLOX or YuNet. Needs --boxes.",
        ),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The true boxes for --detector, in COCO's JSON."),
    ] = None,
    self_ensemble: engines.SelfEnsemble = False,
    consistent: engines.Consistent = False,
    tile: engines.Tile = "auto",
    threads: engines.Threads = None,
    backend: engines.Backend = "auto",
    precision: engines.Precision = "fp32",
    max_pixels: options.MaxPixels = None,
    quiet: options.Quiet = False,
) -> None:
    """Upscale the LR of each HR picture in DIR and print the scores.

    Under a protocol of clips, such as vid4-bi, DIR is a clip, a folder of frames or of such.
    HR pictures are first cropped to a multiple of the scale, as the field does, and grey ones are
    scored as grey. In fp32, which is the default, the figures are the same on any machine.
    With a detector, the figures say what it still finds in the enlarged pictures.
    """
    from widesr.engine import EngineOptions
    from widesr.evaluation.report import check_report_path, write_report
    from widesr.evaluation.scoring import evaluate_folder, list_pictures

    if json_path is not None:
        check_report_path(json_path)
    engine = EngineOptions(
        tile=values.tile(tile),
        self_ensemble=self_ensemble,
        consistent=consistent,
        threads=threads,
        backend=backend,
        precision=precision,
    )
    way = _way(protocol, by_detector=detector is not None or boxes is not None, sr_dir=sr_dir)
    _check_options(context, way)
    report: BaseModel
    if way == "clips":
        report, lines = judge_clips(
            hr_dir, model=model, scale=scale, protocols=protocol, engine=engine, quiet=quiet
        )
    elif way == "detections":
        if detector is None or boxes is None:
            raise UsageError(
                "a detector needs the true boxes, and boxes need a detector; give both",
                options=["detector", "boxes"],
            )
        report, lines = judge_by_detector(
            hr_dir,
            detector=detector,
            boxes=boxes,
            model=model,
            scale=scale,
            engine=engine,
            max_pixels=max_pixels,
            quiet=quiet,
        )
    elif way != "pictures":
        report, lines = judge_samples(
            hr_dir,
            sr_dir,
            model=model,
            engine=engine,
            protocol=protocol,
            scale=scale,
            samples=samples,
            lpips_weights=lpips_weights,
            max_pixels=max_pixels,
            quiet=quiet,
        )
    else:
        asked = [name.strip() for name in metrics.split(",")]
        names = [path.name for path in list_pictures(hr_dir)]
        with progress_over(names, quiet=quiet) as show:
            report = evaluate_folder(
                hr_dir,
                model=model,
                scale=scale,
                protocol=protocol,
                metrics=asked,
                lpips_weights=lpips_weights,
                lr_dir=lr_dir,
                options=engine,
                on_progress=lambda done, _: show(done),
                **options.limits(max_pixels=max_pixels),
            )
        lines = _as_lines(report, asked)
    if json_path is not None:
        write_report(json_path, report)
    if not quiet:
        print_lines(lines)


def _way(protocol: list[str], *, by_detector: bool, sr_dir: Path | None) -> str:
    """Tell which of `_OPTIONS` is asked for."""
    if any(name.startswith(CLIP_PROTOCOL) for name in protocol):
        return "clips"
    if by_detector:
        return "detections"
    if sr_dir is not None:
        return "samples in a folder"
    return "samples of a model" if SR_SPACE in protocol else "pictures"


def _check_options(context: typer.Context, way: str) -> None:
    """Refuse options that would change nothing in this way of judging.

    Raises:
        UsageError: One of them was given.
    """
    unused = set().union(*_OPTIONS.values()) - _OPTIONS[way]
    given = [
        param.opts[-1]
        for param in context.command.params
        if param.name in unused and _is_given(context, param.name)
    ]
    if given:
        them = "it" if len(given) == 1 else "them"
        raise UsageError(f"{way} are judged without {', '.join(given)}; leave {them} out")


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _as_lines(report: "Report", asked: list[str]) -> list[str]:
    kinds = [kind for kind in ("psnr", "ssim") if kind in asked]
    by_protocol = [(each.name, kind) for each in report.protocols for kind in kinds]
    head = [f"dB {name}" if kind == "psnr" else "SSIM" for name, kind in by_protocol]
    others = [each.name for each in report.metrics]

    def cells(scores: "dict[str, Scores]", measures: dict[str, float]) -> list[str]:
        return [
            *(
                f"{scores[name].psnr:.2f}" if kind == "psnr" else f"{scores[name].ssim:.4f}"
                for name, kind in by_protocol
            ),
            *(f"{measures[name]:.{4 if name == 'lpips' else 2}f}" for name in others),
        ]

    rows = [
        ("picture", *head, *others, "seconds"),
        *(
            (image.name, *cells(image.scores, image.measures), f"{image.seconds:.2f}")
            for image in report.images
        ),
        (
            "mean",
            *cells(report.mean, report.mean_measures),
            f"{report.seconds / len(report.images):.2f}",
        ),
    ]
    title = f"{report.model.name} x{report.scale} on {report.folder}: {len(report.images)} pictures"
    return [
        f"{title}, LR: {report.degradation}",
        *table(rows),
        *(_described(each, report.scale) for each in report.protocols if kinds),
        *(describe_metric(each) for each in report.metrics),
    ]


def describe_metric(metric: "MetricReport") -> str:
    """Describe a metric in one line, with the weights of its network if it has one."""
    by = ""
    if metric.weights_sha256:
        by = f", {metric.network}, weights {metric.weights_sha256[:12]}"
    return f"{metric.name}: {metric.what}, {metric.better} is better{by}"


def _described(protocol: "ProtocolReport", scale: int) -> str:
    return (
        f"{protocol.name}: {protocol.channel.upper()}, border {protocol.shave} px at x{scale}, "
        f"{protocol.rounding}"
    )
