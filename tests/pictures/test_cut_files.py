"""GIF and JPEG files: frames as they are shown, and files without their end that are whole."""

import io
import itertools
import logging
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facts import refused
from others import magick
from samples import by_pillow, full_exif, noise, pillow_image, put, smooth
from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_picture
from widesr.pictures.several import open_several
from widesr.pictures.writing import write_picture

GIVEN = Path(__file__).parents[1] / "assets" / "pictures"
PALETTE = bytes([0, 0, 255, 255, 0, 0, 0, 255, 0, 255, 255, 255])


def lzw(numbers):
    """Codes of three bits, begun anew before they would grow."""
    bits = ""
    for at in range(0, len(numbers), 2):
        bits = "".join(f"{code:03b}" for code in reversed([4, *numbers[at : at + 2]])) + bits
    bits = "101" + bits
    data = int(bits, 2).to_bytes(-(-len(bits) // 8), "little")
    blocks = [data[at : at + 255] for at in range(0, len(data), 255)]
    return b"\2" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def gif(size, *frames):
    """Each frame: its place and size, its numbers, the clear one or None, its disposal."""
    out = b"GIF89a" + struct.pack("<HHBBB", *size, 0x91, 0, 0) + PALETTE
    for x, y, width, height, numbers, clear, disposal in frames:
        flags = disposal << 2 | (clear is not None)
        out += b"!\xf9\4" + struct.pack("<BHB", flags, 10, clear or 0) + b"\0"
        out += b"," + struct.pack("<HHHHB", x, y, width, height, 0) + lzw(numbers)
    return out + b";"


def shown(path):
    with open_several(path) as animation:
        return list(animation.frames)


def seen(frame):
    """RGBA in which clear pixels are all alike."""
    frame = np.asarray(frame)
    if frame.shape[2] == 3:
        frame = np.insert(frame, 3, 255, axis=2)
    return np.where(frame[..., 3:] == 0, 0, frame)


def test_what_no_frame_has_drawn_is_clear():
    first, second = shown(GIVEN / "uncovered.gif")
    with Image.open(GIVEN / "uncovered.gif") as image:
        x0, y0, x1, y1 = image.tile[0][1]
        size = image.size
    assert (x1 - x0, y1 - y0) != size
    drawn = np.zeros(size[::-1], bool)
    drawn[y0:y1, x0:x1] = True
    np.testing.assert_array_equal(first[..., 3] == 255, drawn)
    np.testing.assert_array_equal(first[..., 3] == 0, ~drawn)
    assert (second[..., 3] == 255).sum() > drawn.sum()


def test_a_still_gif_that_does_not_fill_its_canvas_is_clear_beside_it(tmp_path):
    picture = read_picture(put(tmp_path, gif((5, 4), (1, 1, 2, 2, [1, 2, 3, 0], None, 0))))
    expected = np.zeros((4, 5), np.uint8)
    expected[1:3, 1:3] = 255
    np.testing.assert_array_equal(picture.alpha, expected)
    assert picture.pixels[1, 1].tolist() == [255, 0, 0]


def test_a_gif_whose_frames_fill_their_canvas_has_no_alpha(tmp_path):
    frames = (0, 0, 3, 2, [1] * 6, None, 2), (0, 0, 3, 2, [2] * 6, None, 0)
    assert [frame.shape for frame in shown(put(tmp_path, gif((3, 2), *frames)))] == [(2, 3, 3)] * 2


@pytest.mark.parametrize("disposals", list(itertools.product([0, 1, 2, 3], [0, 2, 3])))
def test_frames_are_shown_as_imagemagick_shows_them(tmp_path, disposals):
    first, second = disposals
    path = put(
        tmp_path,
        gif(
            (6, 4),
            (1, 1, 3, 3, [1, 3, 1, 1, 1, 3, 1, 1, 1], 3, first),
            (3, 0, 2, 2, [2, 3, 2, 3], 3, second),
            (0, 3, 2, 1, [1, 1], None, 0),
        ),
        "in.gif",
    )
    magick(path, "-coalesce", f"PNG32:{tmp_path}/%d.png")
    for number, frame in enumerate(shown(path)):
        with Image.open(tmp_path / f"{number}.png") as expected:
            np.testing.assert_array_equal(seen(frame), seen(expected.convert("RGBA")))


def test_what_is_wiped_away_is_clear_even_where_no_colour_is(tmp_path):
    frames = (0, 0, 2, 1, [1, 1], None, 2), (0, 0, 1, 1, [2], None, 0)
    _, second = shown(put(tmp_path, gif((2, 1), *frames)))
    assert second.tolist() == [[[0, 255, 0, 255], [0, 0, 0, 0]]]


def test_a_gif_frame_of_which_pixels_are_missing_is_damaged(tmp_path):
    short = gif((4, 4), (0, 0, 4, 4, [1] * 9, None, 0))
    with refused("image-read", "damaged", "pixels"):
        read_picture(put(tmp_path, short))


@pytest.mark.parametrize("name", ["noeoi.jpg", "notrailer.gif"])
def test_a_file_without_its_end_is_read_with_a_warning_if_its_pixels_are_there(name, caplog):
    picture = read_picture(GIVEN / name)
    ended = (GIVEN / name).read_bytes() + (b"\xff\xd9" if "jpg" in name else b";")
    with Image.open(io.BytesIO(ended)) as image:
        differs = picture.pixels.astype(int) - np.atleast_3d(image.convert("RGB"))
    assert np.abs(differs).max() <= 2
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.name.startswith("widesr")
    assert name in record.getMessage()


@pytest.mark.parametrize("cut", [1, 2])
def test_a_gif_may_lack_the_end_of_its_last_frame_too(tmp_path, cut):
    whole = by_pillow(pillow_image(noise()).quantize(64), "GIF")
    expected = read_picture(put(tmp_path, whole)).pixels
    np.testing.assert_array_equal(read_picture(put(tmp_path, whole[:-cut])).pixels, expected)


@pytest.mark.parametrize("cut", [3, 4, 9, 200])
def test_a_gif_that_lacks_pixels_is_damaged(tmp_path, cut):
    whole = by_pillow(pillow_image(noise()).quantize(64), "GIF")
    with refused("image-read", "damaged"):
        read_picture(put(tmp_path, whole[:-cut]))


JPEGS = {
    "4:4:4": {"subsampling": 0},
    "4:2:0": {"subsampling": 2},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "grey": {"mode": "L"},
    "grey with restarts": {"mode": "L", "restart_marker_blocks": 4},
    "grey progressive": {"mode": "L", "progressive": True},
    "cmyk": {"mode": "CMYK"},
}


def jpeg(mode="RGB", **options):
    return by_pillow(pillow_image(noise(67, 83)).convert(mode), "JPEG", quality=90, **options)


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_without_its_end_is_read_whole_or_refused(tmp_path, kind):
    whole = jpeg(**JPEGS[kind])
    expected = read_picture(put(tmp_path, whole)).pixels
    for cut in (1, 2):
        np.testing.assert_array_equal(read_picture(put(tmp_path, whole[:-cut])).pixels, expected)
    for cut in (4, 5, 7, 11, 20, 40, 100, 500):  # 3: the last byte may have had but padding
        with refused("image-read", "damaged"):
            read_picture(put(tmp_path, whole[:-cut]))


@pytest.mark.parametrize("kind", ["progressive", "grey progressive", "grey with restarts"])
def test_a_jpeg_that_lacks_scans_or_what_lies_between_restarts_is_damaged(tmp_path, kind):
    whole = jpeg(**JPEGS[kind])
    mark = rb"\xff[\xd0-\xd7]" if "restarts" in kind else rb"\xff\xda"
    places = [found.start() for found in re.finditer(mark, whole)][1:]
    assert places
    for at in places[-3:]:
        with refused("image-read", "damaged"):
            read_picture(put(tmp_path, whole[:at]))


def with_exif(*parts):
    whole = jpeg()
    heads = (b"\xff\xe1" + struct.pack(">H", 8 + len(part)) for part in parts)
    segments = (head + b"Exif\0\0" + part for head, part in zip(heads, parts, strict=True))
    return whole[:2] + b"".join(segments) + whole[2:]


def test_of_two_exif_blocks_in_a_jpeg_the_first_counts_and_parts_are_joined(tmp_path):
    one, other = full_exif(), full_exif(width=99)
    assert read_picture(put(tmp_path, with_exif(one, other))).exif == one
    assert read_picture(put(tmp_path, with_exif(one[:300], one[300:]))).exif == one


@pytest.mark.parametrize("size", [65_504, 65_505, 65_516, 65_527, 65_528, 140_000])
def test_exif_of_any_size_goes_into_a_jpeg(tmp_path, size):
    exif = full_exif().ljust(size, b"\1")
    write_picture(tmp_path / "out.jpg", Picture(pixels=smooth(), exif=exif))
    assert read_picture(tmp_path / "out.jpg").exif == exif
    with Image.open(tmp_path / "out.jpg") as image:  # which joins all segments
        assert image.info["exif"] == b"Exif\0\0" + exif
        assert image.getexif()[0x0110] == "EOS X"
