"""The notebooks do what they say, from their first cell to the last."""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

import pytest

from studio import EXAMPLES

pytestmark = [pytest.mark.train, pytest.mark.slow]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def cells(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_every_cell_was_run_in_order_before_it_was_committed():
    for path in NOTEBOOKS.glob("*.ipynb"):
        counts = [cell["execution_count"] for cell in cells(path)]
        assert counts == list(range(1, len(counts) + 1)), path.name


@pytest.mark.timeout(1800)  # minutes of learning, more where the machine has other work
def test_a_model_is_adapted_to_pages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEPS", "60")
    monkeypatch.setenv("PHOTOGRAPHS", str(EXAMPLES))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    names, said = {}, io.StringIO()
    with contextlib.redirect_stdout(said):
        for cell in cells(NOTEBOOKS / "fine_tune.ipynb"):
            exec("".join(cell["source"]), names)  # noqa: S102 - ours
    assert names["after"] > names["before"] + 0.1, said.getvalue()
    assert "dB on photographs" in said.getvalue()
