"""Pictures in and out, held against Pillow, tifffile and PNGs written here by hand."""

import errno
import io
import os
import resource
import signal
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from facts import names, refused
from samples import (
    DEEP,
    PILLOW_NAMES,
    PIXELS,
    PNG_DATA,
    RGB,
    all_tags,
    by_pillow,
    full_exif,
    names_in,
    noise,
    pillow_image,
    png,
    profile,
    put,
    smooth,
    tiff,
)
from widesr.errors import (
    ImageFormatError,
    ImageWriteError,
    WidesrError,
)
from widesr.pictures.encoding import encode_stream
from widesr.pictures.picture import Picture, PictureStream
from widesr.pictures.reading import read_header, read_picture
from widesr.pictures.writing import FORMATS, output_format, write_picture
from widesr.pixels.rows import Rows

SIXTEEN_BIT = {"png", "tiff", "avif"}


@pytest.mark.parametrize("kind", PIXELS)
def test_every_value_of_a_lossless_file_is_read_as_its_writer_meant_it(tmp_path, kind):
    data, expected = PIXELS[kind]
    picture = read_picture(put(tmp_path, data))
    colours = 1 if expected.shape[2] < 3 else 3
    np.testing.assert_array_equal(picture.pixels, expected[..., :colours], strict=True)
    if expected.shape[2] > colours:
        np.testing.assert_array_equal(picture.alpha, expected[..., colours], strict=True)
    else:
        assert picture.alpha is None
    assert picture.format == kind.split()[0]


@pytest.mark.parametrize(("name", "tolerance"), [("JPEG", 2), ("WEBP", 2), ("AVIF", 2)])
def test_lossy_files_decode_as_pillow_decodes_them(tmp_path, name, tolerance):
    options = {"subsampling": "4:4:4"} if name == "AVIF" else {}
    data = by_pillow(pillow_image(smooth()), name, quality=90, **options)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    pixels = read_picture(put(tmp_path, data)).pixels
    assert np.abs(pixels - expected).max() <= tolerance


def test_a_grey_jpeg_stays_grey(tmp_path):
    picture = read_picture(put(tmp_path, by_pillow(pillow_image(smooth(channels=1)), "JPEG")))
    assert picture.pixels.shape == (40, 56, 1)


def test_a_grey_avif_stays_grey(tmp_path):
    grey = smooth(channels=1)
    picture = read_picture(put(tmp_path, by_pillow(pillow_image(grey), "AVIF", quality=100)))
    assert picture.pixels.shape == (40, 56, 1)
    assert np.abs(picture.pixels.astype(int) - grey).max() <= 2


