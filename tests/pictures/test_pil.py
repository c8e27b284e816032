"""PIL images keep their mode and what they say of themselves, and equal what their files become."""

import io
import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps

from facts import refused
from samples import full_exif, noise, profile, smooth
from widesr.pictures.picture import Picture
from widesr.pictures.pil import changed_image, is_pil_image
from widesr.pictures.reading import read_picture

MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "YCbCr", "HSV", "CMYK"]
DEEP = ["I;16", "I;16B", "I;16L"]


def doubled(picture: Picture) -> Picture:
    """Every pixel twice along both axes: known, and in every mode the same."""
    pixels = picture.pixels.repeat(2, axis=0).repeat(2, axis=1)
    alpha = picture.alpha
    if alpha is not None:
        alpha = alpha.repeat(2, axis=0).repeat(2, axis=1)
    return replace(picture, pixels=pixels, alpha=alpha)


def by_pillow(image: Image.Image) -> Image.Image:
    return image.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST)


def values(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def an_image(mode: str, array: np.ndarray) -> Image.Image:
    """Make an image of a mode from 4 channels, the last for alpha or black."""
    if mode in DEEP:
        return Image.fromarray(array[..., 0].astype(np.uint16) * 257).convert(mode)
    if mode == "CMYK":
        return Image.merge(mode, [Image.fromarray(plane) for plane in np.moveaxis(array, 2, 0)])
    rgba = Image.fromarray(array)
    if mode in ("P", "PA"):
        few = Image.fromarray(array[..., :3] // 64 * 64).quantize(256)
        if mode == "P":
            return few
        few = few.convert("PA")
        few.putalpha(rgba.getchannel("A"))
        return few
    if mode in ("LA", "La", "RGBA", "RGBa"):
        return rgba.convert("LA").convert(mode) if "L" in mode else rgba.convert(mode)
    return rgba.convert("RGB").convert(mode)


@pytest.mark.parametrize("mode", MODES + DEEP)
@given(array=hnp.arrays(np.uint8, (3, 4, 4)))
def test_an_image_comes_back_in_its_mode_with_its_values(mode, array):
    image = an_image(mode, array)
    before = image.tobytes()
    made = changed_image(image, doubled)
    assert type(made) is Image.Image
    assert made.mode == ("I;16" if mode == "I;16L" else mode)
    assert made.size == (8, 6)
    assert image.tobytes() == before
    if mode in ("P", "PA"):
        made, image = made.convert("RGBA"), image.convert("RGBA")
    off = {"La": 1, "RGBa": 1, "YCbCr": 3, "HSV": 8}.get(mode, 0)  # what Pillow's conversion costs
    if mode == "HSV":  # hue of near grey is arbitrary
        made, image = made.convert("RGB"), image.convert("RGB")
    assert np.abs(values(made) - values(by_pillow(image))).max() <= off


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "I;16", "P"])
def test_an_image_becomes_what_its_file_becomes(tmp_path, mode):
    image = an_image(mode, np.dstack([smooth(), smooth(channels=1)]))
    image.save(tmp_path / "a.png")
    expected = doubled(read_picture(tmp_path / "a.png"))
    made = changed_image(image, doubled)
    planes = [expected.pixels] if expected.alpha is None else [expected.pixels, expected.alpha]
    found = made.convert({"1": "L", "P": "RGB"}.get(mode, mode))
    assert np.array_equal(np.atleast_3d(np.asarray(found)), np.dstack(planes))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_upright_as_its_file_is(tmp_path, orientation):
    exif = full_exif(orientation=orientation)
    Image.fromarray(noise()).save(tmp_path / "a.png", exif=exif, dpi=(100, 200))
    expected = doubled(read_picture(tmp_path / "a.png"))
    with Image.open(tmp_path / "a.png") as image:
        made = changed_image(image, doubled)
        assert np.array_equal(np.asarray(made), expected.pixels)
        assert np.array_equal(np.asarray(ImageOps.exif_transpose(made)), expected.pixels)
    assert made.getexif()[0x0112] == 1
    camera = made.getexif().get_ifd(0x8769)
    assert (camera[0xA002], camera[0xA003]) == made.size
    dots = tuple(n / 25.4 for n in made.info["dpi"])
    assert dots == pytest.approx(expected.pixels_per_mm, rel=1e-3)


