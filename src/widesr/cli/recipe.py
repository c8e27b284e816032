"""Shows the recipes of the package, to train with or to begin one's own from: `widesr recipe`."""

import json
import textwrap
import tomllib
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from widesr.cli import offers, options
from widesr.cli.terminal import (
    Command,
    group,
    print_json,
    print_line,
    print_lines,
    print_note,
    print_text,
    show_help,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH = 80
"""The columns of a terminal."""

commands = group("List the recipes of the package, or show one, to train by it or to change it.")
commands.callback(invoke_without_command=True)(show_help)


@commands.command("list", cls=Command)
def list_recipes(as_json: options.Json = False) -> None:
    """List the recipes that come with the package."""
    recipes = list(_in_package())
    if as_json:
        print_json(json.dumps(recipes, indent=2))
        return
    rows = [("recipe", "scale", "steps", "")]
    rows += [(each["name"], f"x{each['scale']}", f"{each['steps']:,}", "") for each in recipes]
    head, *lines = table(rows)
    left = len(max([head, *lines], key=len)) + 2
    print_line(head)
    for line, each in zip(lines, recipes, strict=True):
        first, *more = textwrap.wrap(each["about"], _WIDTH - left)
        print_lines([line.ljust(left) + first, *(" " * left + words for words in more)])


@commands.command("show", cls=Command)
def show_recipe(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", autocompletion=offers.recipes, help="The name of a recipe."),
    ],
) -> None:
    """Print a recipe, whole; `widesr recipe show NAME > my.toml` begins one of your own."""
    from widesr.train.named_files import as_toml, read_recipe

    path, values = read_recipe(name)
    text = path.read_text(encoding="utf-8")
    if "base" in tomllib.loads(text):  # the file states only what differs from its base
        about = takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True))
        text = "".join(about) + as_toml(values)
    print_text(text)
    print_note("give it a name of its own, and train: widesr train my.toml --data DIR")


def _in_package() -> "Iterator[dict[str, Any]]":
    """Yield the facts about each recipe for the list; the first line of its file describes it."""
    from widesr.train.named_files import RECIPES, names_in, read_recipe

    for name in names_in(RECIPES):
        path, values = read_recipe(name)
        yield {
            "name": name,
            "scale": values["net"]["scale"],
            "degradation": values["data"]["degradation"],
            "steps": values["optim"]["steps"],
            "source": values["source"],
            "about": _first_line(path),
        }


def _first_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