def test_premultiplied_alpha_of_a_tiff_is_divided_out(tmp_path):
    straight = np.full((4, 4, 4), (200, 100, 50, 128), np.uint8)
    premultiplied = straight.copy()
    premultiplied[..., :3] = np.round(straight[..., :3] * (128 / 255))
    data = tiff(premultiplied, photometric="rgb", extrasamples=["assocalpha"])
    picture = read_picture(put(tmp_path, data))
    assert np.abs(picture.pixels.astype(int) - straight[..., :3]).max() <= 1
    assert (picture.alpha == 128).all()


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_a_dark_16_bit_picture_stays_16_bit_and_dark(tmp_path, suffix):
    dark = np.arange(200, dtype=np.uint16).repeat(3).reshape(10, 20, 3)
    picture = read_picture(put(tmp_path, png(dark, bits=16, colour_type=2)))
    np.testing.assert_array_equal(picture.pixels, dark, strict=True)
    write_picture(tmp_path / f"out{suffix}", picture)
    again = read_picture(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(again.pixels, dark, strict=True)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_the_orientation_is_applied_as_pillow_applies_it(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if name == "WEBP" else {}
    source = smooth() if name == "JPEG" else RGB
    data = by_pillow(pillow_image(source), name, exif=exif, **options)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
    picture = read_picture(put(tmp_path, data))
    assert picture.pixels.shape == expected.shape
    assert np.abs(picture.pixels - expected).max() <= (2 if name == "JPEG" else 0)
    for suffix in FORMATS:
        write_picture(tmp_path / f"out{suffix}", picture)
        assert all_tags(tmp_path / f"out{suffix}").get((0, 0x0112), 1) == 1


@pytest.mark.parametrize("code", ["B", "HH", "I", "II", "h", "i"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["PNG", "WEBP", "JPEG"])
def test_an_orientation_of_an_unusual_type_is_applied_once(tmp_path, name, order, code):
    type_ = {"B": 1, "H": 3, "I": 4, "h": 8, "i": 9}[code[0]]
    value = struct.pack(order + code, *[6] * len(code))
    far = len(value) > 4
    mark = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, 8)
    entry = struct.pack(order + "HHHI", 1, 0x0112, type_, len(code))
    entry += struct.pack(order + "I", 26) if far else value.ljust(4, b"\0")
    exif = mark + entry + bytes(4) + (value if far else b"")
    data = by_pillow(pillow_image(smooth()), name, exif=b"Exif\0\0" + exif)
    picture = read_picture(put(tmp_path, data))
    assert (picture.height, picture.width) == smooth().shape[1::-1]
    header = read_header(put(tmp_path, data))
    assert (header.height, header.width) == (picture.height, picture.width)
    write_picture(tmp_path / "out.png", picture)
    assert all_tags(tmp_path / "out.png")[0, 0x0112] == 1


def test_avif_is_turned_by_its_own_header_and_not_again_by_exif(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = by_pillow(pillow_image(smooth()), "AVIF", exif=exif, quality=95)
    picture = read_picture(put(tmp_path, data))
    expected = np.rot90(smooth(), -1).astype(int)
    assert np.abs(picture.pixels - expected).max() <= 12
    write_picture(tmp_path / "out.png", picture)
    assert all_tags(tmp_path / "out.png").get((0, 0x0112), 1) == 1


@pytest.mark.parametrize("container", ["JPEG", "TIFF"])
def test_cmyk_becomes_srgb_and_is_not_inverted(tmp_path, container):
    # In any press profile bare paper is nearly white, all inks nearly black, cyan is blue-green.
    inks = np.zeros((16, 48, 4), np.uint8)
    inks[:, 16:32] = (255, 255, 255, 255)
    inks[:, 32:] = (255, 0, 0, 0)
    options = {"quality": 100} if container == "JPEG" else {}
    data = by_pillow(Image.fromarray(inks, "CMYK"), container, **options)
    picture = read_picture(put(tmp_path, data))
    white, black, cyan = (picture.pixels[8, x].astype(int) for x in (8, 24, 40))
    assert picture.pixels.shape == (16, 48, 3)
    assert white.min() >= 250
    assert black.max() <= 30
    assert cyan[0] < 60 < 120 < cyan[1] < 190 < cyan[2]
    assert picture.icc is not None
    assert picture.icc[16:20] == b"RGB "


@pytest.mark.parametrize("kind", sorted({kind.split()[0] for kind in PIXELS} | {"jpeg", "avif"}))
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.99])
def test_a_file_cut_short_fails(tmp_path, kind, share):
    if kind == "gif":
        data = by_pillow(Image.fromarray(noise(99, 99)).quantize(64), "GIF")
    else:
        data = by_pillow(Image.fromarray(noise(99, 99)), PILLOW_NAMES[kind])
    path = put(tmp_path, data[: int(len(data) * share)], f"cut.{kind}")
    with refused("image-read", path, "damaged"):
        read_picture(path)


def test_a_pipe_is_refused_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with refused("image-read", tmp_path / "pipe", "regular"):
        read_picture(tmp_path / "pipe")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path):
    path = put(tmp_path, PNG_DATA)
    path.chmod(0)
    with refused("image-read", path, os.strerror(errno.EACCES)):
        read_picture(path)


def test_a_header_that_claims_too_much_is_refused_before_decoding(tmp_path):
    bomb = png(np.zeros((1, 1, 3)), bits=8, colour_type=2, width=60_000, height=50_000)
    with refused("image-too-large", "60000x50000", "3,000,000,000") as error:
        read_picture(put(tmp_path, bomb))
    assert error.value.options == ("max_pixels",)


