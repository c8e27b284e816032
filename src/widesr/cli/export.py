"""Make a model file of trained weights, as `widesr export`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from widesr.cli import options
from widesr.errors import MissingExtraError


def export_model(
    weights: Annotated[
        Path,
        typer.Argument(
            metavar="WEIGHTS", help="The weights that widesr train wrote (.safetensors)."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="The model file. Default: WEIGHTS with .onnx."
        ),
    ] = None,
    licence: Annotated[
        str, typer.Option(metavar="SPDX", help="The licence of the weights, for the model's card.")
    ] = "",
    source: Annotated[
        str, typer.Option(metavar="TEXT", help="Where the model comes from, for its card.")
    ] = "",
    notes: Annotated[str, typer.Option(metavar="TEXT", help="Anything else for the card.")] = "",
    stored: Annotated[
        Literal["fp16", "fp32"],
        typer.Option(help="How weights are stored; both are computed with in fp32."),
    ] = "fp16",
    overwrite: options.Overwrite = False,
) -> None:
    """Write an ONNX file that widesr upscale -n takes.

    Weight norm is folded and the card put in; the file is kept only if ONNX Runtime gives the
    same pictures as torch.
    """
    try:
        from widesr.exchange.export import export_onnx
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra="train", needed_for="exporting") from error

    output = output or weights.with_suffix(".onnx")
    card = export_onnx(
        weights,
        output,
        licence=licence or "not stated",
        source=source,
        notes=notes,
        stored=stored,
        overwrite=overwrite,
    )
    typer.echo(
        f"{weights} -> {output}  {card.family} x{card.scale}  "
        f"{card.parameters_fused:,} parameters  {output.stat().st_size:,} bytes"
    )
