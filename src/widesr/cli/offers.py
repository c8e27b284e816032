"""Completes the names of models, recipes, studies and protocols in a shell.

Typer knows the argument of each function, the text typed so far, by the name `incomplete`.
"""

from collections.abc import Iterable


def _beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


def models(incomplete: str) -> list[str]:
    """Complete the name of a model that is in the package or was pulled."""
    from widesr.models.catalog import ALIASES, BICUBIC, NEAREST, model_paths

    return _beginning(incomplete, (*ALIASES, *model_paths(), BICUBIC, NEAREST))


def recipes(incomplete: str) -> list[str]:
    """Complete the name of a recipe in the package."""
    from widesr.train.named_files import RECIPES, names_in  # which needs no torch

    return _beginning(incomplete, names_in(RECIPES))


def studies(incomplete: str) -> list[str]:
    """Complete the name of a study in the package."""
    from widesr.study import STUDIES
    from widesr.train.named_files import names_in

    return _beginning(incomplete, names_in(STUDIES))


def protocols(incomplete: str) -> list[str]:
    """Complete the name of a protocol."""
    from widesr.cli.space import SR_SPACE
    from widesr.pixels.metrics import PROTOCOLS
    from widesr.video.judge import CLIP_PROTOCOLS

    return _beginning(incomplete, (*PROTOCOLS, *CLIP_PROTOCOLS, SR_SPACE, "list"))