def test_the_limit_of_pixels_is_the_last_size_that_is_read(tmp_path):
    path = put(tmp_path, PNG_DATA)
    assert read_picture(path, max_pixels=23 * 31).pixels.shape == (23, 31, 3)
    with refused("image-too-large", 713, 712):
        read_picture(path, max_pixels=23 * 31 - 1)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_damaged_file_gives_a_picture_or_one_of_our_errors(tmp_path, data):
    kind = data.draw(st.sampled_from([*PILLOW_NAMES, "gif"]), label="kind")
    image = Image.fromarray(smooth())
    options = {} if kind == "gif" else {"exif": full_exif(thumbnail=b"\xff\xd8\xff" + bytes(50))}
    broken = bytearray(by_pillow(image, kind.upper(), **options))
    for _ in range(data.draw(st.integers(1, 6), label="flips")):
        broken[data.draw(st.integers(0, len(broken) - 1))] ^= data.draw(st.integers(1, 255))
    path = put(tmp_path, bytes(broken))
    refused = None
    try:
        picture = read_picture(path, max_pixels=2**22)
    except WidesrError as error:
        refused = str(error)
    if refused is None:
        for suffix in (".jpg", ".tif"):
            with suppress(ImageFormatError):  # a damaged tag may turn a channel into opacity
                write_picture(tmp_path / f"out{suffix}", picture, overwrite=True)
    else:
        assert refused.startswith(str(path))
        assert "\n" not in refused


def test_a_file_that_changed_is_read_anew(tmp_path):
    path = put(tmp_path, by_pillow(Image.new("RGB", (4, 4), (1, 2, 3)), "PNG"))
    assert read_picture(path).pixels[0, 0].tolist() == [1, 2, 3]
    put(tmp_path, by_pillow(Image.new("RGB", (4, 4), (9, 8, 7)), "PNG"))
    assert read_picture(path).pixels[0, 0].tolist() == [9, 8, 7]


NAMES = [
    "two words",
    "emoji 😀",
    "写真",
    "-leading",
    "page[2]",
    "x.png[page=1,n=2]",
    "a%b'c\"d",
    "é" * 122,
    os.fsdecode(b"not utf-8 \xff"),
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_read_and_written(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path(f"{name}.png")
    picture = Picture(pixels=RGB)
    write_picture(path, picture)
    np.testing.assert_array_equal(read_picture(path).pixels, RGB)
    assert [entry.name for entry in tmp_path.iterdir()] == [f"{name}.png"]


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_written_is_read_again(tmp_path, suffix, dtype, colours, alpha):
    kind = FORMATS[suffix]
    if kind == "jpeg" and alpha:
        pytest.skip("JPEG has no transparency")
    pixels, opacity = smooth(channels=colours, dtype=dtype), smooth(channels=4, dtype=dtype)[..., 3]
    picture = Picture(pixels=pixels, alpha=opacity if alpha else None)
    write_picture(tmp_path / f"out{suffix}", picture)
    again = read_picture(tmp_path / f"out{suffix}")
    assert again.format == kind
    assert again.pixels.dtype == (dtype if kind in SIXTEEN_BIT else np.uint8)
    assert again.pixels.shape[2] == (3 if kind in ("webp", "avif") else colours)
    lossless = kind in ("png", "tiff")
    step = np.iinfo(again.pixels.dtype).max / np.iinfo(dtype).max
    difference = np.abs(again.pixels - pixels * step)
    assert difference.max() <= (0 if lossless else 8 * np.iinfo(again.pixels.dtype).max / 255)
    if alpha:
        assert np.abs(again.alpha - opacity * step).max() <= (0 if lossless else 2 / step * 257)
    else:
        assert again.alpha is None


@pytest.mark.parametrize("suffix", FORMATS)
def test_pillow_opens_what_is_written_in_the_right_mode(tmp_path, suffix):
    kind = FORMATS[suffix]
    for colours in (1, 3):
        path = tmp_path / f"{colours}{suffix}"
        write_picture(path, Picture(pixels=smooth(channels=colours)))
        with Image.open(path) as image:
            assert image.format == PILLOW_NAMES[kind]
            assert image.mode == (
                "L" if colours == 1 and kind in ("png", "jpeg", "tiff") else "RGB"
            )
            shown = np.asarray(image.convert("RGB")).astype(int)
        assert np.abs(shown - smooth(channels=colours)).max() <= 8


def test_tifffile_reads_16_bit_tiff_value_for_value(tmp_path):
    write_picture(tmp_path / "out.tif", Picture(pixels=DEEP, alpha=DEEP[..., 0]))
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "out.tif"), np.dstack([DEEP, DEEP[..., :1]])
    )


