"""JPEG whose data end early, though the mark of the end is there: the pixels, or an error."""

import io
import re
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from others import execute, program
from samples import by_pillow, noise, pillow_image, put, smooth
from widesr.errors import ImageReadError
from widesr.pictures.jpegrows import rows_of_jpeg
from widesr.pictures.reading import read_picture

END = b"\xff\xd9"
KINDS = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "restarts": {"subsampling": 0, "restart_marker_blocks": 3},
    "4:2:0 with restarts": {"subsampling": 2, "restart_marker_rows": 1},
    "progressive": {"progressive": True},
    "grey": {"mode": "L"},
    "grey progressive": {"mode": "L", "progressive": True},
    "CMYK": {"mode": "CMYK"},
}
BY_CJPEG = {
    "4:4:0": ["-sample", "1x2"],
    "4 rows of units": ["-sample", "2x4"],
    "one component of 2x2": ["-grayscale", "-sample", "2x2"],
    "three scans": ["-scans"],
    "arithmetic": ["-arithmetic"],
    "arithmetic, progressive": ["-arithmetic", "-progressive"],
}
HEIGHTS = (5, 8, 9, 16, 20, 33)


def jpeg(kind, height=67, width=83, array=noise):
    image = pillow_image(array(height, width))
    if kind in KINDS:
        options = dict(KINDS[kind])
        image = image.convert(options.pop("mode", "RGB"))
        return by_pillow(image, "JPEG", quality=90, **options)
    return cjpeg(image, BY_CJPEG[kind])


def cjpeg(image, words):
    return execute([program("cjpeg"), *words], input=by_pillow(image, "PPM"))


def as_read(tmp_path, data):
    """The pixels, or None for an error."""
    try:
        return read_picture(put(tmp_path, data)).pixels
    except ImageReadError:
        return None


@pytest.fixture(params=[*KINDS, *BY_CJPEG])
def kind(request, tmp_path):
    if request.param == "three scans":
        (tmp_path / "scans").write_text("0;\n1;\n2;\n")
        BY_CJPEG[request.param] = ["-scans", str(tmp_path / "scans")]
    return request.param


@pytest.mark.parametrize("array", [noise, smooth])
def test_whole_jpeg_of_every_kind_and_height_has_the_pixels_that_pillow_sees(tmp_path, kind, array):
    for height in HEIGHTS:
        data = jpeg(kind, height, array=array)
        rows = rows_of_jpeg(data).whole()
        with Image.open(io.BytesIO(data)) as image:
            expected = np.asarray(image).reshape(rows.shape)
        assert np.abs(rows.astype(int) - expected).max() <= 4
        assert as_read(tmp_path, data[:-2]) is not None, "the mark of the end alone is missing"


@pytest.mark.slow
@pytest.mark.parametrize("array", [noise, smooth])
def test_jpeg_whose_data_are_cut_anywhere_is_refused_or_whole(tmp_path, kind, array):
    rng = np.random.default_rng(3)
    n_refused = 0
    for height in HEIGHTS:
        data = jpeg(kind, height, array=array)
        expected = as_read(tmp_path, data)
        first = data.index(b"\xff\xda") + 14
        places = [*range(len(data) - 30, len(data) - 2), *rng.integers(first, len(data) - 2, 10)]
        for at in places[:: 1 if height in (8, 33) else 3]:
            for end in (END, b""):
                found = as_read(tmp_path, data[: max(at, first)] + end)
                n_refused += found is None
                if "arithmetic" in kind and at > len(data) - 40:
                    continue  # zeros may be left out there: nothing tells them from others
                assert found is None or (found == expected).all(), (height, at - len(data))
    assert n_refused > 100


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(sorted(KINDS)), st.integers(1, 70), st.integers(1, 70), st.floats(0, 1))
def test_jpeg_of_any_size_is_read_whole_and_refused_when_cut(tmp_path, kind, height, width, where):
    data = jpeg(kind, height, width)
    expected = as_read(tmp_path, data)
    assert expected is not None
    first = data.index(b"\xff\xda") + 14
    at = first + int(where * (len(data) - 2 - first))
    found = as_read(tmp_path, data[:at] + END)
    assert found is None or (found == expected).all()


@pytest.mark.parametrize("name", ["4:4:4", "4:2:0", "progressive", "grey", "CMYK"])
def test_zeros_in_the_place_of_data_are_found(tmp_path, name):
    data = jpeg(name, 160, 200)
    first = data.index(b"\xff\xda") + 14
    for at in np.linspace(first, len(data) - 602, 9).astype(int):
        broken = data[:at] + bytes(600) + data[at + 600 :]
        assert as_read(tmp_path, broken) is None
    assert as_read(tmp_path, data[:-900] + bytes(900)) is None, "as of a download that broke off"


@pytest.mark.parametrize("name", ["4:4:4", "4:2:0", "grey"])
def test_what_is_strange_and_harmless_is_read(tmp_path, name):
    data = jpeg(name)
    expected = as_read(tmp_path, data)
    scan = data.index(b"\xff\xda")
    size = int.from_bytes(data[scan + 2 : scan + 4], "big")
    strange = {
        "bytes between segments": data[:scan] + b"\0\0\0" + data[scan:],
        "fillers before the end": data[:-2] + b"\xff\xff\xff" + END,
        "padding before the end": data[:-2] + bytes(6) + END,
        "a restart before the end": data[:-2] + b"\xff\xd0" + END,
        "something behind the end": data + b"something else" + data,
        "another version of JFIF": data[:11] + b"\x09" + data[12:],
        "odd numbers in the scan": data[: scan + size - 1] + b"\0\0\0" + data[scan + size + 2 :],
    }
    for what, changed in strange.items():
        found = as_read(tmp_path, changed)
        assert found is not None, what
        np.testing.assert_array_equal(found, expected)


def test_a_progressive_jpeg_that_lacks_scans_is_refused_with_its_end_too(tmp_path):
    data = jpeg("progressive")
    places = [found.start() for found in re.finditer(rb"\xff\xda", data)][1:]
    assert len(places) > 3
    for at in places:
        assert as_read(tmp_path, data[:at] + END) is None


@pytest.mark.parametrize("height", [65_496, 65_500])
def test_the_highest_of_all_jpeg_is_read(tmp_path, height):
    data = by_pillow(Image.new("L", (8, height), 77), "JPEG")
    assert as_read(tmp_path, data).shape == (height, 8, 1)


def test_the_parts_of_an_mpo_do_not_disturb_one_another(tmp_path):
    images = [pillow_image(noise(40, 50)), pillow_image(smooth(40, 50))]
    out = io.BytesIO()
    images[0].save(out, "MPO", save_all=True, append_images=images[1:], subsampling=0)
    data = out.getvalue()
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image)
    assert np.abs(as_read(tmp_path, data).astype(int) - expected).max() <= 4
    end = data.index(END + b"\xff\xd8") if END + b"\xff\xd8" in data else data.index(END)
    assert as_read(tmp_path, data[: end - 20] + data[end:]) is None


def test_a_made_up_frame_is_refused(tmp_path):
    data = jpeg("4:4:4")
    at = data.index(b"\xff\xc0")
    for broken in (
        data[: at + 2] + struct.pack(">H", 8) + data[at + 4 :],
        data[:at] + data[at + 19 :],
        data[: data.index(b"\xff\xda")] + END,
    ):
        assert as_read(tmp_path, broken) is None
