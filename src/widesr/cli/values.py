"""Reads what users write as the values of options."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from widesr.errors import UsageError
from widesr.system.text import parse_size
from widesr.upscaling.target import MAX_SCALE

_SMALLEST_TILE = 16
_SMALLEST_MEMORY = 300 * 2**20
"""The memory of an idle process, and of tiles small enough to be slow."""


class Output(NamedTuple):
    """The place for outputs, as the user named it."""

    path: Path
    is_folder: bool
    """True if the name ends in a slash, as only a folder's does."""


def digits(text: str) -> int | None:
    """Read a whole number of up to 18 digits, enough for any count; None for other text."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def tile(text: str) -> int | Literal["auto"] | None:
    """Read `-t`: "auto", 0 for no tiles (None), or a side in LR pixels."""
    if text == "auto":
        return "auto"
    side = digits(text)
    if side is None or 0 < side < _SMALLEST_TILE:
        raise UsageError(
            f"tile {text} is not valid; expected auto, 0 (no tiles) or at least {_SMALLEST_TILE}"
        )
    return side or None


def whole_number(name: str, *, most: int | None = None) -> Callable[[str | int], int]:
    """Make the reader of an option that takes a whole number from 1 to `most`."""
    expected = f"from 1 to {most}" if most else "of at least 1"

    def parse(text: str | int) -> int:
        number = digits(str(text))
        if not number or (most and number > most):
            raise UsageError(f"{name} {text} is not valid; expected a whole number {expected}")
        return number

    return parse


def memory(text: str | int) -> int:
    """Read `--max-memory`: a number of bytes with K, M, G or T, such as 512M or 1.5G."""
    size = parse_size(str(text))
    if size is None:
        raise UsageError(f"max-memory {text} is not valid; expected a size such as 512M or 2G")
    if size < _SMALLEST_MEMORY:
        raise UsageError(f"max-memory {text} is too little; expected at least 300M")
    return size


def output(text: str | Output) -> Output:
    """Read `-o`; a slash at its end, which a `Path` would drop, makes it a folder."""
    if isinstance(text, Output):
        return text
    if not text:
        raise UsageError("output is empty; expected the name of a file or folder")
    return Output(Path(text), is_folder=text.endswith(("/", os.sep)))


def picture_format(text: str) -> str | None:
    """Read `-f`; "auto", a word of other tools, stands for the format of the input (None)."""
    return None if text == "auto" else text


def scale(text: str | float) -> float:
    """Read `-s` of upscale: a number above 0, at most `MAX_SCALE`."""
    expected = f"expected a number above 0 and at most {MAX_SCALE}, such as 2 or 1.5"
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", str(text)):
        raise UsageError(f"scale {text} is not valid; {expected}")
    number = float(text)
    if not 0 < number <= MAX_SCALE:
        raise UsageError(f"scale {text} is not available; {expected}")
    return number


def box(text: str) -> tuple[int, int]:
    """Read `--fit`, such as 1920x1080, as (width, height)."""
    sides = [digits(side) for side in text.lower().split("x")]
    if len(sides) != 2 or not all(sides):
        raise UsageError(f"fit {text} is not valid; expected width x height, such as 1920x1080")
    width, height = (side or 0 for side in sides)
    return width, height


def level(text: str | float) -> float:
    """Read `--fail-above`: a number from 0 to 255."""
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,9})?", str(text)) or float(text) > 255:
        raise UsageError(f"level {text} is not valid; expected a number from 0 to 255")
    return float(text)
