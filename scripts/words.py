"""Find the docstrings and notes of the source whose first word is neither a verb nor a noun.

A docstring begins with a verb, and a note on an attribute, an argument or an error with a noun: a
reader wants to know what a thing does, or what it is. `scripts/check` fails where one does not.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGINS = re.compile(r"(What|Which|Where|How|Whether|Why|When|Of|That|Those|As|By|For|From)\b")
NOTE = re.compile(r"^ +\*{0,2}[\w.]+: (?=[A-Z])", re.MULTILINE)
"""A note in a section of a docstring, up to its text: `    name: `."""
SECTION = re.compile(r"^ *(Args|Attributes|Raises|Returns|Yields):\n\s*", re.MULTILINE)


def strings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Give every string that stands on its own: docstrings, and notes below attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(ast.Constant(str()) as text):
                yield text


def beginnings(text: str) -> Iterator[int]:
    """Give the places where a docstring begins, and its sections' notes."""
    yield 0
    if first := SECTION.search(text):
        yield from (note.end() for note in NOTE.finditer(text, first.start()))
        yield from (section.end() for section in SECTION.finditer(text))  # what has no name


def refused(source: str) -> Iterator[tuple[int, str]]:
    """Give the line and the text of each docstring or note that begins with such a word."""
    for each in strings(ast.parse(source)):
        text = str(each.value)
        for place in beginnings(text):
            if BEGINS.match(text, place):
                yield each.lineno + text.count("\n", 0, place), text[place:].partition("\n")[0]


def found(root: Path = ROOT) -> list[str]:
    """List the places, as file:line: first line."""
    return [
        f"{path.relative_to(root)}:{line}: {text}"
        for path in sorted((root / "src").rglob("*.py"))
        for line, text in refused(path.read_text(encoding="utf-8"))
    ]


if __name__ == "__main__":
    if places := found():
        print("\n".join(places))
        sys.exit(f"{len(places)} docstrings or notes begin with such a word; take a verb or a noun")
