"""Exported networks of several frames: one file makes of a clip what torch makes of it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import load as load_onnx

from facts import refused
from networks import with_biases
from widesr.cli import run
from widesr.degrade.bicubic import degrade
from widesr.engine import EngineOptions, find_model
from widesr.exchange.export import export_onnx
from widesr.nets import RecurrentWDSRConfig, WDSRConfig, build
from widesr.pictures.picture import Picture
from widesr.pictures.writing import write_picture
from widesr.pixels.metrics import psnr
from widesr.train.checkpoint import save_weights
from widesr.train.exported import network_of_model
from widesr.upscaling.tile_policy import MARGIN
from widesr.upscaling.upscaler import Upscaler

pytestmark = pytest.mark.train
pytest.importorskip("av", reason="needs the video extra")

from widesr.video.judge import CLIP_PROTOCOLS  # noqa: E402
from widesr.video.temporal import TemporalFrames  # noqa: E402 (which imports the extra)

SIZES = {"block": "a", "n_resblocks": 2, "n_feats": 6, "expansion": 2}
CONFIGS = {
    "three": WDSRConfig(scale=4, temporal_size=3, **SIZES),
    "five": WDSRConfig(scale=2, temporal_size=5, **SIZES),
    "recurrent": RecurrentWDSRConfig(scale=4, **SIZES),
    "ahead": RecurrentWDSRConfig(scale=2, temporal_size=3, **SIZES),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The networks, and their files, by name."""
    folder = tmp_path_factory.mktemp("exported")
    made = {}
    for name, cfg in CONFIGS.items():
        torch.manual_seed(0)
        network = build(cfg)
        with torch.no_grad():
            for each, parameter in network.named_parameters():
                if each.endswith("weight_g"):  # what is remembered does not grow without end
                    parameter.mul_(0.5)
                if each.endswith("bias"):  # a trained network has biases
                    parameter.add_(torch.randn_like(parameter) / 100)
        weights = folder / f"{name}.safetensors"
        save_weights(weights, network, None)
        out = weights.with_suffix(".onnx")
        export_onnx(weights, out, licence="CC0-1.0", stored="fp32")
        made[name] = network.eval(), out
    return made


def frames_like_video(n=4, height=21, width=30):
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (height, width, 3), np.uint8) for _ in range(n)]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_file_makes_of_a_clip_what_torch_makes_of_it(exported, name):
    network, path = exported[name]
    frames = frames_like_video()
    padded = [np.pad(f, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), "symmetric") for f in frames]
    lr = torch.from_numpy(np.concatenate(padded, axis=2).copy()).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        if network.cfg.is_recurrent:
            sr = network(lr).split(3, dim=1)
        else:
            half = network.cfg.window // 2
            each = lr.split(3, dim=1)
            around = [each[0]] * half + list(each) + [each[-1]] * half
            window = network.cfg.window
            sr = [network(torch.cat(around[n : n + window], dim=1)) for n in range(len(frames))]
    edge = MARGIN * network.cfg.scale
    options = EngineOptions(precision="fp32", threads=1)
    upscaler = TemporalFrames.of_model(find_model(str(path), scale=None), options)
    made = list(upscaler.upscale_scene(frames))
    assert len(made) == len(frames)
    for found, expected in zip(made, sr, strict=True):
        levels = expected[0, :, edge:-edge, edge:-edge].permute(1, 2, 0).numpy() * 255
        # Half a level is rounding; the state is kept in half precision between frames.
        assert np.abs(found - np.clip(levels, 0, 255)).max() < 0.6


@pytest.mark.parametrize(
    ("name", "ports", "frames"),
    [
        ("three", (["lr"], ["sr"]), 3),
        ("recurrent", (["lr", "state"], ["sr", "next_state"]), 2),
    ],
)
def test_the_state_is_an_input_and_an_output_of_the_one_file(exported, name, ports, frames):
    graph = load_onnx(exported[name][1]).graph
    assert ([p.name for p in graph.input], [p.name for p in graph.output]) == ports
    card = find_model(str(exported[name][1]), scale=4).card
    assert card.frames == frames
    assert card.receptive_radius == exported[name][0].receptive_radius
    assert json.loads(card.model_dump_json())["frames"] == frames


@pytest.mark.parametrize("name", CONFIGS)
def test_a_network_of_clips_is_judged_on_clips(exported, name, tmp_path, capsys):
    network, path = exported[name]
    scale = network.cfg.scale
    frames = frames_like_video(height=20 * scale, width=24 * scale)
    (tmp_path / "hr").mkdir()
    for n, frame in enumerate(frames):
        write_picture(tmp_path / f"hr/{n}.png", Picture(pixels=frame))
    words = ["evaluate", str(tmp_path / "hr"), "-n", str(path), "-s", str(scale)]
    assert run([*words, "--protocol", "vid4-bi", "--json", str(tmp_path / "report.json")]) == 0
    capsys.readouterr()
    judged = json.loads((tmp_path / "report.json").read_text())["clips"][0]["frames"]
    options = EngineOptions(precision="fp32")
    upscaler = TemporalFrames.of_model(find_model(str(path), scale=None), options)
    made = upscaler.upscale_scene([degrade(frame, scale=scale) for frame in frames])
    protocol = CLIP_PROTOCOLS["vid4-bi"].picture
    scores = [
        psnr(sr, hr, protocol=protocol, scale=scale) for sr, hr in zip(made, frames, strict=True)
    ]
    assert [each["psnr"] for each in judged] == pytest.approx(scores, abs=1e-6)


def test_pictures_are_not_upscaled_by_a_network_of_clips(exported):
    with refused("usage", "clips"):
        Upscaler.load(str(exported["three"][1]), scale=4)


@pytest.mark.parametrize("kind", ["three", "recurrent"])
def test_training_goes_on_from_a_file_of_a_network_of_clips(exported, kind):
    network, path = exported[kind]
    again = network_of_model(find_model(str(path), scale=None))
    assert again.cfg.temporal_size == network.cfg.temporal_size
    lr = torch.rand(1, 9, 8, 8)
    assert torch.allclose(again(lr), network(lr), atol=1e-4)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize(
    "keys", [{}, {"feedback": False}, {"n_hidden": 5, "feedback": False, "skip": "frame"}]
)
def test_a_recurrent_file_tells_its_state_and_its_skip(tmp_path, keys, size):
    cfg = RecurrentWDSRConfig(scale=2, temporal_size=size, **SIZES, **keys)
    save_weights(tmp_path / "net.safetensors", with_biases(cfg), None)
    export_onnx(tmp_path / "net.safetensors", tmp_path / "net.onnx", licence="CC0-1.0")
    again = network_of_model(find_model(str(tmp_path / "net.onnx"), scale=None)).cfg
    assert (again.state_channels, again.skip_channels) == (cfg.state_channels, cfg.skip_channels)
    assert again.temporal_size == size


def test_files_of_pictures_are_as_they_were(tmp_path):
    torch.manual_seed(0)
    save_weights(tmp_path / "one.safetensors", build(WDSRConfig(scale=2, **SIZES)), None)
    card = export_onnx(tmp_path / "one.safetensors", tmp_path / "one.onnx", licence="CC0-1.0")
    assert card.frames == 1
    assert Path(tmp_path / "one.onnx").is_file()
