"""The networks against the authors' own code, published sizes, and their own promises."""

import copy
from dataclasses import asdict
from itertools import product

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from facts import refused
from networks import n_parameters
from widesr.exchange.importers import import_weights
from widesr.nets import EDSR, WDSR, EDSRConfig, WDSRConfig, build, family_of, parse_config

pytestmark = pytest.mark.train

SMALL = [
    *(
        WDSRConfig(
            scale=scale, block=block, n_resblocks=n, n_feats=4, expansion=2, linear_ratio=0.8
        )
        for scale, block, n in product((2, 3, 4, 8), ("a", "b"), (0, 1, 3))
    ),
    *(EDSRConfig(scale=scale, n_resblocks=n, n_feats=4) for scale in (2, 3, 4, 8) for n in (0, 2)),
]


@pytest.mark.parametrize(
    ("scale", "block", "n_resblocks", "n_feats", "expansion", "trained", "fused"),
    [
        # Golden: ychfan/wdsr at b782562, README, "Small models" and "Large models", with weight
        # norm's gains; fused by the same formula without them.
        (2, "a", 16, 32, 4, 1_190_100, 1_187_484),
        (3, "a", 16, 32, 4, 1_195_605, 1_192_959),
        (4, "a", 16, 32, 4, 1_203_312, 1_200_624),
        (2, "a", 32, 128, 4, 37_808_180, 37_787_548),
        (2, "b", 16, 32, 6, 303_604, 299_564),
    ],
)
def test_wdsr_has_the_published_sizes(
    scale, block, n_resblocks, n_feats, expansion, trained, fused
):
    network = WDSR(
        WDSRConfig(
            scale=scale,
            block=block,
            n_resblocks=n_resblocks,
            n_feats=n_feats,
            expansion=expansion,
        )
    )
    assert n_parameters(network) == trained
    assert n_parameters(network.fused()) == fused


@pytest.mark.parametrize(("scale", "expected"), [(2, 1_369_859), (4, 1_517_571)])
def test_edsr_baseline_has_the_published_size(scale, expected):
    # Golden: trainable parameters of EDSR-PyTorch's baseline.
    assert n_parameters(EDSR(EDSRConfig(scale=scale, n_resblocks=16, n_feats=64))) == expected


GOLDEN = [
    f"{family}_x{scale}"
    for family in ("edsr_pytorch_edsr", "jiahuiyu_wdsr_a", "jiahuiyu_wdsr_b", "ychfan_wdsr")
    for scale in (2, 3)
]


def golden_case(golden, name):
    tensors = load_file(golden / f"{name}.safetensors")
    with safe_open(golden / f"{name}.safetensors", "pt") as file:
        facts = file.metadata()
    top = 1 if facts["range"].startswith("0..1 ") else 255
    lr, expected = tensors.pop("__input__") / top, tensors.pop("__output__") / top
    return tensors, facts, lr, expected


@pytest.mark.parametrize("name", GOLDEN)
def test_the_authors_weights_give_the_authors_output(golden, name):
    tensors, facts, lr, expected = golden_case(golden, name)
    factor = float(facts["res_scale"]) if "res_scale" in facts else None
    network = import_weights(tensors, res_scale=factor).network
    assert n_parameters(network) == int(facts["n_parameters"])
    with torch.inference_mode():
        assert (network(lr) - expected).abs().max() < 1e-5
        assert (network.fused()(lr) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("style", ["parametrizations", "folded"])
def test_all_styles_of_weight_norm_are_read_alike(golden, style):
    tensors, _, lr, expected = golden_case(golden, "jiahuiyu_wdsr_b_x2")
    restyled = {}
    for name, value in tensors.items():
        stem, _, last = name.rpartition(".")
        if style == "folded" and last == "weight_v":
            g = tensors[f"{stem}.weight_g"]
            restyled[f"{stem}.weight"] = value * (g / value.flatten(1).norm(dim=1).view_as(g))
        elif style == "folded" and last == "weight_g":
            continue
        elif last in ("weight_g", "weight_v"):
            original = "original0" if last == "weight_g" else "original1"
            restyled[f"{stem}.parametrizations.weight.{original}"] = value
        else:
            restyled[name] = value
    with torch.inference_mode():
        assert (import_weights(restyled).network(lr) - expected).abs().max() < 1e-5


def test_unknown_tensors_are_refused(golden):
    with refused("checkpoint", "conv_first.weight"):
        import_weights({"conv_first.weight": torch.zeros(4, 3, 3, 3)})
    tensors, *_ = golden_case(golden, "jiahuiyu_wdsr_a_x2")
    del tensors["body.1.body.2.bias"]
    with refused("checkpoint", "WDSRConfig", "fit"):
        import_weights(tensors)


@pytest.mark.parametrize("cfg", SMALL, ids=str)
def test_a_pixel_is_seen_as_far_as_the_receptive_radius_and_no_farther(cfg):
    torch.manual_seed(0)
    network = build(cfg).double().eval()
    for parameter in network.parameters():  # all positive, so that no effect cancels out
        parameter.data.abs_().add_(0.01)
    radius, scale = network.receptive_radius, cfg.scale
    side = 2 * radius + 7
    middle = side // 2
    lr = torch.rand(1, 3, side, side, dtype=torch.float64) + 2  # above the mean: every ReLU open
    poked = lr.clone()
    poked[..., middle, middle] += 1
    with torch.inference_mode():
        changed = (network(poked) != network(lr)).any(dim=1)[0]
    rows = torch.nonzero(changed.any(dim=1)).flatten() // scale
    columns = torch.nonzero(changed.any(dim=0)).flatten() // scale
    assert (rows.min(), rows.max()) == (middle - radius, middle + radius)
    assert (columns.min(), columns.max()) == (middle - radius, middle + radius)


@pytest.mark.parametrize("cfg", SMALL, ids=str)
def test_a_fused_network_is_new_plain_and_gives_the_same_picture(cfg):
    torch.manual_seed(0)
    network = build(cfg)
    before = copy.deepcopy(network.state_dict())
    fused = network.fused()
    assert not any(name.endswith("weight_g") for name in fused.state_dict())
    lr = torch.rand(2, 3, 9, 14)
    with torch.inference_mode():
        assert fused(lr).shape == (2, 3, 9 * cfg.scale, 14 * cfg.scale)
        assert (fused(lr) - network(lr)).abs().max() < 1e-5
        for parameter in fused.parameters():
            parameter.zero_()
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_input_is_not_written_to():
    lr = torch.rand(1, 3, 8, 8)
    before = lr.clone()
    for cfg in (SMALL[0], SMALL[-1]):
        build(cfg)(lr)
    assert torch.equal(lr, before)


def test_without_weights_every_pixel_is_the_mean_colour():
    network = build(SMALL[0]).fused()
    for parameter in network.parameters():
        parameter.data.zero_()
    with torch.inference_mode():
        sr = network(torch.rand(1, 3, 5, 5))
    mean = torch.tensor(SMALL[0].rgb_mean).view(1, 3, 1, 1)
    assert torch.equal(sr, mean.expand_as(sr))


def test_configurations_go_through_plain_values_and_back():
    for cfg in SMALL:
        assert parse_config(family_of(cfg), asdict(cfg)) == cfg
    with pytest.raises(ValueError, match="n_featz"):
        parse_config("wdsr", {**asdict(SMALL[0]), "n_featz": 3})
