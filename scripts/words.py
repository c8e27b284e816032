"""Count the docstrings and notes of the source that begin with a word that no sentence should.

A docstring begins with a verb, and a note on an attribute with a noun: a reader wants to know what
a thing does, or what it is. Run by scripts/check; the limit only ever goes down.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

LIMIT = 24
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
    places = found()
    if len(places) > LIMIT or "--list" in sys.argv:
        print("\n".join(places))
    if len(places) != LIMIT:
        sys.exit(f"{len(places)} docstrings or notes begin with such a word, the limit is {LIMIT}")
