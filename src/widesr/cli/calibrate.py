"""Measures what each precision costs a model, and writes it onto its card: `widesr calibrate`."""

from os.path import lexists, realpath  # Path's methods fail at some names
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from widesr.cli import engines, options
from widesr.cli.terminal import print_line, print_lines, print_note, table
from widesr.errors import UsageError, output_exists
from widesr.system.folders import is_folder

if TYPE_CHECKING:
    from widesr.models.catalog import ModelCard


def calibrate_model(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="A model file of widesr.")],
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="HR photographs, 20 or more.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="The output. Default: MODEL.onnx itself."
        ),
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(
            "--held-out",
            metavar="LIST",
            help="A file with the names of the pictures in DIR to measure on, one a line. Default: "
            "ten of them.",
        ),
    ] = None,
    threads: engines.Threads = None,
    backend: engines.Backend = "auto",
    precision: engines.Precision = "auto",
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure what bf16, fp16 and int8 cost a model, and make it ready for int8.

    Both go on the model's card; its weights stay as they are. The ranges of int8 come from the
    photographs in DIR, and the losses from those that are held out. With --precision only that
    loss is measured anew.
    """
    from widesr.models.catalog import ModelFile, read_card, write_card
    from widesr.tune.calibration import calibrate, split_photographs

    found, out = ModelFile(model, read_card(model)), output or model
    if lexists(out) and not overwrite and realpath(out) != realpath(model):
        raise output_exists(out)
    if not is_folder(out.parent):
        raise UsageError(f"{out}: the folder {out.parent} does not exist; make it first")
    photographs, others = split_photographs(data, listed=held_out)
    card = calibrate(
        found,
        photographs=photographs,
        held_out=others,
        backend=backend,
        precision=precision,
        threads=threads,
        on_notice=lambda what: None if quiet else print_note(f"measuring {what}"),
    )
    write_card(found, card, out=out)
    if not quiet:
        print_line(f"{model} -> {out}  {len(card.ranges)} ranges")
        print_lines(loss_lines(card))


def loss_lines(card: "ModelCard") -> list[str]:
    """Return the lines of a table of what each precision costs a model."""
    head = ("precision", "mean dB", "worst dB", "photographs")
    rows = [
        (loss.precision, f"{loss.mean:.4f}", f"{loss.worst:.4f}", str(loss.n))
        for loss in card.losses
    ]
    return table([head, *rows])
