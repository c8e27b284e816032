"""Print numbers, each with its protocol, as `widesr compare` and `widesr evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from widesr.cli import engines, offers, options, values
from widesr.cli.terminal import progress, table

if TYPE_CHECKING:
    from widesr.evaluation.report import ProtocolReport, Report, Scores


def _list_protocols(names: list[str]) -> list[str]:
    if "list" in names:
        from widesr.pixels.metrics import PROTOCOLS

        rows = [
            (name, str(each).partition(",")[0], each.source) for name, each in PROTOCOLS.items()
        ]
        typer.echo("\n".join(table(rows, left=frozenset({0, 1, 2}))))
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
        typer.echo(comparison.model_dump_json())
        return
    for each in comparison.protocols:
        scores, channel = comparison.scores[each.name], each.channel.upper()
        typer.echo(
            f"{scores.psnr:.2f} dB PSNR-{channel}  {scores.ssim:.4f} SSIM-{channel}  "
            f"{_described(each, scale)}"
        )


def evaluate_model(
    hr_dir: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of HR pictures.")],
    scale: options.Shrink,
    model: options.Model = "default",
    protocol: ProtocolNames = ["benchmark-y"],  # noqa: B006 (typer gives each call its own)
    lr_dir: Annotated[
        Path | None,
        typer.Option(
            "--lr", metavar="DIR", help="LR pictures, matched by name. Default: made by imresize."
        ),
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the whole report here.")
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

    HR pictures are first cropped to a multiple of the scale, as the field does, and grey ones are
    scored as grey. In fp32, which is the default, the figures are the same on any machine.
    """
    from widesr.engine import EngineOptions
    from widesr.evaluation.report import check_report_path, write_report
    from widesr.evaluation.scoring import evaluate_folder, list_pictures

    if json_path is not None:
        check_report_path(json_path)
    names = [*(path.name for path in list_pictures(hr_dir)), ""]
    with progress(len(names) - 1, quiet=quiet) as show:
        report = evaluate_folder(
            hr_dir,
            model=model,
            scale=scale,
            protocol=protocol,
            lr_dir=lr_dir,
            options=EngineOptions(
                tile=values.tile(tile),
                self_ensemble=self_ensemble,
                consistent=consistent,
                threads=threads,
                backend=backend,
                precision=precision,
            ),
            on_progress=lambda done, _: show(done, names[int(done)]),
            **options.limits(max_pixels=max_pixels),
        )
    if json_path is not None:
        write_report(json_path, report)
    if not quiet:
        typer.echo("\n".join(_as_lines(report)))


def _as_lines(report: "Report") -> list[str]:
    names = [each.name for each in report.protocols]
    head = [cell for each in report.protocols for cell in (f"dB {each.name}", "SSIM")]
    rows = [
        ("picture", *head, "seconds"),
        *(
            (image.name, *_cells(image.scores, names), f"{image.seconds:.2f}")
            for image in report.images
        ),
        ("mean", *_cells(report.mean, names), f"{report.seconds / len(report.images):.2f}"),
    ]
    title = f"{report.model.name} x{report.scale} on {report.folder}: {len(report.images)} pictures"
    return [
        f"{title}, LR: {report.degradation}",
        *table(rows),
        *(_described(each, report.scale) for each in report.protocols),
    ]


def _cells(scores: "dict[str, Scores]", names: list[str]) -> list[str]:
    return [
        cell for name in names for cell in (f"{scores[name].psnr:.2f}", f"{scores[name].ssim:.4f}")
    ]


def _described(protocol: "ProtocolReport", scale: int) -> str:
    return (
        f"{protocol.name}: {protocol.channel.upper()}, border {protocol.shave} px at x{scale}, "
        f"{protocol.rounding}"
    )