def test_what_an_image_says_of_itself_goes_along():
    image = Image.fromarray(noise())
    xmp = b'<x tiff:Orientation="6" exif:PixelXDimension="31"/>'
    image.info = {"icc_profile": profile(), "dpi": (300, 300), "comment": "a", "xmp": xmp}
    made = changed_image(image, doubled)
    sized = b'<x tiff:Orientation="1" exif:PixelXDimension="62"/>'
    assert made.info == image.info | {"xmp": sized}
    assert image.info["xmp"] == xmp


@pytest.mark.parametrize("exif", [b"", b"rubbish", b"Exif\0\0II*\0", full_exif()[:40], "text"])
def test_exif_that_is_none_goes_along_too(exif):
    image = Image.fromarray(noise())
    image.info = {"exif": exif, "xmp": 5}
    assert changed_image(image, doubled).info == image.info


@pytest.mark.parametrize(
    ("mode", "key", "becomes"),
    [("L", 0, "LA"), ("1", 0, "LA"), ("RGB", (0, 0, 0), "RGBA"), ("P", 0, "P")],
)
def test_a_transparent_colour_stays_transparent(mode, key, becomes):
    array = np.zeros((3, 4, 4), np.uint8)
    array[1, 2] = 255
    image = an_image(mode, array)
    if mode == "P":
        key = image.getpixel((0, 0))
    image.info["transparency"] = key
    made = changed_image(image, doubled)
    assert made.mode == becomes
    assert "transparency" not in made.info
    assert np.array_equal(values(made.convert("RGBA")), values(by_pillow(image.convert("RGBA"))))
    saved = io.BytesIO()
    made.save(saved, "PNG")
    again = np.asarray(Image.open(saved).convert("RGBA"))
    assert np.array_equal(again, np.asarray(made.convert("RGBA")))


def test_a_palette_with_alpha_keeps_it():
    palette = Image.fromarray(np.dstack([smooth() // 128 * 128, smooth(channels=1)]) // 64 * 64)
    image = palette.quantize(256)
    image.info["transparency"] = bytes(image.palette.getdata()[1][3::4])
    expected = by_pillow(image.convert("RGBA"))
    made = changed_image(image, doubled)
    assert made.mode == "P"
    assert np.abs(values(made.convert("RGBA")) - values(expected)).max() <= 16


def test_what_is_printed_in_black_alone_still_is():
    inks = np.zeros((3, 4, 4), np.uint8)
    inks[..., 3] = noise(3, 4, 1)[..., 0]
    image = an_image("CMYK", inks)
    made = changed_image(image, doubled)
    assert not values(made)[..., :3].any()
    grey = Image.fromarray(255 - inks[..., 3])
    assert np.array_equal(values(made)[..., 3], 255 - values(changed_image(grey, doubled)))


def test_the_frame_that_an_animation_is_at_is_taken(tmp_path):
    frames = [Image.fromarray(noise() // n) for n in (1, 2)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a.png") as image:
        image.seek(1)
        made = changed_image(image, doubled)
    assert np.array_equal(np.asarray(made), doubled(Picture(pixels=noise() // 2)).pixels)


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_other_modes_are_refused_with_the_way_out(mode):
    with refused("image-format", f"mode {mode}", "I;16", "CMYK"):
        changed_image(Image.new(mode, (4, 3)), doubled)


def test_16_bits_with_a_transparent_colour_are_refused():
    image = Image.new("I;16", (4, 3))
    image.info["transparency"] = 0
    with refused("image-format", "I;16", "transparent"):
        changed_image(image, doubled)


def test_an_image_whose_file_is_cut_short_is_refused(tmp_path):
    data = io.BytesIO()
    Image.fromarray(noise()).save(data, "PNG")
    (tmp_path / "a.png").write_bytes(data.getvalue()[:1500])
    with (
        Image.open(tmp_path / "a.png") as image,
        refused("image-read", "decoded"),
    ):
        changed_image(image, doubled)


def test_an_image_without_pixels_is_refused():
    with refused("shape", "one pixel"):
        changed_image(Image.new("RGB", (0, 3)), doubled)


@given(st.one_of(st.none(), st.text(), hnp.arrays(np.uint8, (2, 2)), st.just(Fraction(1))))
def test_other_things_are_no_images(value):
    assert not is_pil_image(value)


def test_without_pillow_nothing_is_an_image(monkeypatch):
    image = Image.new("L", (1, 1))
    assert is_pil_image(image)
    monkeypatch.delitem(sys.modules, "PIL.Image")
    assert not is_pil_image(image)
