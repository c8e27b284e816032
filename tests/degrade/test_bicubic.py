"""LR pictures that equal the published ones, value for value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from disk import decoded
from facts import refused
from widesr.degrade.bicubic import cropped_to_multiple, degrade
from widesr.pixels.resize import imresize


def noise(height: int, width: int, *channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, *channels), np.uint8)


@pytest.mark.parametrize(
    ("scale", "arithmetic"), [(2, "integer"), (3, "integer"), (4, "integer"), (8, "float")]
)
def test_the_lr_of_set5_is_the_published_one(bench, scale, arithmetic):
    hr_paths = sorted((bench / "Set5/HR").glob("*.png"))
    assert len(hr_paths) == 5
    for path in hr_paths:
        published = decoded(bench / f"Set5/LR_bicubic/X{scale}/{path.stem}x{scale}.png")
        assert np.array_equal(degrade(decoded(path), scale=scale, arithmetic=arithmetic), published)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_lr_of_set14_is_the_one_of_an_older_matlab(bench, scale):
    hr_paths = sorted((bench / f"Set14/HR_x{scale}").glob("*.png"))
    assert len(hr_paths) == 14
    for path in hr_paths:
        published = decoded(bench / f"Set14/LR_x{scale}" / path.name.replace("_HR", "_LR"))
        assert np.array_equal(degrade(decoded(path), scale=scale, edges="replicate"), published)


@given(
    st.integers(2, 8), st.integers(8, 40), st.integers(8, 40), st.sampled_from(["integer", "float"])
)
def test_the_lr_of_a_flat_picture_is_flat_and_of_the_right_size(scale, height, width, arithmetic):
    for dtype, level in ((np.uint8, 200), (np.uint16, 60000)):
        lr = degrade(np.full((height, width, 3), level, dtype), scale=scale, arithmetic=arithmetic)
        assert lr.dtype == dtype
        assert lr.shape == (height // scale, width // scale, 3)
        assert (lr == level).all()


def test_float_arithmetic_rounds_half_up_once():
    hr = noise(16, 24)
    exact = imresize(hr.astype(np.float64), scale=1 / 4)
    lr = degrade(hr, scale=4, arithmetic="float")
    assert np.abs(lr - np.clip(exact, 0, 255)).max() <= 0.5
    assert not np.array_equal(lr, degrade(hr, scale=4))


def test_a_picture_too_small_to_shrink_is_refused():
    with refused("shape", "5x2", 3):
        degrade(noise(2, 5), scale=3)


def test_cropping_leaves_the_top_left():
    pixels = noise(7, 9, 3)
    assert np.array_equal(cropped_to_multiple(pixels, 4), pixels[:4, :8])
