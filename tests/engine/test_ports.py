"""Networks of several inputs and of any channels: a state, a noise map, several frames, grey."""

import pickle

import numpy as np
import pytest

from facts import refused
from widesr.engine import Port, load_engine
from widesr.engine.choice import is_openvino_installed
from widesr.models.catalog import ModelCard, ModelFile
from widesr.upscaling.upscaler import Upscaler

onnx = pytest.importorskip("onnx")
reference = pytest.importorskip("onnx.reference")
helper = onnx.helper

BACKENDS = ["onnxruntime", *(["openvino"] if is_openvino_installed() else [])]
every_backend = pytest.mark.parametrize("backend", BACKENDS)
FREE = ("n", "h", "w")


def _save(path, nodes, *, ins, outs, weights, radius, size=FREE):
    """Write a network of these channels by input and output, and give it a card."""
    n, height, width = size
    ports = [
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (n, channels, h, w))]
        for of, (h, w) in ((ins, (height, width)), (outs, (None, None)))
        for name, channels in of.items()
    ]
    ports = [port for (port,) in ports]
    weights = [onnx.numpy_helper.from_array(each, name) for name, each in weights.items()]
    graph = helper.make_graph(nodes, "net", ports[: len(ins)], ports[len(ins) :], weights)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    card = ModelCard(
        name=path.stem, family="wdsr", scale=2, receptive_radius=radius, parameters=0,
        licence="MIT", degradation="bicubic", weights_sha256="0" * 64,
    )  # fmt: skip
    return ModelFile(path, card)


def _kernel(n_out, n_in, side=3):
    rng = np.random.default_rng(n_out * 10 + n_in)
    values = rng.random((n_out, n_in, side, side), np.float32)
    return values / values.sum(axis=(1, 2, 3), keepdims=True)


def _recurrent(path, **how):
    """Two frames and a state of 4 channels in, a picture and the next state out."""
    return _save(
        path,
        [
            helper.make_node("Concat", ["frames", "state"], ["both"], axis=1),
            helper.make_node("Conv", ["both", "to_state"], ["mixed"], pads=[1] * 4),
            helper.make_node("Relu", ["mixed"], ["next"]),
            helper.make_node("Conv", ["next", "to_sr"], ["deep"], pads=[1] * 4),
            helper.make_node("DepthToSpace", ["deep"], ["sr"], blocksize=2, mode="CRD"),
        ],
        ins={"frames": 6, "state": 4},
        outs={"sr": 3, "next": 4},
        weights={"to_state": _kernel(4, 10), "to_sr": _kernel(12, 4)},
        radius=2,
        **how,
    )


def _with_noise(path):
    """RGB and a map of noise in, RGB out."""
    return _save(
        path,
        [
            helper.make_node("Concat", ["lr", "noise"], ["both"], axis=1),
            helper.make_node("Conv", ["both", "w"], ["deep"], pads=[1] * 4),
            helper.make_node("DepthToSpace", ["deep"], ["sr"], blocksize=2, mode="CRD"),
        ],
        ins={"lr": 3, "noise": 1},
        outs={"sr": 3},
        weights={"w": _kernel(12, 4)},
        radius=1,
    )


def _grey(path):
    return _save(
        path,
        [
            helper.make_node("Conv", ["y", "w"], ["deep"], pads=[1] * 4),
            helper.make_node("DepthToSpace", ["deep"], ["sr"], blocksize=2, mode="CRD"),
        ],
        ins={"y": 1},
        outs={"sr": 1},
        weights={"w": _kernel(4, 1)},
        radius=1,
    )


def _noise(seed, *shape):
    return np.random.default_rng(seed).random(shape, np.float32)


def _load(model, backend):
    return load_engine(model, backend=backend, precision="fp32", threads=1)


