"""Colours and premultiplication that files name in their own way; damage is never an exception."""

import struct
import zlib
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facts import refused
from samples import PNG_DATA, chunk, full_exif
from widesr.errors import ImageFormatError
from widesr.pictures.boxes import Heif
from widesr.pictures.containers import (
    metadata_of_png,
    named_colours,
    png_chunks,
)
from widesr.pictures.metadata import Metadata, cleaned
from widesr.pictures.profiles import SRGB, coded_colours
from widesr.pictures.sources import opened


def colours(data, kind):
    with opened(data) as file:
        return named_colours(file, kind)


def png(**chunks):
    added = b"".join(chunk(name.encode(), body) for name, body in chunks.items())
    return PNG_DATA[:33] + added + PNG_DATA[33:]


def box(name, *bodies):
    body = b"".join(bodies)
    return struct.pack(">I", 8 + len(body)) + name + body


def avif(*colours, main=1, wide=False, refers=b""):
    """The boxes that say what the picture `main` is; each of `colours` is a property of it."""
    properties = [box(b"ispe", bytes(12)), *(box(b"colr", body) for body in colours)]
    numbers = range(1, len(properties) + 1)
    ids, code = (">II", ">H") if wide else (">HH", ">B")
    listed = b"".join(struct.pack(code, number | (0x8000 if wide else 0x80)) for number in numbers)
    entry = struct.pack(">I" if wide else ">H", main) + bytes([len(properties)]) + listed
    other = struct.pack(">I" if wide else ">H", main + 7) + b"\1" + struct.pack(code, 1)
    version = b"\1\0\0\1" if wide else bytes(4)
    ipma = box(b"ipma", version, struct.pack(">I", 2), other, entry)
    pitm = box(b"pitm", version[:1] + bytes(3), struct.pack(ids[:2], main))
    iprp = box(b"iprp", box(b"ipco", *properties), ipma)
    iref = box(b"iref", bytes(4), refers)
    return box(b"ftyp", b"avif") + box(b"meta", bytes(4), pitm, iref, iprp)


def nclx(primaries, transfer):
    return b"nclx" + struct.pack(">HHHB", primaries, transfer, 6, 0x80)


@pytest.mark.parametrize("wide", [False, True])
def test_the_codes_of_the_main_picture_are_found(wide):
    assert colours(avif(nclx(12, 13), wide=wide), "avif") == coded_colours(12, 13)


def test_a_profile_goes_before_codes_in_avif_and_after_them_in_png():
    assert colours(avif(nclx(12, 13), b"prof" + bytes(99)), "avif") is None
    both = png(cICP=b"\x0c\x0d\0\1", iCCP=b"x")
    assert colours(both, "png") == coded_colours(12, 13)


def test_gamma_counts_where_nothing_else_speaks():
    gamma = struct.pack(">I", 100_000)
    assert colours(png(gAMA=gamma), "png") == (SRGB.primaries, 1.0)
    for other in ("sRGB", "iCCP"):
        assert colours(png(gAMA=gamma, **{other: b"\0"}), "png") is None
    for nonsense in (bytes(4), b"\xff" * 4, b""):
        assert colours(png(gAMA=nonsense), "png") is None


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_by_its_name(transfer, name):
    files = {"avif": avif(nclx(9, transfer)), "png": png(cICP=bytes([9, transfer, 0, 1]))}
    for kind, data in files.items():
        with refused("image-format", "<bytes>", "HDR", name):
            colours(data, kind)


def test_premultiplied_is_what_refers_to_its_alpha_so():
    to_alpha = struct.pack(">HHH", 1, 1, 2)
    assert Heif(avif(refers=box(b"prem", to_alpha))).refers(b"prem", 1)
    assert not Heif(avif(refers=box(b"auxl", to_alpha))).refers(b"prem", 1)
    assert not Heif(avif(refers=box(b"prem", to_alpha), main=3)).refers(b"prem", 3)


def test_png_metadata_is_found_wherever_and_however_it_is_written():
    exif, iptc = full_exif(), b"\x1c\x02\x19\0\x01k"
    written = png_chunks(Metadata(exif, b"<x:xmpmeta/>", iptc))
    for data in (
        PNG_DATA[:33] + written + PNG_DATA[33:],
        PNG_DATA[:-12] + written + PNG_DATA[-12:],
    ):
        found = cleaned(metadata_of_png(data))
        assert (found.exif, found.iptc) == (exif, iptc)
    digits = b"\nexif\n %d\n%s\n" % (len(exif) + 6, (b"Exif\0\0" + exif).hex("\n", 36).encode())
    xmp = b"XML:com.adobe.xmp\0\1\0en\0\0" + zlib.compress(b"<x:xmpmeta/>")
    older = png(tEXt=b"Raw profile type APP1\0" + digits, iTXt=xmp)
    assert cleaned(metadata_of_png(older)) == (exif, b"<x:xmpmeta/>", None)


@given(st.binary(max_size=200), st.integers(0, 200))
@example(b"\0\0\0\1meta", 0)
def test_any_bytes_are_read_without_an_exception(data, at):
    whole = avif(nclx(12, 13))
    start, end = whole[:at], whole[at + len(data) :]
    for broken in (data, start, start + data, start + data + end):
        Heif(broken).data(1, most=9)
        metadata_of_png(PNG_DATA[:8] + broken)
        for name in (b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
            cleaned(metadata_of_png(PNG_DATA[:8] + chunk(name, b"Raw profile type iptc" + data)))
        for kind, damaged in (("avif", whole[:16] + broken), ("png", PNG_DATA[:8] + broken)):
            with suppress(ImageFormatError):  # HDR, by chance
                colours(damaged, kind)
