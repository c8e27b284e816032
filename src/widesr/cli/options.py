"""Options that several commands share, and how their words are read."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from widesr.errors import UsageError

UPSCALES = (2, 3, 4)
SHRINKS = (2, 3, 4, 8)


def parse_tile(text: str) -> int | Literal["auto"] | None:
    """Read `-t`: "auto", 0 for no tiles (None), or a side in LR pixels."""
    if text == "auto":
        return "auto"
    if text.isascii() and text.isdecimal() and (int(text) == 0 or int(text) >= _SMALLEST_TILE):
        return int(text) or None
    raise UsageError(
        f"tile {text!r}: expected auto, 0 (no tiles) or a side of at least {_SMALLEST_TILE} pixels"
    )


_SMALLEST_TILE = 16


def check_scale(scale: int, known: tuple[int, ...]) -> None:
    """Refuse a scale that is not in `known`.

    Raises:
        UsageError: With the scales that are.
    """
    if scale not in known:
        words = ", ".join(str(each) for each in known[:-1])
        raise UsageError(f"scale {scale} is not available; expected {words} or {known[-1]}")


Scale = Annotated[int, typer.Option("-s", "--scale", metavar="2|3|4", help="Times larger.")]
Model = Annotated[
    str,
    typer.Option(
        "-n",
        "--model",
        metavar="NAME",
        help='A name from "widesr models", an .onnx file, "default", or "bicubic".',
    ),
]
Tile = Annotated[
    str,
    typer.Option(
        "-t", "--tile", metavar="auto|0|N", help="Side of the tiles in input pixels; 0: no tiles."
    ),
]
SelfEnsemble = Annotated[
    bool,
    typer.Option(
        "-x", "--self-ensemble", help="Mean over eight flips and turns: 8 times slower, finer."
    ),
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="Cores to use; default: all.")
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        "--max-pixels", metavar="N", min=1, help="Refuse larger inputs; default: 268 million."
    ),
]
Inputs = Annotated[
    list[Path] | None,
    typer.Argument(metavar="INPUT", help="Pictures and folders.", show_default=False),
]
InputOption = Annotated[
    list[Path] | None,
    typer.Option("-i", "--input", metavar="INPUT", help="The same as an option."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Pass over pictures whose output exists.")
]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Also the folders in a folder.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def gather_inputs(positional: list[Path] | None, option: list[Path] | None) -> list[Path]:
    """Join both ways to name inputs.

    Raises:
        UsageError: There is none.
    """
    inputs = [*(positional or []), *(option or [])]
    if not inputs:
        raise UsageError("no input was given; expected a picture or a folder of pictures")
    return inputs


def existing(*, overwrite: bool, skip: bool) -> Literal["refuse", "overwrite", "skip"]:
    """Say what to do with outputs that exist.

    Raises:
        UsageError: Both were asked for.
    """
    if overwrite and skip:
        raise UsageError("--overwrite and --skip-existing exclude each other; give one of them")
    return "overwrite" if overwrite else "skip" if skip else "refuse"


def pixel_limit(max_pixels: int | None) -> dict[str, Any]:
    """Give `max_pixels=` where the user said one; the default is the picture module's."""
    return {} if max_pixels is None else {"max_pixels": max_pixels}
