"""The package works where POSIX' own calls are missing, as far as that can be simulated."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
NEED_NO_POSIX = (
    "batch/test_batch.py",
    "pictures/test_sources.py",
    "system/test_folders.py",
    "system/test_paths.py",
    "upscaling/test_api.py",
)
"""Files of tests that read, write, list, lock and append, and use no POSIX feature of their own."""


@pytest.mark.slow
def test_pictures_are_upscaled_without_fcntl_and_reads_at_offsets():
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *NEED_NO_POSIX],
        env={**os.environ, "WIDESR_TEST_WITHOUT_POSIX": "1"},
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed
    assert int(passed[1]) > 60


@pytest.mark.slow
def test_the_simulation_takes_the_calls_away():
    code = "import conftest, os, sys; assert not hasattr(os, 'pread'); import fcntl"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "WIDESR_TEST_WITHOUT_POSIX": "1",
            "PYTHONPATH": f"{TESTS}:{TESTS}/helpers",
        },
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert ran.stderr.strip().splitlines()[-1].startswith("ModuleNotFoundError")