@every_backend
def test_a_recurrent_network_gives_picture_and_state_step_after_step(tmp_path, backend):
    model = _recurrent(tmp_path / "rec-x2.onnx")
    engine = _load(model, backend)
    assert engine.inputs == (Port("frames", 6), Port("state", 4))
    assert engine.outputs == (Port("sr", 3), Port("next", 4))
    oracle = reference.ReferenceEvaluator(str(model.path))
    state = expected_state = np.zeros((1, 4, 20, 17), np.float32)
    for step in range(3):
        frames = _noise(step, 1, 6, 20, 17)
        sr, state = engine.run_all(frames, state)
        expected, expected_state = oracle.run(None, {"frames": frames, "state": expected_state})
        assert sr.shape == (1, 3, 40, 34)
        np.testing.assert_allclose(sr, expected, atol=2e-6)
        np.testing.assert_allclose(state, expected_state, atol=2e-6)
    again = pickle.loads(pickle.dumps(engine))  # noqa: S301 (our own)
    np.testing.assert_array_equal(again.run(frames, state), engine.run(frames, state))


@every_backend
def test_a_recurrent_network_of_one_size_takes_any_in_windows(tmp_path, backend):
    fixed = _load(_recurrent(tmp_path / "fixed-x2.onnx", size=(1, 16, 18)), backend)
    free = _load(_recurrent(tmp_path / "free-x2.onnx"), backend)
    frames, state = _noise(0, 2, 6, 37, 41), _noise(1, 2, 4, 37, 41)
    for one, other in zip(fixed.run_all(frames, state), free.run_all(frames, state), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


@every_backend
def test_noise_beside_the_picture_goes_into_the_network(tmp_path, backend):
    model = _with_noise(tmp_path / "noise-x2.onnx")
    engine = _load(model, backend)
    lr, noise = _noise(0, 1, 3, 12, 9), _noise(1, 1, 1, 12, 9)
    oracle = reference.ReferenceEvaluator(str(model.path))
    (expected,) = oracle.run(None, {"lr": lr, "noise": noise})
    np.testing.assert_allclose(engine.run(lr, noise), expected, atol=2e-6)
    assert np.abs(engine.run(lr, 1 - noise) - expected).max() > 0.01


@every_backend
def test_a_grey_network_runs_and_is_refused_where_rgb_is_needed(tmp_path, backend):
    model = _grey(tmp_path / "grey-x2.onnx")
    engine = _load(model, backend)
    y = _noise(0, 2, 1, 9, 11)
    (expected,) = reference.ReferenceEvaluator(str(model.path)).run(None, {"y": y})
    np.testing.assert_allclose(engine.run(y), expected, atol=2e-6)
    for each in (engine, _load(_recurrent(tmp_path / "rec-x2.onnx"), backend)):
        with refused("model-file", each.name, "RGB"):
            Upscaler(each)


@every_backend
def test_inputs_that_do_not_belong_together_are_refused(tmp_path, backend):
    engine = _load(_recurrent(tmp_path / "rec-x2.onnx"), backend)
    frames = _noise(0, 1, 6, 9, 9)
    for beside in ([], [_noise(0, 1, 4, 9, 8)], [_noise(0, 1, 4, 9, 9)] * 2):
        with refused("shape", "frames (N, 6, H, W)", "state (N, 4, H, W)"):
            engine.run_all(frames, *beside)
    with refused("model-file"):
        engine.run_all(frames, _noise(0, 1, 5, 9, 9))


@every_backend
def test_a_state_that_is_no_number_is_an_error(tmp_path, backend):
    engine = _load(_recurrent(tmp_path / "rec-x2.onnx"), backend)
    state = np.full((1, 4, 9, 9), np.inf, np.float32)
    with refused("model-file", "rec-x2.onnx", "numbers"):
        engine.run_all(_noise(0, 1, 6, 9, 9), state)


@every_backend
def test_inputs_of_different_sizes_are_refused_at_loading(tmp_path, backend):
    model = _with_noise(tmp_path / "odd-x2.onnx")
    network = onnx.load(model.path)
    noise = network.graph.input[1].type.tensor_type.shape.dim
    noise[2].dim_value, noise[3].dim_value = 1, 1
    network.graph.node[0].op_type = "Conv"  # no longer one tensor: each is used alone
    network.graph.node[0].input[:] = ["lr", "w4"]
    del network.graph.node[0].attribute[:]
    weight = onnx.numpy_helper.from_array(_kernel(4, 3, side=1), "w4")
    network.graph.initializer.append(weight)
    onnx.save(network, model.path)
    with refused("model-file", model.path, "free N"):
        _load(model, backend)
