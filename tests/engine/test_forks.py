"""Upscalers in other processes: after a fork, and sent there as a pickle."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facts import refused
from widesr.engine import EngineOptions
from widesr.engine.choice import is_openvino_installed
from widesr.upscaling.resize_to import load_upscaler
from widesr.upscaling.target import Target
from widesr.upscaling.upscaler import Upscaler

TINY = str(Path(__file__).parents[1] / "assets" / "tiny-x2.onnx")
BACKENDS = ["onnxruntime", *(["openvino"] if is_openvino_installed() else [])]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")

PROGRAM = """
import os, signal, sys, threading
import numpy as np
from widesr.upscaling.resize_to import load_upscaler
from widesr.upscaling.target import Target
from widesr.upscaling.upscaler import Upscaler

def noise(dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 200, (150, 140, 3)).astype(dtype)

def compute(upscaler):
    return [upscaler(noise(dtype)) for dtype in (np.uint8, np.uint16)]

def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))

def child(work):
    pid = os.fork()
    if pid == 0:
        signal.alarm(240)  # a hang ends by a signal, and is no exit code
        sys.exit(0 if work() else 3)  # ends like any program, with its exit handlers
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def run(code: str, *args: object) -> str:
    """In a process of its own: a hang must not be that of the tests, nor threads of others."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM + code, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return ran.stdout


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loaded_model_works_in_a_forked_child_and_in_its_parent(backend):
    out = run(
        """
upscaler = Upscaler.load(sys.argv[2], scale=2, backend=sys.argv[1], threads=2, tile=32)
before = compute(upscaler)
codes = [child(lambda: same(compute(upscaler), before)) for _ in range(3)]
print(codes, same(compute(upscaler), before))
print(child(lambda: same(compute(upscaler), before)))
""",
        backend,
        TINY,
    )
    assert out == "[0, 0, 0] True\n0\n"


@pytest.mark.slow
def test_the_default_models_work_in_children_of_children_and_beside_new_ones():
    out = run(
        """
upscaler = load_upscaler(target=Target(scale=5))
before = compute(upscaler)
def work():
    other = Upscaler.load("fast", scale=2)
    compute(other)
    del other
    return same(compute(upscaler), before) and child(lambda: same(compute(upscaler), before)) == 0
print(child(work))
"""
    )
    assert out == "0\n"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_child_that_computes_nothing_ends(backend):
    out = run(
        """
upscaler = Upscaler.load(sys.argv[2], scale=2, backend=sys.argv[1], threads=2)
compute(upscaler)
print(child(lambda: True))
""",
        backend,
        TINY,
    )
    assert out == "0\n"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fork_waits_for_what_is_computed_in_other_threads(backend):
    out = run(
        """
upscaler = Upscaler.load(sys.argv[2], scale=2, backend=sys.argv[1], threads=2, tile=32)
before = compute(upscaler)
made, end = [], threading.Event()
def work():
    while not end.is_set():
        made.append(same(compute(upscaler), before))
thread = threading.Thread(target=work)
thread.start()
codes = [child(lambda: same(compute(upscaler), before)) for _ in range(3)]
end.set()
thread.join()
print(codes, all(made))
""",
        backend,
        TINY,
    )
    assert out == "[0, 0, 0] True\n"


@pytest.mark.skipif("openvino" not in BACKENDS, reason="needs OpenVINO")
def test_openvino_of_another_thread_is_an_error_in_the_child_and_no_hang():
    out = run(
        """
from widesr.errors import UsageError
loaded, is_loaded, end = [], threading.Event(), threading.Event()
def load():
    loaded.append(Upscaler.load(sys.argv[1], scale=2, backend="openvino", precision="fp32"))
    is_loaded.set()
    end.wait()
thread = threading.Thread(target=load)
thread.start()
is_loaded.wait()
(upscaler,) = loaded
before = compute(upscaler)
def work():
    try:
        compute(upscaler)
    except UsageError as error:
        return "spawn" in str(error)
pid = os.fork()
if pid == 0:
    signal.alarm(240)
    os._exit(0 if work() else 3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), same(compute(upscaler), before))
end.set()
""",
        TINY,
    )
    assert out == "0 True\n"


def noise(dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 200, (20, 30, 3)).astype(dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_upscaler_comes_out_of_a_pickle_as_it_was(backend, dtype, tmp_path, monkeypatch):
    monkeypatch.chdir(Path(TINY).parent)
    upscaler = Upscaler.load(
        "tiny-x2.onnx", scale=2, backend=backend, tile=16, self_ensemble=True, threads=1
    )
    pickled = pickle.dumps(upscaler)
    assert len(pickled) < 10_000  # the file is named, not held
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(pickled)  # noqa: S301 (our own)
    assert (again.model, again.tile, again.card) == (upscaler.model, upscaler.tile, upscaler.card)
    np.testing.assert_array_equal(again(noise(dtype)), upscaler(noise(dtype)))
    exact = pickle.loads(pickle.dumps(upscaler.engine.fp32))  # noqa: S301 (our own)
    assert exact.precision == "fp32"


@pytest.mark.parametrize(
    ("name", "target"),
    [("bicubic", {"scale": 2}), ("bicubic", {"width": 31}), (TINY, {"scale": 1.5})],
)
def test_every_upscaler_can_be_pickled(name, target):
    upscaler = load_upscaler(name, target=Target(**target))
    again = pickle.loads(pickle.dumps(upscaler))  # noqa: S301 (our own)
    assert again.model == upscaler.model
    np.testing.assert_array_equal(again(noise()), upscaler(noise()))


def test_options_reach_another_process_as_they_are():
    options = EngineOptions(backend="onnxruntime", threads=1, tile=16, self_ensemble=True)
    again = pickle.loads(pickle.dumps(options))  # noqa: S301 (our own)
    assert again == options
    upscaler = Upscaler.load(TINY, scale=2, options=again)
    assert (upscaler.model, upscaler.tile) == ("tiny-x2+", 16)
    by_words = Upscaler.load(
        TINY, scale=2, backend="onnxruntime", threads=1, tile=16, self_ensemble=True
    )
    np.testing.assert_array_equal(upscaler(noise()), by_words(noise()))


def test_a_pickle_whose_model_file_is_gone_is_an_error_that_names_it(tmp_path):
    file = tmp_path / "mine.onnx"
    file.write_bytes(Path(TINY).read_bytes())
    pickled = pickle.dumps(Upscaler.load(str(file), scale=2, backend="onnxruntime"))
    file.unlink()
    with refused("model-file", "mine.onnx"):
        pickle.loads(pickled)  # noqa: S301 (our own)
