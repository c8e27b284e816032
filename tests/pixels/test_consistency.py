"""Consistency against dense matrices, and what it promises on pictures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter

from facts import refused
from widesr.pixels.consistency import (
    consistent_rows,
    inverse_taps,
    lr_psnr,
    piece_height,
    shrinking_kernel,
    whole_scale,
)
from widesr.pixels.metrics import PROTOCOLS, psnr
from widesr.pixels.resize import imresize
from widesr.pixels.rows import Rows

SCALES = [1, 2, 3, 4, 8]


def matrix_of_h(n, scale):
    """H along an axis, column by column: what imresize makes of each single HR pixel."""
    ones = np.eye(n * scale)[:, :, np.newaxis]
    return imresize(ones, size=(n, n * scale))[..., 0]


def in_bands(pixels, height):
    bands = (pixels[top : top + height] for top in range(0, len(pixels), height))
    return Rows(bands, shape=pixels.shape, dtype=pixels.dtype)


def corrected(sr, lr):
    """Make a picture consistent, rounded half up."""
    rows = consistent_rows(Rows.of(lr), Rows.of(sr.astype(np.float32)))
    return np.floor(rows.whole() + np.float32(0.5)).astype(sr.dtype)


def assert_is_pseudoinverse(height, width, scale):
    rng = np.random.default_rng(0)
    lr = rng.integers(3000, 3100, (height, width, 2)).astype(np.uint16)
    sr = rng.uniform(3000, 3200, (height * scale, width * scale, 2)).astype(np.float32)
    down, across = matrix_of_h(height, scale), matrix_of_h(width, scale)
    missing = lr - np.einsum("ij,jkc,lk->ilc", down, sr, across)
    change = np.einsum("ij,jkc,lk->ilc", np.linalg.pinv(down), missing, np.linalg.pinv(across))
    assert (sr + change).min() > 0  # else it would be clipped, and the oracle would not hold
    found = consistent_rows(Rows.of(lr), Rows.of(sr)).whole()
    assert_allclose(found, sr + change, atol=2e-5 * np.abs(missing).max())


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [(23, 40), (1, 3), (5, 2)])
def test_the_correction_is_the_pseudoinverse_of_imresize(scale, size):
    assert_is_pseudoinverse(*size, scale)


@pytest.mark.parametrize("scale", SCALES)
def test_the_last_piece_may_have_any_number_of_rows(scale):
    whole = piece_height(scale)
    for height in range(whole + 1, 2 * whole + 2):
        assert_is_pseudoinverse(height, 5, scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_inverse_undoes_h_after_its_transpose(scale):
    h = matrix_of_h(40, scale)
    taps = inverse_taps(scale)
    row = np.linalg.inv(h @ h.T)[20]
    assert_allclose(row[20 - 13 : 20 + 14], taps, atol=2e-6 * row[20])
    start, weights = shrinking_kernel(scale)
    assert_array_equal(np.flatnonzero(h[20]), 20 * scale + start + np.flatnonzero(weights))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_set5_upscaled_by_bicubic_comes_nearer_to_the_truth_and_shrinks_to_its_input(bench, scale):
    files = sorted((bench / "Set5" / "HR").glob("*.png"))
    assert len(files) == 5
    for file in files:
        hr = np.asarray(Image.open(file))
        hr = hr[: hr.shape[0] // scale * scale, : hr.shape[1] // scale * scale]
        lr = np.asarray(Image.open(bench / f"Set5/LR_bicubic/X{scale}/{file.stem}x{scale}.png"))
        before = imresize(lr, scale=scale)
        after = corrected(before, lr)
        assert lr_psnr(after, lr) > 60 > lr_psnr(before, lr)
        judge = {"protocol": PROTOCOLS["benchmark-y"], "scale": scale}
        assert psnr(after, hr, **judge) > psnr(before, hr, **judge)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    scale=st.sampled_from([2, 3, 4]),
    band=st.integers(1, 50),
    seed=st.integers(0, 99),
    dtype=st.sampled_from([np.uint8, np.uint16]),
)
def test_a_picture_that_passes_is_corrected_as_a_whole_one(height, width, scale, band, seed, dtype):
    rng = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    lr = rng.integers(0, top + 1, (height, width, 3)).astype(dtype)
    sr = rng.uniform(-0.1 * top, 1.1 * top, (height * scale, width * scale, 3)).astype(np.float32)
    whole = consistent_rows(Rows.of(lr), Rows.of(sr))
    passed = consistent_rows(in_bands(lr, band), in_bands(sr, band))
    assert passed.shape == sr.shape
    whole, passed = whole.whole(), passed.whole()
    assert_array_equal(passed, whole)
    assert whole.min() >= 0
    assert whole.max() <= top


def test_a_picture_of_many_pieces_is_corrected_as_one_of_few(monkeypatch):
    rng = np.random.default_rng(0)
    lr = rng.integers(0, 256, (150, 40, 3)).astype(np.uint8)
    sr = rng.uniform(-20, 280, (300, 80, 3)).astype(np.float32)
    few = consistent_rows(Rows.of(lr), Rows.of(sr)).whole()
    monkeypatch.setattr("widesr.pixels.consistency._SR_ROWS", 8)
    many = consistent_rows(in_bands(lr, 7), in_bands(sr, 33)).whole()
    assert_allclose(many, few, atol=1e-3)


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_flat_colours_stay_as_they_are(level):
    lr = np.full((9, 11, 3), level, np.uint8)
    sr = np.full((27, 33, 3), level, np.uint8)
    assert_array_equal(corrected(sr, lr), sr)


def test_a_cast_and_a_blur_are_taken_back():
    rng = np.random.default_rng(0)
    lr = imresize(rng.integers(60, 200, (20, 20, 3)).astype(np.uint8), scale=2)
    shifted = imresize(lr, scale=3).astype(int) + 12
    found = corrected(shifted.astype(np.uint8), lr)
    assert lr_psnr(found, lr) > 60
    assert abs(found.mean() - lr.mean()) < 0.1


def test_grey_of_16_bits_comes_back_in_its_shape():
    lr = np.full((4, 5, 1), 40_000, np.uint16)
    sr = np.full((8, 10, 1), 39_000, np.uint16)
    assert_array_equal(corrected(sr, lr), np.full((8, 10, 1), 40_000, np.uint16))


def test_sizes_that_are_no_whole_multiple_are_refused():
    assert whole_scale((4, 5), (12, 15)) == 3
    for sr in ((12, 16), (6, 8), (3, 5)):
        with refused("usage"):
            whole_scale((4, 5), sr)
    with refused("usage"):
        lr_psnr(np.zeros((9, 9, 3), np.uint8), np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize(
    ("sr", "lr"),
    [
        (np.zeros((8, 8, 3), np.uint8), np.zeros((4, 4, 1), np.uint8)),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((4, 4, 3), np.uint16)),
        (np.zeros((8, 8, 3), np.float32), np.zeros((4, 4, 3), np.float32)),
        (np.zeros(8, np.uint8), np.zeros(4, np.uint8)),
    ],
)
def test_pictures_of_two_kinds_are_refused(sr, lr):
    with refused("shape"):
        lr_psnr(sr, lr)


def test_lr_psnr_of_what_shrinks_exactly_is_infinite():
    hr = np.full((8, 8, 3), 77, np.uint8)
    assert lr_psnr(hr, hr[:4, :4]) == float("inf")
    one_off = hr[:4, :4].copy()
    one_off[0, 0, 0] += 1
    # Oracle: one of 48 values is one level off.
    assert lr_psnr(hr, one_off) == pytest.approx(10 * np.log10(255**2 * 48))


@pytest.mark.parametrize("size", [(40, 50), (5, 3), (1, 9), (33, 20)])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_where_the_input_is_flat_all_around_the_output_has_its_colour(scale, size):
    rng = np.random.default_rng(0)
    lr = np.full((*size, 3), 200, np.uint8)
    for y, x, channel in rng.integers(0, (*size, 3), (size[0] * size[1] // 100, 3)):
        lr[y, x, channel] += 1
    noise = rng.uniform(-1.2, 1.2, (size[0] * scale, size[1] * scale, 3))
    sr = lr.repeat(scale, axis=0).repeat(scale, axis=1) + noise
    window = {"size": (7, 7, 1), "mode": "reflect"}
    flat = (maximum_filter(lr, **window) == minimum_filter(lr, **window)).all(axis=2)
    assert flat.any()
    made = corrected(sr.astype(np.float32), lr)
    flat = flat.repeat(scale, axis=0).repeat(scale, axis=1)
    assert (made[flat] == 200).all()
    assert (made[~flat] != 200).any() or flat.all()
