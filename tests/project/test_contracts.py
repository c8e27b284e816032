"""Promises of the project as a whole: names, imports, recipes, cards, documents."""

import hashlib
import importlib
import importlib.resources
import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import widesr
from widesr import errors
from widesr.train.named_files import RECIPES, names_in, read_recipe

ROOT = Path(__file__).parents[2]
PACKAGE = Path(str(importlib.resources.files("widesr")))
MODELS = sorted((PACKAGE / "models").glob("*.onnx"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def modules_loaded_by(code: str) -> set[str]:
    """The top-level modules in a fresh interpreter after `code`."""
    report = (
        f"{code}\nimport sys; print('loaded:', *{{name.split('.')[0] for name in sys.modules}})"
    )
    run = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True, timeout=250
    )
    last = run.stdout.splitlines()[-1].split()
    assert last[0] == "loaded:"
    return set(last[1:])


# ---- imports -------------------------------------------------------------------------------


def test_importing_the_package_loads_nothing_heavy():
    loaded = modules_loaded_by("import widesr")
    assert "widesr" in loaded
    assert not loaded & {"numpy", "pyvips", "pydantic", "onnxruntime", "torch", "typer", "rich"}


def test_help_appears_without_a_runtime_or_a_decoder():
    loaded = modules_loaded_by("from widesr.cli import run\nassert run(['--help']) == 0")
    assert "typer" in loaded
    assert not loaded & {"onnxruntime", "openvino", "torch", "pyvips", "numpy"}


# ---- names ---------------------------------------------------------------------------------


def test_public_names_are_sorted_and_can_be_imported():
    names = list(widesr.__all__)
    assert len(names) > 10
    # Constants, then classes, then functions: the order that ruff holds.
    assert names == sorted(set(names), key=lambda n: (not n.isupper(), n[0].islower(), n))
    assert set(names) <= set(dir(widesr))
    for name in names:
        assert getattr(widesr, name) is not None


@pytest.mark.parametrize("name", widesr.__all__)
def test_every_public_name_is_documented(name):
    public = getattr(widesr, name)
    if inspect.isclass(public) or inspect.isfunction(public):
        assert inspect.getdoc(public)
        assert public.__module__.startswith("widesr.")
    assert re.search(rf"\b{name}\b", (ROOT / "docs/reference/api.md").read_text())


def test_only_the_names_that_are_promised_can_be_got():
    with pytest.raises(AttributeError, match="no_such_name"):
        widesr.no_such_name  # noqa: B018


def test_the_version_is_written_in_one_place():
    holders = [
        path.name
        for path in (ROOT / "pyproject.toml", ROOT / "CITATION.cff", *DOCUMENTS)
        if widesr.__version__ in path.read_text()
    ]
    assert holders == []
    lines = (PACKAGE / "system" / "version.py").read_text().splitlines()
    assert sum(line == f'__version__ = "{widesr.__version__}"' for line in lines) == 1


# ---- errors --------------------------------------------------------------------------------


def error_classes() -> list[type[errors.WidesrError]]:
    return [
        value
        for value in vars(errors).values()
        if inspect.isclass(value)
        and issubclass(value, errors.WidesrError)
        and value is not errors.WidesrError
    ]


def test_every_error_code_has_its_anchor_and_its_line_in_the_table():
    codes = {error.code for error in error_classes()}
    assert len(codes) == len(error_classes()) > 10
    page = (ROOT / "docs/reference/errors.md").read_text()
    assert set(re.findall(r"^## ([a-z-]+)$", page, re.MULTILINE)) == codes
    table = errors.__doc__ or ""
    for error in error_classes():
        assert re.search(rf"{error.__name__} +{error.code} ", table)


def test_every_extra_that_a_message_names_can_be_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {
        extra
        for path in PACKAGE.rglob("*.py")
        for extra in re.findall(r'MissingExtraError\(\s*extra="([^"]+)"', path.read_text())
    }
    assert named
    assert named <= set(project["optional-dependencies"])


# ---- recipes and models --------------------------------------------------------------------


def test_every_recipe_leaves_the_examples_out():
    held_out = {
        Path(line).name
        for line in (ROOT / "training/held_out.txt").read_text().splitlines()
        if not line.startswith("#")
    }
    assert len(held_out) == len(list((ROOT / "examples").glob("*.jpg")))
    recipes = names_in(RECIPES)
    assert recipes
    for name in recipes:
        assert held_out <= set(read_recipe(name)[1]["data"]["exclude"]), name


def test_there_are_models_for_every_scale_and_they_are_small():
    from widesr.models.catalog import list_models

    assert {model.card.scale for model in list_models()} >= {2, 3, 4}
    assert sum(path.stat().st_size for path in MODELS) <= 14.4 * 2**20  # of 15 MB for the wheel


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_model_has_a_card_with_licence_data_and_scores(path):
    from widesr.models.catalog import read_card
    from widesr.pixels.metrics import PROTOCOLS
    from widesr.video.judge import CLIP_PROTOCOLS

    card = read_card(path)
    assert card.name == path.stem
    assert card.licence == "Apache-2.0"
    assert card.training_data
    assert all(entry.licence and entry.n > 0 for entry in card.training_data)
    assert card.scores
    known = PROTOCOLS if card.frames == 1 else CLIP_PROTOCOLS
    assert {score.protocol for score in card.scores} <= set(known)


# ---- documents -----------------------------------------------------------------------------


def shell_lines(path: Path) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in (word for word in words if "=" not in word):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def check_widesr(words: list[str]) -> None:
    from typer.main import get_command

    from widesr.cli import app

    group = get_command(app)
    command = group.commands.get(words[0], group)
    if hasattr(command, "commands"):
        by_itself = command.commands.get("show")  # what `widesr models` alone is
        command = command.commands.get(words[1] if words[1:] else "show", by_itself)
    assert command, words
    known = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}
    used = {word.split("=")[0] for word in words if re.match(r"-[A-Za-z]|--", word)}
    assert command is not group or words[0].startswith("-"), words
    assert used <= known | {"--help", "--version"}, f"{words}: {used - known}"