def test_webp_can_be_lossless(tmp_path):
    write_picture(tmp_path / "out.webp", Picture(pixels=RGB), lossless=True)
    with Image.open(tmp_path / "out.webp") as image:
        np.testing.assert_array_equal(np.asarray(image), RGB)


def test_avif_can_be_lossless(tmp_path):
    write_picture(tmp_path / "out.avif", Picture(pixels=RGB), lossless=True)
    np.testing.assert_array_equal(read_picture(tmp_path / "out.avif").pixels, RGB)


def test_white_of_a_16_bit_avif_is_white(tmp_path):
    pixels = np.full((8, 8, 3), 65535, np.uint16)
    write_picture(tmp_path / "out.avif", Picture(pixels=pixels), quality=100)
    np.testing.assert_array_equal(read_picture(tmp_path / "out.avif").pixels, pixels)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_16_bits_are_rounded_to_the_nearest_of_8(tmp_path, suffix):
    nearest = smooth()
    low = nearest.astype(np.uint16) * 257
    off_by_less_than_half = np.clip(low.astype(int) + 128, 0, 65535).astype(np.uint16)
    off_by_less_than_half[::2] = np.clip(low[::2].astype(int) - 128, 0, 65535)
    write_picture(tmp_path / f"a{suffix}", Picture(pixels=nearest))
    write_picture(tmp_path / f"b{suffix}", Picture(pixels=off_by_less_than_half))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_jpeg_is_written_at_quality_95_with_full_colour(tmp_path):
    write_picture(tmp_path / "out.jpg", Picture(pixels=smooth()))
    golden = by_pillow(pillow_image(smooth()), "JPEG", quality=95, subsampling=0)
    with Image.open(tmp_path / "out.jpg") as ours, Image.open(io.BytesIO(golden)) as theirs:
        assert ours.quantization == theirs.quantization
        assert [component[1:3] for component in ours.layer] == [(1, 1)] * 3


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_a_lower_quality_makes_a_smaller_file(tmp_path, suffix):
    for quality in (30, 95):
        write_picture(tmp_path / f"{quality}{suffix}", Picture(pixels=RGB), quality=quality)
    low, high = ((tmp_path / f"{q}{suffix}").stat().st_size for q in (30, 95))
    assert low < high


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_profile_is_kept_byte_for_byte(tmp_path, suffix):
    icc = profile()
    source = put(tmp_path, by_pillow(pillow_image(smooth()), "PNG", icc_profile=icc))
    write_picture(tmp_path / f"out{suffix}", read_picture(source))
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert image.info["icc_profile"] == icc
    assert read_picture(tmp_path / f"out{suffix}").icc == icc


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_grey_profile_stays_with_a_grey_picture(tmp_path, suffix):
    icc = profile(b"GRAY", gamma=1.8)
    write_picture(tmp_path / f"out{suffix}", Picture(pixels=smooth(channels=1), icc=icc))
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert (image.mode, image.info["icc_profile"]) == ("L", icc)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_grey_through_its_profile_becomes_srgb_where_only_rgb_is_held(tmp_path, suffix, dtype):
    # Oracle: level 128 in gamma 1.8 is 0.289 of the light, which is level 147 in sRGB.
    unit = np.iinfo(dtype).max // 255
    pixels, alpha = np.full((16, 16, 1), 128 * unit, dtype), np.full((16, 16), 200 * unit, dtype)
    picture = Picture(pixels=pixels, alpha=alpha, icc=profile(b"GRAY", gamma=1.8))
    write_picture(tmp_path / f"out{suffix}", picture)
    again = read_picture(tmp_path / f"out{suffix}")
    step = np.iinfo(again.pixels.dtype).max / 255
    assert again.icc is None  # which means sRGB
    assert np.abs(again.pixels / step - 147).max() <= 2
    assert np.abs(again.alpha / step - 200).max() <= 1


