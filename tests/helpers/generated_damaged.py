"""Pictures that are cut short or changed: they may be refused, and never come out wrong."""

import io
import struct
from collections.abc import Iterator

import numpy as np
import pyvips
import tifffile

from generated import Generated, animated, image, picture
from samples import by_pillow, tiff


def all_damaged() -> Iterator[Generated]:
    """Each format and each layout of TIFF, damaged in each way."""
    for name, make, *rest in _cut():
        yield Generated(name, make, *rest)
    for name, make, *rest in _tiffs():
        yield Generated(f"{name}.tif", make, *rest)


def _cut():
    """Damage: cut short, a byte changed, the end mark missing."""
    wholes = {
        "png": lambda: by_pillow(image(), "PNG"),
        "jpg": lambda: by_pillow(image(), "JPEG"),
        "progressive.jpg": lambda: by_pillow(image(), "JPEG", progressive=True),
        "webp": lambda: by_pillow(image(), "WEBP", lossless=True),
        "lossy.webp": lambda: by_pillow(image("RGBA"), "WEBP"),
        "gif": lambda: by_pillow(image("P"), "GIF"),
        "animated.gif": lambda: animated("GIF", "RGB"),
        "animated.png": lambda: animated("PNG"),
        "animated.webp": lambda: animated("WEBP", lossless=True),
        "bmp": lambda: by_pillow(image(), "BMP"),
        "ppm": lambda: by_pillow(image(), "PPM"),
        "avif": lambda: by_pillow(image(), "AVIF", speed=9),
    }
    for name, make in wholes.items():
        for share in (0.3, 0.6, 0.9):
            yield f"cut-{share}.{name}", lambda m=make, s=share: m()[: int(len(m()) * s)], False
        # All that a JPEG lacks without its last byte is half of the mark of its end.
        yield f"cut-1.{name}", lambda m=make: m()[:-1], name.endswith("jpg")
    yield "no-end.jpg", lambda: wholes["jpg"]()[:-2]
    yield "no-end-progressive.jpg", lambda: wholes["progressive.jpg"]()[:-2]
    yield "no-end.png", lambda: wholes["png"]()[:-12]


def _tiffs():
    """Make TIFF that no reader can read whole: cut, and with bytes changed, in each layout."""
    array = picture(120, 130)
    layouts = {
        "strips": {"rowsperstrip": 16},
        "tiles": {"tile": (48, 48)},
        "one-strip": {"rowsperstrip": 120},
    }
    for layout, options in layouts.items():
        for compression in (None, "zlib"):

            def make(o=options, c=compression):
                return tiff(array, photometric="rgb", compression=c, metadata=None, **o)

            for share in (0.4, 0.8, 0.97):
                yield (
                    f"cut-{share}-{layout}-{compression}",
                    lambda m=make, s=share: m()[: int(len(m()) * s)],
                    False,
                )
            if compression:
                yield f"changed-{layout}", lambda m=make: _changed(m()), False
        for compression in ("lzw", "jpeg", "packbits"):

            def made(o=options, c=compression):
                more = {"tile": True, "tile_width": 48, "tile_height": 48} if "tile" in o else {}
                return pyvips.Image.new_from_array(array).tiffsave_buffer(compression=c, **more)

            if layout != "one-strip":
                yield f"cut-{layout}-{compression}", lambda m=made: _without_end(m()), False
                yield f"changed-{layout}-{compression}", lambda m=made: _changed(m()), False
    rgba = picture(120, 130, channels=4)
    for share in (0.4, 0.8):
        yield (
            f"cut-{share}-alpha-tiles",
            lambda s=share: _short(
                tiff(
                    rgba,
                    photometric="rgb",
                    extrasamples=[2],
                    tile=(48, 48),
                    compression="zlib",
                    metadata=None,
                ),
                s,
            ),
            False,
        )
    pages = tiff(
        np.stack([array, array]),
        photometric="rgb",
        tile=(48, 48),
        compression="zlib",
        metadata=None,
    )
    yield "changed-second-page", lambda: _changed(pages, at=0.8), False


def _short(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


def _changed(data: bytes, *, at: float = 0.5) -> bytes:
    """Some bytes in the middle of the pixels replaced."""
    middle = int(len(data) * at)
    return (
        data[:middle]
        + bytes(255 - byte for byte in data[middle : middle + 40])
        + data[middle + 40 :]
    )


def _without_end(data: bytes) -> bytes:
    """The last strip or tile points behind the file's end."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        tag = page.tags[324 if 324 in page.tags else 273]
    values = list(tag.value)
    values[-1] = len(data) + 1000
    changed = bytearray(data)
    kind = {3: "H", 4: "I"}[int(tag.dtype)]
    packed = struct.pack(f"{file.byteorder}{len(values)}{kind}", *values)
    changed[tag.valueoffset : tag.valueoffset + len(packed)] = packed
    return bytes(changed)
