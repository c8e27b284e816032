"""Damaged and lying pictures: a short run; `python tests/helpers/fuzz.py` makes a long one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seeds import CORPUS
from widesr.pictures.sniff import KINDS, kind_of
from widesr.pictures.sources import opened

FUZZ = Path(__file__).parents[1] / "helpers" / "fuzz.py"


def fuzz(folder, *words):
    return subprocess.run(
        [sys.executable, str(FUZZ), *words],
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
    )


def test_the_corpus_is_small_and_has_every_kind():
    files = [path for path in CORPUS.iterdir() if path.is_file()]
    found = set()
    for path in files:
        with opened(path) as file:
            found.add(kind_of(file))
        assert path.stat().st_size < 20_000
    assert found == set(KINDS)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_damaged_pictures_are_made_whole_or_refused_in_one_line(tmp_path):
    ran = fuzz(tmp_path, "--count", "200", "--seed", "1")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["files"] > 300  # with the corpus and the traps
    # The damage goes deep enough, and not too deep, to meet every answer.
    found["outcomes"].pop("missing-extra", None)  # of HEIC, where nothing reads it
    assert set(found["outcomes"]) == {"made", "image-read", "image-format", "image-too-large"}
    assert min(found["outcomes"].values()) > 5


@pytest.mark.slow
def test_the_fuzzer_finds_what_it_looks_for(tmp_path):
    ran = fuzz(tmp_path, "--count", "0", "--most-mib", "1")
    assert ran.returncode == 1
    (tmp_path / "defect.py").write_text(
        "import sys, widesr.pictures.picture\n"
        "def broken(*args, **kwargs): raise RuntimeError('broken')\n"
        "sys.path.insert(0, sys.argv.pop(1))\n"
        "import fuzz, widesr.batch.stages\n"
        "widesr.batch.stages.read_picture = broken\n"
        "sys.exit(fuzz.main())\n"
    )
    words = [sys.executable, str(tmp_path / "defect.py"), str(FUZZ.parent), "--count", "0"]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    ran = subprocess.run(words, env=env, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "/file-0-to-png: " in ran.stdout
    assert "error[internal]" in ran.stdout
