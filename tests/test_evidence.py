"""The pictures of docs/why/fidelity.md can be made again, and show what the page says."""

import re
import subprocess
import sys
from pathlib import Path

from widesr.pictures.reading import read_picture

ROOT = Path(__file__).parents[1]


def test_the_evidence_shows_each_loss_and_that_widesr_has_none(tmp_path):
    words = [sys.executable, ROOT / "scripts" / "evidence.py", ROOT / "examples", tmp_path]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout
    number = dict(re.findall(r"^(.+): ([\d.]+) ", said, re.MULTILINE))
    assert float(number["colour: widesr"]) < 1 < 5 < float(number["colour: profile dropped"])
    assert int(number["alpha: widesr"]) == 0 < int(number["alpha: hidden white kept"])
    assert int(number["16 bit: flattened to 8 bits"]) < 16
    assert int(number["16 bit: widesr, 16 bits"]) > 1000
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == sorted(path.name for path in (ROOT / "docs/assets").glob("fidelity_*"))
    for name in made:
        assert read_picture(tmp_path / name).height > 200
        assert (tmp_path / name).stat().st_size < 150 * 1024
