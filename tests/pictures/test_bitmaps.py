"""BMP and Netpbm, held against Pillow and against files written here by hand."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from bitmaps import (
    BMPS,
    COLOURS,
    GREY_PALETTE,
    INDEX,
    NETPBM,
    NETPBM_16,
    WIDE,
    bmp,
    rows,
)
from facts import refused
from others import execute, program
from samples import (
    DEEP,
    GREY,
    GREY_ALPHA,
    RGB,
    RGBA,
    by_pillow,
    pillow_image,
    png,
    profile,
    put,
)
from widesr.pictures.reading import read_picture


def by_eye(data):
    """Read by Pillow, (H, W, C)."""
    with Image.open(io.BytesIO(data)) as image:
        mode = "L" if image.mode in ("1", "L") else "RGBA" if image.mode == "RGBA" else "RGB"
        return np.asarray(image.convert(mode)).reshape(image.height, image.width, -1)


def read(folder, data, **options):
    picture = read_picture(put(folder, data), **options)
    if picture.alpha is None:
        return picture.pixels
    return np.dstack([picture.pixels, picture.alpha])


@pytest.mark.parametrize("kind", BMPS)
def test_bmp_is_read_as_pillow_reads_it(tmp_path, kind):
    expected = by_eye(BMPS[kind])
    found = read(tmp_path, BMPS[kind])
    if found.shape[2] == 1:  # grey stays grey, where Pillow may make RGB of it
        expected = expected[..., :1]
    # Pillow repeats bits where a channel has 5 or 6: up to 1 level from the nearest.
    tolerance = 1 if "16 bit" in kind else 0
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= tolerance
    assert ("grey" in kind or kind.endswith(" 1")) == (found.shape[2] == 1)


def test_five_bits_of_a_channel_are_stretched_over_all_levels(tmp_path):
    numbers = np.arange(32, dtype=np.uint16)[None]
    found = read(tmp_path, bmp(numbers, bits=16))
    np.testing.assert_array_equal(found[0, :, 2], np.round(np.arange(32) * 255 / 31))


def test_ten_bits_of_a_channel_become_sixteen(tmp_path):
    masks = (0x3FF00000, 0xFFC00, 0x3FF)
    data = bmp(WIDE, bits=32, packing=3, masks=masks, size=52)
    expected = np.stack([(WIDE >> shift) & 1023 for shift in (20, 10, 0)], axis=2)
    np.testing.assert_array_equal(
        read(tmp_path, data), np.round(expected * (65535 / 1023)).astype(np.uint16), strict=True
    )


def test_two_bits_and_rows_from_the_top_are_read(tmp_path):
    upwards = bmp(INDEX & 3, bits=2, palette=COLOURS[:4])
    downwards = bmp((INDEX & 3)[::-1], bits=2, palette=COLOURS[:4], height=-INDEX.shape[0])
    np.testing.assert_array_equal(read(tmp_path, upwards), COLOURS[INDEX & 3])
    np.testing.assert_array_equal(read(tmp_path, downwards), COLOURS[INDEX & 3])


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_a_bare_dib_is_the_bmp_that_it_would_be(tmp_path, mode):
    image = Image.fromarray(RGBA).convert(mode)
    for name, kind in (("a.dib", "DIB"), ("b.dib", "BMP")):
        image.save(tmp_path / name, kind)
    bare, whole = (read_picture(tmp_path / name) for name in ("a.dib", "b.dib"))
    assert (tmp_path / "b.dib").read_bytes().startswith(b"BM")
    assert not (tmp_path / "a.dib").read_bytes().startswith(b"BM")
    np.testing.assert_array_equal(bare.pixels, whole.pixels)
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(np.broadcast_to(bare.pixels, expected.shape), expected)


def test_the_profile_and_the_resolution_of_a_bmp_are_kept(tmp_path):
    data = bmp(RGB[..., ::-1], bits=24, body=rows(RGB[..., ::-1], bits=8))
    assert read_picture(put(tmp_path, data)).icc is None
    data = bmp(
        RGB,
        bits=24,
        body=rows(RGB[..., ::-1], bits=8),
        size=124,
        icc=profile(),
        dots=(11811, 5906),
    )
    picture = read_picture(put(tmp_path, data))
    np.testing.assert_array_equal(picture.pixels, RGB)
    assert picture.icc == profile()
    assert picture.pixels_per_mm == (11.811, 5.906)
    assert picture.format == "bmp"


def runs(index, *, bits):
    """Run lengths: repeated pixels, pixels as they are, ends of rows, and the end."""
    made = b""
    for row in index[::-1]:
        x = 0
        while x < len(row):
            same = 1
            while x + same < len(row) and same < 255 and row[x + same] == row[x]:
                same += 1
            if same > 1 or len(row) - x < 3:
                value = int(row[x]) * (17 if bits == 4 else 1)
                made += bytes([same, value])
                x += same
            else:
                raw = row[x : x + min(len(row) - x, 9)]
                data = rows(raw[None], bits=4) if bits == 4 else raw.tobytes()
                data = data[: (len(raw) + 1) // 2] if bits == 4 else data
                made += bytes([0, len(raw)]) + data + bytes(len(data) % 2)
                x += len(raw)
        made += b"\0\0"
    return made + b"\0\1"


INDICES = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 40)), elements=st.integers(0, 3)
)


@pytest.mark.parametrize(("bits", "packing"), [(8, 1), (4, 2)])
@given(index=INDICES)
def test_run_lengths_give_the_pixels_that_they_were_made_of(tmp_path_factory, bits, packing, index):
    body = runs(index, bits=bits)
    data = bmp(index, bits=bits, body=body, packing=packing, palette=COLOURS[:4])
    np.testing.assert_array_equal(read(tmp_path_factory.mktemp("rle"), data), COLOURS[index])


def test_run_lengths_may_leap_over_pixels(tmp_path):
    body = b"\2\1" + b"\0\2\1\1" + b"\1\2" + b"\0\1"  # two, a leap by (1, 1), one
    data = bmp(np.zeros((3, 4)), bits=8, body=body, packing=1, palette=GREY_PALETTE[:3])
    expected = np.array([[0, 0, 0, 0], [0, 0, 0, 2], [1, 1, 0, 0]], np.uint8)
    np.testing.assert_array_equal(read(tmp_path, data)[..., 0], expected)


@pytest.mark.parametrize(
    ("data", "expected", "dtype"),
    [(*case, np.uint8) for case in NETPBM.values()]
    + [(*case, np.uint16) for case in NETPBM_16.values()],
)
def test_netpbm_is_read_as_its_description_says(tmp_path, data, expected, dtype):
    expected = expected.reshape(*expected.shape[:2], -1).astype(dtype)
    np.testing.assert_array_equal(read(tmp_path, data), expected, strict=True)


PAMS = {
    "grey": ("GRAYSCALE", GREY, 255),
    "rgb": ("RGB", RGB, 255),
    "grey and alpha": ("GRAYSCALE_ALPHA", GREY_ALPHA, 255),
    "rgb and alpha": ("RGB_ALPHA", RGBA, 255),
    "16 bit": ("RGB", DEEP, 65535),
    "black and white": ("BLACKANDWHITE", GREY // 200, 1),
}


def pam(words, array, top):
    height, width, depth = array.shape
    head = f"P7\n# made\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL {top}\n"
    head += f"TUPLTYPE {words}\nENDHDR\n"
    return head.encode() + array.astype(">u2" if top > 255 else "u1").tobytes()


@pytest.mark.parametrize("kind", PAMS)
def test_pam_is_read_with_its_alpha(tmp_path, kind):
    words, array, top = PAMS[kind]
    picture = read_picture(put(tmp_path, pam(words, array, top)))
    planes = picture.pixels if picture.alpha is None else np.dstack(
        [picture.pixels, picture.alpha]
    )  # fmt: skip
    expected = array * 255 if top == 1 else array
    np.testing.assert_array_equal(planes, expected)


def test_pam_by_ffmpeg_is_read(tmp_path):
    put(tmp_path, png(RGBA, bits=8, colour_type=6), "in.png")
    out = tmp_path / "out.pam"
    execute([program("ffmpeg"), "-v", "error", "-i", str(tmp_path / "in.png"), str(out)])
    picture = read_picture(out)
    np.testing.assert_array_equal(np.dstack([picture.pixels, picture.alpha]), RGBA)


@pytest.mark.parametrize(
    "damage",
    [(b"WIDTH 31", b"WIDTH x"), (b"DEPTH 3", b"DEPTH 0"), (b"ENDHDR", b"END"), (b"255", b"9")],
)
def test_a_pam_that_contradicts_itself_is_damaged(tmp_path, damage):
    with refused("image-read", "damaged"):
        read(tmp_path, pam("RGB", RGB, 255).replace(*damage))


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "I;16"])
def test_netpbm_by_pillow_is_read(tmp_path, mode):
    image = Image.fromarray(DEEP[..., 0]) if mode == "I;16" else pillow_image(RGB).convert(mode)
    expected = np.asarray(image.convert("L") if mode == "1" else image)
    found = read(tmp_path, by_pillow(image, "PPM"))
    np.testing.assert_array_equal(found, expected.reshape(*expected.shape[:2], -1), strict=True)


def test_text_of_many_blocks_is_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("widesr.pictures.netpbm._BLOCK", 7)
    for data, expected in (*NETPBM.values(), *NETPBM_16.values()):
        found = read(tmp_path, data)
        np.testing.assert_array_equal(found, expected.reshape(found.shape))


@pytest.mark.parametrize("kind", [*BMPS, "P1", "P2", "P3", "P4", "P5", "P6"])
def test_a_bitmap_cut_short_fails(tmp_path, kind):
    data = BMPS.get(kind) or NETPBM[kind][0].rstrip()
    for length in {len(data) * 2 // 3, len(data) // 2, 9}:
        with refused("image-read", "damaged"):
            read(tmp_path, data[:length])


DAMAGED = {
    "no width": (b"P5\n0 5\n255\n", ["0x5"]),
    "no maximum": (b"P5\n1 1\n0\n\0", ["1x1", "to 0"]),
    "a maximum of 17 bits": (b"P2\n1 1\n65536\n0\n", ["1x1", 65536]),
    "a value above the maximum": (b"P5\n1 1\n9\n\x0a", ["above 9"]),
    "a text value above the maximum": (b"P2\n1 1\n9\n10\n", ["above 9"]),
    "a huge number": (b"P2\n1 1\n255\n" + b"9" * 5000, ["number"]),
    "a word": (b"P2\n2 1\n255\n12 x1\n", ["number"]),
    "a bit that is none": (b"P1\n2 1\n02\n", ["above 1"]),
    "a header of letters": (b"P6\nwide high\n255\n", ["header"]),
    "BMP of no known age": (b"BM" + bytes(12) + struct.pack("<I", 41) + bytes(80), ["41 bytes"]),
    "BMP without width": (bmp(np.zeros((1, 0)), bits=8, palette=COLOURS), ["0x1"]),
    "a colour beyond the palette": (bmp(INDEX, bits=8, palette=COLOURS[:9]), ["palette"]),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_bitmap_that_contradicts_itself_is_damaged(tmp_path, kind):
    data, facts = DAMAGED[kind]
    with refused("image-read", "damaged", *facts):
        read(tmp_path, data)


def test_what_a_bmp_may_hide_is_refused_by_name(tmp_path):
    jpeg = bmp(RGB, bits=0, body=b"\xff\xd8\xff", packing=4)
    with refused("image-format", "BMP", "0 bits", "method 4", "PNG"):
        read(tmp_path, jpeg)
    with refused("image-format", "one picture"):
        read(tmp_path, NETPBM["P5"][0] + b"\n" + NETPBM["P5"][0])


@pytest.mark.parametrize(
    "data",
    [
        b"P1 99999 99999 ",
        b"P6 99999 99999 255 ",
        bmp(np.zeros((1, 1)), bits=8, palette=COLOURS, height=-(2**31)),
    ],
)
def test_a_bitmap_that_claims_too_much_is_refused_before_decoding(tmp_path, data):
    with refused("image-too-large", "max_pixels"):
        read(tmp_path, data)
