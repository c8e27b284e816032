"""Help, completion and the reference page: what can be typed, and nothing that cannot."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from widesr.cli import app, run
from widesr.models.catalog import ALIASES
from widesr.pixels.metrics import PROTOCOLS
from widesr.video.judge import CLIP_PROTOCOLS

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.stem for path in (ROOT / "src/widesr/train/recipes").glob("*.toml"))


def commands(group=None, *above):
    """Words that name each command, and the command."""
    for name, command in (group or get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *above, name)
        else:
            yield (*above, name), command


ALL = {" ".join(words): command for words, command in commands()}


def completed(*words):
    """Return what a shell offers for the last of the words."""
    code = "from widesr.cli import app; app(prog_name='widesr')"
    line = {"COMP_WORDS": " ".join(["widesr", *words]), "COMP_CWORD": str(len(words))}
    shell = {**os.environ, **line, "_WIDESR_COMPLETE": "complete_bash"}
    done = subprocess.run([sys.executable, "-c", code], env=shell, capture_output=True, text=True)
    return done.stdout.split()


@pytest.mark.parametrize("words", ["", *ALL])
def test_a_flag_takes_no_value_in_the_help(capsys, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "120")
    assert run([*words.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert "--help" in out
    assert not re.search("<bool>|BOOLEAN", out)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["upscale", "-n", ""], {*ALIASES, "bicubic"}),
        (["upscale", "--model", "re"], {"realistic"}),
        (["evaluate", "--protocol", "basic"], {p for p in PROTOCOLS if p.startswith("basic")}),
        (["evaluate", "--protocol", "vid4-"], set(CLIP_PROTOCOLS)),
        (["evaluate", "--protocol", "sr"], {"sr-space"}),
        (["upscale", "--icc", ""], {"keep", "srgb", "strip"}),
        (["models", "show", "def"], {"default"}),
        (["train", "wdsr-a8-x"], {r for r in RECIPES if r.startswith("wdsr-a8-x")}),
        (["train", "--from", "wdsr-a8-x"], {"wdsr-a8-x2", "wdsr-a8-x3", "wdsr-a8-x4"}),
        (["recipe", "show", "edsr-b"], {"edsr-baseline-x2"}),
    ],
)
def test_a_shell_is_offered_names_of_what_there_is(words, expected):
    assert expected
    assert expected <= set(completed(*words))
    assert all(word.startswith(words[-1]) for word in completed(*words))


def test_the_reference_page_names_the_choices_of_every_option():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import docs_hooks
    finally:
        sys.path.pop(0)
    page = docs_hooks.commands()
    assert set(ALL) == set(re.findall(r"^## widesr (.+)$", page, re.MULTILINE))
    choices = {
        param.metavar
        for command in ALL.values()
        for param in command.params
        if param.param_type_name == "option" and "|" in (param.metavar or "")
    }
    assert len(choices) > 8
    for words in choices:
        assert f" {words}`" in page
    assert "<!-- commands -->" in docs_hooks.MARKERS
    assert "<!-- commands -->" in (ROOT / "docs/reference/cli.md").read_text()
