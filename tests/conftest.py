"""Fixtures that all tests share: the test pictures, and skips where these are absent."""

import logging
import os
import shutil
import signal
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings
from PIL import Image

from examples import EXAMPLES
from recipes import TINY_RECIPE, rewritten
from server import Server

WITHOUT_POSIX = "WIDESR_TEST_WITHOUT_POSIX"
"""Set in the environment, it takes away what Windows lacks: `tests/project/test_platforms.py`."""
if os.environ.get(WITHOUT_POSIX):
    sys.modules["fcntl"] = None  # type: ignore[assignment] (importing it fails)
    for name in ("pread", "pwrite", "sched_getaffinity"):
        delattr(os, name)

settings.register_profile("widesr", deadline=None)
settings.load_profile("widesr")  # a deadline measures the machine's other work

NEED_TORCH = [
    "nets/test_ablation.py",
    "nets/test_consistency.py",
    "cli/test_cli_train.py",
    "exchange/test_export.py",
    "train/test_extension.py",
    "train/test_grow.py",
    "train/test_guard.py",
    "exchange/test_importers.py",
    "train/test_checkpointer.py",
    "train/test_logs.py",
    "nets/test_nets.py",
    "nets/test_temporal.py",
    "exchange/test_elsewhere.py",
    "exchange/test_states.py",
    "exchange/test_temporal.py",
    "train/test_clips.py",
    "train/test_detector.py",
    "train/test_objective.py",
    "train/test_optimizers.py",
    "train/test_parallel.py",
    "train/test_recipe.py",
    "train/test_run.py",
    "train/test_schedule.py",
    "study/test_study.py",
    "train/test_teacher.py",
    "train/test_train.py",
    "nets/test_zoo.py",
]
collect_ignore = [] if find_spec("torch") else NEED_TORCH[:]
"""These need the `train` extra; the rest must pass without it."""
if not find_spec("fastapi"):
    collect_ignore.append("web")

LONGEST = [
    "bulk/test_bulk.py",
    "pictures/test_corpus.py",
    "project/test_notebooks.py",
    "engine/test_engine_limits.py",
    "nets/test_ablation.py",
    "train/test_objective.py",
    "pictures/test_fuzz.py",
    "cli/test_cli.py",
    "train/test_parallel.py",
    "web/test_hostile.py",
]
"""The files that take longest, which begin first: at the end, one process would wait for them."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the order within files stays."""
    here = Path(__file__).parent
    rank = {here / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(LONGEST)))


# What `widesr bench` found and `widesr models pull` fetched must not decide what is tested.
os.environ["WIDESR_CACHE"] = os.environ["WIDESR_MODELS"] = str(
    Path(__file__).parent / "no-such-folder"
)
os.environ.pop("WIDESR_MIRROR", None)

# A shell's background jobs ignore Ctrl-C, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> list[str]:
    return (
        [f"left out, torch or fastapi is not here: {', '.join(collect_ignore)}"]
        if collect_ignore
        else []
    )


@pytest.fixture(autouse=True)
def _log_level():
    """Take back what an option of the command line has set of the log, whoever called it."""
    yield
    logging.getLogger("widesr").setLevel(logging.NOTSET)


SHARED = Path(__file__).parents[2] / "shared"
"""Benchmark pictures and golden tensors beside a contributor's checkout; users have none."""


def in_shared(name: str, what: str) -> Path:
    """Return a folder of `SHARED`; skips the test where it is absent."""
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs {what} in ../shared/{name}")
    return folder


@pytest.fixture(scope="session")
def bench() -> Path:
    """The folder with Set5 and Set14."""
    return in_shared("data/bench", "the benchmark pictures")


@pytest.fixture(scope="session")
def perceptual() -> Path:
    """The folder with weights and examples of LPIPS and NIQE."""
    return in_shared("perceptual", "the perceptual metrics' weights")


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder with the reference networks' weights and outputs."""
    return in_shared("golden", "the reference networks")


@pytest.fixture(scope="session")
def teachers() -> Path:
    """The folder with others' trained weights and outputs."""
    return in_shared("teachers", "the trained networks")


@pytest.fixture(scope="session")
def detection_files() -> Path:
    """The folder with two detectors, pictures and true boxes."""
    return in_shared("detect", "the detectors and pictures")


@pytest.fixture
def new_threads():
    """Return the threads begun since the test began; those of other tests may still run."""
    before = set(threading.enumerate())
    return lambda: set(threading.enumerate()) - before


@pytest.fixture
def server():
    """Files over HTTP from this machine, none yet."""
    server = Server()
    yield server
    server.close()


@pytest.fixture
def recipe_file(tmp_path):
    """Write the tiny recipe with pieces of its text exchanged."""

    def write(*changes):
        file = tmp_path / "tiny.toml"
        file.write_text(rewritten(TINY_RECIPE, *changes))
        return str(file)

    return write


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A folder of real photographs, small, with one to be left out."""
    assert len(EXAMPLES) >= 4
    folder = tmp_path_factory.mktemp("photographs")
    for file in EXAMPLES[:4]:
        with Image.open(file) as picture:
            picture.convert("RGB").crop((100, 100, 228, 212)).save(folder / f"{file.stem}.png")
    shutil.copy(next(folder.glob("*.png")), folder / "left-out.png")
    (folder / "notes.txt").write_text("no picture")
    return folder
