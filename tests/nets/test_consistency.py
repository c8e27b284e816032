"""Networks whose pictures shrink back to their input, while they learn and when they are used."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from widesr.nets import SRResNetConfig, WDSRConfig, build, consistent
from widesr.nets.consistency import Consistency
from widesr.pixels.consistency import consistent_rows
from widesr.pixels.resize import imresize
from widesr.pixels.rows import Rows

pytestmark = pytest.mark.train

CONFIGS = [
    WDSRConfig(scale=2, block="a", n_resblocks=1, n_feats=4, expansion=2, consistent=True),
    WDSRConfig(scale=3, block="b", n_resblocks=1, n_feats=4, expansion=2, consistent=True),
    SRResNetConfig(scale=4, n_resblocks=1, n_feats=4, consistent=True),
]


def tensor(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float()


def array(pictures):
    return pictures[0].permute(1, 2, 0).double().numpy()


def some(height, width, *, seed):
    return np.random.default_rng(seed).random((height, width, 3))


@given(st.sampled_from([2, 3, 4, 8]), st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=20)
def test_any_picture_is_made_to_shrink_back_by_the_smallest_change(scale, height, width):
    lr, sr = some(height, width, seed=0), some(height * scale, width * scale, seed=1)
    layer = Consistency(scale).eval()
    found = array(layer(tensor(sr), tensor(lr)))
    assert np.abs(imresize(found, 1 / scale) - lr).max() < 1e-3
    assert np.abs(array(layer.shrunk(tensor(sr))) - imresize(sr, 1 / scale)).max() < 1e-6
    # The smallest change has no part that shrinks to nothing: it is H^T of something.
    again = array(layer(tensor(found), tensor(lr)))
    assert np.abs(again - found).max() < 2e-3


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_layer_agrees_with_the_correction_of_rows(scale):
    lr = (some(20, 17, seed=0) * 100 + 80).round().astype(np.uint8)
    sr = imresize(lr, scale).astype(np.float32) + 9 * some(20 * scale, 17 * scale, seed=1)
    sr = sr.astype(np.float32)
    rows = consistent_rows(Rows.of(lr), Rows.of(sr)).whole()
    layer = Consistency(scale).eval()
    assert np.abs(array(layer(tensor(sr), tensor(lr))) - rows).max() < 0.01  # of 255 levels


@pytest.mark.parametrize("cfg", CONFIGS, ids=lambda cfg: type(cfg).__name__ + str(cfg.scale))
def test_any_network_can_be_consistent_with_the_same_weights(cfg):
    torch.manual_seed(0)
    plain = build(replace(cfg, consistent=False)).eval()
    network = consistent(plain).eval()
    assert network.cfg == cfg
    assert network.receptive_radius == plain.receptive_radius + network.consistency.reach
    lr = some(9, 12, seed=0)
    for each in (network, network.fused().eval()):
        sr = array(each(tensor(lr)).detach())
        assert np.abs(imresize(sr, 1 / cfg.scale) - lr).max() < 1e-3
    assert np.abs(array(plain(tensor(lr)).detach()) - sr).max() > 1e-3


def test_a_cut_picture_is_the_same_where_it_has_its_halo():
    torch.manual_seed(0)
    network = build(CONFIGS[0]).eval()
    lr, halo = some(60, 8, seed=0), network.receptive_radius
    whole = array(network(tensor(lr)).detach())
    part = array(network(tensor(lr[10:50])).detach())
    kept = slice(2 * halo, 2 * (40 - halo))
    assert np.abs(part[kept] - whole[20:100][kept]).max() < 1e-6


def test_it_is_learned_through_and_leaves_the_borders_of_patches_alone():
    layer = Consistency(4).train()
    lr, sr = tensor(some(12, 12, seed=0)), tensor(some(48, 48, seed=1)).requires_grad_()
    found = layer(sr, lr)
    within = (found - sr)[0].detach().abs().amax(dim=(0, 1))
    assert within[24] > 1e-3
    inside = imresize(array(found.detach()), 1 / 4)[5:-5, 5:-5] - array(lr)[5:-5, 5:-5]
    assert np.abs(inside).max() < 0.05
    found.square().sum().backward()
    assert sr.grad.abs().min() > 0
    # A change that does not show in LR passes unchanged; one that does is taken back.
    flat = torch.ones_like(sr) * 0.1
    moved = layer(sr + flat, lr) - found
    assert moved[0, :, 16:32, 16:32].abs().max() < 0.01


def test_bf16_leaves_the_correction_in_fp32():
    network = build(CONFIGS[0]).eval()
    lr = some(9, 12, seed=0)
    with torch.autocast("cpu", torch.bfloat16):
        sr = network(tensor(lr))
    assert sr.dtype == torch.float32
    assert np.abs(imresize(array(sr.detach()), 1 / 2) - lr).max() < 1e-3
