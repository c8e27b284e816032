"""Shows one picture as several models make it, on one sheet, as `widesr compare-models`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from widesr.cli import engines, options, window
from widesr.cli.terminal import print_json, print_line, print_lines, progress_over, table

if TYPE_CHECKING:
    from widesr.evaluation.diff.difference import Window
    from widesr.evaluation.lineup import Candidate
    from widesr.pictures.picture import Picture


def compare_models(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A picture.")],
    scale: options.Shrink = 2,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "-n",
            "--model",
            metavar="NAME",
            help="A model; give it again for more. Default: bicubic and all that have a short "
            "name, such as fast.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="The sheet. Default: INPUT_x2_models.png."
        ),
    ] = None,
    crop: window.Crop = None,
    zoom: window.Zoom = 2,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a sheet that exists.")
    ] = False,
    threads: engines.Threads = None,
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
    from widesr.evaluation.lineup import choose_models, line_up
    from widesr.pictures.picture import Picture
    from widesr.pictures.reading import read_picture
    from widesr.pictures.writing import write_picture

    names = choose_models(models, scale=scale)
    output = _output(source, output, scale=scale, overwrite=overwrite)
    picture = read_picture(source, **options.limits(max_pixels=max_pixels))
    part = _part(picture, crop, scale=scale, zoom=zoom)
    candidates = []
    with progress_over(names, quiet=quiet or as_json) as show:
        show(0)
        run_by = EngineOptions(threads=threads)
        for candidate in line_up(picture, scale=scale, window=part, models=names, options=run_by):
            candidates.append(candidate)
            show(len(candidates))
    panels = [(_title(each), each.picture) for each in candidates]
    sheet = contact_sheet(picture, panels, window=part, zoom=zoom, name=source.name)
    write_picture(output, Picture(pixels=sheet), overwrite=overwrite)
    if as_json:
        print_json(json.dumps(_as_json(source, candidates, scale, part, output)))
    elif not quiet:
        head = ("model", "by", "s for the whole picture")
        rows = [(each.model, each.made_by, f"{each.seconds:.1f}") for each in candidates]
        print_lines(table([head, *rows], left=frozenset({0, 1})))
        print_line(f"{output}: {part} of {source} at x{scale}, {zoom}x")


def _output(source: Path, output: Path | None, *, scale: int, overwrite: bool) -> Path:
    """Return the path of the sheet; refuse a bad one before the work."""
    from widesr.pictures.writing import output_format

    output = output or source.parent / f"{source.stem}_x{scale}_models.png"
    output_format(output)
    options.check_output(output, inputs=(source,), overwrite=overwrite)
    return output


def _part(picture: "Picture", crop: str | None, *, scale: int, zoom: int) -> "Window":
    from widesr.evaluation.diff.contact import most_detailed
    from widesr.evaluation.diff.sheet import PANEL

    if crop is None:
        return most_detailed(picture, scale=scale, side=max(PANEL // (scale * zoom), 1))
    return window.parse_crop(crop, width=picture.width, height=picture.height, times=scale * zoom)


def _title(candidate: "Candidate") -> str:
    same = candidate.model == candidate.made_by
    return candidate.model if same else f"{candidate.model}  {candidate.made_by}"


def _as_json(
    source: Path, candidates: "list[Candidate]", scale: int, part: "Window", output: Path
) -> dict[str, object]:
    return {
        "input": str(source),
        "scale": scale,
        "crop": part._asdict(),
        "models": [
            {"model": each.model, "made_by": each.made_by, "seconds": round(each.seconds, 3)}
            for each in candidates
        ],
        "sheet": str(output),
    }
