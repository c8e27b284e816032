"""Writes trained weights in the forms that other programs take, as `widesr export`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from widesr.cli import options
from widesr.cli.terminal import print_line
from widesr.errors import MissingExtraError, UsageError

_FOR_A_CARD = "for the model's card."


def export_model(
    weights: Annotated[
        Path,
        typer.Argument(
            metavar="WEIGHTS",
            help="The weights that widesr train wrote (.safetensors), or a model by its name or "
            "file, or the folder of a model hub.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The file to write. Default: WEIGHTS with .onnx, or with .pth for --keys.",
        ),
    ] = None,
    licence: Annotated[
        str, typer.Option(metavar="SPDX", help=f"The licence of the weights, {_FOR_A_CARD}")
    ] = "",
    source: Annotated[
        str, typer.Option(metavar="TEXT", help=f"Where the model comes from, {_FOR_A_CARD}")
    ] = "",
    notes: Annotated[str, typer.Option(metavar="TEXT", help=f"Anything else {_FOR_A_CARD}")] = "",
    stored: Annotated[
        Literal["fp16", "fp32"],
        typer.Option(help="How weights are stored in ONNX; both are computed with in fp32."),
    ] = "fp16",
    iterations: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="How often a recurrent network runs its weights. Default: as it was trained.",
        ),
    ] = None,
    margin: Annotated[
        bool,
        typer.Option(
            "--margin",
            help="Put the mirrored pixels around a picture into the graph, for programs other "
            "than widesr.",
        ),
    ] = False,
    keys: Annotated[
        Literal["edsr-pytorch", "basicsr"] | None,
        typer.Option(help="Write a state dict under the names of another program instead."),
    ] = None,
    hub: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write a folder for Hugging Face's hub instead: weights, config.json, ONNX, "
            "README.md.",
        ),
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Write an ONNX file that widesr upscale -n takes, or another form of the weights.

    Weight norm is folded and the card put in; the file is kept only if ONNX Runtime gives the
    same pictures as torch.
    """
    for_cards = {"licence": licence, "source": source, "notes": notes}
    only_onnx = {"margin": margin, "stored": stored != "fp16", "iterations": iterations is not None}
    if keys is not None and hub is not None:
        raise UsageError("one form at a time", options=["keys", "hub"])
    refused = [
        *(key for key, given in (for_cards | only_onnx).items() if keys is not None and given),
        *(["margin"] if hub is not None and margin else []),
        *(["output"] if hub is not None and output is not None else []),
    ]
    if refused:
        form = "a folder for a hub" if keys is None else "a state dict"
        raise UsageError(f"means nothing for {form}; leave it out", options=refused)
    try:
        if keys is not None:
            _state(weights, output, keys=keys, overwrite=overwrite)
            return
        from widesr.exchange.export import export_onnx
        from widesr.exchange.hub import export_hub
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra="train", needed_for="exporting") from error

    if hub is not None:
        card = export_hub(
            weights, hub, **for_cards, stored=stored, iterations=iterations, overwrite=overwrite
        )
        print_line(f"{weights} -> {hub}  {card.name}  {card.family} x{card.scale}")
        return
    output = output or _beside(weights, ".onnx")
    card = export_onnx(
        weights,
        output,
        **for_cards,
        stored=stored,
        iterations=iterations,
        margin=margin,
        overwrite=overwrite,
    )
    print_line(
        f"{weights} -> {output}  {card.family} x{card.scale}  "
        f"{card.parameters_fused:,} parameters  {output.stat().st_size:,} bytes"
    )


def _state(
    weights: Path,
    output: Path | None,
    *,
    keys: Literal["edsr-pytorch", "basicsr"],
    overwrite: bool,
) -> None:
    from widesr.exchange.states import export_state

    output = output or _beside(weights, ".pth")
    state = export_state(weights, output, keys=keys, overwrite=overwrite)
    if state.res_scale != 1.0:
        print_line(
            f"no tensor shows the factor on residual branches, {state.res_scale:g}: name it there",
            err=True,
        )
    print_line(f"{weights} -> {output}  {state.family} x{state.scale}  keys of {keys}")


def _beside(weights: Path, suffix: str) -> Path:
    """Name the output after the weights; a model's name stays whole, as its dots mark no suffix."""
    known = weights.suffix in (".safetensors", ".onnx")
    return weights.with_suffix(suffix) if known else weights.with_name(weights.name + suffix)
