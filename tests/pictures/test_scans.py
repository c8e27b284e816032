"""TIFF pixels: every layout by every codec, as tifffile and Pillow read them, or an error."""

import struct
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from facts import refused
from samples import RGBA, noise, smooth
from widesr.errors import ImageFormatError, ImageReadError
from widesr.pictures import blocks
from widesr.pictures.reading import open_picture, read_header, read_picture
from widesr.pictures.tiff import packed

SHARED = Path(__file__).parents[3] / "shared" / "pictures"
LAYOUTS = {
    "one strip": {"rowsperstrip": 10**6},
    "strips": {"rowsperstrip": 7},
    "tiles": {"tile": (16, 32)},
    "planes": {"planarconfig": "separate", "rowsperstrip": 7},
    "tiles of planes": {"planarconfig": "separate", "tile": (16, 16)},
}
CODECS = {
    "raw": {},
    "deflate": {"compression": "zlib"},
    "deflate, differences": {"compression": "zlib", "predictor": True},
}
BY_LIBVIPS = {
    f"{codec}, {layout}": {"compression": codec} | options | more
    for codec, more in {
        "none": {},
        "deflate": {"predictor": "horizontal"},
        "lzw": {},
        "lzw ": {"compression": "lzw", "predictor": "horizontal"},
        "packbits": {},
        "jpeg": {"Q": 90},
        "webp": {"lossless": True},
    }.items()
    for layout, options in {
        "strips": {},
        "tiles": {"tile": True, "tile_width": 16, "tile_height": 32},
        "one tile": {"tile": True, "tile_width": 64, "tile_height": 64},
    }.items()
}


def put(folder, data):
    path = folder / "a.tif"
    path.write_bytes(data)
    return path


def written(folder, array, **options):
    """Write by tifffile; (H, W, C), or planes of it."""
    path = folder / "a.tif"
    if options.get("planarconfig") == "separate":
        array = np.ascontiguousarray(np.moveaxis(array, 2, 0))
    tifffile.imwrite(path, array, metadata=None, **options)
    return path


def planes(picture):
    alpha = picture.alpha
    return picture.pixels if alpha is None else np.dstack([picture.pixels, alpha])


