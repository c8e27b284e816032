"""Profiles made of codes, held against LittleCMS's own and against published matrices."""

import io
import struct

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from others import P3, srgb, with_primaries
from samples import noise
from widesr.pictures.picture import Picture
from widesr.pictures.profiles import SRGB, Colours, coded_colours, profile_of, sound_profile
from widesr.pictures.writing import write_picture

ADOBE = Colours((0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06), 563 / 256)


def columns(icc):
    """XYZ of red, green and blue at full."""
    found = {}
    for n in range(int.from_bytes(icc[128:132], "big")):
        name, at, _ = struct.unpack_from(">4sII", icc, 132 + 12 * n)
        found[name] = np.frombuffer(icc[at + 8 : at + 20], ">i4") / 65536
    return np.stack([found[name] for name in (b"rXYZ", b"gXYZ", b"bXYZ")])


def in_srgb(icc, array):
    image = ImageCms.profileToProfile(
        Image.fromarray(array),
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
    )
    return np.asarray(image).astype(int)


def test_display_p3_is_that_of_littlecms_with_its_primaries():
    ours = profile_of(coded_colours(12, 13), grey=False)
    difference = in_srgb(ours, noise()) - in_srgb(with_primaries(srgb(), *P3), noise())
    assert np.abs(difference).max() <= 1


def test_the_matrix_of_adobe_rgb_is_the_published_one():
    # Golden: Adobe RGB (1998) Color Image Encoding, May 2005, section 4.3.5.3.
    published = [
        [0.60974, 0.31111, 0.01947],
        [0.20528, 0.62567, 0.06087],
        [0.14919, 0.06322, 0.74457],
    ]
    np.testing.assert_allclose(columns(profile_of(ADOBE, grey=False)), published, atol=2e-5)


@pytest.mark.parametrize("primaries", [4, 5, 6, 7, 9, 11, 12, 22])
def test_every_coded_profile_is_sound_and_its_white_is_white(primaries):
    icc = profile_of(coded_colours(primaries, 13), grey=False)
    assert sound_profile(icc) == icc
    np.testing.assert_allclose(columns(icc).sum(axis=0), [0.9642, 1, 0.8249], atol=1e-4)
    white = np.full((2, 2, 3), 255, np.uint8)
    assert np.abs(in_srgb(icc, white) - 255).max() <= 1


@pytest.mark.parametrize("extra", [1, 2, 3])
def test_a_profile_without_its_padding_is_padded_so_that_libpng_takes_it(tmp_path, extra):
    whole = profile_of(ADOBE, grey=False)
    icc = (len(whole) + extra).to_bytes(4, "big") + whole[4:84] + bytes(range(16)) + whole[100:]
    icc += bytes(extra)
    write_picture(tmp_path / "out.png", Picture(pixels=noise(), icc=icc))
    held = pyvips.Image.pngload(str(tmp_path / "out.png")).get("icc-profile-data")
    assert len(held) == int.from_bytes(held[:4], "big") == len(whole) + 4
    np.testing.assert_array_equal(in_srgb(held, noise()), in_srgb(whole, noise()))


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.8])
def test_grey_has_the_curve_alone(gamma):
    icc = profile_of(Colours(SRGB.primaries, gamma), grey=True)
    assert sound_profile(icc) == icc
    assert icc[16:20] == b"GRAY"
    light = (128 / 255) ** gamma  # more than 0.0031: on the upper part of sRGB's curve
    expected = 255 * (1.055 * light ** (1 / 2.4) - 0.055)
    assert in_srgb(icc, np.full((2, 2), 128, np.uint8))[0, 0, 0] == pytest.approx(expected, abs=1)


def test_srgb_by_any_name_needs_no_profile():
    for primaries, transfer in ((1, 13), (1, 1), (2, 2), (1, 6), (0, 255)):
        assert profile_of(coded_colours(primaries, transfer), grey=False) is None
    for gamma in (None, 2.2, 100_000 / 45_455):
        assert profile_of(Colours(SRGB.primaries, gamma), grey=False) is None
        assert profile_of(Colours(ADOBE.primaries, gamma), grey=True) is None
    assert profile_of(Colours(SRGB.primaries, 1.8), grey=False) is not None
    assert profile_of(Colours(ADOBE.primaries, 2.2), grey=False) is not None