@pytest.mark.parametrize("suffix", FORMATS)
def test_grey_with_a_damaged_profile_is_written_all_the_same(tmp_path, suffix):
    broken = profile(b"GRAY")[:150].ljust(300, b"\0")
    write_picture(tmp_path / f"out{suffix}", Picture(pixels=smooth(channels=1), icc=broken))
    pixels = read_picture(tmp_path / f"out{suffix}").pixels
    assert np.abs(pixels.astype(int) - smooth(channels=1)).max() <= 3


@pytest.mark.parametrize("suffix", FORMATS)
def test_grey_under_an_rgb_profile_becomes_rgb_and_keeps_it(tmp_path, suffix):
    icc = profile()
    write_picture(tmp_path / f"out{suffix}", Picture(pixels=smooth(channels=1), icc=icc))
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert (image.mode, image.info["icc_profile"]) == ("RGB", icc)


def test_a_profile_of_other_channels_is_not_kept(tmp_path):
    data = by_pillow(pillow_image(RGB), "PNG", icc_profile=profile(b"GRAY"))
    assert read_picture(put(tmp_path, data)).icc is None


def test_the_suffix_decides_unless_a_format_is_named():
    assert output_format(Path("a.JPG")) == "jpeg"
    assert output_format(Path("a.png"), format="webp") == "webp"
    assert output_format(Path("a"), format=".TIF") == "tiff"
    with refused("image-format", "'.gif'", ".png", ".jpg"):
        output_format(Path("a.gif"))
    with refused("image-format", "'bmp'"):
        output_format(Path("a.png"), format="bmp")
    with refused("image-format", "without suffix"):
        output_format(Path("a"))


def test_transparency_is_not_written_into_jpeg(tmp_path):
    alpha = np.full(RGB.shape[:2], 255, np.uint8)
    write_picture(tmp_path / "opaque.jpg", Picture(pixels=RGB, alpha=alpha))
    alpha[0, 0] = 254
    with refused("image-format", tmp_path / "out.jpg", "transparent", "JPEG"):
        write_picture(tmp_path / "out.jpg", Picture(pixels=RGB, alpha=alpha))
    assert names_in(tmp_path) == ["opaque.jpg"]


@pytest.mark.parametrize(
    ("suffix", "longest"), [(".jpg", 65500), (".webp", 16383), (".avif", 16384)]
)
def test_a_side_beyond_the_format_is_refused_and_the_longest_is_not(tmp_path, suffix, longest):
    pixels = np.zeros((1, longest + 1, 1), np.uint8)
    with refused("image-format", tmp_path / f"out{suffix}", longest):
        write_picture(tmp_path / f"out{suffix}", Picture(pixels=pixels))
    assert names_in(tmp_path) == []
    write_picture(tmp_path / f"out{suffix}", Picture(pixels=pixels[:, 1:]))
    assert read_picture(tmp_path / f"out{suffix}").width == longest


def test_an_output_that_exists_is_kept_unless_told(tmp_path):
    path = put(tmp_path, b"mine", "out.png")
    with refused("output-exists", path, "overwrite=True"):
        write_picture(path, Picture(pixels=RGB))
    assert path.read_bytes() == b"mine"
    write_picture(path, Picture(pixels=RGB), overwrite=True)
    np.testing.assert_array_equal(read_picture(path).pixels, RGB)
    assert names_in(tmp_path) == ["out.png"]


def test_an_output_that_appears_meanwhile_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    monkeypatch.setattr(os, "fsync", lambda fd: path.write_bytes(b"theirs"))
    with refused("output-exists"):
        write_picture(path, Picture(pixels=RGB))
    assert path.read_bytes() == b"theirs"
    assert names_in(tmp_path) == ["out.png"]


