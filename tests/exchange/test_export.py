"""Exported files: the same pictures as the network, at any size, with the card inside."""

import errno
import os

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facts import refused
from widesr.engine import load_engine
from widesr.exchange import export
from widesr.exchange.export import export_onnx, put_scores
from widesr.models.catalog import ModelFile, Score, read_card
from widesr.nets import EDSRConfig, WDSRConfig, build
from widesr.train.checkpoint import load_weights, save_weights

pytestmark = pytest.mark.train

CONFIGS = {
    "wdsr-a": WDSRConfig(scale=2, block="a", n_resblocks=2, n_feats=8, expansion=3),
    "wdsr-b": WDSRConfig(scale=3, block="b", n_resblocks=2, n_feats=8, expansion=6),
    "wdsr-a-x4": WDSRConfig(scale=4, block="a", n_resblocks=1, n_feats=8, expansion=2, rgb_std=0.5),
    "edsr": EDSRConfig(scale=4, n_resblocks=2, n_feats=8, res_scale=0.1, rgb_std=1 / 255),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Weights and model file of each network, exported once."""
    folder = tmp_path_factory.mktemp("exported")
    files = {}
    for name, cfg in CONFIGS.items():
        torch.manual_seed(0)
        network = build(cfg)
        with torch.no_grad():  # a trained network has biases, and they must not be lost
            for parameter in network.parameters():
                if parameter.ndim == 1:
                    parameter.add_(torch.randn_like(parameter) / 100)
        save_weights(folder / f"{name}.safetensors", network, None)
        out = folder / f"{name}.onnx"
        export_onnx(folder / f"{name}.safetensors", out, licence="CC0-1.0", stored="fp32")
        files[name] = out
    return files


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_an_exported_file_gives_the_networks_picture_at_any_size(exported, name, backend):
    if backend == "openvino":
        pytest.importorskip("openvino", reason="needs the openvino extra")
    file = exported[name]
    network, _ = load_weights(file.with_suffix(".safetensors"))
    engine = load_engine(
        ModelFile(file, read_card(file)), backend=backend, precision="fp32", threads=1
    )
    assert engine.scale == network.cfg.scale
    assert engine.receptive_radius == network.receptive_radius

    @settings(max_examples=10)
    @given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 2))
    def same(height, width, n):
        lr = np.random.default_rng(height).random((n, 3, height, width), np.float32)
        with torch.inference_mode():
            expected = network(torch.from_numpy(lr)).numpy()
        assert np.abs(engine.run(lr) - expected).max() < 1e-5

    same()


def test_the_graph_holds_plain_convolutions_and_shuffles_in_crd_order(exported):
    for name, file in exported.items():
        graph = onnx.load(file).graph
        kinds = {node.op_type for node in graph.node}
        assert kinds <= {"Add", "Conv", "DepthToSpace", "Div", "Mul", "Relu", "Sub"}, name
        shuffles = [node for node in graph.node if node.op_type == "DepthToSpace"]
        modes = [a.s for node in shuffles for a in node.attribute if a.name == "mode"]
        assert modes == [b"CRD"] * len(shuffles)
        assert modes
        for value in (graph.input[0], graph.output[0]):
            n, channels, height, width = value.type.tensor_type.shape.dim
            assert channels.dim_value == 3
            assert all(axis.dim_param for axis in (n, height, width))


@pytest.mark.parametrize("low", [19, 25])
def test_tiles_of_wdsr_b_are_equal_to_the_bit(tmp_path, low):
    torch.manual_seed(low)
    cfg = WDSRConfig(
        scale=2, block="b", n_resblocks=2, n_feats=32, expansion=2, linear_ratio=(low + 0.5) / 32
    )
    save_weights(tmp_path / "b.safetensors", build(cfg), None)
    export_onnx(tmp_path / "b.safetensors", tmp_path / "b.onnx", licence="CC0-1.0")
    file = tmp_path / "b.onnx"
    engine = load_engine(ModelFile(file, read_card(file)), precision="fp32", threads=1)
    lr = np.random.default_rng(low).random((1, 3, 61, 83), np.float32)
    whole, radius = engine.run(lr), engine.receptive_radius
    for y, x in ((0, 0), (20, 31), (33, 50)):
        part = engine.run(lr[:, :, y : y + 28, x : x + 33])
        inside = part[:, :, 2 * radius : -2 * radius, 2 * radius : -2 * radius]
        height, width = inside.shape[2:]
        top, left = 2 * (y + radius), 2 * (x + radius)
        assert np.array_equal(inside, whole[:, :, top : top + height, left : left + width])


def test_the_card_says_what_the_file_is(exported):
    file = exported["wdsr-b"]
    card = read_card(file)
    network, _ = load_weights(file.with_suffix(".safetensors"))
    assert (card.name, card.family, card.scale, card.licence) == ("wdsr-b", "wdsr", 3, "CC0-1.0")
    assert card.parameters == sum(p.numel() for p in network.parameters())
    assert card.parameters_fused == sum(p.numel() for p in network.fused().parameters())
    assert len(card.weights_sha256) == 64


def test_weights_stored_in_half_precision_halve_the_file_and_hardly_move_the_picture(
    exported, tmp_path
):
    file = exported["wdsr-a"]
    small = tmp_path / "wdsr-a.onnx"
    export_onnx(file.with_suffix(".safetensors"), small, licence="CC0-1.0")
    weights = 2 * read_card(file).parameters_fused
    assert file.stat().st_size - small.stat().st_size > 0.8 * weights
    lr = np.random.default_rng(0).random((1, 3, 30, 30), np.float32)
    pictures = [
        load_engine(ModelFile(f, read_card(f)), precision="fp32", threads=1).run(lr)
        for f in (file, small)
    ]
    assert 0 < np.abs(pictures[0] - pictures[1]).max() < 2e-3


def test_scores_are_put_on_the_card_and_the_graph_stays(exported, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(exported["edsr"].read_bytes())
    scores = [Score(dataset="Set5", protocol="benchmark-y", psnr=30.0, ssim=0.9)]
    assert list(put_scores(file, scores).scores) == scores
    assert list(read_card(file).scores) == scores
    before, after = onnx.load(exported["edsr"]), onnx.load(file)
    assert before.graph.SerializeToString() == after.graph.SerializeToString()


def test_a_file_that_differs_from_its_network_is_not_kept(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_TOLERANCE", 0.0)
    monkeypatch.setattr(export, "_MORE_ROUNDING", 0)
    weights = exported["wdsr-a"].with_suffix(".safetensors")
    with refused("export", tmp_path / "model.onnx", "differs"):
        export_onnx(weights, tmp_path / "model.onnx", licence="CC0-1.0")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_no_command_would_take_for_a_model_is_refused(exported, tmp_path):
    out = tmp_path / "model.safetensors"
    with refused("export", out, ".onnx"):
        export_onnx(exported["edsr"].with_suffix(".safetensors"), out, licence="CC0-1.0")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_refused_and_nothing_is_left(exported, tmp_path):
    weights = exported["wdsr-a"].with_suffix(".safetensors")
    with refused("checkpoint", tmp_path / "none.safetensors"):
        export_onnx(tmp_path / "none.safetensors", tmp_path / "model.onnx", licence="CC0-1.0")
    with refused("output-exists", exported["edsr"]):
        export_onnx(weights, exported["edsr"], licence="CC0-1.0")
    with refused("export", tmp_path / "no folder" / "model.onnx"):
        export_onnx(weights, tmp_path / "no folder" / "model.onnx", licence="CC0-1.0")
    with refused("export", os.strerror(errno.ENAMETOOLONG)):
        export_onnx(weights, tmp_path / f"{'long' * 99}.onnx", licence="CC0-1.0")
    assert list(tmp_path.iterdir()) == []
