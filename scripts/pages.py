"""Put a script's findings into a page, between comments of its name, so that no figure is typed.

<!-- name:start -->
what the script wrote
<!-- name:end -->
"""

from pathlib import Path


def write_between(page: Path, name: str, text: str) -> None:
    """Exchange what a page has between the comments of this name."""
    before, _, after = _parts(page, name)
    page.write_text(before + text.rstrip("\n") + "\n" + after, encoding="utf-8")


def read_between(page: Path, name: str) -> str:
    """Return what a page has between the comments of this name."""
    return _parts(page, name)[1]


def _parts(page: Path, name: str) -> tuple[str, str, str]:
    start, end = f"<!-- {name}:start -->\n", f"<!-- {name}:end -->"
    before, rest = page.read_text(encoding="utf-8").split(start)
    between, after = rest.split(end)
    return before + start, between, end + after
