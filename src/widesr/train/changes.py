"""Sets other values for keys of a recipe, as people write them: optim.steps=2000."""

import tomllib
from collections.abc import Sequence
from typing import Any

from widesr.errors import RecipeError
from widesr.train.recipe import Recipe, parse_recipe


def changed(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """Return a recipe with other values, all of them set before any is checked.

    Args:
        recipe: The one to begin with.
        changes: "KEY=VALUE" each: the key with its table before it, the value as in TOML; text
            needs no quotes.

    Raises:
        RecipeError: No key or value, or one that the recipe cannot have.
    """
    values = recipe.model_dump(mode="json")
    for change in changes:
        key, equals, text = change.partition("=")
        keys = key.strip().split(".")
        if not equals or not all(keys) or not text.strip():
            raise RecipeError(f"{change!r} sets nothing; expected KEY=VALUE as optim.steps=2000")
        _put(values, keys, _parsed(text.strip()), change=change)
    return parse_recipe(values, origin=f"{recipe.name} with {', '.join(changes)}")


def _put(table: dict[str, Any], keys: Sequence[str], value: object, *, change: str) -> None:
    *tables, last = keys
    for name in tables:
        if table.get(name, {}) is None:
            table[name] = {}  # it was off
        below = table.get(name)
        if not isinstance(below, dict):
            known = ", ".join(key for key, each in table.items() if isinstance(each, dict))
            raise RecipeError(f"{change}: the recipe has no table [{name}]; expected {known}")
        table = below
    table[last] = value


def _parsed(text: str) -> object:
    """Read a value as TOML, or as text without its quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
