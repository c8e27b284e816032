"""Defines the options that say how networks are run."""

from typing import Annotated, Literal

import typer

from widesr.cli import values
from widesr.errors import UsageError

AnyBackend = Literal["auto", "onnxruntime", "openvino"]
AnyPrecision = Literal["auto", "fp32", "bf16", "fp16", "int8"]

Tile = Annotated[
    str,
    typer.Option(
        "-t",
        "--tile",
        metavar="auto|0|N",
        help="Side of the tiles in input pixels; 0 takes the whole picture at once.",
    ),
]
SelfEnsemble = Annotated[
    bool,
    typer.Option(
        "-x",
        "--self-ensemble",
        help="Take the mean over eight flips and turns: a little better, eight times slower.",
    ),
]
Consistent = Annotated[
    bool,
    typer.Option(
        "--consistent",
        help="Correct the output so that it shrinks back to the input, to the pixel.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        parser=values.whole_number("threads"),
        help="Number of CPU cores to use. Default: all.",
    ),
]
Backend = Annotated[
    AnyBackend,
    typer.Option("--backend", help="The runtime; auto takes the fastest on this machine."),
]
Precision = Annotated[
    AnyPrecision,
    typer.Option(
        "--precision",
        help="The precision of computing; auto takes the fastest that costs at most 0.01 dB.",
    ),
]
Fast = Annotated[
    bool,
    typer.Option(
        "--fast",
        help="Take what is fastest and costs at most 0.1 dB: --precision int8, or auto on CPUs "
        "with AMX.",
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "tensorrt", "coreml"],
    typer.Option("--device", help="Where to compute; auto takes the CPU."),
]
TrainingDevice = Annotated[
    Literal["auto", "cpu", "cuda"],
    typer.Option("--device", help="Where to train; auto takes a GPU if torch sees one."),
]


def gather_precision(precision: AnyPrecision, *, fast: bool) -> AnyPrecision:
    """Return the precision to use, which for `--fast` depends on this machine.

    Raises:
        UsageError: Both `--fast` and a precision were given.
    """
    if not fast:
        return precision
    if precision != "auto":
        raise UsageError(f"--fast and --precision {precision} exclude each other; give one of them")
    from widesr.engine import fastest_precision

    return fastest_precision()
