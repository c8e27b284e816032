"""Turns the arguments of the `widesr` command into calls, and results and errors into lines.

There is one file for each group of commands. A command imports what it needs when it runs, so that
help is quick, and upscaling never loads what training needs.
"""

import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from widesr.cli import options
from widesr.cli.bench import measure_model
from widesr.cli.bulk import upscale_bucket
from widesr.cli.calibrate import calibrate_model
from widesr.cli.data import commands as data_commands
from widesr.cli.degrade import degrade_pictures
from widesr.cli.diff import show_difference
from widesr.cli.doctor import examine
from widesr.cli.export import export_model
from widesr.cli.import_ import import_network
from widesr.cli.interrupt import interruptible
from widesr.cli.judge import compare_pictures, evaluate_model
from widesr.cli.lineup import compare_models
from widesr.cli.models import commands as models_commands
from widesr.cli.recipe import commands as recipe_commands
from widesr.cli.samples import sample_pictures
from widesr.cli.serve import serve_pictures
from widesr.cli.study import run_studies
from widesr.cli.terminal import Command, Group, logged, print_error, print_line, show_help
from widesr.cli.train import train_network
from widesr.cli.upscale import upscale_pictures
from widesr.errors import InternalError, OutOfMemoryError, UsageError, WidesrError
from widesr.system.version import __version__

COMMANDS: dict[str, Callable[..., None]] = {
    "upscale": upscale_pictures,
    "samples": sample_pictures,
    "serve": serve_pictures,
    "bulk": upscale_bucket,
    "degrade": degrade_pictures,
    "compare": compare_pictures,
    "diff": show_difference,
    "compare-models": compare_models,
    "evaluate": evaluate_model,
    "train": train_network,
    "study": run_studies,
    "import": import_network,
    "export": export_model,
    "calibrate": calibrate_model,
    "bench": measure_model,
    "doctor": examine,
}
"""The commands by their names, in the order of the help."""

GROUPS = {"models": models_commands, "data": data_commands, "recipe": recipe_commands}
"""Commands with commands below them."""

ALIASES = {
    "outscale": "scale",
    "model_name": "model",
    "model-name": "model",
    "tile-size": "tile",
    "tile_size": "tile",
    "ext": "format",
    "engine": "backend",
    "tta": "self-ensemble",
    "self_ensemble": "self-ensemble",
    "max_pixels": "max-pixels",
    "max_memory": "max-memory",
}
"""Option names that users know from other tools; they work, but the help leaves them out."""

_INTERRUPTED = 130
"""Exit code of a program that Ctrl-C ended, by the shells' convention."""
_ParserError: Any = typer.BadParameter.__base__
"""The base class of the errors of typer's parser; only the subclass is public."""

app = typer.Typer(
    cls=Group,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # it joins the lines of a paragraph
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda name: ALIASES.get(name, name),
    },
)
for _name, _command in COMMANDS.items():
    app.command(_name, cls=Command)(_command)
for _name, _commands in GROUPS.items():
    app.add_typer(_commands, name=_name)


def _print_version(wanted: bool) -> None:
    if wanted:
        print_line(f"widesr {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    _verbose: options.Verbose = 0,
) -> None:
    """Make photographs larger, with more detail than interpolation gives."""
    show_help(context)


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line (`sys.argv` by default) and return the exit code.

    0: done. 1: failed. 2: the arguments are not valid. 3: some of several pictures failed.
    130: interrupted. An error is printed as one line on stderr, `widesr: error[code]: message`;
    WIDESR_DEBUG=1 in the environment shows the traceback of a defect. If the reader of the output,
    such as `head`, closes the pipe early, the program ends quietly.
    """
    # Otherwise pydantic searches every installed package for plugins of its own.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name may be no text in any encoding
            stream.reconfigure(errors="backslashreplace")
    try:
        with interruptible(), logged():
            code = app(args, prog_name="widesr", standalone_mode=False)
    except WidesrError as error:
        return _refuse(error)
    except _ParserError as error:
        command = error.ctx.command_path if error.ctx else "widesr"
        message = error.format_message().rstrip(".").replace("Value error, ", "")
        return _refuse(UsageError(f"{message}; see {command} --help"))
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except MemoryError as error:
        return _refuse(OutOfMemoryError(error))
    except Exception as error:
        if os.environ.get("WIDESR_DEBUG"):
            raise
        return _refuse(InternalError(error))
    return code if isinstance(code, int) else 0


def _refuse(error: WidesrError) -> int:
    print_error(error)
    return error.exit_code
