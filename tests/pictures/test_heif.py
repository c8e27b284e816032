"""AVIF and HEIC: the levels and the picture that are meant, and all that goes with them."""

import io
import struct

import numpy as np
import pytest
import pyvips
from PIL import Image

from facts import refused
from others import execute, program
from samples import by_pillow, full_exif, pillow_image, profile, put
from widesr.batch.jobs import plan_jobs
from widesr.pictures.boxes import Heif
from widesr.pictures.reading import read_header, read_picture

BLOCKS = np.random.default_rng(1).integers(40, 256, (4, 4, 4), np.uint8)
BLOCKS[0, :, :3] = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255)
PIXELS = BLOCKS.repeat(16, axis=0).repeat(16, axis=1)
INNER = np.s_[8::16, 8::16]
"""A pixel of each block, far from those whose colours are stored together with another's."""


def box(name, *bodies):
    body = b"".join(bodies)
    return struct.pack(">I", 8 + len(body)) + name + body


def avifenc(folder, *options, alpha=False, name="in.avif"):
    Image.fromarray(PIXELS if alpha else PIXELS[..., :3].copy()).save(folder / "in.png")
    quality = ["--min", "0", "--max", "0", "--minalpha", "0", "--maxalpha", "0"]
    command = [program("avifenc"), "-s", "10", "-j", "1", *quality, *options]
    execute([*command, str(folder / "in.png"), str(folder / name)])
    return folder / name


def by_libavif(path):
    """Values from 0 to 1, (H, W, 3 or 4); of 16 bits, as its quick way to 8 is not exact."""
    out = path.with_suffix(".decoded.png")
    execute([program("avifdec"), "-j", "1", "-d", "16", str(path), str(out)])
    planes = pyvips.Image.new_from_file(str(out)).numpy() / 65535
    return planes if planes.ndim == 3 else planes[..., np.newaxis].repeat(3, axis=2)


def by_us(path):
    picture = read_picture(path)
    colours = np.broadcast_to(picture.pixels, (*picture.pixels.shape[:2], 3))
    planes = colours if picture.alpha is None else np.dstack([colours, picture.alpha])
    return planes / np.iinfo(planes.dtype).max


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("layout", ["444", "422", "420", "400"])
@pytest.mark.parametrize("bits", ["8", "10", "12"])
@pytest.mark.parametrize("matrix", ["1", "6", "9"])
def test_levels_of_limited_range_are_stretched(tmp_path, matrix, bits, layout, alpha):
    how = ["-r", "limited", "-d", bits, "-y", layout, "--cicp", f"1/13/{matrix}"]
    path = avifenc(tmp_path, *how, alpha=alpha)
    picture = read_picture(path)
    assert picture.pixels.shape[2] == (1 if layout == "400" else 3)
    assert picture.pixels.dtype == (np.uint8 if bits == "8" else np.uint16)
    assert np.abs(by_us(path)[INNER] - by_libavif(path)[INNER]).max() <= 2.5 / 255


@pytest.mark.parametrize("range_", ["full", "limited"])
@pytest.mark.parametrize("layout", ["444", "400"])
def test_the_range_is_found_in_the_coded_picture_where_no_box_says_it(tmp_path, range_, layout):
    path = avifenc(tmp_path, "-r", range_, "-y", layout)
    path.write_bytes(path.read_bytes().replace(b"colrnclx", b"freenclx"))
    assert np.abs(by_us(path)[INNER] - by_libavif(path)[INNER]).max() <= 2.5 / 255


@pytest.mark.parametrize("mirror", [None, 0, 1])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [(44, 60), (45, 61)])
def test_colours_of_half_the_size_turn_with_the_picture(tmp_path, size, quarters, mirror):
    y, x = np.mgrid[: size[0], : size[1]]
    pixels = np.stack([4 * x, 5 * y, 2 * (x + y)], axis=2).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    turns = ("--irot", str(quarters)) if quarters else ()
    turns += () if mirror is None else ("--imir", str(mirror))
    made = tmp_path / "turned.avif"
    words = ("-y", "420", "--min", "0", "--max", "5", *turns)
    execute([program("avifenc"), *words, str(tmp_path / "in.png"), str(made)])
    expected = np.rot90(pixels, quarters)
    if mirror is not None:
        expected = np.flip(expected, axis=mirror)
    ours = read_picture(made).pixels
    assert np.abs(ours.astype(int) - expected).max() <= 6  # 80 where libheif turns odd sides
    header = read_header(made)
    assert (header.height, header.width) == expected.shape[:2]


def test_rgb_of_limited_range_is_stretched_alike_in_each_channel(tmp_path):
    path = avifenc(tmp_path, "-r", "limited", "--cicp", "1/13/0")
    assert np.abs(by_us(path)[INNER] - PIXELS[INNER][..., :3] / 255).max() <= 2.5 / 255