def check_torchrun(words: list[str]) -> None:
    at = words.index("widesr")
    check_widesr(words[at + 1 :])
    run = pytest.importorskip("torch.distributed.run", reason="needs the `train` extra")
    assert run.get_args_parser().parse_args(words).training_script == "widesr"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_only_commands_and_flags_that_exist(path):
    for line in shell_lines(path):
        program, *words = shlex.split(line)
        match program:
            case "make":
                check_make(words)
            case "widesr":
                check_widesr(words)
            case "torchrun":
                check_torchrun(words)
            case "pnnx":
                pass  # tests/exchange/test_elsewhere.py runs the line
            case _:
                assert (program, words[0]) in {("pip", "install"), ("hf", "upload")}, line


def test_the_architecture_page_has_every_module_on_its_floor():
    page = (ROOT / "docs/architecture.md").read_text()
    described = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    floors = [contract["layers"] for contract in contracts("layers")]
    assert floors
    for layers in floors:
        assert "```text\n" + "\n".join(layers) + "\n```" in page
        assert modules_on(layers) <= described


def test_only_training_may_need_torch():
    root, (forbidden,) = contracts("layers")[0], contracts("forbidden")
    light = {module.removeprefix("widesr.") for module in forbidden["source_modules"]}
    assert modules_on(root["layers"]) - light == {"cli", "exchange", "nets", "study", "train"}


def contracts(kind: str) -> list[dict]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return [contract for contract in settings["contracts"] if contract["type"] == kind]


def modules_on(layers: list[str]) -> set[str]:
    return {module for layer in layers for module in layer.split(" | ")}


def test_the_readme_shows_the_two_commands():
    assert {"make demo", "make test"} <= set(shell_lines(ROOT / "README.md"))


def test_the_changelog_begins_with_what_comes_next_or_with_this_version():
    text = (ROOT / "CHANGELOG.md").read_text()
    first = re.search(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert first
    assert first[1] in {"Unreleased", widesr.__version__}


def test_the_licence_is_the_whole_apache_licence():
    # SHA-256 of https://www.apache.org/licenses/LICENSE-2.0.txt
    digest = hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest()
    assert digest == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    assert (PACKAGE / "models" / "LICENSE-MODELS").stat().st_size > 0


def test_every_example_photograph_is_credited_and_small():
    photographs = sorted((ROOT / "examples").glob("*.jpg"))
    page = (ROOT / "examples/CREDITS.md").read_text()
    assert photographs
    assert re.findall(r"^\| `(\S+)` \|", page, re.MULTILINE) == [p.name for p in photographs]
    assert sum(path.stat().st_size for path in photographs) < 2.5 * 2**20


@pytest.mark.parametrize(
    "program", ["scripts/models_table.py", "benchmarks/peers.py", "benchmarks/detection.py --page"]
)
def test_tables_of_models_are_those_of_cards_and_results(program):
    program, *options = program.split()
    words = [sys.executable, ROOT / program, *options, "--check"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
