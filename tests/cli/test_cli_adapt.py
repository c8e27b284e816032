"""`widesr upscale` keeps a file's profile, metadata and values as its options say."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from facts import refusal
from samples import (
    RGB,
    all_tags,
    by_pillow,
    full_exif,
    names_in,
    pillow_image,
    png,
    profile,
    put,
    smooth,
)
from widesr.cli import run
from widesr.pictures.adapt import adapted
from widesr.pictures.reading import read_picture
from widesr.pixels.resize import imresize


@pytest.fixture
def upscale(capfd, monkeypatch, tmp_path):
    """Run `widesr upscale` x2 by bicubic in `tmp_path`; gives the exit code and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        capfd.readouterr()
        code = run(["upscale", "-n", "bicubic", *words])
        return code, capfd.readouterr().err

    return call


def save_full(folder, name="a.jpg"):
    exif = b"Exif\0\0" + full_exif()
    data = by_pillow(
        pillow_image(smooth()),
        "JPEG",
        quality=100,
        icc_profile=profile(),
        exif=exif,
        dpi=(300, 300),
    )
    return put(folder, data, name)


def test_all_is_kept_unless_it_is_asked_for(upscale, tmp_path):
    save_full(tmp_path)
    assert upscale("a.jpg", "-f", "png") == (0, "")
    made = read_picture(tmp_path / "a_x2_bicubic.png")
    assert made.icc == profile()
    assert made.pixels_per_mm == pytest.approx((300 / 25.4, 300 / 25.4), rel=1e-3)
    assert all_tags(tmp_path / "a_x2_bicubic.png")[0x8769, 0xA002] == 112


def test_icc_srgb_converts_the_colours_and_keeps_the_metadata(upscale, tmp_path):
    source = read_picture(save_full(tmp_path))
    assert upscale("a.jpg", "-f", "png", "--icc", "srgb") == (0, "")
    made = read_picture(tmp_path / "a_x2_bicubic.png")
    np.testing.assert_array_equal(
        made.pixels, imresize(adapted(source, icc="srgb").pixels, scale=2)
    )
    assert "sRGB" in ImageCms.getProfileDescription(ImageCms.getOpenProfile(io.BytesIO(made.icc)))
    assert made.exif is not None


def test_icc_strip_leaves_the_numbers(upscale, tmp_path):
    source = read_picture(save_full(tmp_path))
    assert upscale("a.jpg", "-f", "png", "--icc", "strip") == (0, "")
    made = read_picture(tmp_path / "a_x2_bicubic.png")
    assert made.icc is None
    np.testing.assert_array_equal(made.pixels, imresize(source.pixels, scale=2))


def test_metadata_strip_keeps_the_profile_only(upscale, tmp_path):
    save_full(tmp_path)
    assert upscale("a.jpg", "-f", "webp", "--metadata", "strip") == (0, "")
    made = read_picture(tmp_path / "a_x2_bicubic.webp")
    assert made.icc == profile()
    assert (made.exif, made.xmp, made.iptc, made.pixels_per_mm) == (None, None, None, None)
    assert b"Canon" not in (tmp_path / "a_x2_bicubic.webp").read_bytes()


@pytest.mark.parametrize("suffix", ["webp", "avif", "png", "tiff"])
def test_lossless_keeps_every_value(upscale, tmp_path, suffix):
    put(tmp_path, by_pillow(pillow_image(RGB), "PNG"), "a.png")
    assert upscale("a.png", "-f", suffix, "--lossless") == (0, "")
    made = read_picture(tmp_path / f"a_x2_bicubic.{suffix}")
    np.testing.assert_array_equal(made.pixels, imresize(RGB, scale=2))


def test_what_cannot_be_lossless_is_refused_and_nothing_is_written(upscale, tmp_path):
    save_full(tmp_path)
    deep = png(smooth(dtype=np.uint16), bits=16, colour_type=2)
    put(tmp_path, deep, "deep.png")
    grey = by_pillow(pillow_image(smooth(channels=1)), "PNG", icc_profile=profile(b"GRAY"))
    put(tmp_path, grey, "grey.png")
    before = names_in(tmp_path)
    for words, facts in (
        (["a.jpg"], ["a_x2_bicubic.jpg"]),
        (["deep.png", "-f", "webp"], ["deep_x2_bicubic.webp", "WebP"]),
        (["deep.png", "-f", "avif"], ["deep_x2_bicubic.avif", "AVIF"]),
        (["grey.png", "-f", "webp"], ["grey_x2_bicubic.webp", "WebP"]),
    ):
        code, err = upscale(*words, "--lossless")
        assert code == 1
        refusal(err, "image-format", *facts)
    assert names_in(tmp_path) == before
    assert upscale("deep.png", "--lossless") == (0, "")


@pytest.mark.parametrize(
    "words",
    [["--icc", "p3"], ["--metadata", "some"]],
)
def test_another_word_is_a_usage_error(upscale, tmp_path, words):
    save_full(tmp_path)
    code, err = upscale("a.jpg", *words)
    assert code == 2
    refusal(err, "usage", *words)


@pytest.mark.parametrize("name", ["a.bmp", "a.ppm"])
def test_bmp_and_ppm_become_png(upscale, tmp_path, name):
    data = by_pillow(Image.fromarray(RGB), "BMP" if name == "a.bmp" else "PPM")
    put(tmp_path, data, name)
    assert upscale(name) == (0, "")
    with Image.open(tmp_path / "a_x2_bicubic.png") as image:
        np.testing.assert_array_equal(np.asarray(image), imresize(RGB, scale=2))
