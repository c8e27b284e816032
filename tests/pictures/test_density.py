"""A resolution is kept as it was stated; one that was not stated is not made up."""

import struct
from pathlib import Path

import pytest
import tifffile
from PIL import Image

from samples import by_pillow, chunk, pillow_image, smooth
from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import write_picture

SUFFIXES = (".png", ".jpg", ".tif", ".webp", ".avif")
SHARED = Path(__file__).parents[3] / "shared" / "pictures"


def stated(path):
    """Read by others: pixels per inch, or a pair without a unit, or None."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            tags = {tag.code: tag.value for tag in file.pages[0].tags.values()}
        if 282 not in tags:
            return None
        across, down = (tags[tag][0] / tags[tag][1] for tag in (282, 283))
        return ({1: "aspect", 2: "dpi"}[int(tags[296])], across, down)
    with Image.open(path) as image:
        if path.suffix == ".jpg":
            unit, density = image.info["jfif_unit"], image.info["jfif_density"]
            if unit == 0:
                return None if density == (1, 1) else ("aspect", *density)
            return ("dpi", *density)
        if path.suffix == ".png":
            if "aspect" in image.info:
                return ("aspect", *image.info["aspect"])
            return ("dpi", *image.info["dpi"]) if "dpi" in image.info else None
        exif = image.getexif()
        if 282 not in exif:
            return None
        return ({1: "aspect", 2: "dpi"}[exif[296]], float(exif[282]), float(exif[283]))


def png_of_density(across, down, unit):
    data = by_pillow(pillow_image(smooth()), "PNG")
    return data[:33] + chunk(b"pHYs", struct.pack(">IIB", across, down, unit)) + data[33:]


def jpeg_of_density(across, down, unit):
    data = bytearray(by_pillow(pillow_image(smooth()), "JPEG"))
    at = data.index(b"JFIF\0") + 7
    data[at : at + 5] = struct.pack(">BHH", unit, across, down)
    return bytes(data)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_was_never_stated_stays_unstated(tmp_path, suffix):
    write_picture(tmp_path / f"a{suffix}", Picture(pixels=smooth()))
    assert stated(tmp_path / f"a{suffix}") is None
    picture = read_picture(tmp_path / f"a{suffix}")
    assert (picture.pixels_per_mm, picture.aspect) == (None, None)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dots", [(1.0, 1.0), (300 / 25.4, 150 / 25.4), (72 / 25.4, 72 / 25.4)])
def test_what_was_stated_is_kept_also_where_it_is_one_pixel_per_mm(tmp_path, suffix, dots):
    write_picture(tmp_path / f"a{suffix}", Picture(pixels=smooth(), pixels_per_mm=dots))
    unit, across, down = stated(tmp_path / f"a{suffix}")
    assert unit == "dpi"
    assert across / 25.4 == pytest.approx(dots[0], rel=0.02)  # JFIF has whole numbers
    assert down / 25.4 == pytest.approx(dots[1], rel=0.02)
    back = read_picture(tmp_path / f"a{suffix}").pixels_per_mm
    assert back == pytest.approx(dots, rel=0.02)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_aspect_without_a_unit_goes_into_every_format(tmp_path, suffix):
    (tmp_path / "a.jpg").write_bytes(jpeg_of_density(1, 2, 0))
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.pixels_per_mm is None
    write_picture(tmp_path / f"b{suffix}", picture)
    unit, across, down = stated(tmp_path / f"b{suffix}")
    assert (unit, down / across) == ("aspect", 2)
    assert read_picture(tmp_path / f"b{suffix}").aspect == (1, 2)


@pytest.mark.parametrize(
    ("data", "dots"),
    [
        (png_of_density(1000, 1000, 1), (1, 1)),
        (jpeg_of_density(10, 10, 2), (1, 1)),
        (jpeg_of_density(254, 508, 1), (10, 20)),
        (png_of_density(0, 1000, 1), None),
        (png_of_density(3, 3, 0), None),
        (jpeg_of_density(1, 1, 0), None),
    ],
)
def test_png_of_25_dpi_and_jpeg_of_10_pixels_per_cm_are_no_defaults(tmp_path, data, dots):
    (tmp_path / "a").write_bytes(data)
    picture = read_picture(tmp_path / "a")
    assert picture.pixels_per_mm == (dots and pytest.approx(dots))
    assert picture.aspect is None


@pytest.mark.parametrize(
    ("unit", "dots", "expected"),
    [
        (3, (10, 10), ((1.0, 1.0), None)),
        (2, (254, 508), ((10.0, 20.0), None)),
        (1, (1, 1), (None, None)),
        (1, (3, 2), (None, (3.0, 2.0))),
    ],
)
def test_tiff_has_its_units(tmp_path, unit, dots, expected):
    tifffile.imwrite(
        tmp_path / "a.tif", smooth(), photometric="rgb", resolution=dots, resolutionunit=unit
    )
    picture = read_picture(tmp_path / "a.tif")
    assert picture.pixels_per_mm == (expected[0] and pytest.approx(expected[0]))
    assert picture.aspect == expected[1]


def test_a_picture_on_its_side_has_its_aspect_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = bytearray(by_pillow(pillow_image(smooth()), "JPEG", exif=exif))
    at = data.index(b"JFIF\0") + 7
    data[at : at + 5] = struct.pack(">BHH", 0, 1, 2)
    (tmp_path / "a.jpg").write_bytes(data)
    assert read_picture(tmp_path / "a.jpg").aspect == (2, 1)


def test_the_aspect_of_a_real_file_is_kept(tmp_path):
    if not (SHARED / "aspect_1x2.jpg").exists():
        pytest.skip("needs ../shared/pictures")
    write_picture(tmp_path / "a.jpg", read_picture(SHARED / "aspect_1x2.jpg"))
    assert stated(tmp_path / "a.jpg") == ("aspect", 1, 2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_resolution_in_exif_turns_with_the_picture(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x011B], exif[0x0128] = orientation, 300, 150, 2
    path = tmp_path / "in.bin"
    Image.new("RGB", (8, 6)).save(path, kind, exif=exif)
    found = Image.Exif()
    found.load(b"Exif\0\0" + read_picture(path).exif)
    expected = (300, 150) if orientation < 5 else (150, 300)
    assert (found[0x011A], found[0x011B]) == expected
    assert found[0x0112] == 1


def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 9
    data = by_pillow(pillow_image(smooth()), "TIFF", dpi=(300, 150), exif=exif)
    (tmp_path / "a.tif").write_bytes(data)
    picture = read_picture(tmp_path / "a.tif")
    assert picture.pixels_per_mm == pytest.approx((300 / 25.4, 150 / 25.4), rel=1e-3)
