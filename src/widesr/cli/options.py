"""Options that several commands share, and how their words are read."""

import glob
import os
import re
from collections.abc import Callable
from os.path import lexists
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer

from widesr.cli import offers
from widesr.cli.terminal import be_quiet, be_verbose
from widesr.errors import UsageError
from widesr.upscaling.target import MAX_SCALE, Target

_SMALLEST_TILE = 16


def _number(text: str) -> int | None:
    """Read digits, as many as a count of anything has."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def parse_tile(text: str) -> int | Literal["auto"] | None:
    """Read `-t`: "auto", 0 for no tiles (None), or a side in LR pixels."""
    if text == "auto":
        return "auto"
    tile = _number(text)
    if tile is None or 0 < tile < _SMALLEST_TILE:
        raise UsageError(
            f"tile {text} cannot be meant; expected auto, 0 (no tiles) or at least {_SMALLEST_TILE}"
        )
    return tile or None


def one_of(name: str, *known: int) -> Callable[[str | int], int]:
    """Make the reader of an option that takes one of a few numbers."""

    def parse(text: str | int) -> int:
        if str(text) not in map(str, known):
            words = ", ".join(map(str, known[:-1]))
            raise UsageError(f"{name} {text} is not available; expected {words} or {known[-1]}")
        return int(text)

    return parse


def one_word(name: str, *known: str) -> Callable[[str], str]:
    """Make the reader of an option that takes one of a few words."""

    def parse(text: str) -> str:
        if text not in known:
            words = ", ".join(known[:-1])
            raise UsageError(f"{name} {text} cannot be meant; expected {words} or {known[-1]}")
        return text

    return parse


def choice(flag: str, *known: str, help: str) -> Any:  # noqa: A002, ANN401 (typer's own)
    """Make an option that takes one of a few words, which its help names and a shell completes."""
    return typer.Option(
        flag,
        metavar="|".join(known),
        parser=one_word(flag.lstrip("-"), *known),
        autocompletion=offers.words(*known),
        help=help,
    )


def whole_number(name: str, *, most: int | None = None) -> Callable[[str | int], int]:
    """Make the reader of an option that takes a number from 1 to `most`."""
    expected = f"from 1 to {most}" if most else "of at least 1"

    def parse(text: str | int) -> int:
        number = _number(str(text))
        if not number or (most and number > most):
            raise UsageError(f"{name} {text} cannot be meant; expected a whole number {expected}")
        return number

    return parse


_SMALLEST_MEMORY = 300 * 2**20
"""What an idle process takes, and tiles small enough to be slow."""


def parse_memory(text: str | int) -> int:
    """Read `--max-memory`: a number of bytes with K, M, G or T, as 512M or 1.5G."""
    found = re.fullmatch(
        r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([KMGT])(?:i?B)?", str(text), re.IGNORECASE
    )
    if not found:
        raise UsageError(f"max-memory {text} cannot be meant; expected a size as 512M or 2G")
    number, unit = found.groups()
    size = int(float(number) * 2 ** (10 * (1 + "KMGT".index(unit.upper()))))
    if size < _SMALLEST_MEMORY:
        raise UsageError(f"max-memory {text} is too little; expected at least 300M")
    return size


class Output(NamedTuple):
    """Where outputs go, as the user named it."""

    path: Path
    is_folder: bool
    """Whether its name ends as only a folder's does."""


def parse_output(text: str | Output) -> Output:
    """Read `-o`: a slash at its end, which a `Path` loses, makes it a folder."""
    if isinstance(text, Output):
        return text
    if not text:
        raise UsageError("output is empty; expected the name of a file or folder")
    return Output(Path(text), is_folder=text.endswith(("/", os.sep)))


