"""A trained network grown into a larger one: the same pictures at first, and all of it learns."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facts import refused
from widesr.engine import find_model
from widesr.exchange.export import export_onnx
from widesr.exchange.hub import export_hub
from widesr.models.catalog import list_models
from widesr.nets import WDSR, EDSRConfig, WDSRConfig, build
from widesr.train.checkpoint import save_weights
from widesr.train.exported import network_of_model
from widesr.train.grow import grown, load_start
from widesr.train.recipe import load_recipe

pytestmark = pytest.mark.train

SMALL_A = WDSRConfig(scale=2, block="a", n_resblocks=2, n_feats=6, expansion=1.5)
SMALL_B = WDSRConfig(
    scale=3, block="b", n_resblocks=1, n_feats=5, expansion=2, linear_ratio=0.6, res_scale=0.5
)
SMALL_E = EDSRConfig(scale=4, n_resblocks=2, n_feats=4, res_scale=0.3)

SMALL = [SMALL_A, SMALL_B, SMALL_E]
GROWTHS = [
    (SMALL_A, {"n_resblocks": 5}),
    (SMALL_A, {"expansion": 4}),
    (SMALL_A, {"noise": 3}),
    (SMALL_A, {"n_feats": 9}),
    (SMALL_A, {"n_resblocks": 3, "n_feats": 8, "expansion": 3}),
    (SMALL_B, {"linear_ratio": 1.0}),
    (SMALL_B, {"n_resblocks": 4, "n_feats": 7, "expansion": 4}),
    (SMALL_E, {"n_resblocks": 4}),
    (SMALL_E, {"n_resblocks": 3, "n_feats": 7}),
]


def trained(cfg, seed=0):
    """A network none of whose tensors is still at its start."""
    torch.manual_seed(seed)
    network = build(cfg)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.add_(torch.randn_like(tensor), alpha=0.1)
    return network


def large_from(small, **sizes):
    torch.manual_seed(1)
    large = build(replace(small.cfg, **sizes))
    large.load_state_dict(grown(small, large))
    return large


def pictures(n=2, side=11, noise=0):
    random = torch.Generator().manual_seed(2)
    rgb = torch.rand(n, 3, side, side + 2, generator=random)
    return torch.cat([rgb, torch.randn(n, noise, side, side + 2, generator=random)], dim=1)


@pytest.mark.parametrize(("cfg", "sizes"), GROWTHS)
def test_a_grown_network_gives_the_pictures_of_the_small_one(cfg, sizes):
    small = trained(cfg)
    large = large_from(small, **sizes)
    assert sum(p.numel() for p in large.parameters()) > sum(p.numel() for p in small.parameters())
    with torch.inference_mode():
        made = large(pictures(noise=large.noise))
        difference = (made - small(pictures())).abs().max()
    assert difference < 1e-5


@settings(deadline=None, max_examples=25)
@given(
    blocks=st.integers(0, 3),
    feats=st.integers(0, 5),
    expansion=st.floats(0, 2),
    cfg=st.sampled_from([SMALL_A, SMALL_B]),
)
def test_growth_in_any_mixture_changes_no_picture(cfg, blocks, feats, expansion):
    small = trained(cfg, seed=blocks)
    large = large_from(
        small,
        n_resblocks=cfg.n_resblocks + blocks,
        n_feats=cfg.n_feats + feats,
        expansion=cfg.expansion + expansion,
    )
    with torch.inference_mode():
        assert (large(pictures()) - small(pictures())).abs().max() < 1e-5


@pytest.mark.parametrize(("cfg", "sizes"), GROWTHS)
def test_all_that_grew_learns(cfg, sizes):
    large = large_from(trained(cfg), **sizes)
    before = {name: tensor.detach().clone() for name, tensor in large.named_parameters()}
    optimizer = torch.optim.Adam(large.parameters(), lr=1e-3)
    target = torch.rand(2, 3, 11 * cfg.scale, 13 * cfg.scale, generator=torch.manual_seed(3))
    for _ in range(4):  # a gain leaves zero at the first, and what it scales moves from then on
        loss = (large(pictures(noise=large.noise)) - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, tensor in large.named_parameters():
        assert torch.isfinite(tensor).all(), name
        rows = (tensor != before[name]).flatten(1 if tensor.ndim == 4 else 0)
        moved = rows.any(1) if tensor.ndim == 4 else rows
        assert moved.float().mean() > 0.7, name  # a ReLU may rest on all of two pictures


@pytest.mark.parametrize("cfg", SMALL)
def test_another_scale_keeps_head_and_body_and_starts_its_own_tail(cfg):
    small = trained(cfg)
    scale = 2 if cfg.scale == 3 else 3
    torch.manual_seed(1)
    fresh = build(replace(cfg, scale=scale)).state_dict()
    torch.manual_seed(1)
    large = build(replace(cfg, scale=scale))
    state = grown(small, large)
    theirs = small.state_dict()
    for name, value in state.items():
        source = fresh if name.startswith(("tail.", "skip.")) else theirs
        assert torch.equal(value, source[name]), name


def test_growing_changes_neither_network():
    small, large = trained(SMALL_A), build(replace(SMALL_A, n_resblocks=4))
    before = [{n: t.clone() for n, t in net.state_dict().items()} for net in (small, large)]
    grown(small, large)
    for network, state in zip((small, large), before, strict=True):
        assert all(torch.equal(t, state[n]) for n, t in network.state_dict().items())


@pytest.mark.parametrize(
    ("small", "large", "facts"),
    [
        (SMALL_A, SMALL_E, ["WDSR", "EDSR"]),
        (SMALL_A, replace(SMALL_A, block="b"), ["block", "'a'", "'b'"]),
        (SMALL_A, replace(SMALL_A, rgb_std=0.5), ["rgb_std", 1.0, 0.5]),
        (SMALL_A, replace(SMALL_A, n_resblocks=1), ["larger", "2 blocks", "has 1"]),
        (SMALL_A, replace(SMALL_A, n_feats=4), ["larger", "grow"]),
        (SMALL_A, replace(SMALL_A, expansion=1), ["larger", "body.0.0", "grow"]),
    ],
)
def test_a_network_that_cannot_become_the_other_is_refused(small, large, facts):
    with refused("checkpoint", *facts):
        grown(build(small), build(large))


@pytest.mark.parametrize("model", list_models(), ids=lambda model: model.card.name)
def test_a_shipped_model_is_read_back_with_its_weight_norm(model):
    network = network_of_model(model)
    assert isinstance(network, WDSR)
    counts = {name: p.numel() for name, p in network.named_parameters()}
    plain = {name: n for name, n in counts.items() if not name.endswith("weight_g")}
    assert sum(plain.values()) == model.card.parameters_fused
    has_norm = load_recipe(model.card.recipe).network.norm == "weight"  # else the card has no gains
    assert sum((counts if has_norm else plain).values()) == model.card.parameters
    lengths = torch.norm_except_dim(network.body[0][0].weight_v, 2, 0)
    assert torch.equal(network.body[0][0].weight_g, lengths)


def test_a_shipped_model_grows_into_the_larger_one_that_has_a_recipe():
    small = load_start("default", scale=2).network
    assert small.cfg == load_recipe("wdsr-a8-x2").network
    large = build(load_recipe("wdsr-a16-x2").network)
    large.load_state_dict(grown(small, large))
    with torch.inference_mode():
        assert (large(pictures()) - small(pictures())).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("cfg", "stored", "tolerance"),
    [
        (replace(SMALL_B, res_scale=1.0), "fp32", 1e-5),
        (replace(SMALL_E, res_scale=1.0), "fp16", 2e-2),
        (replace(SMALL_A, noise=2, consistent=True), "fp32", 1e-5),
    ],
)
def test_an_exported_network_is_read_back_as_it_was(tmp_path, cfg, stored, tolerance):
    network = trained(cfg)
    save_weights(tmp_path / "w.safetensors", network, None)
    export_onnx(tmp_path / "w.safetensors", tmp_path / "m.onnx", licence="CC0-1.0", stored=stored)
    again = network_of_model(find_model(str(tmp_path / "m.onnx"), scale=None))
    assert type(again) is type(network)
    read = pictures(noise=network.noise)
    with torch.inference_mode():
        assert (again(read) - network(read)).abs().max() < tolerance


def test_a_factor_that_no_tensor_shows_is_noticed(tmp_path):
    save_weights(tmp_path / "w.safetensors", trained(SMALL_B), None)  # res_scale 0.5
    export_onnx(tmp_path / "w.safetensors", tmp_path / "m.onnx", licence="CC0-1.0")
    with refused("checkpoint", tmp_path / "m.onnx", "differs", ".safetensors"):
        network_of_model(find_model(str(tmp_path / "m.onnx"), scale=None))


def test_a_start_is_named_with_its_hash_wherever_it_comes_from(tmp_path):
    default = load_start("default", scale=2)
    name, _, digest = default.origin.partition(" sha256:")
    assert name.endswith("-x2.onnx")
    assert len(digest) == 64
    model = next(m for m in list_models() if m.path.name == name)
    shutil.copy(model.path, tmp_path / "copy.onnx")
    copy = load_start(tmp_path / "copy.onnx", scale=3)  # another scale gives its body
    assert copy.origin == f"copy.onnx sha256:{digest}"
    theirs = copy.network.state_dict()
    for key, tensor in default.network.state_dict().items():
        assert np.array_equal(tensor, theirs[key])


def test_a_folder_for_a_hub_is_a_start(tmp_path):
    model = find_model("fast", scale=2)
    export_hub(Path(model.card.name), tmp_path / "hub")
    start = load_start(tmp_path / "hub", scale=2)
    digest = hashlib.sha256((tmp_path / "hub/model.safetensors").read_bytes()).hexdigest()
    assert start.origin == f"model.safetensors sha256:{digest}"
    theirs = network_of_model(model).state_dict()
    for key, tensor in start.network.state_dict().items():
        assert np.array_equal(tensor, theirs[key])


@pytest.mark.parametrize(
    ("source", "code", "facts"),
    [
        ("x" * 300, "model-not-found", ["x" * 300]),
        ("no-such", "model-not-found", ["'no-such'"]),
        ("none.onnx", "model-not-found", ["none.onnx"]),
        ("none.safetensors", "checkpoint", ["none.safetensors"]),
        ("default", "model-not-found", ["default", "x8"]),
    ],
)
def test_a_start_that_is_not_there_is_said_in_the_users_words(source, code, facts):
    with refused(code, *facts):
        load_start(source, scale=8)


def test_a_graph_that_export_did_not_write_is_no_start():
    tiny = Path(__file__).parents[1] / "assets" / "tiny-x2.onnx"  # made with names of its own
    with refused("checkpoint", tiny, "graph", ".safetensors"):
        load_start(tiny, scale=2)
