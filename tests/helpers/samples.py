"""Picture files of every kind, made by Pillow, tifffile, or by hand: what the tests read."""

import io
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image

PILLOW_NAMES = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP", "tiff": "TIFF", "avif": "AVIF"}


def smooth(height=40, width=56, channels=3, dtype=np.uint8):
    """Gradients that JPEG keeps within a few levels."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [x / width, y / height, (x + y) / (width + height), 1 - x / width][:channels]
    return (np.stack(planes, axis=2) * np.iinfo(dtype).max).astype(dtype)


def noise(height=23, width=31, channels=3, dtype=np.uint8):
    rng = np.random.default_rng(7)
    return rng.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)


def by_pillow(image, name, **options):
    data = io.BytesIO()
    image.save(data, name, **options)
    return data.getvalue()


def pillow_image(array):
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def chunk(name, body=b""):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(array, *, bits, colour_type, extra=b"", width=None, height=None):
    """A PNG of (H, W, C); bits below 8 take `array` as one packed byte row each."""
    rows = b"".join(b"\0" + row.astype(">u2" if bits == 16 else "u1").tobytes() for row in array)
    size = struct.pack(">II", width or array.shape[1], height or array.shape[0])
    header = chunk(b"IHDR", size + bytes([bits, colour_type, 0, 0, 0]))
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + header + extra + body


def tiff(array, **options):
    data = io.BytesIO()
    tifffile.imwrite(data, array, **options)
    return data.getvalue()


def profile(space=b"RGB ", gamma=2.2):
    """A small ICC v2 profile with the primaries of Adobe RGB, or one grey curve."""

    def xyz(*values):
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78 + 3)
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": xyz(0.9642, 1, 0.8249)}
    if space == b"GRAY":
        tags |= {b"kTRC": curve}
    else:
        tags |= {b"rXYZ": xyz(0.6097, 0.3111, 0.0195), b"rTRC": curve, b"gTRC": curve}
        tags |= {b"gXYZ": xyz(0.2053, 0.6257, 0.0609), b"bXYZ": xyz(0.1492, 0.0632, 0.7446)}
        tags |= {b"bTRC": curve}
    table, data = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    size = 128 + len(table) + len(data)
    header = struct.pack(">I4sI4s4s4s", size, b"test", 0x02100000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + table + data


def full_exif(*, orientation=1, width=56, thumbnail=b"", order="<"):
    """EXIF with all that libexif is known to lose: maker note, rating, private tags."""
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x0110], exif[0x0112] = "Canon", "EOS X", orientation
    exif[0x0132], exif[0x013B] = "2024:01:02 03:04:05", "An Artist"
    exif[0x4746], exif[0x9C9B] = 5, "Title".encode("utf-16le")
    camera = exif.get_ifd(0x8769)
    camera[0x829A], camera[0x9003], camera[0xA002], camera[0xA003] = 0.004, "2024:01:02", width, 40
    camera[0x927C] = b"Maker\0" + bytes(range(256))
    camera[0xA434], camera[0xFDE8] = "RF 50mm", "private"
    place = exif.get_ifd(0x8825)
    place[1], place[2], place[3], place[4] = "N", (48.0, 51.0, 24.5), "E", (2.0, 21.0, 3.0)
    block = bytearray(exif.tobytes().removeprefix(b"Exif\0\0"))
    if thumbnail:
        here = len(block)
        n = struct.unpack_from(order + "H", block, 8)[0]
        struct.pack_into(order + "I", block, 10 + 12 * n, here)
        block += struct.pack(order + "H", 2)
        block += struct.pack(order + "HHII", 0x0201, 4, 1, here + 30)
        block += struct.pack(order + "HHII", 0x0202, 4, 1, len(thumbnail))
        block += struct.pack(order + "I", 0) + thumbnail
    return bytes(block)


def all_tags(file):
    """Every EXIF tag that Pillow finds, by directory."""
    with Image.open(file) as image:
        exif = image.getexif()
        tags = {(0, tag): value for tag, value in exif.items()}
        for directory in (0x8769, 0x8825):
            tags |= {(directory, tag): v for tag, v in exif.get_ifd(directory).items()}
    return {key: v for key, v in tags.items() if key not in {(0, 0x8769), (0, 0x8825)}}


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def put(folder, data, name="in.bin"):
    path = folder / name
    path.write_bytes(data)
    return path


RGB, GREY = noise(), noise(channels=1)

RGBA, GREY_ALPHA = noise(channels=4), noise(channels=2)

PALETTE = Image.fromarray(RGB).quantize(64)

DEEP = noise(dtype=np.uint16)

PIXELS = {
    "png rgb": (by_pillow(pillow_image(RGB), "PNG"), RGB),
    "png rgba": (by_pillow(Image.fromarray(RGBA, "RGBA"), "PNG"), RGBA),
    "png grey": (by_pillow(pillow_image(GREY), "PNG"), GREY),
    "png grey and alpha": (by_pillow(Image.fromarray(GREY_ALPHA, "LA"), "PNG"), GREY_ALPHA),
    "png palette": (by_pillow(PALETTE, "PNG"), np.asarray(PALETTE.convert("RGB"))),
    "png palette with a clear colour": (
        by_pillow(PALETTE, "PNG", transparency=3),
        np.dstack(
            [np.asarray(PALETTE.convert("RGB")), np.where(np.asarray(PALETTE) == 3, 0, 255)]
        ).astype(np.uint8),
    ),
    "png grey with a clear level": (
        by_pillow(pillow_image(GREY), "PNG", transparency=int(GREY[0, 0, 0])),
        np.dstack([GREY, np.where(GREY[0, 0, 0] == GREY, 0, 255)]).astype(np.uint8),
    ),
    "png 1 bit": (
        png(np.array([[0b10110000], [0b01010000]], np.uint8), bits=1, colour_type=0, width=4),
        np.array([[255, 0, 255, 255], [0, 255, 0, 255]], np.uint8)[..., None],
    ),
    "png 2 bit": (
        png(np.array([[0b00011011]], np.uint8), bits=2, colour_type=0, width=4),
        np.array([[0, 85, 170, 255]], np.uint8)[..., None],
    ),
    "png 16 bit": (png(DEEP, bits=16, colour_type=2), DEEP),
    "png 16 bit grey": (png(DEEP[..., :1], bits=16, colour_type=0), DEEP[..., :1]),
    "png 16 bit grey and alpha": (png(DEEP[..., :2], bits=16, colour_type=4), DEEP[..., :2]),
    "tiff rgb": (tiff(RGB, photometric="rgb"), RGB),
    "tiff 16 bit": (tiff(DEEP, photometric="rgb"), DEEP),
    "tiff 16 bit big endian": (tiff(DEEP, photometric="rgb", byteorder=">"), DEEP),
    "tiff grey": (tiff(GREY[..., 0]), GREY),
    "tiff white is zero": (tiff(GREY[..., 0], photometric="miniswhite"), 255 - GREY),
    "tiff tiles": (tiff(RGB, photometric="rgb", tile=(16, 16)), RGB),
    "tiff planes": (
        tiff(RGB.transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate"),
        RGB,
    ),
    "tiff big": (tiff(RGB, photometric="rgb", bigtiff=True), RGB),
    "tiff deflate": (by_pillow(pillow_image(RGB), "TIFF", compression="tiff_adobe_deflate"), RGB),
    "tiff lzw": (by_pillow(pillow_image(RGB), "TIFF", compression="tiff_lzw"), RGB),
    "tiff fax": (
        by_pillow(pillow_image(GREY).convert("1"), "TIFF", compression="group4"),
        np.asarray(pillow_image(GREY).convert("1").convert("L"))[..., None],
    ),
    "tiff palette": (by_pillow(PALETTE, "TIFF"), np.asarray(PALETTE.convert("RGB"))),
    "tiff alpha": (tiff(RGBA, photometric="rgb", extrasamples=["unassalpha"]), RGBA),
    "webp": (by_pillow(pillow_image(RGB), "WEBP", lossless=True), RGB),
    "webp alpha": (
        by_pillow(Image.fromarray(RGBA, "RGBA"), "WEBP", lossless=True, exact=True),
        RGBA,
    ),
    "gif": (by_pillow(PALETTE, "GIF"), np.asarray(PALETTE.convert("RGB"))),
}

PNG_DATA = PIXELS["png rgb"][0]
