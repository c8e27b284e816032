"""Profiles and metadata that are changed or left out, held against LittleCMS through Pillow."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from samples import profile, smooth
from widesr.pictures.adapt import adapted
from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import write_picture

FULL = Picture(
    pixels=smooth(),
    icc=profile(),
    exif=b"II*\0",
    xmp=b"<x/>",
    iptc=b"\x1c\2\5\0\1a",
    pixels_per_mm=(10.0, 10.0),
    alpha=smooth(channels=1)[..., 0],
    format="png",
)


def by_littlecms(array, icc, *, mode="RGB"):
    """Convert to 8-bit sRGB by Pillow's LittleCMS."""
    return np.asarray(
        ImageCms.profileToProfile(
            Image.fromarray(array[..., 0] if mode == "L" else array),
            ImageCms.getOpenProfile(io.BytesIO(icc)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    ).astype(int)


def test_nothing_changes_unless_it_is_asked_for():
    made = adapted(FULL)
    assert made.about == FULL.about
    np.testing.assert_array_equal(made.pixels, FULL.pixels)
    np.testing.assert_array_equal(made.alpha, FULL.alpha)


def test_colours_are_converted_as_littlecms_converts_them():
    made = adapted(FULL, icc="srgb")
    expected = by_littlecms(FULL.pixels, profile())
    assert np.abs(expected - FULL.pixels).max() > 20  # there is something to convert
    assert np.abs(made.pixels - expected).max() <= 1
    assert made.pixels.dtype == np.uint8
    name = ImageCms.getProfileDescription(ImageCms.getOpenProfile(io.BytesIO(made.icc)))
    assert "sRGB" in name
    np.testing.assert_array_equal(made.alpha, FULL.alpha)
    assert (made.exif, made.xmp, made.iptc) == (FULL.exif, FULL.xmp, FULL.iptc)


def test_16_bits_are_converted_as_16_bits():
    deep = Picture(pixels=smooth().astype(np.uint16) * 257, icc=profile())
    made = adapted(deep, icc="srgb").pixels
    assert made.dtype == np.uint16
    assert np.abs(made / 257 - by_littlecms(smooth(), profile())).max() <= 1.5
    assert (made % 257 != 0).any()


@pytest.mark.parametrize("space", [b"GRAY", b"RGB "])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_stays_grey_in_srgb(space, dtype):
    grey = smooth(channels=1, dtype=dtype)
    made = adapted(Picture(pixels=grey, icc=profile(space, gamma=1.4)), icc="srgb")
    assert made.pixels.shape == grey.shape
    assert made.icc is None
    levels = made.pixels / np.iinfo(dtype).max
    expected = (grey / np.iinfo(dtype).max) ** (1.4 / 2.2)  # sRGB is close to a gamma of 2.2
    assert np.abs(levels - expected).max() < 0.04
    assert np.abs(levels - grey / np.iinfo(dtype).max).max() > 0.1


def test_what_is_srgb_already_stays_as_it_is():
    plain = Picture(pixels=smooth())
    made = adapted(plain, icc="srgb")
    assert made.icc is None
    np.testing.assert_array_equal(made.pixels, plain.pixels)
    again = adapted(adapted(FULL, icc="srgb"), icc="srgb")
    assert np.abs(again.pixels.astype(int) - adapted(FULL, icc="srgb").pixels).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("length", [130, 200, 300])
@pytest.mark.parametrize("space", [b"GRAY", b"RGB "])
def test_a_damaged_profile_is_as_good_as_none(capfd, space, dtype, length):
    pixels = smooth(channels=1 if space == b"GRAY" else 3, dtype=dtype)
    broken = profile(space)[:length].ljust(484, b"\0")
    made = adapted(Picture(pixels=pixels, icc=broken), icc="srgb")
    assert np.abs(made.pixels.astype(int) - pixels).max() <= np.iinfo(dtype).max // 255
    assert made.icc != broken
    assert capfd.readouterr().err == ""


def test_a_profile_that_is_stripped_leaves_the_numbers():
    made = adapted(FULL, icc="strip")
    assert made.icc is None
    np.testing.assert_array_equal(made.pixels, FULL.pixels)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_stripped_metadata_is_in_no_file(tmp_path, suffix):
    opaque = Picture(pixels=smooth(), icc=profile(), xmp=FULL.xmp, iptc=FULL.iptc)
    path = tmp_path / f"out{suffix}"
    write_picture(path, adapted(opaque, metadata="strip"))
    found = read_picture(path)
    assert found.icc == profile()
    assert (found.xmp, found.iptc) == (None, None)
    if suffix != ".tif":  # its first directory is made of such tags
        assert found.exif is None


def test_stripped_metadata_is_gone_and_the_profile_stays():
    made = adapted(FULL, metadata="strip")
    assert (made.exif, made.xmp, made.iptc, made.pixels_per_mm) == (None, None, None, None)
    assert made.icc == FULL.icc
