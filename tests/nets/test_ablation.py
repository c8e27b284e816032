"""Networks between EDSR and WDSR: at both ends the published ones, and between them as said."""

from dataclasses import asdict, replace
from itertools import product

import numpy as np
import pytest
import torch

from facts import refused
from networks import n_parameters, reach, trained
from widesr.exchange.export import export_onnx
from widesr.models.catalog import read_card
from widesr.nets import AblationConfig, EDSRConfig, WDSRConfig, build, family_of, parse_config
from widesr.train.checkpoint import load_weights, save_weights
from widesr.upscaling.upscaler import Upscaler

pytestmark = pytest.mark.train

PLAIN = AblationConfig(scale=2, block="a", n_resblocks=2, n_feats=8, expansion=3, norm="none")
NORMS = ("weight", "batch", "layer", "instance", "group", "none")
UPSAMPLERS = ("shuffle", "transposed", "resize", "before")
WHOLE_PICTURE = ("layer", "instance", "group")
NETWORKS = [
    *(replace(PLAIN, norm=norm, block=block) for norm in NORMS for block in "ab"),
    *(
        replace(PLAIN, upsampler=upsampler, tail=tail, norm=norm, scale=scale)
        for upsampler, tail, (norm, scale) in product(
            UPSAMPLERS, ("wdsr", "edsr"), (("weight", 2), ("none", 3), ("batch", 4))
        )
    ),
]


def name(cfg):
    return f"{cfg.block}-{cfg.norm}-{cfg.upsampler}-{cfg.tail}-x{cfg.scale}"


# ---- the two ends --------------------------------------------------------------------------


def same_pictures(ours, theirs):
    """Copy the parameters in their order, and compare what comes out."""
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert mine.shape == other.shape
        mine.data.copy_(other)
    lr = torch.rand(2, 3, 9, 11)
    with torch.inference_mode():
        return torch.allclose(ours(lr), theirs(lr), atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3])
def test_without_norm_and_widening_it_is_edsr(scale):
    cfg = replace(PLAIN, scale=scale, expansion=1, tail="edsr")
    assert same_pictures(build(cfg), build(EDSRConfig(scale=scale, n_resblocks=2, n_feats=8)))


@pytest.mark.parametrize("block", ["a", "b"])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_with_weight_norm_it_is_wdsr(block, scale):
    ours = replace(PLAIN, scale=scale, block=block, norm="weight")
    theirs = WDSRConfig(scale=scale, block=block, n_resblocks=2, n_feats=8, expansion=3)
    theirs = build(theirs)
    order = ("head", "tail", "skip", "body")  # in which WDSR has its parts
    parts = {part: theirs.get_submodule(part).state_dict() for part in order}
    network = build(ours)
    for part, state in parts.items():
        target = network.get_submodule(part)
        target.load_state_dict(dict(zip(target.state_dict(), state.values(), strict=True)))
    lr = torch.rand(2, 3, 9, 11)
    with torch.inference_mode():
        torch.testing.assert_close(network(lr), theirs(lr))


def test_small_gains_are_those_that_wdsr_starts_with():
    cfg = replace(PLAIN, norm="weight", gains="small", n_resblocks=3)
    theirs = build(WDSRConfig(scale=2, block="a", n_resblocks=3, n_feats=8, expansion=3))
    for ours, other in zip(build(cfg).body, theirs.body, strict=True):
        for i in (0, 2):
            assert torch.equal(ours[i].weight_g, other[i].weight_g)
            assert not ours[i].bias.any()


def test_small_gains_without_weight_norm_are_a_mistake():
    with pytest.raises(ValueError, match="gains"):
        replace(PLAIN, gains="small")


# ---- sizes ---------------------------------------------------------------------------------


def expected_parameters(cfg):
    """Counted layer by layer: weights and a bias, and what the norm adds."""
    n, wide, low, s = cfg.n_feats, cfg.n_feats * cfg.expansion, int(0.8 * cfg.n_feats), cfg.scale

    def conv(n_in, n_out, kernel, *, block=False):
        more = 1 if cfg.norm == "weight" else 0
        if block and cfg.norm not in ("weight", "none"):
            more = 2
        return n_in * n_out * kernel**2 + n_out * (1 + more)

    def up(n_in, n_out, kernel):
        if cfg.upsampler == "shuffle":
            return conv(n_in, n_out * s**2, kernel)
        if cfg.upsampler == "transposed":
            gains = n_in if cfg.norm == "weight" else 0
            return n_in * n_out * {2: 4, 3: 5, 4: 8}[s] ** 2 + n_out + gains
        return conv(n_in, n_out, kernel)

    if cfg.block == "a":
        block = conv(n, wide, 3, block=True) + conv(wide, n, 3, block=True)
    else:
        block = conv(n, wide, 1, block=True) + conv(wide, low, 1, block=True)
        block += conv(low, n, 3, block=True)
    tail = up(n, 3, 3) + up(3, 3, 5)
    if cfg.tail == "edsr":
        tail = conv(n, n, 3) + up(n, n, 3) + conv(n, 3, 3)
    return conv(3, n, 3) + cfg.n_resblocks * block + tail