def test_alpha_of_limited_range_is_stretched(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "in.png")
    path = tmp_path / "in.avif"
    coder = ["-c:v", "libaom-av1", "-still-picture", "1", "-crf", "2", "-cpu-used", "8"]
    graph = "[0:v]format=yuv444p[a];[0:v]alphaextract,scale=out_range=tv,format=gray[b]"
    maps = ["-filter_complex", graph, "-map", "[a]", "-map", "[b]", "-color_range:v:1", "tv"]
    source = ["-v", "error", "-i", str(tmp_path / "in.png")]
    execute([program("ffmpeg"), *source, *maps, *coder, str(path)])
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGBA"))[INNER][..., 3]
    assert np.abs(read_picture(path).alpha[INNER].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("matrix", [3, 8, 10, 13, 14, 16])
def test_colours_coded_in_a_way_that_is_taken_for_another_are_refused(tmp_path, matrix):
    path = avifenc(tmp_path, "-r", "limited")
    data = bytearray(path.read_bytes())
    at = data.index(b"colrnclx") + 12
    data[at : at + 2] = struct.pack(">H", matrix)
    with refused("image-format", f"matrix {matrix}"):
        read_picture(put(tmp_path, data, "b.avif"))


def joined(files, *, primary):
    """Several AVIF files of one item each as one; `primary` counts from 1."""
    infos, data, properties, owned = [], [], [], []
    for item, file in enumerate(files, 1):
        heif = Heif(file)
        numbers = []
        for name, body in heif.properties(heif.primary):
            properties.append(box(name, body))
            numbers.append(len(properties) | (0x80 if name == b"av1C" else 0))
        owned.append(struct.pack(">HB", item, len(numbers)) + bytes(numbers))
        infos.append(box(b"infe", b"\2\0\0\0", struct.pack(">HH", item, 0), b"av01\0"))
        data.append(heif.data(heif.primary, most=2**20))

    def meta(at):
        places = b""
        for item, coded in enumerate(data, 1):
            places += struct.pack(">HHHII", item, 0, 1, at, len(coded))
            at += len(coded)
        n = struct.pack(">H", len(data))
        ipma = box(b"ipma", bytes(4), struct.pack(">I", len(owned)), *owned)
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", bytes(4), struct.pack(">H", primary)),
            box(b"iloc", b"\0\0\0\0\x44\0", n, places),
            box(b"iinf", bytes(4), n, *infos),
            box(b"iprp", box(b"ipco", *properties), ipma),
        )

    head = box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf")
    return head + meta(len(head) + len(meta(0)) + 8) + box(b"mdat", *data)


@pytest.mark.parametrize("primary", [1, 2, 3])
def test_of_several_pictures_in_an_avif_the_primary_one_is_read(tmp_path, primary):
    layouts = (["-y", "444"], ["-y", "400", "-r", "limited"], ["-y", "420", "-d", "12"])
    single = [avifenc(tmp_path, *how, name=f"{n}.avif") for n, how in enumerate(layouts)]
    data = joined([path.read_bytes() for path in single], primary=primary)
    path = put(tmp_path, data, "joined.avif")
    picture, alone = read_picture(path), read_picture(single[primary - 1])
    np.testing.assert_array_equal(picture.pixels, alone.pixels)
    assert read_header(path).pages == 1


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("how", [["-y", "444"], ["-y", "400", "-r", "limited"]])
def test_a_grid_is_one_picture_whether_or_not_its_parts_are_hidden(tmp_path, hidden, how):
    names = []
    for n, part in enumerate(np.split(PIXELS[..., :3].repeat(2, axis=0).repeat(4, axis=1), 2, 1)):
        names.append(str(tmp_path / f"{n}.png"))
        Image.fromarray(np.ascontiguousarray(part)).save(names[-1])
    path = tmp_path / "grid.avif"
    lossy = ["-s", "10", "--min", "0", "--max", "0", *how]
    execute([program("avifenc"), *lossy, "--grid", "2x1", *names, str(path)])
    if not hidden:
        path.write_bytes(path.read_bytes().replace(b"infe\2\0\0\1", b"infe\2\0\0\0"))
    assert np.abs(by_us(path)[16::32, 32::64] - by_libavif(path)[16::32, 32::64]).max() <= 2.5 / 255


def test_an_animated_avif_is_not_sent_back_to_the_command_that_refuses_it(tmp_path):
    image = pillow_image(PIXELS[..., :3])
    data = by_pillow(image, "AVIF", save_all=True, append_images=[image.rotate(90)])
    with refused("image-format", "AVIF animation") as error:
        read_picture(put(tmp_path, data))
    assert "widesr upscale" not in str(error.value)


# HEIC, by pillow-heif, which some environments lack.


@pytest.fixture(scope="module")
def heif():
    return pytest.importorskip("pillow_heif", reason="needs the extra heic")