def by_hand(tags, blocks, *, tiles=False):
    """A TIFF file of tags {number: (type, values)} and the bytes of its blocks."""
    letters = {1: "B", 3: "H", 4: "I", 12: "d"}
    tree = {
        tag: (type_, b"".join(struct.pack("<" + letters[type_], n) for n in values))
        if type_ in letters
        else (type_, b"".join(struct.pack("<2I", n, 1) for n in values))
        for tag, (type_, values) in tags.items()
    }
    places = np.array([8 + sum(map(len, blocks[:n])) for n in range(len(blocks))], "<u4")
    tree[324 if tiles else 273] = (4, places.tobytes())
    tree[325 if tiles else 279] = (4, np.array([len(each) for each in blocks], "<u4").tobytes())
    body = b"".join(blocks)
    body += bytes(len(body) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + packed(tree, 8 + len(body))


def tags_of(height, width, *, bits=8, samples=1, photometric=1, rows=None, **more):
    return {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits] * samples),
        259: (3, [1]),
        262: (3, [photometric]),
        277: (3, [samples]),
        278: (4, [rows or height]),
    } | {int(tag[1:]): value for tag, value in more.items()}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_to_the_value(tmp_path, layout, codec, big, order, dtype):
    pixels = smooth(41, 53, 3, dtype)
    options = LAYOUTS[layout] | CODECS[codec] | {"bigtiff": big, "byteorder": order}
    path = written(tmp_path, pixels, photometric="rgb", **options)
    np.testing.assert_array_equal(read_picture(path).pixels, pixels)
    assert read_header(path)[:3] == (41, 53, 3 * pixels.itemsize)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_large_blocks_pass_by_a_few_rows_to_the_same_values(tmp_path, monkeypatch, layout, codec):
    monkeypatch.setattr(blocks, "_BATCH", 400)
    monkeypatch.setattr(blocks, "_STEP", 200)
    pixels = noise(41, 53, 3, np.uint16)
    path = written(tmp_path, pixels, photometric="rgb", **LAYOUTS[layout], **CODECS[codec])
    np.testing.assert_array_equal(read_picture(path).pixels, pixels)
    data = bytearray(path.read_bytes())
    for offset, count in blocks_of(path):
        if codec != "raw":
            data[offset + count - 1] ^= 1  # of the checksum
            path.write_bytes(data)
            assert right_or_an_error(path, pixels)
            data[offset + count - 1] ^= 1


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("extra", ["unassalpha", "assocalpha", "unspecified"])
def test_what_stands_beside_the_colours_is_read_as_it_is_tagged(tmp_path, layout, extra):
    path = written(tmp_path, RGBA, photometric="rgb", extrasamples=[extra], **LAYOUTS[layout])
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.alpha, RGBA[..., 3])
    assert picture.has_band == (extra == "unspecified")
    seen, alpha = RGBA[..., :3].astype(float), RGBA[..., 3:] / 255
    if extra == "assocalpha":
        seen = np.minimum(seen / np.maximum(alpha, 1 / 255), 255)
    assert np.abs(picture.pixels - seen).max() <= 0.501


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("turned_bits", [False, True])
def test_any_number_of_bits_is_spread_over_8_or_16(tmp_path, bits, samples, turned_bits):
    values = np.arange(19 * 23 * samples).reshape(19, 23 * samples) * 2654435761 % 2**bits
    lines = []
    for row in values.tolist():
        line = "".join(f"{n:0{bits}b}" for n in row)
        line = line.ljust(-(-len(line) // 8) * 8, "0")
        chunks = [line[at : at + 8] for at in range(0, len(line), 8)]
        if bits == 16:  # whole bytes come in the order of the file
            chunks = [chunks[n ^ 1] for n in range(len(chunks))]
        lines.append(bytes(int(each[::-1] if turned_bits else each, 2) for each in chunks))
    tags = tags_of(19, 23, bits=bits, samples=samples, photometric=1 if samples == 1 else 2)
    tags |= {278: (4, [5]), 266: (3, [2 if turned_bits else 1])}
    strips = [b"".join(lines[top : top + 5]) for top in range(0, 19, 5)]
    picture = read_picture(put(tmp_path, by_hand(tags, strips)))
    top = 255 if bits <= 8 else 65535
    assert picture.pixels.dtype == (np.uint8 if bits <= 8 else np.uint16)
    expected = np.floor(values * top / (2**bits - 1) + 0.5).reshape(19, 23, samples)
    np.testing.assert_array_equal(picture.pixels, expected)


@pytest.mark.parametrize("name", BY_LIBVIPS)
def test_what_libtiff_packs_is_read_as_pillow_reads_it(tmp_path, name):
    path = tmp_path / "a.tif"
    pyvips.Image.new_from_array(smooth(61, 47)).tiffsave(path, **BY_LIBVIPS[name])
    if "jpeg" in name:
        with Image.open(path) as image:
            expected = np.asarray(image.convert("RGB"))
    else:
        expected = smooth(61, 47)
    np.testing.assert_array_equal(read_picture(path).pixels, expected)


@pytest.mark.parametrize("codec", ["group3", "group4", "tiff_ccitt", "packbits", "tiff_lzw"])
@pytest.mark.parametrize("tiled", [False, True])
def test_black_and_white_is_read_as_pillow_reads_it(tmp_path, codec, tiled):
    path = tmp_path / "a.tif"
    image = Image.fromarray(smooth(61, 47, 1)[..., 0]).convert("1")
    if tiled and codec == "group4":
        levels = pyvips.Image.new_from_array(np.asarray(image).astype(np.uint8) * 255)
        levels.tiffsave(path, compression="ccittfax4", bitdepth=1, tile=True, tile_width=32)
    else:
        image.save(path, compression=codec)
    np.testing.assert_array_equal(read_picture(path).pixels[..., 0] > 0, np.asarray(image))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_in_tiff_has_the_colours_that_its_tags_say(tmp_path, mode):
    path = tmp_path / "a.tif"
    image = Image.fromarray(smooth(61, 47)).convert(mode)
    image.save(path, compression="jpeg", quality=95)
    raw = tmp_path / "raw.tif"
    Image.open(path).save(raw, compression="raw")
    np.testing.assert_array_equal(read_picture(path).pixels, read_picture(raw).pixels)


YCC = {"1x1": (1, 1), "2x1": (2, 1), "1x2": (1, 2), "2x2": (2, 2), "4x1": (4, 1), "4x4": (4, 4)}


def ycc_units(y, cb, cr, across, down):
    """Pixels in the units of TIFF 6.0, section 21: Y of a rectangle, then its Cb and Cr."""
    units = []
    for top in range(0, len(y), down):
        for left in range(0, y.shape[1], across):
            part = y[top : top + down, left : left + across]
            units.append(np.append(part, [cb[top, left], cr[top, left]]))
    return np.concatenate(units).astype(y.dtype).tobytes()


@pytest.mark.parametrize("subsampling", YCC)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("layout", ["strips", "tiles"])
@pytest.mark.parametrize("stated", ["nothing", "video range", "709"])
def test_ycbcr_becomes_rgb_by_what_the_file_states(tmp_path, subsampling, dtype, layout, stated):
    across, down = YCC[subsampling]
    top, half = (255, 128) if dtype == np.uint8 else (65535, 32768)
    rng = np.random.default_rng(5)
    y, cb, cr = rng.integers(top // 8, top - top // 8, (3, 32, 48)).astype(dtype)
    spread = [each[::down, ::across].repeat(down, 0).repeat(across, 1) for each in (cb, cr)]
    cb, cr = spread
    luma, ranges = (0.299, 0.587, 0.114), (0, top, half, top, half, top)
    tags = tags_of(32, 48, bits=8 * y.itemsize, samples=3, photometric=6)
    tags[530] = (3, [across, down])
    if stated == "video range":
        ranges = tuple(n * (top + 1) // 256 for n in (16, 235, 128, 240, 128, 240))
        tags[532] = (5, ranges)
    if stated == "709":
        luma = (0.2126, 0.7152, 0.0722)
    path = tmp_path / "a.tif"
    if layout == "tiles":
        tags |= {322: (4, [16]), 323: (4, [16])}
        del tags[278]
        parts = [
            ycc_units(
                *(each[top_ : top_ + 16, left : left + 16] for each in (y, cb, cr)), across, down
            )
            for top_ in (0, 16)
            for left in (0, 16, 32)
        ]
    else:
        tags[278] = (4, [8])
        parts = [
            ycc_units(*(each[top_ : top_ + 8] for each in (y, cb, cr)), across, down)
            for top_ in range(0, 32, 8)
        ]
    data = by_hand(tags, parts, tiles=layout == "tiles")
    if stated == "709":
        tags[529] = (5, [2126, 7152, 722])
        data = by_hand(tags, parts, tiles=layout == "tiles")
        for n in (2126, 7152, 722):
            data = data.replace(struct.pack("<2I", n, 1), struct.pack("<2I", n, 10000))
    path.write_bytes(data)
    light = (y - float(ranges[0])) * top / (ranges[1] - ranges[0])
    blue = (cb - float(ranges[2])) * (top // 2) / (ranges[3] - ranges[2])
    red = (cr - float(ranges[4])) * (top // 2) / (ranges[5] - ranges[4])
    r, b = light + red * (2 - 2 * luma[0]), light + blue * (2 - 2 * luma[2])
    g = (light - luma[0] * r - luma[2] * b) / luma[1]
    expected = np.clip(np.stack([r, g, b], axis=2), 0, top)
    assert np.abs(read_picture(path).pixels - expected).max() <= 0.51


@pytest.mark.parametrize("missing", ["stream", "tables"])
def test_an_old_style_jpeg_is_read_from_its_stream_or_its_tables(tmp_path, missing):
    pixels = smooth(64, 48)
    jpeg = pyvips.Image.new_from_array(pixels).jpegsave_buffer(Q=95, subsample_mode="off")
    expected = pyvips.Image.jpegload_buffer(jpeg).numpy()
    tags = tags_of(64, 48, samples=3, photometric=6) | {259: (3, [6]), 512: (3, [1])}
    if missing == "tables":
        tags |= {513: (4, [8]), 514: (4, [len(jpeg)])}
        np.testing.assert_array_equal(
            read_picture(put(tmp_path, by_hand(tags, [jpeg]))).pixels, expected
        )
        return
    at, quantisation, huffman = 2, {}, {}
    while jpeg[at + 1] != 0xDA:
        size = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        body = jpeg[at + 4 : at + 2 + size]
        if jpeg[at + 1] == 0xDB:
            for n in range(0, len(body), 65):
                quantisation[body[n]] = body[n + 1 : n + 65]
        while jpeg[at + 1] == 0xC4 and body:
            end = 17 + sum(body[1:17])
            huffman[body[0]], body = body[1:end], body[end:]
        at += 2 + size
    scan = jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big") : -2]
    tables = [quantisation[0], quantisation[1], huffman[0], huffman[1], huffman[16], huffman[17]]
    begin = 8 + len(scan)
    places = [begin + sum(map(len, tables[:n])) for n in range(6)]
    q, dc, ac = ([places[n], places[n + 1], places[n + 1]] for n in (0, 2, 4))
    tags |= {519: (4, q), 520: (4, dc), 521: (4, ac), 530: (3, [1, 1])}
    file = by_hand(tags, [scan, b"".join(tables)])  # the first is the strip
    np.testing.assert_array_equal(read_picture(put(tmp_path, file)).pixels, expected)


def blocks_of(path):
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        found = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    assert found
    return found


def right_or_an_error(path, expected):
    """Read a damaged file; say whether it was refused."""
    try:
        made = planes(read_picture(path))
    except ImageReadError:
        return True
    np.testing.assert_array_equal(made, expected)
    return False


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_that_lacks_its_end_is_refused_in_every_layout(tmp_path, layout, codec):
    path = written(tmp_path, noise(41, 53), photometric="rgb", **LAYOUTS[layout], **CODECS[codec])
    whole, expected = path.read_bytes(), read_picture(path).pixels
    last = max(offset + count for offset, count in blocks_of(path))
    for size in np.linspace(last // 2, last - 1, 12).astype(int):
        path.write_bytes(whole[:size])
        assert right_or_an_error(path, expected)


@pytest.mark.parametrize("codec", ["deflate", "deflate, differences"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_flipped_bit_in_a_deflated_block_is_found_in_every_layout(tmp_path, layout, codec):
    path = written(tmp_path, noise(41, 53), photometric="rgb", **LAYOUTS[layout], **CODECS[codec])
    whole, expected = path.read_bytes(), read_picture(path).pixels
    rng = np.random.default_rng(1)
    for offset, count in blocks_of(path):
        broken = bytearray(whole)
        broken[offset + int(rng.integers(2, count))] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        assert right_or_an_error(path, expected)


@pytest.mark.parametrize("name", [name for name in BY_LIBVIPS if not name.startswith("none")])
def test_a_block_that_lacks_its_end_is_refused_by_every_codec(tmp_path, name):
    path = tmp_path / "a.tif"
    pyvips.Image.new_from_array(smooth(61, 47)).tiffsave(path, **BY_LIBVIPS[name])
    whole, expected = path.read_bytes(), read_picture(path).pixels
    for offset, count in blocks_of(path):
        cut = offset + count // 2
        path.write_bytes(whole[:cut] + bytes(offset + count - cut) + whole[offset + count :])
        assert right_or_an_error(path, expected), "zeros in the place of data must not pass"
        assert right_or_an_error(put(tmp_path, whole[:cut]), expected) or offset + count < cut


@pytest.mark.parametrize("cut", [10, 60, 200, 600])
@pytest.mark.parametrize("layout", ["strips", "tiles"])
def test_a_jpeg_that_lacks_data_before_its_end_is_refused(tmp_path, layout, cut):
    path = tmp_path / "a.tif"
    image = pyvips.Image.new_from_array(noise(64, 48))
    image.tiffsave(path, **BY_LIBVIPS[f"jpeg, {layout}"])
    data, expected = path.read_bytes(), read_picture(path).pixels
    offset, count = blocks_of(path)[-1]
    end = offset + count
    end = data.rindex(b"\xff\xd9", offset, end)
    broken = data[: end - cut] + b"\xff\xd9" + bytes(cut) + data[end + 2 :]
    assert right_or_an_error(put(tmp_path, broken), expected)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(sorted(CODECS)), st.sampled_from(sorted(LAYOUTS)), st.data())
def test_a_damaged_directory_gives_the_pixels_that_tifffile_sees_or_an_error(
    tmp_path, codec, layout, data
):
    path = written(tmp_path, noise(20, 30), photometric="rgb", **LAYOUTS[layout], **CODECS[codec])
    whole = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tags = [tag for tag in file.pages[0].tags.values() if tag.code in (324, 325, 273, 279)]
    tag = data.draw(st.sampled_from(tags))
    at = tag.valueoffset + data.draw(st.integers(0, 4 * tag.count - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    try:
        made = read_picture(path).pixels
    except (ImageReadError, ImageFormatError):
        return
    with tifffile.TiffFile(path) as file:
        seen = file.asarray()
    seen = np.moveaxis(seen, 0, 2) if "planes" in layout else seen
    np.testing.assert_array_equal(made, seen)


@pytest.mark.parametrize("layout", [{"tile": (4400, 4400)}, {"rowsperstrip": 4400}])
def test_a_block_of_more_than_50_mb_is_read(tmp_path, layout):
    pixels = np.random.default_rng(0).integers(0, 256, (4400, 4400, 3), np.uint8)
    path = written(
        tmp_path, pixels, photometric="rgb", compression="zlib", compressionargs={"level": 0},
        **layout,
    )  # fmt: skip
    assert path.stat().st_size > 50 * 2**20
    with open_picture(path) as stream:
        top = 0
        for band in stream.rows:
            assert band.nbytes < 2**24, "a few rows at a time, however large the block"
            np.testing.assert_array_equal(band, pixels[top : top + len(band)])
            top += len(band)
    assert top == 4400


def test_a_palette_of_any_bits_is_looked_up(tmp_path):
    for bits in (1, 2, 4, 8):
        colours = noise(1, 2**bits)[0]
        index = np.arange(9 * 16).reshape(9, 16) % 2**bits
        lines = [
            int("".join(f"{n:0{bits}b}" for n in row), 2).to_bytes(2 * bits, "big")
            for row in index.tolist()
        ]
        tags = tags_of(9, 16, bits=bits, photometric=3)
        for factor in (257, 256):
            tags[320] = (3, (colours.T.astype(int) * factor).ravel().tolist())
            picture = read_picture(put(tmp_path, by_hand(tags, [b"".join(lines)])))
            np.testing.assert_array_equal(picture.pixels, colours[index])


OLD_JPEG = {259: (3, [6]), 519: (4, [8]), 520: (4, [8]), 521: (4, [8])}


@pytest.mark.parametrize(
    "tags",
    [
        tags_of(4, 4, photometric=3) | {320: (12, [70000.0] * 768)},
        tags_of(8, 8) | OLD_JPEG | {519: (12, [8.0])},
        tags_of(8, 8) | OLD_JPEG | {515: (4, [70000])},
        tags_of(8, 70000) | OLD_JPEG,
    ],
    ids=["fractions in a palette", "a table at a fraction", "restarts too rare", "too wide"],
)
def test_numbers_that_a_tag_cannot_mean_are_damage(tmp_path, tags):
    with refused("image-read", tmp_path / "a.tif"):
        read_picture(put(tmp_path, by_hand(tags, [bytes(100)])))


@pytest.mark.parametrize(
    ("tags", "facts"),
    [
        ({"t339": (3, [3]), "bits": 32}, ["type float"]),
        ({"t339": (3, [2])}, ["type char"]),
        ({"bits": 32}, ["type uint"]),
        ({"photometric": 8, "samples": 3}, ["Lab"]),
        ({"samples": 5, "photometric": 2}, ["5 channels"]),
        ({"t259": (3, [50000])}, ["Zstandard"]),
        ({"t259": (3, [34712])}, ["JPEG 2000"]),
        ({"t259": (3, [5]), "t317": (3, [3])}, ["predictor 3"]),
    ],
)
def test_a_variant_that_is_not_read_is_named(tmp_path, tags, facts):
    path = put(tmp_path, by_hand(tags_of(8, 8, **tags), [bytes(8 * 8 * 20)]))
    with refused("image-format", path, *facts):
        read_picture(path)


@pytest.mark.parametrize("name", ["trunc_tiled.tif", "damaged_tile.tif"])
def test_tiles_that_came_out_as_zeros_are_an_error(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip("needs ../shared/pictures")
    with refused("image-read", path, "damaged"):
        read_picture(path)


@pytest.mark.parametrize("name", ["ojpeg_tiled.tif", "ycbcr_lzw.tif", "ycbcr_raw_2x2.tif"])
def test_files_that_came_out_wrong_have_their_colours(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip("needs ../shared/pictures")
    right = read_picture(SHARED / "geo.tif").pixels.astype(int)  # of which all of them were made
    assert np.abs(read_picture(path).pixels - right).mean() <= 4
