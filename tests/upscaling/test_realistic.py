"""The models for JPEG and noise: better where they are meant to be, and elsewhere not far off.

The photographs of examples/ are of those that nothing was learned from.
"""

from pathlib import Path

import numpy as np
import pytest

from facts import refused
from widesr.degrade.bicubic import degrade
from widesr.degrade.steps import gaussian_noise, rounded, through_jpeg
from widesr.engine import find_model
from widesr.models.catalog import ALIASES
from widesr.pictures.reading import read_picture
from widesr.pixels.metrics import PROTOCOLS, psnr
from widesr.upscaling.upscaler import Upscaler

EXAMPLES = Path(__file__).parents[2] / "examples"
PHOTOGRAPHS = ("shuttle", "kitten", "chapel")
SCALES = sorted(ALIASES["realistic"])
SIDE = 336


def upscalers(scale):
    names = ("bicubic", "default", "realistic")
    return [Upscaler.load(name, scale=scale, precision="fp32", threads=1) for name in names]


def means(scale, spoil):
    """PSNR-Y of bicubic, default and realistic, each a mean over the photographs."""
    scores, models = [], upscalers(scale)
    for name in PHOTOGRAPHS:
        hr = read_picture(EXAMPLES / f"{name}.jpg").pixels[:SIDE, -SIDE:]
        lr = spoil(degrade(hr, scale=scale))
        scores.append(
            [
                psnr(upscaler(lr), hr, protocol=PROTOCOLS["benchmark-y"], scale=scale)
                for upscaler in models
            ]
        )
    return np.mean(scores, axis=0)


def noisy(pixels, *, sigma):
    noise = np.random.default_rng(0)
    return rounded(gaussian_noise(pixels.astype(np.float32), noise, sigma=sigma, grey=False))


def test_there_is_a_model_for_each_scale_that_learned_from_spoilt_pictures():
    assert SCALES == [2, 3, 4]
    for scale in SCALES:
        assert find_model("realistic", scale=scale).card.degradation.startswith("realistic")
    with refused("model-not-found", "x8"):
        find_model("realistic", scale=8)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("quality", [30, 60])
def test_a_jpeg_file_comes_out_nearer_to_the_original(scale, quality):
    bicubic, default, realistic = means(
        scale, lambda lr: through_jpeg(lr, quality=quality, subsampled=True)
    )
    assert realistic > max(bicubic, default) + 0.2


@pytest.mark.parametrize("scale", SCALES)
def test_a_noisy_picture_comes_out_nearer_to_the_original(scale):
    bicubic, default, realistic = means(scale, lambda lr: noisy(lr, sigma=8))
    assert realistic > max(bicubic, default) + 0.5


@pytest.mark.parametrize("scale", SCALES)
def test_a_clean_picture_loses_little_against_the_default(scale):
    bicubic, default, realistic = means(scale, lambda lr: lr)
    assert default > realistic > max(default - 1, bicubic + 0.5)


@pytest.mark.parametrize("scale", SCALES)
def test_noise_on_a_wall_becomes_less_and_not_more(scale):
    wall = np.full((64, 64, 3), 128, np.uint8)
    lr = noisy(wall, sigma=6)
    _, default, realistic = (upscaler(lr).std() for upscaler in upscalers(scale))
    assert realistic < lr.std() / 2
    assert realistic < default / 2
