"""Reads TOML files that users name: those of the package by name, others by path."""

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from widesr.errors import RecipeError
from widesr.train.recipe_errors import nearest

RECIPES = Path(__file__).parent / "recipes"


def names_in(folder: Path) -> list[str]:
    """List the files that come with the package, by name."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def read_named(name_or_path: str, *, folder: Path, what: str) -> tuple[Path, dict[str, Any]]:
    """Read a file, and return its path with its keys and values.

    Args:
        name_or_path: The name of a file in `folder`, or a path, which ends in ".toml".
        folder: The folder of the files that come with the package.
        what: The word for such a file in messages: "recipe", "study".

    Raises:
        RecipeError: There is no such file, its name does not end in ".toml", or it is not TOML.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = folder / f"{name_or_path}.toml"
    try:
        return path, parse_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        is_file = os.path.isfile(name_or_path)  # noqa: PTH113 (False, not an error, if too long)
        if is_file and Path(name_or_path).suffix != ".toml":
            raise RecipeError(
                f"{name_or_path}: is there, but the name of a {what} ends in .toml; rename it"
            ) from error
        names = names_in(folder)
        raise RecipeError(
            f"{name_or_path}: no such {what} ({error.strerror or error}); expected a path to a "
            f".toml file or one of {', '.join(names) or '(none)'}{nearest(name_or_path, names)}"
        ) from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not a text file in UTF-8") from error
    except ValueError as error:
        raise RecipeError(f"{path}: not TOML: {error}") from error


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ValueError: The text is not TOML, or its values are nested too deeply or have too many
            digits.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error


def read_recipe(name_or_path: str) -> tuple[Path, dict[str, Any]]:
    """Read a recipe, and return its path with its keys and values, including those of its `base`.

    Raises:
        RecipeError: There is no such file, it is not TOML, or its base is not in the package.
    """
    path, values = read_named(name_or_path, folder=RECIPES, what="recipe")
    values.setdefault("name", path.stem)
    if "base" not in values:
        return path, values
    base, known = values.pop("base"), names_in(RECIPES)
    if base not in known:
        raise RecipeError(
            f"{path}: base = {base!r}: expected the name of a recipe in the package"
            f"{nearest(base, known)}"
        )
    below = read_recipe(base)[1]
    if "loss" in values:  # the table replaces the single loss of the base
        below.get("optim", {}).pop("loss", None)
    return path, _over(below, values)


def as_toml(values: Mapping[str, Any], *, above: str = "") -> str:
    """Write keys and values as TOML; the names of the tables among them begin with `above`."""
    keys, tables = "", ""
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, dict):
            tables += f"\n[{name}]\n{as_toml(value, above=f'{name}.')}"
        elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
            tables += "".join(f"\n[[{name}]]\n{as_toml(each)}" for each in value)
        else:
            keys += f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
    return keys + tables


def _over(below: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Lay values over those of a base, tables key by key."""
    both = {
        key: _over(below[key], value)
        for key, value in values.items()
        if isinstance(value, dict) and isinstance(below.get(key), dict)
    }
    return {**below, **values, **both}
