"""One call gives back the kind of picture that it was given."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from widesr.api import upscale
from widesr.errors import ShapeError
from widesr.picture import Picture
from widesr.reading import read_picture
from widesr.resize import imresize


def save(path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_upscale_gives_an_array_for_an_array_and_a_picture_for_a_file(tmp_path):
    source = save(tmp_path / "a.png")
    pixels = read_picture(source).pixels
    expected = imresize(pixels, scale=3)
    assert np.array_equal(upscale(pixels, scale=3, model="bicubic"), expected)
    for given_picture in (source, str(source), Picture(pixels=pixels)):
        made = upscale(given_picture, scale=3, model="bicubic")
        assert isinstance(made, Picture)
        assert np.array_equal(made.pixels, expected)


def test_upscale_refuses_what_is_no_picture():
    with pytest.raises(ShapeError, match="float64"):
        upscale(np.zeros((4, 4, 3)), model="bicubic")
