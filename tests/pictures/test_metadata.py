"""EXIF, XMP, IPTC and resolution from any container into any other, read back by Pillow."""

import re
import struct
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, IptcImagePlugin, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational

from facts import refused
from metadata_samples import IPTC, XMP
from samples import RGB, all_tags, by_pillow, full_exif, pillow_image, profile, put, smooth
from widesr.pictures.jpeg import segment
from widesr.pictures.metadata import PHOTOSHOP, Metadata, cleaned, wrapped_iptc
from widesr.pictures.picture import Picture
from widesr.pictures.profiles import sound_profile
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import write_picture


@pytest.mark.parametrize("source", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".avif"])
def test_the_resolution_is_kept(tmp_path, source, suffix):
    data = by_pillow(pillow_image(smooth()), source, dpi=(300, 150))
    picture = read_picture(put(tmp_path, data))
    assert picture.pixels_per_mm == pytest.approx((300 / 25.4, 150 / 25.4), rel=1e-3)
    write_picture(tmp_path / f"out{suffix}", picture)
    again = read_picture(tmp_path / f"out{suffix}")
    assert again.pixels_per_mm == pytest.approx((300 / 25.4, 150 / 25.4), rel=2e-3)


def test_the_resolution_turns_with_the_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = by_pillow(pillow_image(RGB), "TIFF", dpi=(300, 150), exif=exif)
    picture = read_picture(put(tmp_path, data))
    assert picture.pixels_per_mm == pytest.approx((150 / 25.4, 300 / 25.4), rel=1e-3)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_every_exif_tag_arrives_with_the_new_size(tmp_path, source, suffix, order):
    path = put(
        tmp_path,
        by_pillow(pillow_image(smooth()), source, exif=b"Exif\0\0" + full_exif(order=order)),
    )
    expected = all_tags(path) | {(0x8769, 0xA002): 112, (0x8769, 0xA003): 80}
    assert expected[0x8769, 0x927C] == b"Maker\0" + bytes(range(256))
    picture = read_picture(path)
    larger = Picture(pixels=picture.pixels.repeat(2, axis=0).repeat(2, axis=1), exif=picture.exif)
    write_picture(tmp_path / f"out{suffix}", larger)
    written = all_tags(tmp_path / f"out{suffix}")
    of_the_file = {
        (0, tag)
        for tag in (
            *range(0x0100, 0x0104),
            0x0106,
            0x0111,
            0x0112,
            *range(0x0115, 0x0129),
            0x013D,
            0x0153,
        )
    }
    assert {k: v for k, v in written.items() if k not in of_the_file} == {
        k: v for k, v in expected.items() if k not in of_the_file
    }


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_size_of_the_sensor_stays(tmp_path, order, orientation):
    exif = Image.Exif()
    exif.endian, exif[0x0112] = order, orientation
    camera = exif.get_ifd(0x8769)
    camera[0xA002], camera[0xA003] = 56, 40
    camera[0xA20E], camera[0xA20F] = IFDRational(56, 36), IFDRational(40, 24)  # 36 x 24 mm
    data = by_pillow(pillow_image(smooth()), "JPEG", exif=exif)
    picture = read_picture(put(tmp_path, data))
    pixels = picture.pixels.repeat(3, axis=0).repeat(2, axis=1)
    write_picture(tmp_path / "out.png", replace(picture, pixels=pixels))
    tags = all_tags(tmp_path / "out.png")
    sensor = [tags[0x8769, 0xA002 + n] / float(tags[0x8769, 0xA20E + n]) for n in (0, 1)]
    assert sensor == pytest.approx([36, 24] if orientation < 5 else [24, 36])


