"""What all tests share: where the pictures are, and which tests are skipped without them."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"
"""Benchmark pictures and golden tensors that lie beside a contributor's checkout; not in a user's clone."""


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
