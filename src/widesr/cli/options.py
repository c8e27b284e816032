"""Defines the options that several commands share, beside those of `sizes` and `engines`."""

import glob
from os.path import lexists, realpath  # Path's methods fail at some names
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from widesr.cli import offers, values
from widesr.cli.terminal import be_quiet, be_verbose
from widesr.errors import OutputExistsError, UsageError, output_exists

Shrink = Annotated[
    Literal[2, 3, 4, 8], typer.Option("-s", "--scale", help="The factor between LR and HR.")
]
Model = Annotated[
    str,
    typer.Option(
        "-n",
        "--model",
        metavar="NAME",
        autocompletion=offers.models,
        help="fast, default or best; realistic, which also removes JPEG blocks and noise; crisp, "
        "which invents detail; samples, one of the many pictures of widesr samples; "
        "video, for clips; a name "
        'from "widesr models"; an .onnx file; bicubic; or nearest, for pixel art.',
    ),
]
Crisp = Annotated[
    float | None,
    typer.Option(
        "--crisp",
        metavar="0..1",
        min=0.0,
        max=1.0,
        help="How much detail may be invented: 0 is faithful, 1 is -n crisp.",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "-f",
        "--format",
        metavar="png|jpg|webp|tiff|avif|gif",
        parser=values.picture_format,
        help="The format of outputs. Default: that of the input.",
    ),
]
Quality = Annotated[
    int,
    typer.Option(
        "-q",
        "--quality",
        metavar="1..100",
        parser=values.whole_number("quality", most=100),
        help="The quality of JPEG, WebP and AVIF.",
    ),
]
Lossless = Annotated[
    bool,
    typer.Option("--lossless", help="Keep every value in WebP and AVIF too, and refuse JPEG."),
]
Icc = Annotated[
    Literal["keep", "srgb", "strip"],
    typer.Option(
        "--icc", help="Keep the colour profile, convert the colours to sRGB, or drop the profile."
    ),
]
Metadata = Annotated[
    Literal["keep", "strip"],
    typer.Option("--metadata", help="Keep or drop EXIF, XMP, IPTC and the resolution."),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        "--max-pixels",
        metavar="N",
        parser=values.whole_number("max-pixels"),
        help="Refuse inputs of more pixels. Default: 268 million.",
    ),
]
MaxMemory = Annotated[
    int | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        parser=values.memory,
        help="The memory to use at most, about, such as 512M or 4G. Default: 1G.",
    ),
]
OutputOption = typer.Option(
    "-o",
    "--output",
    metavar="PATH",
    parser=values.output,
    help="A file for one picture, a folder for more. A name that ends in / is made as a folder, "
    "and - is standard output. Default: beside the input.",
)
Inputs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="INPUT",
        help="Pictures, folders or patterns; - is standard input.",
        show_default=False,
        readable=False,  # an input that is not readable must not stop the others
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
Recursive = Annotated[
    bool, typer.Option("-r", "--recursive", help="Take the folders in a folder too.")
]
Verbose = Annotated[
    int,
    typer.Option(
        "-v",
        "--verbose",
        count=True,
        callback=be_verbose,
        show_default=False,
        help="Say on standard error what is chosen and done; -vv says all.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", callback=be_quiet, help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def gather_inputs(positional: list[Path] | None, option: list[Path] | None) -> list[Path]:
    """Join the inputs given as arguments and by -i, and expand patterns that the shell left.

    Raises:
        UsageError: No input was given.
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
    """Return the end of output names for a model other than the default: photo_x2_best.jpg."""
    name = Path(model).name.removesuffix(".onnx").replace(":", "-")
    return "" if model == "default" else f"_{name}"


def crisp_model(model: str, crisp: float | None) -> str:
    """Return the model for a setting of the dial between faithful and crisp.

    Raises:
        UsageError: Another model was given as well.
    """
    if crisp is None:
        return model
    if model not in ("default", "crisp"):
        raise UsageError(f"--crisp is a dial of the model crisp; leave out -n {model}, or --crisp")
    return f"crisp:{crisp:g}"


def existing(*, overwrite: bool, skip: bool) -> Literal["refuse", "overwrite", "skip"]:
    """Choose whether outputs that exist are refused, overwritten or skipped.

    Raises:
        UsageError: Both flags were given.
    """
    if overwrite and skip:
        raise UsageError("--overwrite and --skip-existing exclude each other; give one of them")
    return "overwrite" if overwrite else "skip" if skip else "refuse"


def check_output(output: Path, *, inputs: tuple[Path, ...], overwrite: bool) -> None:
    """Refuse an output, before the work, if it would replace a file that must stay.

    Raises:
        OutputExistsError: The output is one of the inputs, or exists and may not be replaced.
    """
    if realpath(output) in map(realpath, inputs):
        raise OutputExistsError(f"{output}: is an input; name another output", options=["output"])
    if lexists(output) and not overwrite:
        raise output_exists(output, options=["output", "overwrite=True"])


def limits(**given: int | None) -> dict[str, Any]:
    """Keep only the limits that the user gave; the others have defaults where they are used."""
    return {name: value for name, value in given.items() if value is not None}
