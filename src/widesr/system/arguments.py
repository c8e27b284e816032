"""Check the values that users of Python give, all in the same way."""

import os
import reprlib
from collections.abc import Sequence
from math import inf, isfinite
from numbers import Integral, Real
from pathlib import Path

from widesr.errors import UsageError


def whole_number(
    value: object,
    expected: str,
    *,
    least: int,
    most: float = inf,
    options: Sequence[str] = (),
) -> int:
    """Take a whole number of Python or NumPy, as an `int`, whose arithmetic never overflows.

    Neither True nor text is one, nor is a float, even 2.0.

    Args:
        value: The value that was given.
        expected: The words for what was expected, with the name of the argument.
        least: The smallest that is taken.
        most: The largest that is taken.
        options: The arguments that help, as for `WidesrError`.

    Raises:
        UsageError: It is none, or out of range.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, Integral)
        or not least <= int(value) <= most
    ):
        raise UsageError(f"expected {expected}, got {shown(value)}", options=options)
    return int(value)


def real_number(value: object, expected: str, *, least: float = -inf) -> float:
    """Take a finite number of Python or NumPy, as a `float`; arguments and errors as above."""
    if (
        isinstance(value, bool)
        or not isinstance(value, Real)
        or not isfinite(value)
        or value < least
    ):
        raise UsageError(f"expected {expected}, got {shown(value)}")
    return float(value)


def check_flag(value: object, name: str) -> None:
    """Refuse text as True or False: even "no" would count as True.

    Raises:
        UsageError: It is text.
    """
    if isinstance(value, str | bytes):
        raise UsageError(f"expected True or False as {name}, got {shown(value)}")


def path_of(value: object, name: str) -> Path:
    """Take a path, or its text.

    Raises:
        UsageError: It is neither.
    """
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"expected a path as {name}, got {shown(value)}")
    return Path(value)


def shown(value: object) -> str:
    """Write a value in one short line, as Python does, whatever was given."""
    return " ".join(reprlib.repr(value).split())