def test_a_size_beyond_16_bits_fits_into_the_exif(tmp_path):
    picture = Picture(pixels=np.zeros((1, 70_000, 1), np.uint8), exif=full_exif())
    write_picture(tmp_path / "out.png", picture)
    assert all_tags(tmp_path / "out.png")[0x8769, 0xA002] == 70_000


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_thumbnail_is_dropped_and_nothing_else(tmp_path, order):
    secret = b"\xff\xd8\xffthe uncropped picture\xff\xd9"
    exif = full_exif(thumbnail=secret, order=order)
    data = by_pillow(pillow_image(smooth()), "JPEG", exif=b"Exif\0\0" + exif)
    assert secret in data
    picture = read_picture(put(tmp_path, data))
    write_picture(tmp_path / "out.jpg", picture)
    written = (tmp_path / "out.jpg").read_bytes()
    assert b"uncropped" not in written
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.getexif().get_ifd(1) == {}
    assert all_tags(tmp_path / "out.jpg") == all_tags(tmp_path / "in.bin")


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_xmp_arrives_upright_with_the_new_size(tmp_path, source, suffix):
    options = {"xmp": XMP}
    if source == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options = {"pnginfo": text}
    elif source == "TIFF":
        options = {"tiffinfo": {700: XMP}}
    data = by_pillow(pillow_image(smooth()), source, **options)
    picture = read_picture(put(tmp_path, data))
    larger = Picture(pixels=picture.pixels.repeat(2, axis=1), xmp=picture.xmp)
    write_picture(tmp_path / f"out{suffix}", larger)
    with Image.open(tmp_path / f"out{suffix}") as image:
        image.load()
        packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    packet = packet if isinstance(packet, bytes) else packet.encode()
    assert b'tiff:Orientation="1" exif:PixelXDimension="112"' in packet
    assert b"<exif:PixelYDimension>40</exif:PixelYDimension>" in packet
    assert b'xmp:Rating="4"' in packet
    assert b"uncropped" not in packet


_OF_A_PHONE = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description
 hdrgm:Version="1.0" GCamera:MotionPhoto="1" xmpNote:HasExtendedXMP='0123' xmp:Rating="4">
<GCamera:MicroVideo>1</GCamera:MicroVideo><hdrgm:Version>1.0</hdrgm:Version>
<Container:Directory><rdf:Seq><rdf:li Item:Semantic="GainMap"/></rdf:Seq></Container:Directory>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def test_xmp_speaks_of_nothing_that_is_not_in_the_new_file(tmp_path, caplog):
    data = by_pillow(pillow_image(smooth()), "JPEG", xmp=_OF_A_PHONE)
    picture = read_picture(put(tmp_path, data))
    assert caplog.messages == []
    assert not re.search(rb"hdrgm:Version|HasExtendedXMP|GainMap|(Photo|Video)\W*1", picture.xmp)
    assert b'xmp:Rating="4"' in picture.xmp
    without_prefixes = re.sub(rb"\w+:(\w+)", rb"\1", picture.xmp)
    ElementTree.fromstring(without_prefixes)  # noqa: S314 (ours): it is still well-formed


def test_xmp_beyond_the_first_segment_is_left_out_with_a_warning(tmp_path, caplog):
    data = by_pillow(pillow_image(smooth()), "JPEG", xmp=XMP)
    body = b"http://ns.adobe.com/xmp/extension/\0" + bytes(40) + b"<x/>"
    more = segment(0xE1, body)
    picture = read_picture(put(tmp_path, data[:2] + more + data[2:]))
    assert b'xmp:Rating="4"' in picture.xmp
    assert len(caplog.messages) == 1


def test_iptc_in_the_second_of_photoshops_segments_arrives(tmp_path):
    data = by_pillow(pillow_image(smooth()), "JPEG")
    other = b"8BIM\x04\x25\0\0" + (60_000).to_bytes(4, "big") + bytes(60_000)
    parts = other, wrapped_iptc(IPTC).removeprefix(PHOTOSHOP)
    more = b"".join(segment(0xED, PHOTOSHOP + part) for part in parts)
    assert read_picture(put(tmp_path, data[:2] + more + data[2:])).iptc == IPTC


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_iptc_goes_between_jpeg_and_tiff(tmp_path, suffix):
    picture = Picture(pixels=smooth(), iptc=IPTC)
    for step in range(3):
        path = tmp_path / f"{step}{suffix if step % 2 == 0 else '.jpg'}"
        write_picture(path, picture)
        with Image.open(path) as image:
            info = IptcImagePlugin.getiptcinfo(image)
        assert (info[2, 5], info[2, 25]) == (b"title", b"sea")
        picture = read_picture(path)
        assert picture.iptc is not None
        assert picture.iptc.rstrip(b"\0") == IPTC


