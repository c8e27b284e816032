"""Numbers held to their definitions, windows to what they must hold, drawings to their pixels."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import peak_signal_noise_ratio

from samples import noise, profile, smooth
from widesr.evaluation.diff.difference import Window, measured, most_different
from widesr.evaluation.diff.matching import matched
from widesr.evaluation.diff.sheet import PANEL, drawn, frames
from widesr.pictures.adapt import adapted
from widesr.pictures.picture import Picture
from widesr.pixels.drawing import GAP, enlarged, label

LABEL = 32
NAMES = ("one.png", "other.png")


@st.composite
def pairs(draw):
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    shape = draw(st.tuples(st.integers(1, 14), st.integers(1, 14), st.sampled_from([1, 3])))
    alpha = draw(st.booleans())
    return [
        Picture(
            pixels=draw(hnp.arrays(dtype, shape)),
            alpha=draw(hnp.arrays(dtype, shape[:2])) if alpha else None,
        )
        for _ in range(2)
    ]


@given(pairs())
def test_numbers_are_those_of_their_definitions(pair):
    a, b = pair
    difference = measured(a, b)
    planes = [(a.pixels, b.pixels)]
    if a.alpha is not None:
        planes.append((a.alpha[..., None], b.alpha[..., None]))
    unit = 257 if a.pixels.dtype == np.uint16 else 1
    gaps = np.concatenate([np.abs(x.astype(float) - y) for x, y in planes], axis=2) / unit
    assert difference.greatest == pytest.approx(gaps.max())
    assert difference.mean == pytest.approx(gaps.mean())
    assert difference.share == pytest.approx((gaps > 0).mean())
    assert np.array_equal(difference.levels, np.ceil(gaps.max(axis=2)))
    assert (difference.ssim_y is None) == (min(a.height, a.width) < 11)
    if a.pixels.shape[2] == 3 and not np.array_equal(a.pixels, b.pixels):
        top = np.iinfo(a.pixels.dtype).max
        expected = peak_signal_noise_ratio(b.pixels, a.pixels, data_range=top)
        assert difference.psnr_rgb == pytest.approx(expected)


def test_tall_pictures_are_measured_whole():
    a, b = Picture(pixels=noise(600, 7)), Picture(pixels=noise(600, 7) // 2)
    gaps = np.abs(a.pixels.astype(int) - b.pixels)
    difference = measured(a, b)
    assert difference.mean == pytest.approx(gaps.mean())
    assert np.array_equal(difference.levels, gaps.max(axis=2))


def test_equal_pictures_have_no_difference_and_the_best_scores():
    difference = measured(*[Picture(pixels=smooth())] * 2)
    assert (difference.greatest, difference.mean, difference.share) == (0, 0, 0)
    assert difference.psnr_y == difference.psnr_rgb == math.inf
    assert difference.ssim_y == pytest.approx(1)


def test_no_border_is_left_out_of_the_scores():
    b = smooth()
    b[0, 0] ^= 255
    assert math.isfinite(measured(Picture(pixels=smooth()), Picture(pixels=b)).psnr_y)


def test_grey_is_scored_as_grey():
    a, b = (Picture(pixels=noise(channels=1) // n) for n in (1, 2))
    difference = measured(a, b)
    assert difference.psnr_rgb is None
    assert difference.psnr_y == pytest.approx(peak_signal_noise_ratio(b.pixels, a.pixels))


@pytest.mark.parametrize(("gaps", "white"), [([3], 4), ([16], 16), ([17], 32), ([200], 255)])
def test_a_map_is_white_at_the_next_power_of_two(gaps, white):
    a = np.zeros((10, 10, 1), np.uint8)
    b = a.copy()
    b[0, : len(gaps), 0] = gaps
    assert measured(Picture(pixels=a), Picture(pixels=b)).white == white


def test_a_few_pixels_far_off_do_not_darken_the_map():
    a, b = np.zeros((20, 20, 1), np.uint8), np.full((20, 20, 1), 2, np.uint8)
    b[0, :4] = 250  # one of a hundred
    assert measured(Picture(pixels=a), Picture(pixels=b)).white == 2


# ---- the window ----------------------------------------------------------------------------


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)), st.integers(1, 12)
)
def test_no_other_window_differs_more(levels, side):
    window = most_different(levels, side=side)
    energy = levels.astype(int) ** 2
    height, width = (min(side, n) for n in levels.shape)
    assert (window.height, window.width) == (height, width)
    most = max(
        energy[top : top + height, left : left + width].sum()
        for top in range(levels.shape[0] - height + 1)
        for left in range(levels.shape[1] - width + 1)
    )
    assert energy[window.slices].sum() == most


@pytest.mark.parametrize("at", [(0, 0), (1500, 2900), (2999, 5999), (7, 5990)])
def test_a_single_pixel_is_found_in_a_large_picture_too(at):
    levels = np.zeros((3000, 6000), np.uint8)  # beyond the size that is sought pixel by pixel
    levels[at] = 1
    window = most_different(levels, side=120)
    assert levels[window.slices].any()
    assert (window.width, window.height) == (120, 120)


# ---- drawings ------------------------------------------------------------------------------


def compared(a, b):
    pair = matched(a, b)
    return pair, measured(pair.a, pair.b)


def cell(sheet, *, row, column, top=0):
    """A picture of the sheet without its label; the upper row is `top` pixels high."""
    y = LABEL + (top + GAP + LABEL) * row
    return sheet[y:, column * (PANEL + GAP) :][:, :PANEL]


def test_a_sheet_shows_both_their_difference_and_the_window_enlarged():
    a = Picture(pixels=smooth(PANEL, PANEL))
    changed = a.pixels.copy()
    changed[100:110, 200:220, 1] += 8
    pair, difference = compared(a, Picture(pixels=changed))
    window = Window(190, 90, 60, 40)
    sheet = drawn(pair, difference, window=window, zoom=4, names=NAMES)
    assert sheet.shape[1] == 3 * PANEL + 2 * GAP
    assert np.array_equal(sheet[:LABEL, :PANEL], label("A  one.png", width=PANEL))
    words = label("difference, white: 8 levels or more", width=PANEL)
    assert np.array_equal(sheet[:LABEL, -PANEL:], words)

    yellow = (255, 220, 0)
    for column, pixels in enumerate((a.pixels, changed)):
        whole = cell(sheet, row=0, column=column)[:PANEL]
        framed = (whole == yellow).all(axis=2)
        assert framed.sum() == 64 * 44 - 60 * 40
        assert np.array_equal(whole[~framed], pixels[~framed])
        part = cell(sheet, row=1, column=column, top=PANEL)[:160, :240]
        assert np.array_equal(part, enlarged(pixels[window.slices], zoom=4))
    found = cell(sheet, row=1, column=2, top=PANEL)[:160, :240]
    assert set(np.unique(found)) == {0, 255}
    assert found[4 * 10 : 4 * 20, 4 * 10 : 4 * 30].all()
    assert (found > 0).sum() == 3 * 40 * 80


def test_a_single_pixel_is_seen_on_the_map_of_a_large_picture():
    a = Picture(pixels=np.zeros((1000, 2000, 1), np.uint8))
    changed = a.pixels.copy()
    changed[501, 1003] = 1
    pair, difference = compared(a, Picture(pixels=changed))
    sheet = drawn(pair, difference, window=Window(0, 0, 10, 10), zoom=4, names=NAMES)
    whole = cell(sheet, row=0, column=2)[:200, :400]
    assert (whole[100, 200] == 255).all()


def test_a_small_picture_is_enlarged_to_be_seen():
    pair, difference = compared(Picture(pixels=smooth(4, 6)), Picture(pixels=smooth(4, 6) // 2))
    sheet = drawn(pair, difference, window=Window(0, 0, 6, 4), zoom=4, names=NAMES)
    assert np.array_equal(cell(sheet, row=0, column=0)[:320], enlarged(smooth(4, 6), zoom=80))


@pytest.mark.parametrize("make", [
    lambda p: p,
    lambda p: Picture(pixels=p.pixels[..., :1]),
    lambda p: Picture(pixels=p.pixels.astype(np.uint16) * 257),
    lambda p: Picture(pixels=p.pixels, alpha=p.pixels[..., 0]),
    lambda p: Picture(pixels=p.pixels[..., :1], icc=profile(b"GRAY")),
])  # fmt: skip
@pytest.mark.parametrize("window", [Window(0, 0, 1, 1), Window(3, 2, 50, 30), Window(55, 39, 1, 1)])
def test_every_kind_of_picture_is_drawn(make, window):
    pair, difference = compared(make(Picture(pixels=smooth())), Picture(pixels=255 - smooth()))
    sheet = drawn(pair, difference, window=window, zoom=2, names=NAMES)
    one, other = frames(pair, window=window, zoom=2, names=NAMES)
    assert sheet.dtype == one.dtype == np.uint8
    assert one.shape == other.shape == (LABEL + 2 * window.height, PANEL, 3)
    assert not np.array_equal(one, other)


def test_colours_are_shown_in_srgb():
    tagged = Picture(pixels=smooth(), icc=profile())
    pair, _ = compared(tagged, Picture(pixels=smooth() // 2, icc=profile()))
    one, _ = frames(pair, window=Window(0, 0, 56, 40), zoom=1, names=NAMES)
    assert np.array_equal(one[LABEL:, :56], adapted(tagged, icc="srgb").pixels)


def test_what_is_transparent_shows_squares():
    clear = Picture(pixels=smooth(), alpha=np.zeros((40, 56), np.uint8))
    pair, _ = compared(clear, Picture(pixels=smooth()))
    one, other = frames(pair, window=Window(0, 0, 56, 40), zoom=1, names=NAMES)
    assert set(np.unique(one[LABEL:, :56])) == {96, 160}
    assert np.array_equal(other[LABEL:, :56], smooth())
