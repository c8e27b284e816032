"""Files that are refused by their content: one line names the kind and the way out."""

import errno
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from facts import refused
from samples import GREY, PALETTE, PNG_DATA, RGB, RGBA, by_pillow, chunk, pillow_image, put, tiff
from widesr.errors import ImageReadError
from widesr.pictures.reading import read_picture

REFUSED = {
    "HEIC animation": (b"\0\0\0\x18ftyphevc\0\0\0\0msf1hevc", ["HEIC animation"]),
    "JXL": (b"\xff\x0a" + bytes(40), ["JPEG XL", "PNG"]),
    "JXL in boxes": (b"\0\0\0\x0cJXL \r\n\x87\n", ["JPEG XL"]),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", ["JPEG 2000"]),
    "CR2": (b"II*\0\x10\0\0\0CR\2\0", ["camera raw", "raw converter"]),
    "CR3": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", ["camera raw"]),
    "RAF": (b"FUJIFILMCCD-RAW 0201", ["camera raw"]),
    "DNG": (tiff(GREY[..., 0], extratags=[(50706, 1, 4, (1, 4, 0, 0), True)]), ["camera raw"]),
    "sensor mosaic": (tiff(GREY[..., 0], photometric=32803), ["camera raw"]),
    "SVG": (b'<?xml version="1.0"?>\n<!-- x -->\n<svg xmlns="a"/>', ["SVG", "render"]),
    "PDF": (b"%PDF-1.7\n", ["PDF", "render"]),
    "PSD": (b"8BPS\0\1", ["Photoshop"]),
    "PFM": (b"PF\n1 1\n-1.0\n" + bytes(12), ["PFM", "PNG"]),
    "EXR": (b"\x76\x2f\x31\x01\2\0\0\0", ["OpenEXR"]),
    "animated PNG": (
        by_pillow(PALETTE, "PNG", save_all=True, append_images=[PALETTE.rotate(180)]),
        ["2 pages", "PNG"],
    ),
    "animated GIF": (
        by_pillow(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(180)]),
        ["2 pages", "PNG"],
    ),
    "animated WebP": (
        by_pillow(
            pillow_image(RGB), "WEBP", save_all=True, append_images=[pillow_image(255 - RGB)]
        ),
        ["2 pages"],
    ),
    "animated AVIF": (
        by_pillow(
            pillow_image(RGB), "AVIF", save_all=True, append_images=[pillow_image(255 - RGB)]
        ),
        ["AVIF animation"],
    ),
    "pages": (tiff(np.stack([RGB, RGB]), photometric="rgb"), ["2 pages"]),
    "float": (tiff(RGB.astype(np.float32), photometric="rgb"), ["type float", "16-bit"]),
    "half": (tiff(RGB.astype(np.float16), photometric="rgb"), ["type half", "16-bit"]),
    "signed": (tiff(GREY[..., 0].astype(np.int16)), ["type short", "16-bit"]),
    "32 bit": (tiff(GREY[..., 0].astype(np.uint32)), ["type uint", "16-bit"]),
    "Lab": (tiff(RGB, photometric="cielab"), ["Lab", "RGB"]),
    "five channels": (
        tiff(np.dstack([RGBA, GREY]), photometric="minisblack", planarconfig="contig"),
        ["5 channels"],
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_picture_of_another_kind_is_refused_with_a_way_out(tmp_path, kind):
    data, facts = REFUSED[kind]
    path = put(tmp_path, data, "some [1] name.png")
    with refused("image-format", path, *facts):
        read_picture(path)


def test_what_is_no_picture_file_gets_one_line(tmp_path):
    with refused("image-read", tmp_path / "absent.png", "no such"):
        read_picture(tmp_path / "absent.png")
    with refused("image-read", tmp_path, "folder"):
        read_picture(tmp_path)
    with refused("image-read", "empty"):
        read_picture(put(tmp_path, b""))
    with refused("image-read", tmp_path / "notes.png", "PNG", "JPEG"):
        read_picture(put(tmp_path, b"Thumbs and notes", "notes.png"))
    with refused("image-read", "film"):
        read_picture(put(tmp_path, b"\0\0\0\x18ftypisom\0\0\0\0isomavc1"))
    with refused("image-read", os.strerror(errno.ENAMETOOLONG)):
        read_picture(tmp_path / ("x" * 300))
    with refused("image-read", "name"):
        read_picture(Path("nul\0nul"))


@pytest.mark.timeout(120)  # in time that grows with their square, it would be hours
def test_a_million_chunks_before_the_pixels_cost_no_time(tmp_path):
    header, rest = PNG_DATA[:33], PNG_DATA[33:]
    path = put(tmp_path, header + chunk(b"prVt") * 1_000_000 + rest)
    with suppress(ImageReadError):
        read_picture(path)
