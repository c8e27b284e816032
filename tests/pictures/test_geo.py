"""A file's place, sizes and numbers are scaled with it, or left out with a notice."""

import json
import logging

import numpy as np
import pytest
import tifffile

from facts import refused
from samples import smooth
from widesr.batch.jobs import plan_jobs
from widesr.batch.many import upscale_many
from widesr.batch.settings import UpscaleSettings
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import write_picture
from widesr.upscaling.upscaler import Upscaler

SCALE = (33550, "d", 3, (0.5, 0.25, 0.0))
TIE = (
    33922,
    "d",
    12,
    (0.0, 0.0, 0.0, 440720.0, 3751320.0, 0.0, 8.0, 4.0, 0.0, 440724.0, 3751319.0, 0.0),
)
KEYS_OF_AREA = (34735, "H", 8, (1, 1, 0, 1, 1025, 0, 1, 1))
KEYS_OF_POINT = (34735, "H", 8, (1, 1, 0, 1, 1025, 0, 1, 2))
MATRIX = (0.5, 0.1, 0.0, 440720.0, 0.2, -0.25, 0.0, 3751320.0, *[0.0] * 4, 0.0, 0.0, 0.0, 1.0)


def written(path, *extra, **options):
    tifffile.imwrite(
        path, smooth(24, 40), photometric="rgb", extratags=[(*tag, True) for tag in extra],
        metadata=None, **options,
    )  # fmt: skip
    return path


def upscaled(source, target, **options):
    (job,) = plan_jobs([source], name_end="_x2", output=target)
    settings = UpscaleSettings(model="bicubic", **options)
    (outcome,) = upscale_many([job], settings=settings)
    if outcome.error:
        raise outcome.error
    return target


def tags_of(path):
    with tifffile.TiffFile(path) as file:
        return {tag.code: tag.value for tag in file.pages[0].tags.values()}


def on_earth(tags, x, y):
    """Return the place of a point whose coordinates count pixels from the picture's corner."""
    if (34735 in tags) and tuple(tags[34735][4:8]) == (1025, 0, 1, 2):
        x, y = x - 0.5, y - 0.5  # the tags count from the middle of the first pixel
    if 34264 in tags:
        return (np.reshape(tags[34264], (4, 4)) @ (x, y, 0, 1))[:2]
    (i, j, _, east, north, _), scale = tags[33922][:6], tags[33550]
    return np.array([east + (x - i) * scale[0], north - (y - j) * scale[1]])


@pytest.mark.parametrize("keys", [KEYS_OF_AREA, KEYS_OF_POINT])
@pytest.mark.parametrize("how", [[SCALE, TIE], [(34264, "d", 16, MATRIX)]])
def test_every_point_stays_where_it_was_on_earth(tmp_path, keys, how):
    source = written(tmp_path / "a.tif", *how, keys)
    before, after = tags_of(source), tags_of(upscaled(source, tmp_path / "b.tif"))
    for x, y in ((0, 0), (40, 0), (0, 24), (17.5, 3.25)):
        np.testing.assert_allclose(on_earth(after, 2 * x, 2 * y), on_earth(before, x, y), atol=1e-6)
    assert tuple(after[34735]) == keys[3]
    if how[0] is SCALE:
        half = 0.5 if keys is KEYS_OF_POINT else 0
        second = after[33922][6:]
        assert second[:2] == (2 * (8 + half) - half, 2 * (4 + half) - half)
        assert second[3:] == TIE[3][9:]


def test_a_format_that_has_no_place_for_it_is_said(tmp_path, caplog):
    source = written(tmp_path / "a.tif", SCALE, TIE, KEYS_OF_AREA)
    upscaled(source, tmp_path / "b.png")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "GeoTIFF" in record.getMessage()
    caplog.clear()
    upscaled(source, tmp_path / "c.tif", metadata="strip")
    assert not caplog.records
    assert 33922 not in tags_of(tmp_path / "c.tif")


OME = '<?xml version="1.0"?><OME xmlns="x"><Image><Pixels SizeX="40" SizeY="24"/></Image></OME>'


@pytest.mark.parametrize(
    "text", [OME, json.dumps({"shape": [24, 40, 3]}), "ImageJ=1.53t\nimages=1\n", "Aperio v\n40x24"]
)
def test_a_description_of_sizes_goes_and_is_said_once(tmp_path, caplog, text):
    source = written(tmp_path / "a.tif", description=text)
    tags = tags_of(upscaled(source, tmp_path / "b.tif"))
    assert 270 not in tags
    (record,) = caplog.records
    assert "ImageDescription" in record.getMessage()
    assert str(source) in record.getMessage()


def test_a_description_by_people_stays(tmp_path, caplog):
    source = written(tmp_path / "a.tif", description="A shape, {not} JSON, by OME")
    assert tags_of(upscaled(source, tmp_path / "b.tif"))[270] == "A shape, {not} JSON, by OME"
    assert not caplog.records


def test_what_gdal_says_of_numbers_and_its_own_matrices_goes_and_is_said_once(tmp_path, caplog):
    extra = [
        (42112, "s", 0, "<GDALMetadata/>"),
        (42113, "s", 0, "0"),
        (33920, "d", 17, (0.0,) * 17),
    ]
    source = written(tmp_path / "a.tif", *extra)
    assert not {42112, 42113, 33920} & tags_of(upscaled(source, tmp_path / "b.tif")).keys()
    (record,) = caplog.records
    for name in ("GDAL_METADATA", "GDAL_NODATA", "IntergraphMatrix"):
        assert name in record.getMessage()


def test_pages_that_lose_the_same_say_it_once(tmp_path, caplog):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for _ in range(3):
            file.write(smooth(24, 40), photometric="rgb", description=OME, metadata=None)
    upscaled(tmp_path / "a.tif", tmp_path / "b.tif")
    assert len(caplog.records) == 1


def test_a_band_that_is_no_alpha_is_upscaled_beside_the_colours_and_tagged_as_it_was(tmp_path):
    pixels = np.dstack([smooth(24, 40), smooth(24, 40, 1)[::-1]])
    pixels[:12, :, 3] = 0  # as alpha it would hide the colours
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", metadata=None, extrasamples=[0])
    assert int(tags_of(tmp_path / "a.tif")[338][0]) == 0
    made = upscaled(tmp_path / "a.tif", tmp_path / "b.tif")
    assert int(tags_of(made)[338][0]) == 0
    upscale = Upscaler.load("bicubic", scale=2)
    expected = np.dstack([upscale(pixels[..., :3]), upscale(pixels[..., 3:])])
    np.testing.assert_array_equal(tifffile.imread(made), expected)
    for suffix in (".png", ".jpg", ".webp", ".avif"):
        with refused("image-format", tmp_path / f"c{suffix}", "opacity", "TIFF"):
            write_picture(tmp_path / f"c{suffix}", read_picture(tmp_path / "a.tif"))
        assert not (tmp_path / f"c{suffix}").exists()
