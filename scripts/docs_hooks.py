"""Write the documentation's reference tables from the code, so that the two cannot disagree.

A page says `<!-- commands -->` or `<!-- protocols -->` where a table is wanted.
"""

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from widesr.cli import app
from widesr.pixels.metrics import PROTOCOLS


def commands() -> str:
    """Every command of `widesr`: its help, its arguments and its options."""
    group: Any = get_command(app)
    return "\n\n".join(_sections("widesr", group))


def _sections(path: str, group: Any) -> Iterator[str]:  # noqa: ANN401 (typer's own copy of click)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _sections(f"{path} {name}", command)
        else:
            yield _section(f"{path} {name}", command)


def _section(name: str, command: Any) -> str:  # noqa: ANN401 (typer's own copy of click)
    rows = [_row(param) for param in command.params if not param.hidden]
    table = ["| argument or option | default | |", "|---|---|---|", *rows]
    return "\n\n".join([f"## {name}", command.help or "", "\n".join(table)])


def _row(param: Any) -> str:  # noqa: ANN401
    if param.param_type_name == "argument":
        names = [param.metavar or param.name.upper()]
    else:
        value = f" {param.metavar}" if param.metavar else ""  # its choices among them
        names = [f"{name}{value}" for name in (*param.opts, *param.secondary_opts)]
    default = "" if param.default in (None, False) else param.default
    if isinstance(default, list):
        default = ", ".join(default)
    words = (
        cell.replace("|", r"\|").replace("\n", " ") for cell in (str(default), param.help or "")
    )
    # In code a "|" parts no cells, and a backslash would be shown.
    return " | ".join(["| " + ", ".join(f"`{name}`" for name in names), *words]) + " |"


def protocols() -> str:
    """Every named protocol with its choices and its source."""
    rows = [
        "| protocol | channel | border, HR pixels | luma rounded | source |",
        "|---|---|---|---|---|",
    ]
    for p in PROTOCOLS.values():
        border = " + ".join(
            ["scale"] * p.border_per_scale + [str(p.border_extra)] * bool(p.border_extra)
        )
        rounded = {"y": "yes" if p.y_rounded else "no", "rgb": ""}[p.channel]
        rows.append(
            f"| `{p.name}` | {p.channel.upper()} | {border or 'none'} | {rounded} | {p.source} |"
        )
    return "\n".join(rows)


MARKERS = {"<!-- commands -->": commands, "<!-- protocols -->": protocols}


def on_page_markdown(markdown: str, **_: object) -> str:
    """Fill in the tables that a page asks for; MkDocs calls this for each page."""
    for marker, table in MARKERS.items():
        if marker in markdown:
            markdown = markdown.replace(marker, table())
    return markdown