def parse_scale(text: str | float) -> float:
    """Read `-s` of upscale: a number above 0, at most `MAX_SCALE`."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", str(text)):
        raise UsageError(f"scale {text} cannot be meant; expected a number as 2 or 1.5")
    scale = float(text)
    if not 0 < scale <= MAX_SCALE:
        raise UsageError(
            f"scale {text} is not available; expected a number above 0, at most {MAX_SCALE}, such "
            "as 2 or 1.5"
        )
    return scale


def parse_box(text: str) -> tuple[int, int]:
    """Read `--fit`, (width, height) as people say it."""
    sides = [_number(side) for side in text.lower().split("x")]
    if len(sides) != 2 or not all(sides):
        raise UsageError(f"fit {text} cannot be meant; expected width x height, as 1920x1080")
    width, height = (side or 0 for side in sides)
    return width, height


Scale = Annotated[
    float | None,
    typer.Option(
        "-s",
        "--scale",
        metavar="NUMBER",
        parser=parse_scale,
        help="Times larger: any number up to 8, such as 3 or 1.5; default: 2.",
    ),
]
Width = Annotated[
    int | None,
    typer.Option(
        "--width",
        metavar="N",
        parser=whole_number("width"),
        help="Of the output in pixels, instead of a scale; the aspect is kept.",
    ),
]
Height = Annotated[
    int | None,
    typer.Option("--height", metavar="N", parser=whole_number("height"), help="The same."),
]
Longest = Annotated[
    int | None,
    typer.Option(
        "--longest",
        metavar="N",
        parser=whole_number("longest"),
        help="The same for the longer side.",
    ),
]
Fit = Annotated[
    str | None, typer.Option("--fit", metavar="WxH", help="The same: the largest that fits inside.")
]
Shrink = Annotated[
    int,
    typer.Option(
        "-s",
        "--scale",
        metavar="2|3|4|8",
        parser=one_of("scale", 2, 3, 4, 8),
        help="The factor between LR and HR.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "-n",
        "--model",
        metavar="NAME",
        autocompletion=offers.models,
        help="fast, default or best; realistic, for JPEG and noise; a name from "
        '"widesr models", an .onnx file, "bicubic", or "nearest" for pixel art.',
    ),
]
Tile = Annotated[
    str,
    typer.Option(
        "-t", "--tile", metavar="auto|0|N", help="Side of the tiles in input pixels; 0: no tiles."
    ),
]
Lossless = Annotated[
    bool,
    typer.Option("--lossless", help="Keep every value in WebP and AVIF too; refuse JPEG."),
]
Icc = Annotated[
    str,
    choice(
        "--icc",
        "keep",
        "srgb",
        "strip",
        help="Colour profile: keep it, convert the colours to sRGB, or drop it.",
    ),
]
Metadata = Annotated[
    str,
    choice(
        "--metadata",
        "keep",
        "strip",
        help="EXIF, XMP, IPTC and resolution: keep or drop them.",
    ),
]
SelfEnsemble = Annotated[
    bool,
    typer.Option(
        "-x", "--self-ensemble", help="Mean over eight flips and turns: 8 times slower, finer."
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
        parser=whole_number("threads"),
        help="Cores to use; default: all.",
    ),
]
Backend = Annotated[
    str,
    choice(
        "--backend",
        "auto",
        "onnxruntime",
        "openvino",
        help="What computes; auto: the fastest here.",
    ),
]
Precision = Annotated[
    str,
    choice(
        "--precision",
        "auto",
        "fp32",
        "bf16",
        "fp16",
        "int8",
        help="Of computing; auto: the fastest that costs at most 0.01 dB.",
    ),
]
Fast = Annotated[
    bool,
    typer.Option(
        "--fast",
        help="The fastest for at most 0.1 dB: --precision int8, but on CPUs with AMX auto.",
    ),
]
Device = Annotated[
    str,
    choice(
        "--device",
        "auto",
        "cpu",
        "cuda",
        "tensorrt",
        "coreml",
        help="Where to compute; auto: the CPU.",
    ),
]
TrainingDevice = Annotated[
    str,
    choice(
        "--device",
        "auto",
        "cpu",
        "cuda",
        help="Where to train; auto: a GPU where torch sees one.",
    ),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        "--max-pixels",
        metavar="N",
        parser=whole_number("max-pixels"),
        help="Refuse larger inputs; default: 268 million.",
    ),
]
MaxMemory = Annotated[
    int | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        parser=parse_memory,
        help="Memory to take at most, about, as 512M or 4G; default: 1G.",
    ),
]
OutputOption = typer.Option(
    "-o",
    "--output",
    metavar="PATH",
    parser=parse_output,
    help="A file for one picture, a folder for more; new/ is made, - is stdout. Default: beside "
    "the input.",
)
Inputs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="INPUT",
        help="Pictures, folders, patterns; - is stdin.",
        show_default=False,
        readable=False,  # one that is not must not stop the others
    ),
]
InputOption = Annotated[
    list[Path] | None,
    typer.Option("-i", "--input", metavar="INPUT", help="The same as an option.", readable=False),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Pass over pictures whose output exists.")
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on with the run of a folder that was stopped or killed."),
]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Also the folders in a folder.")]
Verbose = Annotated[
    int,
    typer.Option(
        "-v",
        "--verbose",
        count=True,
        callback=be_verbose,
        show_default=False,
        help="Say on stderr what is chosen and done; -vv: all.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", callback=be_quiet, help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def gather_inputs(positional: list[Path] | None, option: list[Path] | None) -> list[Path]:
    """Join both ways to name inputs; a pattern that the shell left as it is becomes its files.

    Raises:
        UsageError: There is none.
    """
    inputs = [*(positional or []), *(option or [])]
    if not inputs:
        raise UsageError("no input was given; expected a picture or a folder of pictures")
    return [path for each in inputs for path in _matching(each)]


def _matching(path: Path) -> list[Path]:
    if lexists(path) or not glob.has_magic(str(path)):
        return [path]
    found = glob.glob(str(path), recursive=True)  # noqa: PTH207 (Path's takes no absolute one)
    return sorted(map(Path, found)) or [path]


def model_end(model: str) -> str:
    """End the names of what a model other than the default makes: photo_x2_best.jpg."""
    return "" if model == "default" else f"_{Path(model).name.removesuffix('.onnx')}"


def gather_target(
    scale: float | None,
    *,
    width: int | None,
    height: int | None,
    longest: int | None,
    fit: str | None,
) -> Target:
    """Join all ways to say a size; x2 if none.

    Raises:
        UsageError: There are several, or one that cannot be meant.
    """
    flags = {"-s": scale, "--width": width, "--height": height, "--longest": longest, "--fit": fit}
    given = [flag for flag, value in flags.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other; give one of them")
    return Target(
        scale=scale if given else 2,
        width=width,
        height=height,
        longest=longest,
        fit=None if fit is None else parse_box(fit),
    )


def gather_precision(precision: str, *, fast: bool) -> str:
    """Say what `--fast` is on this machine.

    Raises:
        UsageError: A precision was asked for too.
    """
    if not fast:
        return precision
    if precision != "auto":
        raise UsageError(f"--fast and --precision {precision} exclude each other; give one of them")
    from widesr.engine import fastest_precision

    return fastest_precision()


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


def memory_limit(max_memory: int | None) -> dict[str, Any]:
    """Give `max_memory=` where the user said one; the default is the upscaler module's."""
    return {} if max_memory is None else {"max_memory": max_memory}
