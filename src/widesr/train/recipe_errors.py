"""Words the mistakes in a recipe: the key, its value, what is allowed, and the nearest name."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from widesr.errors import RecipeError

_EXPECTED = {
    "bool_type": "true or false",
    "dataclass_type": "a table",
    "dict_type": "a table",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "model_type": "a table",
    "string_type": "text in quotes",
    "tuple_type": "a list",
}
"""Expected values in words of TOML, by pydantic's types of errors."""
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_SHOWN = 60
"""Number of characters of a wrong value that a message repeats."""


def list_mistakes(error: ValidationError, *, known: Mapping[str, Collection[str]]) -> list[str]:
    """List the mistakes, a sentence for each.

    Args:
        error: The error of a whole recipe. If a validator of it raised another validation error,
            the mistakes of that are listed under the key that was validated.
        known: The known keys, by table; those above all tables are under "".
    """
    return list(_sentences(error, (), known))


def recipe_error(origin: str, mistakes: Sequence[str]) -> RecipeError:
    """Make one error of all mistakes in a recipe or a study, which the message calls `origin`."""
    count = f"{len(mistakes)} mistakes: " if len(mistakes) > 1 else ""
    return RecipeError(f"{origin}: {count}{'; '.join(mistakes)}")


def nearest(found: object, allowed: Collection[str]) -> str:
    """Return the end of a sentence that suggests the most similar allowed word, if there is one."""
    near = get_close_matches(str(found).lower(), allowed, n=1)
    return f", did you mean {near[0]}?" if near else ""


def _sentences(
    error: ValidationError, above: tuple[int | str, ...], known: Mapping[str, Collection[str]]
) -> Iterator[str]:
    for mistake in error.errors():
        place = (*above, *mistake["loc"])
        cause = mistake.get("ctx", {}).get("error")
        key = ".".join(map(str, place))
        if isinstance(cause, ValidationError):
            yield from _sentences(cause, place, known)
        elif mistake["type"] in _UNKNOWN:
            yield f"{key}: unknown key{_meant(place, known)}"
        elif mistake["type"] == "missing":
            yield f"{key}: missing"
        elif mistake["input"] is None:  # TOML has no such value: it was left out
            yield f"{key}: {_wanted(mistake)}"
        else:
            yield f"{key} = {_short(mistake['input'])}: {_wanted(mistake)}"


def _meant(place: tuple[int | str, ...], known: Mapping[str, Collection[str]]) -> str:
    """Name the table that an unknown key belongs to, or the key of its own table nearest to it."""
    *tables, key = map(str, place)
    here = ".".join(table for table in tables if not table.isdecimal())  # of a list of tables
    for table, keys in known.items():
        if key in keys:
            return f", it belongs in [{table}]" if table else ", it belongs above the first table"
    return nearest(key, known.get(here, ()))


def _wanted(mistake: Mapping[str, Any]) -> str:
    kind, message = mistake["type"], str(mistake["msg"])
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}"
    message = message.removeprefix("Value error, ").replace("Input should be", "expected")
    if kind == "literal_error":
        return message + nearest(mistake["input"], re.findall(r"'([^']*)'", message))
    return message


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
