"""Checks the values that users of the Python API give, all in the same way."""

import os
import reprlib
from collections.abc import Sequence
from math import inf, isfinite, nan
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
    """Return a whole number of Python or NumPy as an `int`, whose arithmetic never overflows.

    Booleans, strings and floats are refused, even True and 2.0.

    Args:
        value: The value that the user gave.
        expected: The expected value in words, with the name of the argument.
        least: The smallest number that is accepted.
        most: The largest number that is accepted.
        options: The arguments that help, as for `WidesrError`.

    Raises:
        UsageError: The value is not a whole number, or out of range.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, Integral)
        or not least <= int(value) <= most
    ):
        raise UsageError(f"expected {expected}, got {shown(value)}", options=options)
    return int(value)


def real_number(value: object, expected: str, *, least: float = -inf) -> float:
    """Return a finite number as a `float`; arguments and errors are those of `whole_number`."""
    try:
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else nan
    except OverflowError:  # of an integer beyond all floats
        number = inf
    if not isfinite(number) or number < least:
        raise UsageError(f"expected {expected}, got {shown(value)}")
    return number


def check_flag(value: object, name: str) -> None:
    """Refuse a string in place of True or False, because even "no" would count as True.

    Raises:
        UsageError: The value is a string.
    """
    if isinstance(value, str | bytes):
        raise UsageError(f"expected True or False as {name}, got {shown(value)}")


def path_of(value: object, name: str) -> Path:
    """Return a `Path` for a path or a string.

    Raises:
        UsageError: The value is neither.
    """
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"expected a path as {name}, got {shown(value)}")
    return Path(value)


def shown(value: object) -> str:
    """Write any value in one short line, in Python's notation."""
    return " ".join(reprlib.repr(value).split())
