"""Defines the size options of `widesr upscale`, and joins them into one target."""

from typing import Annotated

import typer

from widesr.cli import values
from widesr.errors import UsageError
from widesr.upscaling.target import Target

Scale = Annotated[
    float | None,
    typer.Option(
        "-s",
        "--scale",
        metavar="NUMBER",
        parser=values.scale,
        help="How many times larger: any number up to 8, such as 3 or 1.5. Default: 2.",
    ),
]
Width = Annotated[
    int | None,
    typer.Option(
        "--width",
        metavar="N",
        parser=values.whole_number("width"),
        help="Width of the output in pixels, instead of a scale. The aspect is kept.",
    ),
]
Height = Annotated[
    int | None,
    typer.Option(
        "--height",
        metavar="N",
        parser=values.whole_number("height"),
        help="Height of the output in pixels, instead of a scale.",
    ),
]
Longest = Annotated[
    int | None,
    typer.Option(
        "--longest",
        metavar="N",
        parser=values.whole_number("longest"),
        help="Longer side of the output in pixels, instead of a scale.",
    ),
]
Fit = Annotated[
    str | None,
    typer.Option(
        "--fit",
        metavar="WxH",
        help="Box that the output fills as far as its aspect allows, such as 1920x1080.",
    ),
]


def gather_target(
    scale: float | None,
    *,
    width: int | None,
    height: int | None,
    longest: int | None,
    fit: str | None,
) -> Target:
    """Make the target from the size options; x2 if none is given.

    Raises:
        UsageError: Several sizes are given, or one is not valid.
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
        fit=None if fit is None else values.box(fit),
    )
