"""`-n nearest` repeats pixels: nothing comes in that was not there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import widesr
from facts import refused
from samples import smooth
from widesr.cli import run
from widesr.pixels.resize import nearest_rows
from widesr.pixels.rows import Rows

SIDES = st.integers(1, 40)


@given(height=SIDES, width=SIDES, new_height=SIDES, new_width=SIDES)
def test_each_pixel_is_the_one_that_its_middle_lies_in(height, width, new_height, new_width):
    # Oracle: the definition, in fractions of whole numbers.
    pixels = np.arange(height * width, dtype=np.uint16).reshape(height, width, 1)
    made = nearest_rows(Rows.of(pixels), size=(new_height, new_width)).whole()
    assert made.shape == (new_height, new_width, 1)
    down = [int((y + 0.5) * height / new_height) for y in range(new_height)]
    across = [int((x + 0.5) * width / new_width) for x in range(new_width)]
    np.testing.assert_array_equal(made, pixels[down][:, across])


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_a_whole_scale_repeats_each_pixel_with_its_alpha(scale):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)
    made = widesr.upscale(pixels, scale=scale, model="nearest")
    np.testing.assert_array_equal(made, pixels.repeat(scale, axis=0).repeat(scale, axis=1))


def test_the_command_gives_what_pillow_gives(tmp_path, capsys):
    image = Image.fromarray(smooth(37, 23))
    image.save(tmp_path / "a.png")
    assert run(["upscale", str(tmp_path / "a.png"), "-n", "nearest", "--width", "46"]) == 0
    assert "  nearest  " in capsys.readouterr().out
    with Image.open(tmp_path / "a_46w_nearest.png") as made:
        theirs = image.resize((46, 74), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(np.asarray(made), np.asarray(theirs))


@pytest.mark.parametrize("transparency", [None, 3, bytes([0, 128])])
def test_the_labels_of_an_image_with_a_palette_stay(tmp_path, transparency):
    labels = np.arange(200, dtype=np.uint8).reshape(10, 20)
    image = Image.fromarray(labels, "P")
    image.putpalette(np.random.default_rng(0).integers(0, 4, (256, 3), np.uint8).tobytes())
    if transparency is not None:
        image.info["transparency"] = transparency
    made = widesr.upscale(image, model="nearest")
    np.testing.assert_array_equal(np.asarray(made), labels.repeat(2, axis=0).repeat(2, axis=1))
    assert made.getpalette() == image.getpalette()
    colours = np.asarray(image.convert("RGBA")).repeat(2, axis=0).repeat(2, axis=1)
    made.save(tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as saved:
        np.testing.assert_array_equal(np.asarray(saved.convert("RGBA")), colours)


def test_it_is_no_model_with_a_file():
    with refused("model-not-found", "'nearest'", "repeats"):
        widesr.Upscaler.load("nearest", scale=2)
