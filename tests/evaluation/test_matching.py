"""Pictures of any two kinds become comparable, and what was done for it is said."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms

from facts import names, refused
from samples import profile, smooth
from widesr.evaluation.diff.matching import are_identical, differing_metadata, matched
from widesr.pictures.adapt import adapted
from widesr.pictures.picture import Picture
from widesr.pixels.resize import imresize

RGB = Picture(pixels=smooth())
GREY = Picture(pixels=smooth(channels=1))
DEEP = Picture(pixels=smooth().astype(np.uint16) * 257)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@st.composite
def pictures(draw, shape=(4, 5)):
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    channels = draw(st.sampled_from([1, 3]))
    alpha = hnp.arrays(dtype, shape) | st.just(np.full(shape, np.iinfo(dtype).max, dtype))
    return Picture(
        pixels=draw(hnp.arrays(dtype, (*shape, channels))), alpha=draw(st.none() | alpha)
    )


@given(pictures(), pictures())
def test_any_two_pictures_of_one_size_become_alike(a, b):
    pair = matched(a, b)
    assert pair.a.pixels.shape == pair.b.pixels.shape
    assert pair.a.pixels.dtype == pair.b.pixels.dtype
    assert (pair.a.alpha is None) == (pair.b.alpha is None)
    assert pair.a.icc == pair.b.icc


@given(pictures(), pictures())
def test_the_order_of_the_two_does_not_matter(a, b):
    one, other = matched(a, b), matched(b, a)
    assert np.array_equal(one.a.pixels, other.b.pixels)
    assert np.array_equal(one.b.pixels, other.a.pixels)
    assert len(one.notes) == len(other.notes)


@given(pictures())
def test_a_picture_is_identical_to_itself_and_needs_nothing(a):
    assert are_identical(a, replace(a, pixels=a.pixels.copy()))
    pair = matched(a, a)
    assert np.array_equal(pair.a.pixels, pair.b.pixels)
    assert all(names(note, "alpha") for note in pair.notes)


@given(pictures(), st.data())
def test_one_value_that_differs_makes_two_pictures_no_longer_identical(a, data):
    at = tuple(data.draw(st.integers(0, side - 1)) for side in a.pixels.shape)
    pixels = a.pixels.copy()
    pixels[at] ^= 1
    assert not are_identical(a, replace(a, pixels=pixels))


def test_what_else_makes_two_pictures_not_identical():
    assert not are_identical(RGB, DEEP)
    assert not are_identical(RGB, replace(RGB, icc=profile()))
    opaque = np.full((40, 56), 255, np.uint8)
    assert not are_identical(RGB, replace(RGB, alpha=opaque))
    assert not are_identical(replace(RGB, alpha=opaque - 1), replace(RGB, alpha=opaque))
    assert are_identical(RGB, replace(RGB, exif=b"II*\0", format="png"))


def test_8_bits_are_compared_as_16():
    pair = matched(RGB, DEEP)
    assert np.array_equal(pair.a.pixels, pair.b.pixels)
    for letter, (note,) in (("A", pair.notes), ("B", matched(DEEP, RGB).notes)):
        assert names(note, letter, "8 bits", 257)


def test_grey_is_compared_as_rgb():
    pair = matched(RGB, GREY)
    assert np.array_equal(pair.b.pixels, np.repeat(GREY.pixels, 3, axis=2))
    (note,) = pair.notes
    assert names(note, "B", "grey")


def test_opaque_alpha_makes_no_difference_and_is_said():
    pair = matched(RGB, replace(RGB, alpha=np.full((40, 56), 255, np.uint8)))
    assert pair.b.alpha is None
    (note,) = pair.notes
    assert names(note, "B", "alpha", "opaque")


def test_colours_under_transparent_pixels_make_no_difference():
    alpha = np.zeros((40, 56), np.uint8)
    a = replace(RGB, alpha=alpha)
    b = replace(RGB, pixels=255 - RGB.pixels, alpha=alpha)
    pair = matched(a, b)
    assert np.array_equal(pair.a.pixels, pair.b.pixels)
    assert not are_identical(a, b)


@given(hnp.arrays(np.uint8, (3, 4, 3)), hnp.arrays(np.uint8, (3, 4)))
def test_colours_over_black_are_those_that_pillow_composes(pixels, alpha):
    assume((alpha < 255).any())
    pair = matched(Picture(pixels=pixels, alpha=alpha), Picture(pixels=pixels))
    assert names(pair.notes[0], "A", "alpha", "black")
    image = Image.fromarray(np.dstack([pixels, alpha]))
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    expected = np.asarray(Image.alpha_composite(black, image))[..., :3].astype(int)
    assert np.abs(pair.a.pixels - expected).max() <= 1
    assert np.array_equal(pair.a.alpha, alpha)
    assert (pair.b.alpha == 255).all()


@pytest.mark.parametrize("scale", [2, 3, 1.5, 8])
def test_the_smaller_is_enlarged_by_imresize(scale):
    large = Picture(pixels=imresize(RGB.pixels, scale=scale))
    pair = matched(RGB, large)
    assert np.array_equal(pair.a.pixels, large.pixels)
    size = f"{56 * scale:g}x{40 * scale:g}"
    for letter, (note,) in (("A", pair.notes), ("B", matched(large, RGB).notes)):
        assert names(note, letter, f"{scale} times", "bicubic", size)


@given(st.integers(2, 300), st.integers(2, 300), st.floats(1, 8), st.sampled_from([0, 0.5, 0.999]))
def test_a_picture_that_was_shrunk_with_any_rounding_has_the_same_aspect(height, width, n, up):
    large = Picture(pixels=np.zeros((height, width, 1), np.uint8))
    shrunk = [max(1, int(side / n + up)) for side in (height, width)]
    pair = matched(Picture(pixels=np.zeros((*shrunk, 1), np.uint8)), large)
    assert pair.a.pixels.shape == pair.b.pixels.shape


def test_an_original_is_cropped_as_it_is_for_scores():
    original = Picture(pixels=smooth(41, 58))
    a = Picture(pixels=original.pixels[:40, :56])  # multiples of 4
    pair = matched(a, original)
    assert np.array_equal(pair.b.pixels, a.pixels)
    (note,) = pair.notes
    assert names(note, "B", "56x40", "multiples of 4")


@pytest.mark.parametrize("size", [(56, 40), (40, 60), (20, 31), (1, 56)])
def test_other_aspects_are_refused_with_the_way_out(size):
    other = f"{size[1]}x{size[0]}"
    with refused("shape", f"56x40 and {other}"):
        matched(RGB, Picture(pixels=smooth(*size)))
    with refused("shape", f"{other} and 56x40"):
        matched(Picture(pixels=smooth(*size)), RGB)


def test_profiles_that_differ_are_both_converted_to_srgb():
    tagged = replace(RGB, icc=profile())
    pair = matched(tagged, RGB)
    assert np.array_equal(pair.a.pixels, adapted(tagged, icc="srgb").pixels)
    assert not np.array_equal(pair.a.pixels, pair.b.pixels)
    (note,) = pair.notes
    assert names(note, "profiles", "converted", "sRGB")
    assert pair.a.icc is pair.b.icc is None


def test_equal_profiles_are_left_alone():
    tagged = replace(RGB, icc=profile())
    pair = matched(tagged, tagged)
    assert pair.notes == ()
    assert np.array_equal(pair.a.pixels, RGB.pixels)
    assert pair.a.icc == profile()


def test_an_srgb_profile_means_what_none_means():
    pair = matched(replace(RGB, icc=SRGB), RGB)
    assert np.array_equal(pair.a.pixels, pair.b.pixels)
    (note,) = pair.notes
    assert names(note, "profiles", "sRGB")
    assert not names(note, "converted")


def test_a_grey_profile_is_compared_through_its_curve():
    grey = replace(GREY, icc=profile(b"GRAY", gamma=1.0))
    pair = matched(grey, GREY)
    assert names(pair.notes[0], "converted", "sRGB")
    assert pair.a.pixels.shape == pair.b.pixels.shape
    assert (pair.a.pixels[20, 28] > pair.b.pixels[20, 28] + 30).all()


def test_metadata_that_differ_are_named():
    a = replace(RGB, exif=b"1", xmp=b"<x/>", pixels_per_mm=(10.0, 10.0))
    b = replace(RGB, exif=b"2", iptc=b"\x1c", pixels_per_mm=(10.0, 10.0))
    found = {"EXIF": "differs", "XMP": "only in A", "IPTC": "only in B"}
    assert differing_metadata(a, b) == found
    assert differing_metadata(a, a) == {}


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ((11.811, 11.811), (11.8110236, 11.8110236), {}),  # 300 dpi in PNG and in JPEG
        ((72 / 25.4, 72 / 25.4), None, {}),
        ((10.0, 10.0), (2.834, 2.834), {"resolution": "only in A"}),
        ((10.0, 10.0), (10.0, 20.0), {"resolution": "differs"}),
    ],
)
def test_a_resolution_is_compared_as_people_state_it(one, other, found):
    pictures = (replace(RGB, pixels_per_mm=dots) for dots in (one, other))
    assert differing_metadata(*pictures) == found
