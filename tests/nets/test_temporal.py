"""Networks of several frames: their sizes, what they see, and when."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from facts import refused
from networks import n_parameters, with_biases
from widesr.nets import RecurrentWDSRConfig, WDSRConfig, build, family_of, parse_config
from widesr.pixels.resize import imresize
from widesr.train.grow import grown

pytestmark = pytest.mark.train

SINGLE = WDSRConfig(scale=2, block="a", n_resblocks=2, n_feats=6, expansion=2)
RECURRENT = RecurrentWDSRConfig(scale=2, block="a", n_resblocks=2, n_feats=6, expansion=2)


def windowed(size):
    return replace(SINGLE, temporal_size=size)


def clip(frames, side=12):
    return torch.rand(1, 3 * frames, side, side, generator=torch.Generator().manual_seed(1))


def test_the_recurrent_network_has_the_published_size_but_for_its_skip():
    # Golden: RRN with 32 channels and 5 blocks has 140,400 parameters; it has no skip to learn.
    network = build(
        RecurrentWDSRConfig(scale=4, block="a", n_resblocks=5, n_feats=32, expansion=1, norm="none")
    )
    assert n_parameters(network) - n_parameters(network.skip) == 140_400


@pytest.mark.parametrize("size", [3, 5])
def test_more_frames_cost_head_and_skip_alone(size):
    cfg = WDSRConfig(scale=4, block="a", n_resblocks=8, n_feats=32, expansion=2, norm="none")
    more = 3 * (size - 1) * (32 * 9 + 48 * 25)
    assert n_parameters(build(replace(cfg, temporal_size=size))) == n_parameters(build(cfg)) + more


@pytest.mark.parametrize("cfg", [windowed(3), windowed(5), RECURRENT])
def test_its_configuration_survives_a_file(cfg):
    assert parse_config(family_of(cfg), cfg.values()) == cfg


def test_files_of_single_frames_say_nothing_new():
    assert "temporal_size" not in SINGLE.values()


@pytest.mark.parametrize("size", [3, 5])
def test_the_picture_is_that_of_the_frame_in_the_middle_and_sees_all(size):
    network, lr = with_biases(windowed(size)), clip(size)
    sr = network(lr)
    assert sr.shape == (1, 3, 24, 24)
    for frame in range(size):
        changed = lr.clone()
        changed[:, 3 * frame : 3 * frame + 3] += 0.1
        assert not torch.allclose(network(changed), sr)
    single = build(SINGLE)
    large = build(windowed(size))
    large.load_state_dict(grown(single, large))
    middle = 3 * (size // 2)
    assert torch.allclose(large(lr), single(lr[:, middle : middle + 3]), atol=1e-6)


@pytest.mark.parametrize("size", [2, 3])
def test_a_recurrent_network_sees_all_frames_before_and_as_many_ahead_as_it_says(size):
    network, lr = with_biases(replace(RECURRENT, temporal_size=size)), clip(6)
    sr = torch.stack(network(lr).split(3, dim=1))
    changed = lr.clone()
    changed[:, 9:12] += 0.1  # the fourth of six
    differs = (torch.stack(network(changed).split(3, dim=1)) - sr).abs().amax(dim=(1, 2, 3, 4)) > 0
    first = 3 - (size - 2)
    assert differs.tolist() == [n >= first for n in range(6)]


def test_what_is_judged_are_the_pictures_of_all_frames_in_turn():
    network, lr = with_biases(RECURRENT), torch.rand(2, 9, 8, 8)
    pictures = network(lr).split(3, dim=1)
    assert torch.equal(network.supervised(lr), torch.cat(pictures))


def test_steps_make_what_the_whole_clip_makes():
    network, lr = with_biases(RECURRENT), clip(3)
    frames = lr.split(3, dim=1)
    state = torch.zeros(1, network.cfg.state_channels, 12, 12)
    made = []
    for before, now in zip((frames[0], *frames), frames, strict=False):
        sr, state = network.step(torch.cat([before, now], dim=1), state)
        made.append(sr)
    assert torch.equal(torch.cat(made, dim=1), network(lr))


def test_a_step_sees_no_farther_than_its_reach():
    torch.manual_seed(0)
    network = build(RECURRENT).double().eval()
    side = 2 * (network.receptive_radius + 3) + 1
    lr, middle = torch.rand(1, 6, side, side, dtype=torch.float64), side // 2
    state = torch.rand(1, network.cfg.state_channels, side, side, dtype=torch.float64)
    plain = network.step(lr, state)
    for changed in (lr, state):
        changed[..., middle, middle] += 0.5
    seen = [
        torch.nonzero((a - b).abs().amax(dim=(0, 1)) > 0)
        for a, b in zip(network.step(lr, state), plain, strict=True)
    ]
    for where, scale in zip(seen, (2, 1), strict=True):
        assert (where // scale - middle).abs().max() <= network.receptive_radius
        assert len(where) > 1


@pytest.mark.parametrize("cfg", [windowed(3), RECURRENT])
def test_fused_makes_the_same_pictures(cfg):
    network, lr = with_biases(cfg), clip(3)
    plain = network.fused()
    assert not any(name.endswith("weight_g") for name in plain.state_dict())
    assert torch.allclose(network(lr), plain(lr), atol=1e-5)


@pytest.mark.parametrize("cfg", [windowed(3), RECURRENT])
def test_consistent_pictures_shrink_back_to_their_own_frame(cfg):
    network, lr = with_biases(replace(cfg, consistent=True)), clip(3, side=20)
    own = [1] if cfg.window == 3 else [0, 1, 2]
    pictures = network(lr).split(3, dim=1)
    for frame, sr in zip(own, pictures, strict=True):
        found = imresize(sr[0].permute(1, 2, 0).detach().double().numpy(), 1 / 2)
        expected = lr[0, 3 * frame : 3 * frame + 3].permute(1, 2, 0).numpy()
        assert np.abs(found - expected).max() < 2e-3


@pytest.mark.parametrize("size", [2, 3])
def test_a_recurrent_network_begins_with_the_pictures_of_a_single_one(size):
    single, large = build(SINGLE), build(replace(RECURRENT, temporal_size=size))
    large.load_state_dict(grown(single, large))
    lr = clip(4)
    for sr, frame in zip(large(lr).split(3, dim=1), lr.split(3, dim=1), strict=True):
        assert torch.allclose(sr, single(frame), atol=1e-6)


def test_a_recurrent_network_begins_with_one_of_as_many_frames():
    small, large = with_biases(windowed(3)), build(replace(RECURRENT, temporal_size=3))
    large.load_state_dict(grown(small, large))
    lr = clip(3)
    assert torch.allclose(large(lr).split(3, dim=1)[1], small(lr), atol=1e-6)


def test_a_state_without_pixels_is_kept_at_another_scale():
    small = with_biases(replace(RECURRENT, scale=4, feedback=False))
    large = build(replace(RECURRENT, scale=2, feedback=False))
    large.load_state_dict(grown(small, large))
    lr, state = clip(1), torch.rand(1, large.cfg.state_channels, *clip(1).shape[2:])
    read = lr.repeat(1, large.cfg.temporal_size, 1, 1)
    assert torch.allclose(large.step(read, state)[1], small.step(read, state)[1], atol=1e-6)
    with refused("checkpoint", "scale"):
        grown(build(replace(RECURRENT, scale=4)), build(replace(RECURRENT, scale=2)))


@pytest.mark.parametrize(
    ("small", "large"), [(windowed(5), windowed(3)), (RECURRENT, SINGLE), (windowed(3), SINGLE)]
)
def test_nothing_is_grown_to_fewer_frames(small, large):
    with refused("checkpoint"):
        grown(build(small), build(large))
