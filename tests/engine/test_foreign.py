"""ONNX files of other makers: scale and reach found by trial, fixed sizes, plain refusals."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facts import refused
from widesr.engine import find_model, load_engine, native_scales
from widesr.engine.protocol import Runtime
from widesr.engine.windows import Windowed
from widesr.models import catalog
from widesr.models.catalog import read_card
from widesr.pixels.tiling import plan_tiles

onnx = pytest.importorskip("onnx")
helper = onnx.helper

TINY = Path(__file__).parents[1] / "assets" / "tiny-x2.onnx"
FREE = (1, 3, "h", "w")


def _save(path, nodes, *, lr=FREE, sr=FREE, weights=()):
    ports = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("lr", lr), ("sr", sr))
    ]
    graph = helper.make_graph(nodes, "foreign", ports[:1], ports[1:], list(weights))
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return str(path)


def _conv(weights, source, target, *, n_in, n_out, kernel, dilation=1, seed=0):
    values = np.random.default_rng(seed).uniform(-0.04, 0.04, (n_out, n_in, kernel, kernel))
    name = f"{target}_w"
    weights.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
    reach = dilation * (kernel // 2)
    return helper.make_node(
        "Conv", [source, name], [target], pads=[reach] * 4, dilations=[dilation] * 2
    )


def _network(path, *, scale, kernels, dilation=1, **ports):
    """Convolutions with ReLUs between them and a pixel shuffle, added to the nearest neighbour."""
    times = onnx.numpy_helper.from_array(np.float32([1, 1, scale, scale]), "times")
    nodes = [helper.make_node("Resize", ["lr", "", "times"], ["near"], mode="nearest")]
    weights, source, n_in = [times], "lr", 3
    for i, kernel in enumerate(kernels):
        last = i == len(kernels) - 1
        n_out = 3 * scale**2 if last else 8
        nodes.append(
            _conv(weights, source, f"c{i}", n_in=n_in, n_out=n_out, kernel=kernel,
                  dilation=dilation, seed=i)
        )  # fmt: skip
        source, n_in = f"c{i}", n_out
        if not last:
            nodes.append(helper.make_node("Relu", [source], [f"r{i}"]))
            source = f"r{i}"
    nodes.append(helper.make_node("DepthToSpace", [source], ["detail"], blocksize=scale))
    nodes.append(helper.make_node("Add", ["near", "detail"], ["sr"]))
    return _save(path, nodes, weights=weights, **ports)


def _without_card(path):
    model = onnx.load(TINY)
    del model.metadata_props[:]
    onnx.save(model, path)
    return str(path)


@settings(max_examples=12)
@given(
    st.sampled_from([1, 2, 3, 4]),
    st.lists(st.sampled_from([1, 3, 5, 7]), min_size=1, max_size=5),
    st.sampled_from([1, 3]),
)
def test_scale_and_reach_are_those_that_the_graph_has(tmp_path_factory, scale, kernels, dilation):
    path = tmp_path_factory.mktemp("models") / "net.onnx"
    model = find_model(_network(path, scale=scale, kernels=kernels, dilation=dilation), scale=scale)
    reach = dilation * sum(kernel // 2 for kernel in kernels)
    assert (model.card.scale, model.card.receptive_radius) == (scale, reach)
    assert model.card.tiles


def test_a_model_whose_card_was_lost_is_found_to_be_what_the_card_said(tmp_path):
    model = find_model(_without_card(tmp_path / "mine.onnx"), scale=2)
    card = catalog.read_card(TINY)
    assert (model.card.name, model.card.family) == ("mine", "foreign")
    assert (model.card.scale, model.card.receptive_radius) == (card.scale, card.receptive_radius)
    assert native_scales(str(model.path)) == (2,)


def test_a_reach_of_more_than_one_trial_picture_is_found(tmp_path):
    path = _network(tmp_path / "far.onnx", scale=1, kernels=[7] * 5, dilation=3)
    assert find_model(path, scale=1).card.receptive_radius == 45


def _mean_taken_off(path):
    nodes = [
        helper.make_node("GlobalAveragePool", ["lr"], ["mean"]),
        helper.make_node("Add", ["lr", "mean"], ["sr"]),
    ]
    return _save(path, nodes)


def _unshuffled(path):
    """A reach of 1, but the pixels of a pair are not alike: tiles at odd places would show."""
    weights = []
    nodes = [
        helper.make_node("SpaceToDepth", ["lr"], ["deep"], blocksize=2),
        _conv(weights, "deep", "c", n_in=12, n_out=12, kernel=1),
        helper.make_node("DepthToSpace", ["c"], ["sr"], blocksize=2),
    ]
    return _save(path, nodes, weights=weights)


@pytest.mark.parametrize("make", [_mean_taken_off, _unshuffled])
def test_a_network_that_is_not_the_same_everywhere_is_for_whole_pictures(tmp_path, make):
    model = find_model(make(tmp_path / "whole.onnx"), scale=1)
    assert not model.card.tiles
    assert load_engine(model, threads=1).smallest_tile is None


def test_a_foreign_network_keeps_to_fp32_unless_asked_otherwise(tmp_path):
    model = find_model(_without_card(tmp_path / "mine.onnx"), scale=2)
    assert load_engine(model, precision="auto", threads=1).precision == "fp32"


@settings(max_examples=25)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_a_network_of_one_size_gives_any_size_as_one_of_any_size_does(sized, height, width, seed):
    fixed, free = sized
    lr = np.random.default_rng(seed).random((2, 3, height, width), np.float32)
    sr = fixed.run(lr)
    assert sr.shape == (2, 3, 2 * height, 2 * width)
    if height >= 20 and width >= 24:  # else the fixed one sees filled-up borders
        for one, its_sr in zip(lr, sr, strict=True):
            np.testing.assert_allclose(its_sr, free.run(one[np.newaxis])[0], atol=1e-5)


@settings(max_examples=25)
@given(st.integers(1, 120), st.integers(1, 120), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_tiles_of_a_network_of_one_size_are_as_its_whole(sized, height, width, more, seed):
    fixed, _ = sized
    lr = np.random.default_rng(seed).random((1, 3, height, width), np.float32)
    whole = fixed.run(lr)
    for t in plan_tiles(height, width, tile=fixed.smallest_tile + more, halo=4):
        part = fixed.run(lr[:, :, t.read_y, t.read_x])
        np.testing.assert_allclose(part[(..., *t.kept(2))], whole[(..., *t.placed(2))], atol=1e-5)


@pytest.fixture(scope="module")
def sized(tmp_path_factory):
    """The same network for 20x24 only (height first), and for any size."""
    folder = tmp_path_factory.mktemp("models")
    shapes = {"lr": (1, 3, 20, 24), "sr": (1, 3, 40, 48)}
    paths = [
        _network(folder / "fixed.onnx", scale=2, kernels=[3, 5, 3], **shapes),
        _network(folder / "free.onnx", scale=2, kernels=[3, 5, 3]),
    ]
    fixed, free = (load_engine(find_model(path, scale=2), threads=1) for path in paths)
    assert fixed.receptive_radius == free.receptive_radius == 4
    return fixed, free


class OfOneSize(Runtime):
    """A runtime that takes 16x16 only, and says how far it looks."""

    name, precision, scale, streams, bytes_per_pixel = "known", "fp32", 1, 1, 9

    def __init__(self, radius, smallest_tile=1):
        self.receptive_radius, self.smallest_tile = radius, smallest_tile

    def run_all(self, lr):
        assert lr.shape == (1, 3, 16, 16)
        return (lr,)


def test_a_network_that_looks_farther_than_its_one_size_is_refused():
    with refused("model-file", "x", "16x16", 17):
        Windowed(OfOneSize(radius=8), size=(16, 16), path="x")
    whole = Windowed(OfOneSize(radius=0, smallest_tile=None), size=(16, 16), path="x")
    assert whole.run_all(np.ones((1, 3, 9, 16), np.float32))[0].shape == (1, 3, 9, 16)
    with refused("model-file", "x", "16x16", "17x16"):
        whole.run_all(np.ones((1, 3, 16, 17), np.float32))


def test_the_wrong_scale_is_refused_with_the_right_one(tmp_path):
    path = _without_card(tmp_path / "mine.onnx")
    with refused("model-not-found", path, "x2", "x3"):
        find_model(path, scale=3)


def test_a_network_that_does_not_enlarge_by_whole_numbers_is_refused(tmp_path):
    pool = helper.make_node("MaxPool", ["lr"], ["sr"], kernel_shape=[2, 2], strides=[2, 2])
    with refused("model-file", tmp_path / "half.onnx", (1, 3, 24, 24), (1, 3, 48, 48)):
        find_model(_save(tmp_path / "half.onnx", [pool]), scale=2)


@pytest.mark.parametrize("content", [b"", b"not a model", TINY.read_bytes()[:5000]])
def test_a_file_that_is_no_model_is_named_in_one_line(tmp_path, content):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with refused("model-file", path):
        find_model(str(path), scale=2)


def test_names_and_files_with_a_card_are_found_as_ever():
    assert find_model(str(TINY), scale=2).card == read_card(TINY)
    assert find_model("default", scale=3).card.name == catalog.ALIASES["default"][3]
    assert native_scales("default") == tuple(catalog.ALIASES["default"])
    with refused("model-not-found", "missing.onnx", "file"):
        find_model("missing.onnx", scale=2)
