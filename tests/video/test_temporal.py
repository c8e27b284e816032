"""Networks that look at several frames, on clips: tiles, cuts, segments, sizes and resumed runs."""

import subprocess
import sys

import numpy as np
import pytest

from clips import frame_times, make_clip, video
from facts import refused
from widesr import upscale_frames, upscale_video
from widesr.engine import RGB, Engine, EngineOptions, Port
from widesr.upscaling.target import Target
from widesr.video import upscale as upscaling
from widesr.video.decoding import Frame
from widesr.video.passing import first_needed, upscale_marked
from widesr.video.temporal import TemporalFrames

REACH = 2


class Known(Engine):
    """Gives 2x the middle frame, mixed with blurred frames around it and what it remembers."""

    name = "known"
    precision = "fp32"
    scale, streams = 2, 2
    receptive_radius, smallest_tile = REACH, 1
    bytes_per_pixel = 100
    outputs = RGB

    def __init__(self, frames, *, remembers):
        state = (Port("state", 3),) if remembers else ()
        self.inputs = (Port("lr", 3 * frames), *state)
        self.outputs = (*RGB, *state)

    def run_all(self, *inputs):
        frames = np.split(inputs[0], inputs[0].shape[1] // 3, axis=1)
        mixed = 0.5 * frames[len(frames) // 2]
        for n, frame in enumerate(frames):
            mixed = mixed + blurred(frame) * np.float32(0.05 * (n + 1))
        if len(inputs) == 1:
            return (mixed.repeat(2, axis=2).repeat(2, axis=3),)
        state = 0.5 * blurred(inputs[1]) + 0.4 * mixed
        return (0.6 * mixed + 0.4 * inputs[1]).repeat(2, axis=2).repeat(2, axis=3), state


def blurred(x):
    padded = np.pad(x, ((0, 0), (0, 0), (REACH, REACH), (REACH, REACH)))
    height, width = x.shape[2:]
    return np.float32(1 / 3) * sum(
        padded[:, :, at : at + height, at : at + width] for at in (0, REACH, 2 * REACH)
    )


def upscaler(frames=3, *, remembers=True, tile=None, target=None):
    return TemporalFrames(
        Known(frames, remembers=remembers), EngineOptions(tile=tile), target=target
    )


KINDS = [(3, False), (5, False), (2, True), (3, True)]


def moving(n, *, height=40, width=52, seed=0, dtype=np.uint8, channels=3):
    """Frames of a picture that moves a pixel at a time."""
    random = np.random.default_rng(seed)
    top = np.iinfo(dtype).max // 2
    wide = random.integers(0, top, (height, width + n, channels), dtype)
    return [wide[:, at : at + width] for at in range(n)]


@pytest.mark.parametrize(("frames", "remembers"), KINDS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiled_equals_whole(frames, remembers, channels, dtype):
    clip = moving(4, dtype=dtype, channels=channels)
    whole, tiled = (
        list(upscaler(frames, remembers=remembers, tile=tile).upscale_scene(clip))
        for tile in (None, 16)
    )
    assert len(whole) == 4
    assert whole[0].shape == (80, 104, channels)
    assert whole[0].dtype == dtype
    for one, other in zip(whole, tiled, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
@pytest.mark.parametrize(("frames", "remembers"), KINDS)
def test_a_frame_comes_out_for_each_and_edges_are_repeated(frames, remembers, n):
    clip = moving(n)
    made = list(upscaler(frames, remembers=remembers).upscale_scene(iter(clip)))
    assert len(made) == n
    if not remembers:
        before, after = frames // 2, frames - 1 - frames // 2
        around = [clip[0]] * before + clip + [clip[-1]] * after
        again = list(upscaler(frames, remembers=False).upscale_scene(around))
        assert all(map(np.array_equal, made, again[before:]))


def test_no_frames_make_none():
    assert list(upscaler().upscale_scene([])) == []


@pytest.mark.parametrize(("frames", "remembers"), KINDS)
def test_a_cut_resets_the_state_and_no_frame_is_made_of_another_scene(frames, remembers):
    first = [frame // 4 for frame in moving(5)]
    second = [255 - frame // 4 for frame in moving(5, seed=1)]
    alone = [
        list(upscale_frames(scene, model=upscaler(frames, remembers=remembers)))
        for scene in (first, second)
    ]
    joined = list(upscale_frames(first + second, model=upscaler(frames, remembers=remembers)))
    assert all(map(np.array_equal, joined, alone[0] + alone[1]))


def test_what_is_remembered_counts():
    clip = moving(3)
    other = [255 - clip[0], *clip[1:]]
    one, two = (list(upscaler(2).upscale_scene(frames))[2] for frames in (clip, other))
    assert not np.array_equal(one, two)


def test_a_frame_of_one_colour_keeps_it():
    clip = [*moving(2), np.full((40, 52, 3), 77, np.uint8), *moving(2)]
    assert (list(upscaler().upscale_scene(clip))[2] == 77).all()


@pytest.mark.parametrize(("scale", "size"), [(2, (80, 104)), (1.5, (60, 78)), (0.5, (20, 26))])
def test_any_size_up_to_the_networks_own_is_reached(scale, size):
    target = Target(scale=scale)
    made = list(upscaler(target=target).upscale_scene(moving(2)))
    assert upscaler(target=target).output_size(40, 52) == size
    assert [frame.shape[:2] for frame in made] == [size] * 2


def test_what_it_does_not_do_is_refused():
    for option in ({"self_ensemble": True}, {"consistent": True}):
        with refused("usage", "self_ensemble", "consistent"):
            TemporalFrames(Known(3, remembers=True), EngineOptions(**option))
    with refused("usage", "tile", 16, 8):
        TemporalFrames(Known(3, remembers=True), EngineOptions(tile=8))
    wrong = Known(3, remembers=True)
    wrong.outputs = RGB  # a state that goes in and does not come out
    with refused("model-file", "9 + 3 channels", 3):
        TemporalFrames(wrong)


# ---- segments, and runs that go on ---------------------------------------------------------


def numbered(clip, first=0):
    return iter([Frame(pts=n, duration=1, pixels=clip[n]) for n in range(len(clip)) if n >= first])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [39, 40, 41])
def test_a_run_from_any_frame_makes_what_a_whole_run_makes(kind, length):
    clip = [frame // 4 for frame in moving(17)]
    clip += [255 - frame // 4 for frame in moving(length - 17, seed=1)]
    frames, remembers = kind
    model = upscaler(frames, remembers=remembers)
    whole = list(upscale_marked(numbered(clip), model, segment=10))
    assert [frame.pts for frame in whole] == list(range(length))
    for wanted in (1, 10, 19, 20, 25, 30, 38):
        first = first_needed(wanted, model, segment=10)
        assert wanted - first <= 10 + model.lead + 2
        rest = list(
            upscale_marked(numbered(clip, first), model, segment=10, first=first, wanted=wanted)
        )
        assert [frame.pts for frame in rest] == list(range(wanted, length))
        for one, other in zip(rest, whole[wanted:], strict=True):
            assert np.array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("frames", [3, 5])
def test_windows_do_not_see_where_segments_end(frames):
    clip = moving(25)
    model = upscaler(frames, remembers=False)
    made = upscale_marked(numbered(clip), model, segment=10)
    for one, other in zip(made, model.upscale_scene(clip), strict=True):
        assert np.array_equal(one.pixels, other)


def stop_at(frame):
    def told(done, _total):
        if done == frame:
            raise KeyboardInterrupt

    return told


def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(upscaling, "SEGMENT", 12)
    clip = make_clip(tmp_path / "clip.mkv", frames=40, sound="aac")
    whole = upscale_video(clip, tmp_path / "whole.mkv", model=upscaler()).target
    out = tmp_path / "out.mkv"
    for stop in (14, 31):
        with pytest.raises(KeyboardInterrupt):
            upscale_video(clip, out, model=upscaler(), on_progress=stop_at(stop))
    result = upscale_video(clip, out, model=upscaler())
    assert result.resumed == 24
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("overwrite", [False, True])
def test_pictures_of_a_stopped_run_are_gone_on_with(tmp_path, monkeypatch, overwrite):
    monkeypatch.setattr(upscaling, "SEGMENT", 6)
    clip = make_clip(tmp_path / "clip.mkv", frames=15)
    for folder in ("whole", "out"):
        (tmp_path / folder).mkdir()
    whole, out = (tmp_path / folder / "%03d.png" for folder in ("whole", "out"))
    assert upscaling.upscale_into_pictures(clip, whole, upscaler=upscaler()).resumed == 0
    options = {"overwrite": overwrite}
    if overwrite:
        for n in (*range(1, 11), 20):
            (tmp_path / "out" / f"{n:03d}.png").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        upscaling.upscale_into_pictures(
            clip, out, upscaler=upscaler(), on_progress=stop_at(8), **options
        )
    again = upscaling.upscale_into_pictures(clip, out, upscaler=upscaler(), **options)
    assert (again.frames, again.resumed) == (15, 8)
    made, expected = (
        {path.name: path.read_bytes() for path in pattern.parent.iterdir()}
        for pattern in (out, whole)
    )
    assert len(expected) == 16  # the times of the frames are beside them
    assert made == expected | ({"020.png": b"old"} if overwrite else {})


# ---- one clip, from training to the file ---------------------------------------------------

END_TO_END = """
import sys
from pathlib import Path
import torch
from widesr.exchange.export import export_onnx
from widesr.nets import RecurrentWDSRConfig, build
from widesr.train.checkpoint import save_weights
torch.manual_seed(0)
cfg = RecurrentWDSRConfig(scale=4, block="a", n_resblocks=1, n_feats=4, expansion=2)
weights = Path(sys.argv[1])
save_weights(weights, build(cfg), None)
export_onnx(weights, weights.with_suffix(".onnx"), licence="CC0-1.0")
"""


def test_a_clip_of_eight_frames_goes_through_a_model_file_end_to_end(tmp_path, capsys):
    pytest.importorskip("torch", reason="needs the train extra")
    weights = tmp_path / "small.safetensors"
    subprocess.run([sys.executable, "-c", END_TO_END, str(weights)], check=True)
    clip = make_clip(tmp_path / "clip.mkv", frames=8, sound="aac")
    model = weights.with_suffix(".onnx")
    out = tmp_path / "out.mkv"
    from widesr.cli import run

    arguments = ["-n", model, "-s", 4, "-o", out, "--lossless", "--json"]
    assert run(["upscale", str(clip), *map(str, arguments)]) == 0
    assert '"model": "small"' in capsys.readouterr().out
    assert frame_times(out) == frame_times(clip)
    assert len(frame_times(out)) == 8
    assert [video(out)[side] for side in ("width", "height")] == [
        4 * video(clip)[side] for side in ("width", "height")
    ]
