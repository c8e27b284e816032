"""Find the docstrings and notes of the source that begin with a word that none should begin with.

A docstring begins with a verb, and a note on an attribute with a noun: a reader wants to know what
a thing does, or what it is. `scripts/check` fails where there is one.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGINS = re.compile(r"(What|Which|Where|How|Whether|Of|That|As)\b")


def strings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Give every string that stands on its own: docstrings, and notes below attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(ast.Constant(str()) as text):
                yield text


def found(root: Path = ROOT) -> list[str]:
    """List the places, as file:line: first line."""
    places = []
    for path in sorted((root / "src").rglob("*.py")):
        for each in strings(ast.parse(path.read_text(encoding="utf-8"))):
            if BEGINS.match(str(each.value)):
                line = str(each.value).partition("\n")[0]
                places.append(f"{path.relative_to(root)}:{each.lineno}: {line}")
    return places


if __name__ == "__main__":
    if places := found():
        print("\n".join(places))
        sys.exit(f"{len(places)} docstrings or notes begin with such a word; begin with a verb")
