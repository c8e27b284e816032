"""`widesr compare-models`: one picture by several models, on one sheet."""

import json
from os.path import lexists, realpath  # Path's fail at some names
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from widesr.cli import options
from widesr.cli.diff import parse_crop
from widesr.cli.terminal import print_line, progress, table
from widesr.errors import OutputExistsError, UsageError

if TYPE_CHECKING:
    from widesr.evaluation.diff.difference import Window
    from widesr.evaluation.lineup import Candidate
    from widesr.pictures.picture import Picture

_MOST_SHOWN = 2**24
"""Pixels of one panel, at most."""


def compare_models(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A picture.")],
    scale: options.Shrink = 2,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "-n",
            "--model",
            metavar="NAME",
            help="May be given several times; default: bicubic, fast, default, best, realistic.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="The sheet; default: INPUT_x2_models.png."
        ),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            "--crop",
            metavar="X,Y,WxH",
            help="What to show, in pixels of the input; default: where it has most detail.",
        ),
    ] = None,
    zoom: Annotated[
        int,
        typer.Option(
            "--zoom",
            metavar="1..64",
            parser=options.whole_number("zoom", most=64),
            help="How many times to enlarge what the models make.",
        ),
    ] = 2,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a sheet that exists.")
    ] = False,
    threads: options.Threads = None,
    max_pixels: options.MaxPixels = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    _verbose: options.Verbose = 0,
) -> None:
    """Show one place of a picture as each model makes it, and say how long each would take.

    Only that place is upscaled, so that the best models are soon compared too.
    """
    from widesr.engine import EngineOptions
    from widesr.evaluation.diff.contact import contact_sheet
    from widesr.evaluation.lineup import EVERY, line_up
    from widesr.pictures.picture import Picture
    from widesr.pictures.reading import read_picture
    from widesr.pictures.writing import write_picture

    names = list(dict.fromkeys(models or EVERY))
    output = _output(source, output, scale=scale, overwrite=overwrite)
    picture = read_picture(source, **options.pixel_limit(max_pixels))
    window = _window(picture, crop, scale=scale, zoom=zoom)
    candidates = []
    with progress(len(names), quiet=quiet or as_json) as show:
        show(0, names[0])
        run_by = EngineOptions(threads=threads)
        for candidate in line_up(picture, scale=scale, window=window, models=names, options=run_by):
            candidates.append(candidate)
            show(len(candidates), ([*names, ""])[len(candidates)])
    panels = [(_title(each), each.picture) for each in candidates]
    sheet = contact_sheet(picture, panels, window=window, zoom=zoom, name=source.name)
    write_picture(output, Picture(pixels=sheet), overwrite=overwrite)
    if as_json:
        print_line(json.dumps(_as_json(source, candidates, scale, window, output)))
    elif not quiet:
        head = ("model", "by", "s for the whole picture")
        rows = [(each.model, each.made_by, f"{each.seconds:.1f}") for each in candidates]
        print_line("\n".join(table([head, *rows], left=frozenset({0, 1}))))
        print_line(f"{output}: {window} of {source} at x{scale}, {zoom}x")


def _output(source: Path, output: Path | None, *, scale: int, overwrite: bool) -> Path:
    """Say where to draw; refuse what cannot be before the work."""
    from widesr.pictures.writing import output_format

    output = output or source.parent / f"{source.stem}_x{scale}_models.png"
    output_format(output)
    if realpath(output) == realpath(source):
        raise OutputExistsError(f"{output}: is the input; name another output with -o")
    if lexists(output) and not overwrite:
        raise OutputExistsError(
            f"{output}: exists already; name another output with -o, or say --overwrite"
        )
    return output


def _window(picture: "Picture", crop: str | None, *, scale: int, zoom: int) -> "Window":
    from widesr.evaluation.diff.contact import most_detailed
    from widesr.evaluation.diff.difference import PANEL

    if crop is None:
        return most_detailed(picture, scale=scale, side=max(PANEL // (scale * zoom), 1))
    window = parse_crop(crop, picture.width, picture.height)
    if window.width * window.height * (scale * zoom) ** 2 > _MOST_SHOWN:
        raise UsageError(
            f"crop {window} is too large to show it {scale * zoom} times larger; say --zoom 1, or "
            "a smaller crop"
        )
    return window


def _title(candidate: "Candidate") -> str:
    same = candidate.model == candidate.made_by
    return candidate.model if same else f"{candidate.model}  {candidate.made_by}"


def _as_json(
    source: Path, candidates: "list[Candidate]", scale: int, window: "Window", output: Path
) -> dict[str, object]:
    return {
        "input": str(source),
        "scale": scale,
        "crop": window._asdict(),
        "models": [
            {"model": each.model, "made_by": each.made_by, "seconds": round(each.seconds, 3)}
            for each in candidates
        ],
        "sheet": str(output),
    }