def refuse(error):
    def call(*args, **kwargs):
        raise error

    return call


def test_a_folder_that_is_missing_or_no_folder_is_said(tmp_path):
    picture = Picture(pixels=RGB)
    with refused("image-write", f"folder {tmp_path / 'absent'}"):
        write_picture(tmp_path / "absent" / "out.png", picture)
    put(tmp_path, b"", "file")
    with refused("image-write", os.strerror(errno.ENOTDIR)):
        write_picture(tmp_path / "file" / "out.png", picture)
    (tmp_path / "folder.png").mkdir()
    with refused("image-write", tmp_path / "folder.png", "folder"):
        write_picture(tmp_path / "folder.png", picture, overwrite=True)
    with refused("image-write", os.strerror(errno.ENAMETOOLONG)):
        write_picture(tmp_path / f"{'x' * 300}.png", picture)
    assert names_in(tmp_path) == ["file", "folder.png"]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "disk full")])
def test_a_failure_at_the_end_leaves_nothing(tmp_path, monkeypatch, suffix, error):
    monkeypatch.setattr(os, "fsync", refuse(error))
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ImageWriteError
    with pytest.raises(expected):
        write_picture(tmp_path / f"out{suffix}", Picture(pixels=RGB))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "disk full")])
def test_a_failure_while_encoding_leaves_nothing_and_is_quiet(
    tmp_path, monkeypatch, capfd, suffix, error
):
    monkeypatch.setattr(os, "write", refuse(error))
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ImageWriteError
    with pytest.raises(expected):
        write_picture(tmp_path / f"out{suffix}", Picture(pixels=RGB))
    assert names_in(tmp_path) == []
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_a_full_disk_leaves_nothing_and_is_one_line(tmp_path, suffix):
    # A limit on the size of files stands for the full disk: real writes fail half way.
    code = """
import sys, numpy as np
from pathlib import Path
from widesr.errors import ImageWriteError
from widesr.pictures.picture import Picture
from widesr.pictures.writing import write_picture
pixels = np.random.default_rng(0).integers(0, 255, (160, 160, 3), np.uint8)
try:
    write_picture(Path(sys.argv[1]), Picture(pixels=pixels))
except ImageWriteError as error:
    print(error)
"""

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / f"out{suffix}")],
        preexec_fn=small_files,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.count("\n") == 1
    assert names(run.stdout, tmp_path / f"out{suffix}")
    assert run.stderr == ""
    assert names_in(tmp_path) == []


def test_libvips_does_not_speak_on_stderr(tmp_path, capfd):
    broken_profile = by_pillow(pillow_image(RGB), "JPEG", icc_profile=b"no profile" * 20)
    picture = read_picture(put(tmp_path, broken_profile))
    for suffix in FORMATS:
        write_picture(tmp_path / f"out{suffix}", picture)
    with refused("image-read"):
        read_picture(put(tmp_path, PNG_DATA[:200]))
    assert capfd.readouterr() == ("", "")


def test_a_picture_says_which_shapes_it_wants():
    with refused("shape", "float64", (2, 2, 3), "uint8", "uint16"):
        Picture(pixels=np.zeros((2, 2, 3)))
    with refused("shape", (2, 2), "uint8", "uint16"):
        Picture(pixels=np.zeros((2, 2), np.uint8))
    with refused("shape", "one pixel"):
        Picture(pixels=np.zeros((0, 2, 3), np.uint8))
    with refused("shape", "alpha", "uint16 (2, 2)", "uint8 (2, 2)"):
        Picture(pixels=np.zeros((2, 2, 3), np.uint8), alpha=np.zeros((2, 2), np.uint16))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("icc", "sRGB"),
        ("exif", 1),
        ("xmp", "<x/>"),
        ("iptc", [b"\x1c"]),
        ("aspect", (0, 0)),
        ("aspect", (1, float("nan"))),
        ("aspect", (2, -1)),
        ("aspect", 1.5),
        ("pixels_per_mm", 10),
        ("pixels_per_mm", ("10", "10")),
        ("place", "Paris"),
    ],
)
def test_a_picture_refuses_by_its_name_what_no_file_could_say(name, value):
    with refused("usage", name):
        Picture(pixels=np.zeros((2, 2, 3), np.uint8), **{name: value})


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("aspect", [(2**32 - 1, 1), (1, 2**32 - 1), (1e300, 1e-300)])
def test_an_aspect_however_long_is_written(tmp_path, suffix, aspect):
    write_picture(tmp_path / f"a{suffix}", Picture(pixels=RGB, aspect=aspect))
    assert read_picture(tmp_path / f"a{suffix}").pixels.shape == RGB.shape