def test_metadata_too_large_for_jpeg_is_refused_and_not_dropped(tmp_path):
    picture = Picture(pixels=RGB, xmp=XMP + b" " * 70_000)
    with refused("image-format", tmp_path / "out.jpg", "XMP", "JPEG"):
        write_picture(tmp_path / "out.jpg", picture)
    write_picture(tmp_path / "out.png", picture)


@pytest.mark.parametrize("block", ["xmp", "iptc"])
def test_the_largest_metadata_that_jpeg_holds_arrives_whole(tmp_path, block):
    data = {"xmp": b"<x:xmpmeta/>".ljust(65_504), "iptc": IPTC.ljust(65_504, b"\0")}[block]
    write_picture(tmp_path / "out.jpg", Picture(pixels=RGB, **{block: data}))
    assert getattr(read_picture(tmp_path / "out.jpg"), block) == data


def test_exif_that_claims_more_than_it_has_costs_no_memory(tmp_path):
    # 5,000 tags that all point at the same 60,000 bytes: 300 MB for 120 KB of file.
    n, shared = 5_000, 60_000
    table = struct.pack("<H", n) + b"".join(
        struct.pack("<HHII", 0x8298 if k == 0 else 0x9000 + k, 7, shared, 60_100) for k in range(n)
    )
    block = b"II*\0\x08\0\0\0" + table + bytes(4)
    block = block.ljust(60_100, b"\0") + bytes(shared)
    write_picture(tmp_path / "out.tif", Picture(pixels=RGB, exif=block))
    assert (tmp_path / "out.tif").stat().st_size < 300_000


def test_what_is_clean_stays_as_it_is():
    once = cleaned(Metadata(full_exif(orientation=6, thumbnail=b"\xff\xd8\xff"), XMP, IPTC))
    assert cleaned(once) == once


def test_what_is_no_metadata_is_left_out():
    for block in (b"II*\0", b"no TIFF", b"II+\0\x08\0\0\0" + bytes(30), b"Exif\0\0", b""):
        assert not cleaned(Metadata(exif=block)).exif
    assert cleaned(Metadata(iptc=b"Photoshop 3.0\x008BIM\4\5\0\0\0\0\0\0")).iptc is None


@pytest.mark.timeout(60)  # a search that backtracks would take hours
def test_thumbnails_that_never_end_cost_no_time():
    packet = b"<xmp:Thumbnails " * 200_000
    assert cleaned(Metadata(xmp=packet)).xmp == packet
    packet = b"<xmp:Thumbnails>a</xmp:Thumbnails>" * 100_000
    assert cleaned(Metadata(xmp=packet)).xmp == b""


@pytest.mark.parametrize("absurd", [(2e6, 2e6), (1e-9, 10.0), (float("nan"), 1.0), (-1.0, -1.0)])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_a_resolution_that_no_picture_has_is_left_out(tmp_path, capfd, suffix, absurd):
    path = tmp_path / f"out{suffix}"
    write_picture(path, Picture(pixels=RGB, pixels_per_mm=absurd))
    assert capfd.readouterr().err == ""
    found = read_picture(path).pixels_per_mm
    assert found is None or found == pytest.approx((72 / 25.4, 72 / 25.4), rel=1e-3)


def test_what_lies_behind_a_profile_is_cut_off():
    assert sound_profile(profile()) == profile()
    assert sound_profile(profile() + b"behind") == profile()
    assert sound_profile(None) is None


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([b"RGB ", b"GRAY"]), st.data())
def test_a_picture_with_a_damaged_profile_can_be_written(tmp_path, space, data):
    icc = bytearray(profile(space))
    for _ in range(data.draw(st.integers(1, 4))):
        icc[data.draw(st.integers(0, len(icc) - 1))] = data.draw(st.integers(0, 255))
    icc = bytes(icc[: data.draw(st.integers(0, len(icc) + 50))])
    picture = Picture(pixels=RGB[..., : 1 if space == b"GRAY" else 3], icc=icc)
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        write_picture(tmp_path / f"out{suffix}", picture, overwrite=True)
    np.testing.assert_array_equal(read_picture(tmp_path / "out.tif").pixels, picture.pixels)
