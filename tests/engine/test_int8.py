"""int8: the right levels, the same bits for tiles as for the whole, and refusals by the card."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facts import refused
from widesr.engine import find_model, find_ranges, int8, load_engine
from widesr.engine.graph import read_graph
from widesr.models.catalog import MODELS_DIR, Loss, ModelFile, read_card
from widesr.pixels.tiling import plan_tiles
from widesr.system.machine import cpu
from widesr.upscaling.upscaler import Upscaler

TINY = find_model(str(Path(__file__).parents[1] / "assets" / "tiny-x2.onnx"), scale=2)
# Models of clips have no int8.
MODELS = [path for path in sorted(MODELS_DIR.glob("*.onnx")) if read_card(path).frames == 1]

pytest.importorskip("openvino")
in_int8 = pytest.mark.skipif(
    not cpu().flags & {"amx_int8", "avx512_vnni", "avx_vnni"}, reason="needs a CPU with VNNI"
)


def _pictures():
    random = np.random.default_rng(0)
    return [random.random((1, 3, 40, 50), np.float32) for _ in range(3)]


@pytest.fixture(scope="module")
def model():
    """The tiny model with ranges on its card."""
    ranges = find_ranges(TINY, _pictures(), threads=1)
    return ModelFile(TINY.path, TINY.card.model_copy(update={"ranges": ranges}))


@pytest.fixture(scope="module")
def engine(model):
    return load_engine(model, precision="int8", threads=2)


def test_ranges_are_those_of_the_inner_convolutions_by_the_files_names_with_room():
    onnx = pytest.importorskip("onnx")
    reference = pytest.importorskip("onnx.reference")
    graph = onnx.load(TINY.path)
    convs = [node for node in graph.graph.node if node.op_type == "Conv"]
    inner = [node.input[0] for node in convs[1:-2]]  # not the head, the tail and the skip
    graph.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in inner)
    values = reference.ReferenceEvaluator(graph)
    expected = dict.fromkeys(inner, 0)
    for lr in _pictures():
        for name, value in zip(inner, values.run(inner, {"lr": lr}), strict=True):
            expected[name] = np.maximum(expected[name], np.abs(value).max(axis=(0, 2, 3)))
    ranges = find_ranges(TINY, _pictures(), threads=1)
    assert list(ranges) == inner
    assert len(inner) == 2
    for name in inner:
        np.testing.assert_allclose(ranges[name], int8._ROOM * expected[name], rtol=1e-4)


@in_int8
def test_int8_is_close_to_fp32_and_is_not_fp32(engine):
    lr = _pictures()[0]
    difference = np.abs(engine.run(lr) - engine.fp32.run(lr))
    assert 1e-5 < difference.max() < 0.02
    assert engine.precision == "int8"
    assert engine.fp32.precision == "fp32"


@in_int8
def test_the_runtime_does_multiply_in_8_bits(model):
    # It falls back on fp32 silently where zero is no level, for one.
    from widesr.engine.graph import start_openvino

    def kinds(graph):
        compiled = start_openvino().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        nodes = compiled.get_runtime_model().get_ordered_ops()
        facts = [{k: v.astype(str) for k, v in n.get_rt_info().items()} for n in nodes]
        return [f["runtimePrecision"] for f in facts if f["layerType"] == "Convolution"]

    graph = read_graph(model)
    assert not {"i8", "u8"} & set(kinds(graph))
    assert int8.round_convolutions(graph, model.card.ranges)
    # After a ReLU from 0 on, else signed; for signed ones OpenVINO has kernels with AMX alone.
    expected = {"i8", "u8"} if "amx_int8" in cpu().flags else {"u8"}
    assert expected <= set(kinds(graph))


@in_int8
@settings(max_examples=40)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(16, 60), st.integers(0, 2**32 - 1))
def test_tiles_are_as_the_whole_to_the_bit_in_int8_too(engine, height, width, tile, seed):
    lr = np.random.default_rng(seed).random((1, 3, height, width), np.float32)
    whole = engine.run(lr)
    assert engine.smallest_tile == 1
    for t in plan_tiles(height, width, tile=tile, halo=engine.receptive_radius):
        part = engine.run(lr[:, :, t.read_y, t.read_x])
        np.testing.assert_array_equal(part[(..., *t.kept(2))], whole[(..., *t.placed(2))])


TILES = """
import sys
from pathlib import Path
import numpy as np
from widesr.models.catalog import ModelFile, read_card
from widesr.engine import load_engine, noise_channels
from widesr.pixels.tiling import plan_tiles
path = Path(sys.argv[1])
engine = load_engine(ModelFile(path, read_card(path)), precision="int8", threads=2)
random, scale = np.random.default_rng(0), engine.scale
channels = 3 + noise_channels(engine)
for _ in range(4):
    height, width, tile = (int(n) for n in random.integers(20, 120, 3))
    lr = random.random((1, channels, height, width), np.float32)
    whole = engine.run(lr)
    for t in plan_tiles(height, width, tile=max(16, tile), halo=engine.receptive_radius):
        part = engine.run(lr[:, :, t.read_y, t.read_x])
        assert np.array_equal(part[(..., *t.kept(scale))], whole[(..., *t.placed(scale))])
