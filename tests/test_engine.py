"""The runtimes: right numbers, the same numbers wherever a tile lies, and plain refusals."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from widesr import engine as engine_module
from widesr.catalog import MODELS_DIR, ModelCard, ModelFile, find_model, read_card
from widesr.engine import load_engine
from widesr.errors import MissingExtraError, ModelFileError, UsageError
from widesr.tiling import plan_tiles

TINY = find_model(str(Path(__file__).parent / "data" / "tiny-x2.onnx"), scale=2)
BACKENDS = ["onnxruntime", "openvino"]


def _load(backend="auto", threads=1):
    if backend == "openvino":
        pytest.importorskip("openvino")
    return load_engine(TINY, backend=backend, threads=threads)


@pytest.fixture(scope="module")
def engines():
    """Each installed back end, with one and with two threads."""
    loaded = {("onnxruntime", n): _load("onnxruntime", n) for n in (1, 2)}
    if _is_installed("openvino"):
        loaded |= {("openvino", n): _load("openvino", n) for n in (1, 2)}
    return loaded


def _is_installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


def _picture(seed: int, *shape: int):
    return np.random.default_rng(seed).random(shape, np.float32)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_runtime_computes_what_the_onnx_reference_computes(backend):
    reference = pytest.importorskip("onnx.reference")
    lr = _picture(0, 2, 3, 9, 7)
    (expected,) = reference.ReferenceEvaluator(str(TINY.path)).run(None, {"lr": lr})
    sr = _load(backend).run(lr)
    assert sr.dtype == np.float32
    np.testing.assert_allclose(sr, expected, atol=2e-6)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(16, 100), st.integers(0, 2**32 - 1))
def test_a_runtime_gives_the_same_bits_for_tiles_as_for_the_whole_and_for_any_threads(
    engines, height, width, tile, seed
):
    # Equal bits are more than the 1e-5 that is promised: they alone round alike at every tie. They
    # hold for ONNX Runtime's blocked (NCHWc) convolutions; its matrix-product fallback differs by
    # 1e-7 with the place of a pixel. This fails with optimisations below ORT_ENABLE_ALL.
    lr = _picture(seed, 1, 3, height, width)
    for backend in {name for name, _ in engines}:
        one, two = engines[backend, 1], engines[backend, 2]
        whole = one.run(lr)
        np.testing.assert_array_equal(two.run(lr), whole)
        sr = np.full_like(whole, np.nan)
        for i, t in enumerate(plan_tiles(height, width, tile=tile, halo=one.receptive_radius)):
            rows, columns = t.kept(2)
            part = (one, two)[i % 2].run(lr[:, :, t.read_y, t.read_x])
            sr[(..., *t.placed(2))] = part[:, :, rows, columns]
        np.testing.assert_array_equal(sr, whole)


@pytest.mark.parametrize("path", sorted(MODELS_DIR.glob("*.onnx")), ids=lambda path: path.stem)
def test_every_model_in_the_package_gives_the_same_bits_tiled_and_whole(path):
    # That there are any is checked in test_contracts.
    engine = load_engine(ModelFile(path, read_card(path)), threads=2)
    height, width, scale = 61, 83, engine.scale
    lr = _picture(7, 1, 3, height, width)
    whole = engine.run(lr)
    for tile in (16, 45):
        for t in plan_tiles(height, width, tile=tile, halo=engine.receptive_radius):
            part = engine.run(lr[:, :, t.read_y, t.read_x])
            kept, placed = (..., *t.kept(scale)), (..., *t.placed(scale))
            np.testing.assert_array_equal(part[kept], whole[placed])


def test_pictures_of_a_batch_do_not_mix():
    engine, lr = _load(), _picture(1, 3, 3, 20, 30)
    np.testing.assert_array_equal(engine.run(lr), np.concatenate([engine.run(x[None]) for x in lr]))


def test_the_input_is_left_as_it_was_and_need_not_be_contiguous():
    engine, lr = _load(), _picture(2, 1, 3, 12, 12)
    before = lr.copy()
    turned = engine.run(lr[..., ::-1])
    np.testing.assert_array_equal(lr, before)
    np.testing.assert_array_equal(turned, engine.run(lr[..., ::-1].copy()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_earlier_result_is_not_overwritten_by_the_next_run(backend):
    engine = _load(backend)
    first = engine.run(_picture(3, 1, 3, 16, 16))
    kept = first.copy()
    engine.run(_picture(4, 1, 3, 16, 16))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_engine_says_what_it_is(backend):
    engine = _load(backend)
    assert (engine.name, engine.scale, engine.receptive_radius) == (backend, 2, 4)


def test_the_back_end_is_onnx_runtime_unless_asked_otherwise():
    assert load_engine(TINY).name == "onnxruntime"


def test_threads_default_to_the_cpus_that_this_process_may_use(monkeypatch):
    asked = []
    monkeypatch.setitem(engine_module._BACKENDS, "auto", lambda _, threads: asked.append(threads))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 8}, raising=False)
    load_engine(TINY)
    assert asked == [3]


def test_an_idle_engine_burns_no_processor_time():
    # With spinning allowed, the idle thread burns some 25 ms after each run.
    engine, burnt = _load(threads=2), []
    for _ in range(5):
        engine.run(_picture(5, 1, 3, 64, 64))
        before = time.process_time()
        time.sleep(0.05)
        burnt.append(time.process_time() - before)
    assert min(burnt) < 0.005


def test_threads_below_one_and_unknown_back_ends_are_refused():
    with pytest.raises(UsageError, match="at least 1 thread, got 0"):
        load_engine(TINY, threads=0)
    with pytest.raises(UsageError, match="'tensorrt'; there is auto, onnxruntime, openvino"):
        load_engine(TINY, backend="tensorrt")


def test_a_back_end_that_is_not_installed_is_named_with_the_line_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(engine_module, "_openvino_core", engine_module._openvino_core.__wrapped__)
    with pytest.raises(MissingExtraError, match=r"pip install 'widesr\[openvino\]'"):
        load_engine(TINY, backend="openvino")


def test_a_signal_after_engines_have_come_and_gone_kills_nothing():
    pytest.importorskip("openvino")
    program = """