def heic(module, mode, array, **options):
    """Lossless, but for the way to brightness and differences."""
    height, width = array.shape[:2]
    file = module.from_bytes(mode, (width, height), np.ascontiguousarray(array).tobytes())
    data = io.BytesIO()
    file.save(data, quality=-1, chroma=444, **options)
    return data.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "RGB;16", "RGBA;16", "L;16"])
def test_heic_keeps_depth_grey_and_alpha(heif, tmp_path, mode):
    letters, _, deep = mode.partition(";")
    array = {"RGB": PIXELS[..., :3], "RGBA": PIXELS, "L": PIXELS[..., 0]}[letters]
    array = array.astype(np.uint16) * 257 if deep else array
    path = put(tmp_path, heic(heif, mode, array), "in.heic")
    picture = read_picture(path)
    planes = picture.pixels if picture.alpha is None else np.dstack(
        [picture.pixels, picture.alpha]
    )  # fmt: skip
    assert planes.dtype == array.dtype
    assert planes.shape == np.atleast_3d(array).shape
    assert np.abs(planes.astype(int) - np.atleast_3d(array)).max() <= (200 if deep else 1)
    header = read_header(path)
    assert (header.height, header.width, header.pixel_bytes) == (
        *array.shape[:2],
        planes.shape[2] * planes.itemsize,
    )


def test_grey_heic_of_limited_range_is_stretched(heif, tmp_path):
    levels = np.round(16 + PIXELS[..., 0] * (219 / 255)).astype(np.uint8)
    data = bytearray(heic(heif, "L", levels))
    data[data.index(b"colrnclx") + 14] = 0
    pixels = read_picture(put(tmp_path, data)).pixels[..., 0]
    assert np.abs(pixels.astype(int) - PIXELS[..., 0]).max() <= 1


def test_heic_is_turned_once_and_its_profile_and_metadata_go_along(heif, tmp_path):
    exif, xmp = b"Exif\0\0" + full_exif(orientation=6), b"<x:xmpmeta/>"
    heif.register_heif_opener()
    upright = np.ascontiguousarray(PIXELS[:, :32, :3])
    data = by_pillow(
        Image.fromarray(upright), "HEIF", exif=exif, xmp=xmp, icc_profile=profile(), quality=-1
    )
    path = put(tmp_path, data)
    picture = read_picture(path)
    with Image.open(path) as image:
        assert picture.pixels.shape == (image.height, image.width, 3)
        assert np.abs(picture.pixels[INNER].astype(int) - np.asarray(image)[INNER]).max() <= 1
    assert picture.icc == profile()
    assert picture.exif == full_exif(orientation=1)
    assert picture.xmp == xmp


def test_colours_that_heic_names_by_codes_become_a_profile_and_hdr_is_refused(heif, tmp_path):
    codes = {"color_primaries": 12, "transfer_characteristics": 13, "matrix_coefficients": 6}
    p3 = read_picture(put(tmp_path, heic(heif, "RGB", PIXELS[..., :3], **codes)))
    assert p3.icc
    codes["transfer_characteristics"] = 18
    hdr = put(tmp_path, heic(heif, "RGB", PIXELS[..., :3], **codes))
    with refused("image-format", "HLG"):
        read_picture(hdr)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_heic_that_is_cut_short_is_damaged(heif, tmp_path, share):
    data = heic(heif, "RGB", PIXELS[..., :3])
    with refused("image-read", "damaged"):
        read_picture(put(tmp_path, data[: int(len(data) * share)]))


def test_without_the_extra_heic_is_refused_with_its_name(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    with refused("missing-extra", tmp_path / "in.heic", "'widesr[heic]'"):
        read_picture(put(tmp_path, data, "in.heic"))


@pytest.mark.parametrize(
    ("mode", "suffix"), [("RGB", ".jpg"), ("L", ".jpg"), ("RGBA", ".avif"), ("RGB;16", ".avif")]
)
def test_heic_becomes_jpeg_or_avif_where_jpeg_would_lose_something(heif, tmp_path, mode, suffix):
    array = {"RGB": PIXELS[..., :3], "RGBA": PIXELS, "L": PIXELS[..., 0]}[mode.partition(";")[0]]
    array = array.astype(np.uint16) * 257 if ";" in mode else array
    path = put(tmp_path, heic(heif, mode, array), "IMG_1.HEIC")
    (job,) = plan_jobs([path], name_end="_x2")
    assert job.target.name == f"IMG_1_x2{suffix}"


def test_a_jpeg_under_the_name_of_heic_becomes_jpeg(tmp_path):
    path = put(tmp_path, by_pillow(pillow_image(PIXELS[..., :3]), "JPEG"), "IMG_1.heic")
    (job,) = plan_jobs([path], name_end="_x2")
    assert job.target.name == "IMG_1_x2.jpg"