@pytest.mark.parametrize("cfg", NETWORKS, ids=name)
def test_a_network_has_the_parameters_of_its_layers(cfg):
    assert n_parameters(build(cfg)) == expected_parameters(cfg)


def test_weight_norm_begins_with_the_picture_of_no_norm():
    networks = []
    for norm in ("none", "weight"):
        torch.manual_seed(3)
        networks.append(build(replace(PLAIN, norm=norm)))
    lr = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(networks[0](lr), networks[1](lr))


# ---- promises ------------------------------------------------------------------------------


@pytest.mark.parametrize("cfg", NETWORKS, ids=name)
def test_a_pixel_is_seen_as_far_as_the_receptive_radius_and_no_farther(cfg):
    radius = build(cfg).receptive_radius
    assert (radius is None) == (cfg.norm in WHOLE_PICTURE)
    side = 2 * (radius or 12) + 7
    up, down, left, right = reach(cfg, side=side)
    if radius is None:
        assert up == down == left == right == side // 2
    else:
        assert max(up, down) == max(left, right) == radius


@pytest.mark.parametrize("cfg", NETWORKS, ids=name)
def test_a_fused_network_is_new_and_gives_the_same_picture(cfg):
    network = trained(cfg)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    fused = network.fused().eval()
    assert not any(key.endswith(("weight_g", "running_mean")) for key in fused.state_dict())
    lr = torch.rand(2, 3, 9, 14)
    with torch.inference_mode():
        assert fused(lr).shape == (2, 3, 9 * cfg.scale, 14 * cfg.scale)
        torch.testing.assert_close(fused(lr), network(lr), atol=1e-5, rtol=1e-5)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("cfg", NETWORKS, ids=name)
def test_weights_go_to_a_file_and_back(tmp_path, cfg):
    network = trained(cfg)
    save_weights(tmp_path / "w.safetensors", network, None)
    again, _ = load_weights(tmp_path / "w.safetensors")
    lr = torch.rand(1, 3, 6, 7)
    with torch.inference_mode():
        assert again.cfg == cfg
        assert torch.equal(again.eval()(lr), network(lr))


@pytest.mark.parametrize(
    ("key", "value"), [("norm", "spectral"), ("upsampler", "bicubic"), ("n_featz", 3)]
)
def test_a_configuration_refuses_what_it_does_not_know(key, value):
    assert parse_config(family_of(PLAIN), asdict(PLAIN)) == PLAIN
    with pytest.raises(ValueError, match=key):
        parse_config("ablation", {**asdict(PLAIN), key: value})


@pytest.mark.slow
@pytest.mark.parametrize(
    "cfg",
    [
        replace(PLAIN, norm="batch", upsampler="transposed"),
        replace(PLAIN, norm="weight", upsampler="resize", tail="edsr"),
        replace(PLAIN, upsampler="before"),
    ],
    ids=name,
)
def test_an_exported_network_gives_the_same_picture_in_tiles_as_whole(tmp_path, cfg):
    save_weights(tmp_path / "w.safetensors", trained(cfg), None)
    file = tmp_path / "w.onnx"
    export_onnx(tmp_path / "w.safetensors", file, licence="CC0-1.0")
    lr = np.random.default_rng(0).integers(0, 256, (43, 41, 3), np.uint8)
    whole = Upscaler.load(str(file), scale=2, tile=None, backend="onnxruntime")(lr)
    tiled = Upscaler.load(str(file), scale=2, tile=20, backend="onnxruntime")(lr)
    assert whole.std() > 1
    np.testing.assert_array_equal(tiled, whole)


@pytest.mark.slow
@pytest.mark.parametrize("norm", WHOLE_PICTURE)
def test_norms_over_the_picture_are_exported_for_whole_pictures_only(tmp_path, norm):
    save_weights(tmp_path / "w.safetensors", trained(replace(PLAIN, norm=norm)), None)
    file = tmp_path / "w.onnx"
    export_onnx(tmp_path / "w.safetensors", file, licence="CC0-1.0")
    assert not read_card(file).tiles
    lr = np.random.default_rng(0).integers(0, 256, (31, 29, 3), np.uint8)
    assert Upscaler.load(str(file), scale=2)(lr).shape == (62, 58, 3)
    with refused("usage", "whole picture", "tile=None"):
        Upscaler.load(str(file), scale=2, tile=16)(lr)
