"""Defines the options of `widesr diff` and `widesr compare-models` for the part to show."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from widesr.cli import values
from widesr.errors import UsageError

if TYPE_CHECKING:
    from widesr.evaluation.diff.difference import Window

Crop = Annotated[
    str | None,
    typer.Option(
        "--crop",
        metavar="X,Y,WxH",
        help="The part to enlarge, in pixels of the input, or of the larger of two. Default: the "
        "part where there is most to see.",
    ),
]
Zoom = Annotated[
    int,
    typer.Option(
        "--zoom",
        metavar="1..64",
        parser=values.whole_number("zoom", most=64),
        help="How many times to enlarge each pixel of that part.",
    ),
]

_MOST_SHOWN = 2**25
"""The largest panel, in pixels after it is enlarged."""


def parse_crop(text: str, *, width: int, height: int, times: int) -> "Window":
    """Read `--crop`: left, top, width x height, within a picture of this size.

    Args:
        text: The text that the user wrote.
        width: The width of the picture, in pixels.
        height: The height of the picture, in pixels.
        times: The number of pixels, along each axis, that show one pixel of the picture.

    Raises:
        UsageError: The crop is not valid, reaches beyond the picture, or is too large to be shown.
    """
    from widesr.evaluation.diff.difference import Window

    found = re.fullmatch(r"([0-9]{1,9}),([0-9]{1,9}),([0-9]{1,9})[xX]([0-9]{1,9})", text)
    if not found:
        raise UsageError(
            f"crop {text} is not valid; expected left,top,width x height, such as 120,80,64x48"
        )
    window = Window(*(int(number) for number in found.groups()))
    inside = window.left + window.width <= width and window.top + window.height <= height
    if not inside or 0 in (window.width, window.height):
        raise UsageError(f"crop {text} is empty or reaches beyond the picture of {width}x{height}")
    if window.width * window.height * times**2 > _MOST_SHOWN:
        raise UsageError(
            f"crop {window} is too large to be shown {times} times larger; give a smaller crop, or "
            "--zoom 1"
        )
    return window