import signal, sys
from pathlib import Path
from widesr.catalog import ModelFile, read_card
from widesr.engine import load_engine
path = Path(sys.argv[1])
first, second = (load_engine(ModelFile(path, read_card(path)), backend="openvino") for _ in "ab")
del first
del second
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, TINY.path], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "interrupted\n"), ran.stderr


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("damage", ["graph", "empty", "absent"])
def test_a_file_that_the_runtime_refuses_is_named_in_one_line_and_nothing_else_is_printed(
    tmp_path, capfd, backend, damage
):
    if backend == "openvino":
        pytest.importorskip("openvino")
    path = tmp_path / "bad.onnx"
    if damage == "graph":
        path.write_bytes(TINY.path.read_bytes().replace(b"DepthToSpace", b"DepthToSpade"))
    elif damage == "empty":
        path.touch()
    with pytest.raises(ModelFileError, match=r"bad\.onnx: the runtime refuses") as refusal:
        load_engine(ModelFile(path, TINY.card), backend=backend)
    assert "\n" not in str(refusal.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_card_with_the_wrong_scale_is_found_out(tmp_path, backend):
    path = tmp_path / "wrong.onnx"
    path.write_bytes(TINY.path.read_bytes().replace(b'"scale": 2', b'"scale": 3'))
    if backend == "openvino":
        pytest.importorskip("openvino")
    engine = load_engine(ModelFile(path, read_card(path)), backend=backend)
    with pytest.raises(ModelFileError, match=r"wrong\.onnx: its card says x3, but it made"):
        engine.run(_picture(6, 1, 3, 4, 4))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        (["n", 3, "h", "w"], "DOUBLE", "expected a network from one float32"),
        (["n", 1, "h", "w"], "FLOAT", r"found \(.*, 1, .*\) to"),
        ([3, "h", "w"], "FLOAT", "expected a network"),
        ([1, 3, 64, 64], "FLOAT", r"takes \(1, 3, 64, 64\) only; export it with free"),
    ],
)
def test_a_network_that_does_not_go_from_rgb_to_rgb_is_refused(
    tmp_path, backend, shape, kind, message
):
    onnx = pytest.importorskip("onnx")
    if backend == "openvino":
        pytest.importorskip("openvino")
    element = getattr(onnx.TensorProto, kind)
    ports = [onnx.helper.make_tensor_value_info(name, element, shape) for name in ("lr", "sr")]
    node = onnx.helper.make_node("Relu", ["lr"], ["sr"])
    graph = onnx.helper.make_graph([node], "foreign", ports[:1], ports[1:])
    opset = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path / "foreign.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    with pytest.raises(ModelFileError, match=message):
        load_engine(ModelFile(path, TINY.card), backend=backend)


def test_a_failure_of_the_runtime_names_the_size_and_a_way_out(monkeypatch):
    engine = _load()
    with pytest.raises(ModelFileError, match="failed on 5x4 pixels, a smaller tile may help"):
        engine.run(np.zeros((1, 2, 4, 5), np.float32))


def test_the_tiny_model_is_what_its_script_makes(tmp_path):
    onnx = pytest.importorskip("onnx")
    from runpy import run_path

    script = run_path(str(TINY.path.with_name("make_tiny_model.py")))
    made = script["make_wdsr"](scale=2, n_resblocks=1, n_feats=20, expansion=1.2)
    assert made == onnx.load(TINY.path)
    card = ModelCard.model_validate_json(made.metadata_props[0].value)
    assert card == TINY.card
