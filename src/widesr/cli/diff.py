"""Shows how two pictures differ, in numbers and in a drawing, as `widesr diff`."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from widesr.cli import options, values, window
from widesr.cli.terminal import print_json, print_lines, table
from widesr.errors import DataError, ShapeError, UsageError

if TYPE_CHECKING:
    from widesr.evaluation.diff.difference import Difference, Window
    from widesr.evaluation.diff.matching import Matched
    from widesr.pictures.picture import Picture

_PROTOCOLS = "protocols benchmark-y and basicsr-rgb, but no border left out"


class _Compared(NamedTuple):
    paths: tuple[Path, Path]
    pictures: "tuple[Picture, Picture]"
    """The pictures as they were read."""
    pair: "Matched"
    difference: "Difference"
    part: "Window"


def show_difference(
    a: Annotated[Path, typer.Argument(metavar="A", help="A picture.")],
    b: Annotated[
        Path, typer.Argument(metavar="B", help="Another picture of the same aspect, of any size.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="The drawing. Default: A_vs_B.png beside A."
        ),
    ] = None,
    crop: window.Crop = None,
    zoom: window.Zoom = 4,
    blink: Annotated[
        bool, typer.Option("--blink", help="Show that part of A and of B in turn, as WebP or GIF.")
    ] = False,
    numbers_only: Annotated[bool, typer.Option("--numbers-only", help="Draw nothing.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a drawing that exists.")
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 unless they are identical.")
    ] = False,
    fail_above: Annotated[
        float | None,
        typer.Option(
            "--fail-above",
            metavar="LEVEL",
            parser=values.level,
            help="Exit with 1 if a value differs by more than this many of 255 levels.",
        ),
    ] = None,
    max_pixels: options.MaxPixels = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Tell how A and B differ, and draw both and the place where they differ most.

    Sizes, depths, profiles and modes that differ are made alike first, and the output says how.
    Nothing is drawn where no value differs. The exit code is 0 for different pictures too.
    """
    from widesr.evaluation.diff.matching import are_identical

    output = _output(a, b, output, blink=blink, numbers_only=numbers_only, overwrite=overwrite)
    compared = _compare(a, b, crop=crop, zoom=zoom, **options.limits(max_pixels=max_pixels))
    greatest = compared.difference.greatest
    if greatest == 0:
        output = None
    if output is not None:
        _draw(output, compared, zoom=zoom, blink=blink, overwrite=overwrite)
    identical = are_identical(*compared.pictures)
    if as_json:
        print_json(json.dumps(_as_json(compared, output=output, identical=identical)))
    elif not quiet:
        lines = _as_lines(compared, identical=identical)
        if output is not None:
            shown = "in turn" if blink else "beside each other"
            lines.append(f"{output}: {shown}, {compared.part} at {zoom}x")
        print_lines(lines)
    if (exit_code and not identical) or (fail_above is not None and greatest > fail_above):
        raise typer.Exit(1)


def _output(
    a: Path, b: Path, output: Path | None, *, blink: bool, numbers_only: bool, overwrite: bool
) -> Path | None:
    """Return the path of the drawing, None for no drawing; refuse a bad one before the work."""
    from widesr.evaluation.diff.blink import check_blink_format
    from widesr.pictures.writing import output_format

    if numbers_only:
        if output is not None or blink:
            raise UsageError(
                "--numbers-only draws nothing; leave it out, or leave out -o and --blink"
            )
        return None
    output = output or a.parent / f"{a.stem}_vs_{b.stem}{'.webp' if blink else '.png'}"
    if blink:
        check_blink_format(output)
    else:
        output_format(output)
    options.check_output(output, inputs=(a, b), overwrite=overwrite)
    return output