"""


@in_int8
@pytest.mark.slow
@pytest.mark.parametrize("isa", ["ALL", "AVX512_CORE_VNNI", "AVX2_VNNI"])
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_model_of_the_package_is_the_same_in_tiles_with_each_kind_of_instructions(path, isa):
    ran = subprocess.run(
        [sys.executable, "-c", TILES, path],
        capture_output=True,
        text=True,
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": isa},
    )
    assert ran.returncode == 0, ran.stderr


@in_int8
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_what_is_no_photograph_is_not_spoilt_either(path):
    # Stripes in pure colours reach farther than anything that ranges were found on. Without room
    # above those they come out at 34 to 41 dB.
    y, x = np.mgrid[:96, :96]
    stripes = np.stack([x // 9 % 2, y // 7 % 2, (x + y) // 11 % 2], axis=2).astype(np.uint8) * 255
    model = ModelFile(path, read_card(path))
    exact, fast = (
        Upscaler(load_engine(model, precision=precision, threads=2))(stripes).astype(float)
        for precision in ("fp32", "int8")
    )
    assert -10 * np.log10(((fast - exact) ** 2).mean() / 255**2) > 46


@in_int8
def test_16_bits_never_go_through_int8(engine):
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), np.uint16)
    exact = Upscaler(engine.fp32)
    np.testing.assert_array_equal(Upscaler(engine)(deep), exact(deep))
    eight = (deep >> 8).astype(np.uint8)
    assert (Upscaler(engine)(eight) != exact(eight)).any()


@pytest.fixture
def able(monkeypatch):
    """Any CPU computes in int8 now; what is refused is refused by the card."""
    monkeypatch.setattr("widesr.engine.choice._CPU_FLAGS", {"int8": cpu().flags | {"any"}})
    monkeypatch.setattr("widesr.engine.choice.cpu", lambda: cpu()._replace(flags={"any"}))


def test_a_model_that_was_not_calibrated_is_refused(able):
    with refused("usage", "tiny-x2", "int8", "widesr calibrate"):
        load_engine(TINY, precision="int8")


@pytest.mark.parametrize(("worst", "is_refused"), [(0.1, False), (0.11, True)])
def test_a_model_that_loses_more_than_a_tenth_of_a_decibel_is_refused(
    model, able, worst, is_refused
):
    loss = Loss(precision="int8", mean=0.01, worst=worst, n=6)
    lossy = ModelFile(model.path, model.card.model_copy(update={"losses": (loss,)}))
    if is_refused:
        with refused("usage", "0.11 dB", "int8", 0.1):
            load_engine(lossy, precision="int8")
    else:
        load_engine(lossy, precision="int8")


def test_ranges_of_another_network_are_refused(able):
    other = TINY.card.model_copy(update={"ranges": {"no such tensor": (1.0,)}})
    with refused("model-file", TINY.path, "ranges"):
        load_engine(ModelFile(TINY.path, other), precision="int8")


def test_a_channel_that_is_always_zero_does_no_harm(model):
    ranges = {name: (0.0,) * len(tops) for name, tops in model.card.ranges.items()}
    graph = read_graph(model)
    assert int8.round_convolutions(graph, ranges)
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "Constant":
            assert np.isfinite(node.data).all()
