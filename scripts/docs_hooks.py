"""Write the documentation's reference tables from the code, so that the two cannot disagree.

A page says `<!-- commands -->` or `<!-- protocols -->` where a table is wanted.
"""

from typing import Any

from typer.main import get_command

from widesr.cli import app
from widesr.metrics import PROTOCOLS


def commands() -> str:
    """Every command of `widesr`: its help, its arguments and its options."""
    parts = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        parts += [
            f"## widesr {name}",
            command.help or "",
            "| option | default | |",
            "|---|---|---|",
        ]
        parts[-2:] = ["\n".join(parts[-2:] + [_row(param) for param in command.params])]
    return "\n\n".join(parts)


def _row(param: Any) -> str:  # noqa: ANN401 (click's, or the copy that typer brings)
    is_argument = param.param_type_name == "argument"
    names = [param.make_metavar()] if is_argument else [*param.opts, *param.secondary_opts]
    default = "" if param.default in (None, False, ()) or callable(param.default) else param.default
    meaning = (getattr(param, "help", "") or "").replace("|", r"\|").replace("\n", " ")
    return f"| {', '.join(f'`{name}`' for name in names)} | {default} | {meaning} |"


def protocols() -> str:
    """Every named protocol with its choices and its source."""
    rows = [
        "| protocol | channel | border, HR pixels | luma rounded | source |",
        "|---|---|---|---|---|",
    ]
    for p in PROTOCOLS.values():
        border = " + ".join(
            part for part in ("scale" * p.border_per_scale, str(p.border_extra or "")) if part
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
