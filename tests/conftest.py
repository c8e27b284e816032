"""What all tests share: where the pictures are, and which tests are skipped without them."""

from importlib.util import find_spec
from pathlib import Path

import pytest

NEED_TORCH = ["test_cli_train.py", "test_export.py", "test_nets.py", "test_train.py"]
collect_ignore = [] if find_spec("torch") else NEED_TORCH
"""These need the `train` extra; the rest must pass without it."""


def pytest_report_header() -> list[str]:
    return [f"left out, no torch here: {', '.join(collect_ignore)}"] if collect_ignore else []


SHARED = Path(__file__).parents[2] / "shared"
"""Benchmark pictures and golden tensors beside a contributor's checkout; users have none."""


@pytest.fixture(scope="session")
def bench() -> Path:
    """The folder with Set5 and Set14; skips the test where it is absent."""
    if not (SHARED / "data" / "bench").is_dir():
        pytest.skip("needs the benchmark pictures in ../shared/data/bench")
    return SHARED / "data" / "bench"


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder with the reference networks' weights and outputs; skips where it is absent."""
    if not (SHARED / "golden").is_dir():
        pytest.skip("needs the reference networks in ../shared/golden")
    return SHARED / "golden"
