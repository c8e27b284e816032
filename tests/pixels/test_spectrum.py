"""Spectra of pictures that are made of one frequency, and of lattices."""

import numpy as np
import pytest

from facts import refused
from widesr.pixels.resize import imresize
from widesr.pixels.spectrum import lattice_peak, radial_spectrum, spectral_distance


def grey(values):
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def test_a_wave_is_in_the_ring_of_its_frequency():
    across = np.arange(256)
    wave = grey(128 + 50 * np.sin(2 * np.pi * across / 8)) * np.ones((256, 1), np.uint8)
    spectrum = radial_spectrum(wave)
    assert np.argmax(spectrum) in (15, 16)  # 1/8 cycles per pixel is 16 of 128 rings
    assert spectrum.shape == (64,)


def test_a_blurred_picture_is_far_and_the_same_is_not():
    hr = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    blurred = imresize(imresize(hr, scale=1 / 4), scale=4)
    assert spectral_distance(hr, hr) == 0
    assert spectral_distance(blurred, hr) > 20


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_lattice_stands_out_and_noise_has_none(scale):
    noise = 128 + np.random.default_rng(0).normal(0, 10, (240, 252))
    down, across = np.indices(noise.shape)
    lattice = 3 * ((down % scale == 0) & (across % scale == 0))
    assert lattice_peak(grey(noise), scale=scale) < 8
    assert lattice_peak(grey(noise + 3 * lattice), scale=scale) > 15


def test_a_flat_picture_has_no_lattice_and_a_small_one_no_spectrum():
    flat = np.full((64, 64, 1), 7, np.uint8)
    assert lattice_peak(flat, scale=2) == pytest.approx(0, abs=1)
    with refused("shape"):
        radial_spectrum(flat[:31])
