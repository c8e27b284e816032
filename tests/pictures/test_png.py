"""PNG files: what other programs read out of them."""

import io
import struct
import zlib

import numpy as np
import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from studio import EXAMPLES
from widesr.pictures.png import chunk, stream_png
from widesr.pictures.reading import read_picture
from widesr.pixels.rows import Rows


def encoded(pixels, **options):
    return b"".join(stream_png(Rows.of(pixels), **options))


def decoded(data, channels):
    return pyvips.Image.new_from_buffer(data, "").numpy().reshape(-1, channels)


def chunks(data):
    at = 8
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        yield (
            data[at + 4 : at + 8],
            data[at + 8 : at + 8 + size],
            data[at + 8 + size : at + 12 + size],
        )
        at += 12 + size


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.integers(1, 4),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    seed=st.integers(0, 99),
    smooth=st.booleans(),
)
def test_libvips_reads_every_value_back(height, width, channels, dtype, seed, smooth):
    random = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    pixels = random.integers(0, top, (height, width, channels), dtype, endpoint=True)
    if smooth:  # so that filters have something to predict
        pixels = (pixels // 16).cumsum(axis=0).cumsum(axis=1).astype(dtype)
    np.testing.assert_array_equal(decoded(encoded(pixels), channels), pixels.reshape(-1, channels))


@pytest.mark.parametrize("name", ["spices.jpg", "kitten.jpg"])
def test_pillow_reads_a_photograph_back(name):
    pixels = read_picture(EXAMPLES / name).pixels
    image = Image.open(io.BytesIO(encoded(pixels)))
    np.testing.assert_array_equal(np.asarray(image), pixels)


def test_the_file_does_not_depend_on_how_the_rows_come():
    pixels = read_picture(EXAMPLES / "spices.jpg").pixels
    in_bands = Rows(np.array_split(pixels, 37), shape=pixels.shape, dtype=pixels.dtype)
    assert b"".join(stream_png(in_bands)) == encoded(pixels)


def test_a_photograph_takes_little_more_than_by_libvips_in_several_times_the_time():
    pixels = read_picture(EXAMPLES / "spices.jpg").pixels
    image = pyvips.Image.new_from_array(pixels)
    patient = len(image.pngsave_buffer(filter="all", compression=6))
    assert len(encoded(pixels)) < 1.25 * patient


def test_a_flat_picture_takes_next_to_nothing():
    assert len(encoded(np.full((1000, 1000, 3), 200, np.uint8))) < 20_000


def test_sums_and_order_of_the_chunks_are_those_of_the_standard():
    data = encoded(
        np.zeros((5, 4, 3), np.uint8),
        icc=b"no profile, but kept",
        pixels_per_mm=(2.835, 11.811),
        chunks=chunk(b"tEXt", b"Title\0a test"),
    )
    found = list(chunks(data))
    assert all(struct.unpack(">I", crc)[0] == zlib.crc32(name + body) for name, body, crc in found)
    names = [name for name, *_ in found]
    assert names[0] == b"IHDR"
    assert names[-1] == b"IEND"
    assert set(names[1:-1]) == {b"tEXt", b"iCCP", b"pHYs", b"IDAT"}
    assert names.index(b"iCCP") < names.index(b"IDAT")
    image = Image.open(io.BytesIO(data))
    assert image.info["icc_profile"] == b"no profile, but kept"
    assert image.info["dpi"] == pytest.approx((72, 300), abs=0.1)
    assert image.text["Title"] == "a test"


def test_what_nobody_stated_is_not_in_the_file():
    names = {name for name, *_ in chunks(encoded(np.zeros((5, 4, 3), np.uint8)))}
    assert names == {b"IHDR", b"IDAT", b"IEND"}
