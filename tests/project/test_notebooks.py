"""The notebooks do what they say, from their first cell to the last."""

import ast
import contextlib
import io
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from studio import EXAMPLES

pytestmark = [pytest.mark.train, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MOST_BYTES = 1_000_000
"""Size of all notebooks together, pictures included."""
DISTRIBUTIONS = {"PIL": "pillow"}
"""Distributions whose names differ from those of their modules."""


def cells(path, kind="code"):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_every_cell_was_run_in_order_before_it_was_committed():
    assert len(NOTEBOOKS) == 6
    for path in NOTEBOOKS:
        counts = [cell["execution_count"] for cell in cells(path)]
        assert counts == list(range(1, len(counts) + 1)), path.name
        assert not [out for cell in cells(path) for out in cell["outputs"] if "ename" in out]


def test_every_notebook_has_pictures_and_all_of_them_are_small():
    for path in NOTEBOOKS:
        outputs = [out for cell in cells(path) for out in cell["outputs"]]
        kinds = {kind for out in outputs for kind in out.get("data", ())}
        assert kinds & {"image/jpeg", "image/png"}, path.name
    assert sum(path.stat().st_size for path in NOTEBOOKS) < MOST_BYTES


def installed_by(path):
    """Return the distributions that the first cell's command installs, with those of extras."""
    first = "".join(cells(path, "markdown")[0]["source"])
    (command,) = re.findall(r"`pip install ([^`]+)`", first)
    here, *others = command.replace('"', "").split()
    extras = re.findall(r"\w+", here.removeprefix("."))
    wanted = [*PROJECT["dependencies"]]
    for extra in extras:
        wanted += PROJECT["optional-dependencies"][extra]
    return {re.match(r"[\w-]+", each)[0].lower() for each in [*wanted, *others]}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_command_of_the_first_cell_brings_what_the_notebook_imports(path):
    source = "\n".join("".join(cell["source"]) for cell in cells(path))
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {each.name.split(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert "widesr" in imported
    needed = imported - set(sys.stdlib_module_names) - {"widesr"}
    if '"train"' in source:  # the command
        needed.add("torch")
    brought = installed_by(path)
    assert "jupyterlab" in brought
    assert {DISTRIBUTIONS.get(name, name) for name in needed} <= brought


def run_through(name, monkeypatch, tmp_path, *, steps=None):
    """Run the cells of a notebook in an empty folder; give its names, and what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHOTOGRAPHS", str(EXAMPLES))
    if steps:
        monkeypatch.setenv("STEPS", str(steps))
    names, said = {}, io.StringIO()
    with contextlib.redirect_stdout(said):
        for cell in cells(ROOT / "notebooks" / f"{name}.ipynb"):
            exec("".join(cell["source"]), names)  # noqa: S102 - ours
    return names, said.getvalue()


@pytest.mark.timeout(1800)  # training takes minutes, more on a busy machine
def test_a_model_is_adapted_to_pages(tmp_path, monkeypatch):
    names, said = run_through("fine_tune", monkeypatch, tmp_path, steps=60)
    assert names["after"] > names["before"] + 0.1, said
    assert "dB on photographs" in said


@pytest.mark.timeout(900)
def test_pictures_are_upscaled_and_compared(tmp_path, monkeypatch):
    names, _ = run_through("upscale", monkeypatch, tmp_path)
    hr, score = names["hr"], {}
    for model, sr in names["results"].items():
        assert sr.shape == hr.shape
        score[model] = names["widesr"].psnr(sr, hr, protocol=names["protocol"], scale=2)
    assert score["bicubic"] + 2 < score["fast"] < score["default"] < score["best"]
    assert (tmp_path / "spices_x2.jpg").stat().st_size > 100_000
    assert names["Sheet"]({"one": hr[:40, :40]})._repr_jpeg_().startswith(b"\xff\xd8")


@pytest.mark.timeout(1800)
def test_two_networks_are_trained_and_exported(tmp_path, monkeypatch):
    names, said = run_through("train", monkeypatch, tmp_path, steps=40)
    for family in ("wdsr", "edsr"):
        log = names["logs"][family]
        assert log[-1]["step"] == 40
        assert log[-1]["psnr"] > log[0]["psnr"] + 1, said
        assert names["scores"][family] > 20
        assert (tmp_path / "trained" / f"{family}.onnx").stat().st_size > 50_000
    assert names["scores"]["default"] > names["scores"]["bicubic"] + 2


@pytest.mark.timeout(1800)
def test_a_gan_sharpens_and_stays_true_to_the_input(tmp_path, monkeypatch):
    names, said = run_through("gan", monkeypatch, tmp_path, steps=16)
    tuned, before = (names["measures"][name] for name in ("gan, here", "default"))
    assert tuned["lr-psnr"] > before["lr-psnr"] + 2, said
    assert not (names["pictures"]["gan, here"] == names["pictures"]["default"]).all()
    assert names["measures"]["crisp"]["spectrum"] < before["spectrum"]


@pytest.mark.timeout(900)
def test_a_clip_is_upscaled_with_its_times(tmp_path, monkeypatch):
    names, _ = run_through("video", monkeypatch, tmp_path)
    assert names["result"].output_size == (432, 768)
    assert names["before"] == names["after"]
    assert len(names["after"]) == names["result"].frames == 48
    assert names["shapes"] == {(216, 384, 3)}
    assert names["scores"]["fast"].psnr > names["scores"]["bicubic"].psnr + 2


@pytest.mark.timeout(900)
def test_the_same_pictures_have_another_score_under_each_protocol(tmp_path, monkeypatch):
    names, _ = run_through("judge", monkeypatch, tmp_path)
    mean = names["reports"]["default"].mean
    assert mean["benchmark-y"].psnr > mean["krasserm"].psnr + 1
    crisp, best = (names["measures"][name] for name in ("crisp", "best"))
    assert crisp["psnr"] < best["psnr"]
    assert crisp["spectrum"] < best["spectrum"]
    assert crisp["lr-psnr"] > 55  # as the page on it promises
