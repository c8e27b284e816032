"""`widesr export`: trained weights in, a model file out."""

from pathlib import Path
from typing import Annotated

import typer

from widesr.cli import options
from widesr.errors import MissingExtraError, UsageError


def export_model(
    weights: Annotated[
        Path, typer.Argument(metavar="WEIGHTS", help="What widesr train wrote (.safetensors).")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Default: WEIGHTS with .onnx."),
    ] = None,
    licence: Annotated[
        str, typer.Option(metavar="SPDX", help="Of the weights; goes on the model's card.")
    ] = "",
    source: Annotated[
        str, typer.Option(metavar="TEXT", help="Where the model comes from, for its card.")
    ] = "",
    notes: Annotated[str, typer.Option(metavar="TEXT", help="For the card.")] = "",
    stored: Annotated[
        str,
        typer.Option(metavar="fp16|fp32", help="How weights are kept; both compute in fp32."),
    ] = "fp16",
    overwrite: options.Overwrite = False,
) -> None:
    """Write an ONNX file that widesr upscale -n takes.

    Weight norm is folded and the card put in; the file is kept only if ONNX Runtime gives the
    same pictures as torch.
    """
    if stored not in ("fp16", "fp32"):
        raise UsageError(f"stored {stored!r} is not known; expected fp16 or fp32")
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
        stored="fp16" if stored == "fp16" else "fp32",
        overwrite=overwrite,
    )
    typer.echo(
        f"{weights} -> {output}  {card.family} x{card.scale}  "
        f"{card.parameters_fused:,} parameters  {output.stat().st_size:,} bytes"
    )
