"""Scores of clips are those that were published."""

import numpy as np
import pytest
from PIL import Image

from clips import make_clip
from facts import refused
from widesr import Upscaler
from widesr.video.clip import read_clip
from widesr.video.decoding import Decoder
from widesr.video.frames import SingleFrames
from widesr.video.judge import CLIP_PROTOCOLS, degrade_frame, evaluate_clips


@pytest.fixture
def bicubic():
    return SingleFrames(Upscaler.load("bicubic", scale=4))


@pytest.mark.slow
def test_the_published_row_of_bicubic_comes_out(bicubic, shared_video):
    # Golden: EDVR (arXiv 1905.02716), table 3: calendar 20.39/0.5720, walk 26.10/0.7974.
    report = evaluate_clips(shared_video / "vid4", upscaler=bicubic, scale=4, protocol="vid4-bi")
    scores = {clip.name: (clip.psnr, clip.ssim) for clip in report.clips}
    assert scores["calendar"] == pytest.approx((20.39, 0.5720), abs=0.005)
    assert scores["walk"] == pytest.approx((26.10, 0.7974), abs=0.005)


def test_bd_blurs_and_keeps_every_fourth_pixel():
    hr = np.zeros((48, 64, 3), np.uint8)
    hr[24, 32] = 255
    lr = degrade_frame(hr, scale=4, degradation="BD")
    assert lr.shape == (12, 16, 3)
    # a blurred point: 255 over 2 pi sigma^2 at its middle, and less by a Gaussian 4 pixels away
    assert lr[6, 8, 0] == pytest.approx(255 / (2 * np.pi * 1.6**2), abs=1)
    assert lr[6, 9, 0] == pytest.approx(lr[6, 8, 0] * np.exp(-16 / (2 * 1.6**2)), abs=1)


def test_a_file_is_judged_as_its_frames_are(tmp_path, bicubic):
    clip = make_clip(tmp_path / "clip.mkv", size="96x64", frames=6, options="-c:v ffv1")
    report = evaluate_clips(clip, upscaler=bicubic, scale=4, protocol="vid4-bi-crop8-skip2")
    (judged,) = report.clips
    assert len(judged.frames) == 6 - 2 * CLIP_PROTOCOLS["vid4-bi-crop8-skip2"].skip
    assert 5 < judged.psnr < 60
    assert judged.psnr == pytest.approx(np.mean([frame.psnr for frame in judged.frames]))


def test_what_flickers_has_other_changes_than_the_original(tmp_path):
    class Flickering(SingleFrames):
        def upscale_scene(self, frames):
            for number, frame in enumerate(super().upscale_scene(frames)):
                yield frame // (1 + number % 2)

    clip = make_clip(tmp_path / "clip.mkv", size="96x64", frames=5, options="-c:v ffv1")
    upscaler = Upscaler.load("bicubic", scale=2)
    steady, flickering = (
        evaluate_clips(clip, upscaler=each, scale=2, protocol="vid4-bi").clips[0]
        for each in (SingleFrames(upscaler), Flickering(upscaler))
    )
    assert flickering.flicker > steady.flicker + 5
    assert flickering.tcc < 0.5 < steady.tcc < 1


def test_a_clip_judged_against_itself_changes_as_it_does(tmp_path):
    class Itself(SingleFrames):
        def upscale_scene(self, frames):
            list(frames)
            return iter(original)

    clip = make_clip(tmp_path / "clip.mkv", size="96x64", frames=3, options="-c:v ffv1")
    with Decoder(clip=read_clip(clip)).frames() as frames:
        original = [frame.pixels for frame in frames]
    itself = Itself(Upscaler.load("bicubic", scale=2))
    (judged,) = evaluate_clips(clip, upscaler=itself, scale=2, protocol="vid4-bi").clips
    assert (judged.tcc, judged.flicker, judged.psnr) == (pytest.approx(1), 0, float("inf"))


def test_what_cannot_be_judged_is_refused(tmp_path, bicubic):
    with refused("usage"):
        evaluate_clips(tmp_path, upscaler=bicubic, scale=4, protocol="vid5")
    with refused("usage"):
        evaluate_clips(tmp_path, upscaler=bicubic, scale=2, protocol="vid4-bd")
    with refused("data"):
        evaluate_clips(tmp_path, upscaler=bicubic, scale=4, protocol="vid4-bi")


@pytest.mark.parametrize(
    "sizes", [[(64, 64), (48, 64)], [(3, 3)], [(8, 8)]], ids=["several", "tiny", "small"]
)
def test_frames_whose_sizes_do_not_do_are_refused_by_the_name_of_their_clip(
    tmp_path, bicubic, sizes
):
    for number, (height, width) in enumerate(sizes):
        Image.new("RGB", (width, height)).save(tmp_path / f"{number}.png")
    with refused("data", tmp_path):
        evaluate_clips(tmp_path, upscaler=bicubic, scale=4, protocol="vid4-bi")