def _compare(
    a: Path,
    b: Path,
    *,
    crop: str | None,
    zoom: int,
    **limit: Any,  # noqa: ANN401
) -> _Compared:
    from widesr.evaluation.diff.difference import measured, most_different
    from widesr.evaluation.diff.matching import matched
    from widesr.evaluation.diff.sheet import PANEL
    from widesr.pictures.reading import read_picture

    pictures = read_picture(a, **limit), read_picture(b, **limit)
    try:
        pair = matched(*pictures)
    except ShapeError as error:
        raise DataError(f"{a} and {b}: {error.message}", options=error.options) from error
    size = {"width": pair.a.width, "height": pair.a.height}
    part = crop and window.parse_crop(crop, **size, times=zoom)
    difference = measured(pair.a, pair.b)
    part = part or most_different(difference.levels, side=PANEL // zoom)
    return _Compared((a, b), pictures, pair, difference, part)


def _draw(output: Path, compared: _Compared, *, zoom: int, blink: bool, overwrite: bool) -> None:
    from widesr.evaluation.diff.blink import write_blinking
    from widesr.evaluation.diff.sheet import drawn, frames
    from widesr.pictures.picture import Picture
    from widesr.pictures.writing import write_picture

    _, _, pair, difference, part = compared
    names = (compared.paths[0].name, compared.paths[1].name)
    if blink:
        both = frames(pair, window=part, zoom=zoom, names=names)
        write_blinking(output, both, overwrite=overwrite)
    else:
        sheet = drawn(pair, difference, window=part, zoom=zoom, names=names)
        write_picture(output, Picture(pixels=sheet), overwrite=overwrite)


def _as_lines(compared: _Compared, *, identical: bool) -> list[str]:
    from widesr.evaluation.diff.matching import differing_metadata

    rows = [
        (name, str(path), *_facts(picture))
        for name, path, picture in zip("AB", compared.paths, compared.pictures, strict=True)
    ]
    difference, metadata = compared.difference, differing_metadata(*compared.pictures)
    lines = [
        *table(rows, left=frozenset(range(len(rows[0])))),
        *compared.pair.notes,
        "metadata: " + (", ".join(map(" ".join, metadata.items())) or "the same"),
    ]
    if identical:
        return [*lines, "identical: size, mode, depth, profile and every value"]
    if difference.greatest == 0:
        return [*lines, "every value is the same, as compared"]
    scores = [f"{difference.psnr_y:.2f} dB PSNR-Y"]
    if difference.psnr_rgb is None:
        scores = [f"{difference.psnr_y:.2f} dB PSNR of grey"]
    else:
        scores.append(f"{difference.psnr_rgb:.2f} dB PSNR-RGB")
    if difference.ssim_y is not None:
        scores.append(f"{difference.ssim_y:.4f} SSIM-Y")
    lines.append(
        f"different: {100 * difference.share:.3g} % of values, by at most "
        f"{difference.greatest:.4g} of 255 levels, {difference.mean:.3g} on average"
    )
    lines.append(f"{'  '.join(scores)}  ({_PROTOCOLS})")
    return lines


def _facts(picture: "Picture") -> tuple[str, ...]:
    size = f"{picture.width}x{picture.height}"
    profile = f"profile of {len(picture.icc):,} bytes" if picture.icc else "no profile"
    return size, _mode(picture), f"{_depth(picture)} bit", profile, picture.format


def _mode(picture: "Picture") -> str:
    colours = "grey" if picture.pixels.shape[2] == 1 else "RGB"
    return colours if picture.alpha is None else f"{colours}+alpha"


def _depth(picture: "Picture") -> int:
    return 8 * picture.pixels.dtype.itemsize


def _as_json(compared: _Compared, *, output: Path | None, identical: bool) -> dict[str, Any]:
    from widesr.evaluation.diff.matching import differing_metadata

    (a, b), difference = compared.pictures, compared.difference
    files = {
        name: {
            "path": str(path),
            "format": picture.format,
            "width": picture.width,
            "height": picture.height,
            "mode": _mode(picture),
            "depth": _depth(picture),
            "profile_bytes": len(picture.icc or b""),
        }
        for name, path, picture in zip("ab", compared.paths, compared.pictures, strict=True)
    }
    return files | {
        "identical": identical,
        "same_profile": a.icc == b.icc,
        "metadata": differing_metadata(a, b),
        "notes": list(compared.pair.notes),
        "share_different": difference.share,
        "max_levels": difference.greatest,
        "mean_levels": difference.mean,
        "psnr_y": _finite(difference.psnr_y),
        "psnr_rgb": _finite(difference.psnr_rgb),
        "ssim_y": difference.ssim_y,
        "protocols": _PROTOCOLS,
        "crop": compared.part._asdict(),
        "drawing": None if output is None else str(output),
    }


def _finite(decibels: float | None) -> float | None:
    """Replace infinity, the PSNR of equal pictures, by None, because JSON has no infinity."""
    return decibels if decibels is not None and math.isfinite(decibels) else None
