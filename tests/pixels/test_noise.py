"""Noise depends on the place and the seed, and on nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from widesr.pixels.noise import noise_rows

SIDES = st.integers(1, 40)


def whole(height, width, *, channels=4, seed=0):
    return noise_rows(height, width, channels=channels, seed=seed).whole()


@given(SIDES, SIDES, st.integers(0, 40), st.integers(0, 40), st.integers(0, 2**64))
def test_a_pixel_gets_the_same_in_a_larger_picture(height, width, below, beside, seed):
    small = whole(height, width, seed=seed)
    large = whole(height + below, width + beside, seed=seed)
    assert small.dtype == np.float32
    assert np.array_equal(large[:height, :width], small)


def test_places_channels_and_seeds_have_nothing_in_common():
    noise = np.stack([whole(128, 128, seed=seed) for seed in range(3)])
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(1, abs=0.01)
    for one, other in [
        (noise[0], noise[1]),
        (noise[..., 0], noise[..., 1]),
        (noise[:, 1:], noise[:, :-1]),
        (noise[:, :, 1:], noise[:, :, :-1]),
    ]:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02
