"""Completes the names of models, recipes, studies and protocols in a shell."""

from collections.abc import Callable

Offer = Callable[[str], list[str]]
"""Function from the text typed so far to completions; typer knows its argument as `incomplete`."""


def words(*known: str) -> Offer:
    """Make a function that completes any of these words."""

    def offer(incomplete: str) -> list[str]:
        return [word for word in known if word.startswith(incomplete)]

    return offer


def models(incomplete: str) -> list[str]:
    """Complete the name of a model that is in the package or was pulled."""
    from widesr.models.catalog import ALIASES, BICUBIC, NEAREST, model_paths

    return words(*ALIASES, *model_paths(), BICUBIC, NEAREST)(incomplete)


def recipes(incomplete: str) -> list[str]:
    """Complete the name of a recipe in the package."""
    from widesr.train.named_files import RECIPES, names_in  # which needs no torch

    return words(*names_in(RECIPES))(incomplete)


def studies(incomplete: str) -> list[str]:
    """Complete the name of a study in the package."""
    from widesr.study import STUDIES
    from widesr.train.named_files import names_in

    return words(*names_in(STUDIES))(incomplete)


def protocols(incomplete: str) -> list[str]:
    """Complete the name of a protocol."""
    from widesr.pixels.metrics import PROTOCOLS

    return words(*PROTOCOLS, "list")(incomplete)
