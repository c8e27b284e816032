"""Reads TOML files that people name: by name from the package, others by path."""

import tomllib
from pathlib import Path
from typing import Any

from widesr.errors import RecipeError
from widesr.train.recipe_errors import nearest

RECIPES = Path(__file__).parent / "recipes"


def names_in(folder: Path) -> list[str]:
    """List the files that come with the package, by name."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def read_named(name_or_path: str, *, folder: Path, what: str) -> tuple[Path, dict[str, Any]]:
    """Read a file: where it is, and its keys and values.

    Args:
        name_or_path: Of one in `folder`, or the path of any, which ends in ".toml".
        folder: Of those that come with the package.
        what: It is called in messages: "recipe", "study".

    Raises:
        RecipeError: No such file, or not TOML.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = folder / f"{name_or_path}.toml"
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        names = names_in(folder)
        raise RecipeError(
            f"{name_or_path}: no such {what} ({error.strerror or error}); expected a path to a "
            f".toml file or one of {', '.join(names) or '(none)'}{nearest(name_or_path, names)}"
        ) from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not a text file in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not TOML: {error}") from error