def test_a_photograph_survives_by_pixels_and_profile(bench, tmp_path):
    files = sorted((bench / "Set5").rglob("*.png"))
    assert files
    for path in files[:5]:
        picture = read_picture(path)
        with Image.open(path) as image:
            expected = np.asarray(image)
        np.testing.assert_array_equal(picture.pixels.squeeze(), expected)
        write_picture(tmp_path / "out.jpg", picture, overwrite=True)
        with Image.open(tmp_path / "out.jpg") as image:
            ours = np.abs(np.asarray(image).astype(int) - expected).mean()
        golden = by_pillow(Image.fromarray(expected), "JPEG", quality=95, subsampling=0)
        with Image.open(io.BytesIO(golden)) as image:
            theirs = np.abs(np.asarray(image).astype(int) - expected).mean()
        assert ours == pytest.approx(theirs, rel=0.02)


def test_the_srgb_profile_of_another_maker_is_kept(tmp_path):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = by_pillow(pillow_image(RGB), "WEBP", icc_profile=icc)
    assert read_picture(put(tmp_path, data)).icc == icc


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 1)])
def test_the_smallest_pictures_pass(tmp_path, suffix, size):
    for dtype in (np.uint8, np.uint16):
        path = tmp_path / f"{dtype.__name__}{suffix}"
        write_picture(path, Picture(pixels=np.full((*size, 3), 99, dtype), exif=full_exif()))
        assert read_picture(path).pixels.shape == (*size, 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [("format", 5), ("format", b"png"), ("lossless", "no"), ("overwrite", "no")],
)
def test_an_option_of_the_wrong_type_writes_nothing(tmp_path, name, value):
    path = put(tmp_path, b"mine", "out.png")
    with refused("usage", name):
        write_picture(path, Picture(pixels=RGB), **{name: value})
    assert path.read_bytes() == b"mine"


def test_grey_that_becomes_rgb_counts_as_rgb_in_the_choice_of_bigtiff(tmp_path):
    def bands():
        yield np.zeros((320, 40_000, 1), np.uint8)
        raise InterruptedError

    rows = Rows(bands(), shape=(40_000, 40_000, 1), dtype=np.uint8)  # 1.6 GB, and 4.8 GB as RGB
    with (tmp_path / "out.tif").open("w+b") as file, suppress(InterruptedError):
        stream = PictureStream(rows=rows, icc=profile())
        encode_stream(Path("out.tif"), stream, file.fileno(), "tiff")
    assert (tmp_path / "out.tif").read_bytes()[:4] == b"II+\0"


@pytest.mark.parametrize("quality", [0, 101])
def test_a_quality_outside_its_range_is_a_usage_error(tmp_path, quality):
    with refused("usage", "quality", quality, "1 to 100"):
        write_picture(tmp_path / "out.jpg", Picture(pixels=RGB), quality=quality)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cmyk_with_alpha_and_of_16_bits_keeps_both(tmp_path, dtype):
    cyan = np.zeros((8, 8, 5), dtype)
    cyan[..., 0], cyan[..., 4] = np.iinfo(dtype).max, 100
    path = put(tmp_path, tiff(cyan, photometric="separated", extrasamples=["unassalpha"]))
    picture = read_picture(path)
    assert picture.pixels.dtype == dtype
    assert (picture.alpha == 100).all()
    red, green, blue = picture.pixels[0, 0] / np.iinfo(dtype).max
    assert red < 0.25 < 0.45 < green < 0.75 < blue
