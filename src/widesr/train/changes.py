"""Derives a recipe from another: with values given as text, or to adapt a trained network."""

from collections.abc import Sequence
from typing import Any

from widesr.errors import RecipeError
from widesr.train.named_files import parse_toml
from widesr.train.recipe import Recipe, parse_recipe


def changed(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """Return a recipe with some values changed; all are set before any is checked.

    Args:
        recipe: The recipe to change.
        changes: Strings "KEY=VALUE": the key with its table before it, and the value as in TOML,
            except that text needs no quotes.

    Raises:
        RecipeError: A change lacks its key or value, or the recipe cannot have it.
    """
    values = recipe.model_dump(mode="json")
    for change in changes:
        key, equals, text = change.partition("=")
        keys = key.strip().split(".")
        if not equals or not all(keys) or not text.strip():
            raise RecipeError(
                f"{change!r} sets nothing; expected KEY=VALUE, such as optim.steps=2000"
            )
        _put(values, keys, _parsed(text.strip()), change=change)
    return parse_recipe(values, origin=f"{recipe.name} with {', '.join(changes)}")


def _put(table: dict[str, Any], keys: Sequence[str], value: object, *, change: str) -> None:
    *tables, last = keys
    for name in tables:
        if table.get(name, {}) is None:
            table[name] = {}  # the recipe had no such table
        below = table.get(name)
        if not isinstance(below, dict):
            known = ", ".join(key for key, each in table.items() if isinstance(each, dict))
            raise RecipeError(f"{change}: the recipe has no table [{name}]; expected {known}")
        table = below
    table[last] = value


def _parsed(text: str) -> object:
    """Read a value as TOML, or as text without its quotes."""
    try:
        return parse_toml(f"value = {text}")["value"]
    except ValueError:
        return text


def fine_tuning(recipe: Recipe, *, photographs: int) -> Recipe:
    """Turn the recipe of a trained network into one that adapts it to a few photographs.

    It takes few steps at a tenth of the learning rate: the network must learn what is special about
    these photographs, and not forget what all photographs have in common.

    Args:
        recipe: The recipe that the network was trained with.
        photographs: The number of photographs; a tenth of them is held out.

    Source: our own runs, docs/how-to/train.md.
    """
    optim = recipe.optim
    rates: dict[str, object] = {"learning_rate": optim.learning_rate / 10}
    if optim.muon:
        # A tenth of the usual rates with Muon, since the last run may have used lower ones.
        muon = optim.muon.model_copy(update={"learning_rate": 4e-4})
        rates = {"learning_rate": 2e-4, "muon": muon}
    optim = optim.model_copy(
        update=rates
        | {
            "steps": 2000,
            "warmup": 100,
            "schedule": "cosine",
            "decay_at": (),
            "decay": None,
        }
    )
    held_out = min(recipe.data.validation, max(1, photographs // 10))
    return recipe.model_copy(
        update={
            "name": f"{recipe.name}-tuned",
            "source": f"fine-tuning of {recipe.name}",
            "data": recipe.data.model_copy(update={"validation": held_out, "exclude": ()}),
            "optim": optim,
            "teacher": None,
            "stage": (),
            "log": recipe.log.model_copy(update={"validate_every": 200}),
        }
    )
