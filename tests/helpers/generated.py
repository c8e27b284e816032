"""Picture files of very many kinds, small, each made when it is asked for; TIFF is beside this.

Whole kinds are to come out right; what may be refused is marked so.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from samples import by_pillow, chunk, full_exif, png, profile


@dataclass(frozen=True)
class Generated:
    """A picture file that is to be written."""

    name: str
    make: Callable[[], bytes]
    whole: bool = True
    """True if the file must come out right, and may not be refused."""


def picture(height: int = 44, width: int = 61, channels: int = 3, bits: int = 8) -> np.ndarray:
    """Gradients over the whole range, a black square, a white one and a few lines."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [x / (width - 1), y / (height - 1), 1 - (x + y) / (width + height - 2)]
    values = np.stack([*planes, np.clip(1.4 * planes[0] - 0.2, 0, 1)], axis=2)
    values[8:20, 8:20, :3], values[8:20, 28:40, :3] = 0, 1
    values[26:36, 10:50:8, :3] = (0.9, 0.2, 0.1)
    values = values[..., [0, 3] if channels == 2 else list(range(channels))]
    return np.round(values * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def image(mode: str = "RGB") -> Image.Image:
    """The picture as Pillow holds it."""
    match mode:
        case "P":
            return image().quantize(40)
        case "1" | "CMYK":
            return image().convert(mode)
    array = picture(channels=len(mode))
    return Image.fromarray(array[..., 0] if len(mode) == 1 else array)


def all_generated() -> Iterator[Generated]:
    """Every kind that needs no other program, TIFF left out."""
    for kinds in (_pngs, _jpegs, _webps, _gifs, _bitmaps, _avifs, _stated, _turned, _clear):
        for name, make, *rest in kinds():
            yield Generated(name, make, *rest)


def _pngs():
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        yield f"mode-{mode}.png", lambda mode=mode: by_pillow(image(mode), "PNG")
    yield "clear-index.png", lambda: by_pillow(image("P"), "PNG", transparency=3)
    yield "clear-indices.png", lambda: by_pillow(image("P"), "PNG", transparency=bytes(range(40)))
    yield "clear-grey.png", lambda: by_pillow(image("L"), "PNG", transparency=0)
    yield "clear-colour.png", lambda: by_pillow(image(), "PNG", transparency=(255, 255, 255))
    for bits in (1, 2, 4):
        yield f"grey-{bits}.png", lambda bits=bits: _few_bits(bits)
        yield (
            f"palette-{bits}.png",
            lambda bits=bits: by_pillow(image("RGB").quantize(2**bits), "PNG", bits=bits),
        )
    for colour_type, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
        yield (
            f"deep-{colour_type}.png",
            lambda c=channels, t=colour_type: png(
                picture(channels=c, bits=16), bits=16, colour_type=t
            ),
        )
        yield (
            f"interlaced-{colour_type}.png",
            lambda c=channels, t=colour_type: _interlaced(c, t, 8),
        )
        yield (
            f"interlaced-deep-{colour_type}.png",
            lambda c=channels, t=colour_type: _interlaced(c, t, 16),
        )
    white = struct.pack(">3H", 65535, 65535, 65535)
    yield (
        "deep-clear-colour.png",
        lambda: png(picture(bits=16), bits=16, colour_type=2, extra=chunk(b"tRNS", white)),
    )
    for name, extra in {
        "gamma": chunk(b"gAMA", struct.pack(">I", 100000)),
        "gamma-2.2": chunk(b"gAMA", struct.pack(">I", 45455)),
        "srgb": chunk(b"sRGB", b"\0"),
        "background": chunk(b"bKGD", bytes(6)),
        "significant": chunk(b"sBIT", b"\5\6\5"),
        "p3": chunk(b"cICP", bytes((12, 13, 0, 1))),
        "primaries": chunk(
            b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
        ),
    }.items():
        yield f"{name}.png", lambda extra=extra: png(picture(), bits=8, colour_type=2, extra=extra)
    yield "several-idat.png", _several_idat
    for n, options in enumerate(
        ({}, {"disposal": 1}, {"disposal": 2, "blend": 1}, {"default_image": True})
    ):
        yield f"animated-{n}.png", lambda options=options: animated("PNG", **options)
    yield "profile.png", lambda: by_pillow(image(), "PNG", icc_profile=profile())
    yield "profile-grey.png", lambda: by_pillow(image("L"), "PNG", icc_profile=profile(b"GRAY"))
    for side in (1, 2, 3):
        yield (
            f"side-{side}.png",
            lambda side=side: by_pillow(image().crop((20, 5, 20 + side, 40)), "PNG"),
        )


def _few_bits(bits: int) -> bytes:
    levels = picture(channels=1)[..., 0] >> (8 - bits)
    rows = np.unpackbits(levels[..., None], axis=2)[..., 8 - bits :].reshape(len(levels), -1)
    return png(
        np.packbits(rows, axis=1)[..., None], bits=bits, colour_type=0, width=levels.shape[1]
    )


def _interlaced(channels: int, colour_type: int, bits: int) -> bytes:
    array, body = picture(channels=channels, bits=bits), b""
    starts = (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    )
    for top, left, down, across in starts:
        for row in array[top::down, left::across]:
            body += b"\0" + row.astype(">u2" if bits == 16 else "u1").tobytes()
    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], bits, colour_type, 0, 0, 1)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + parts


def _several_idat() -> bytes:
    data = by_pillow(image(), "PNG")
    at = data.find(b"IDAT") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    body = data[at + 8 : at + 8 + size]
    pieces = b"".join(chunk(b"IDAT", body[n : n + 100]) for n in range(0, size, 100))
    return data[:at] + pieces + data[at + 12 + size :]


def animated(name: str, mode: str = "RGBA", **options) -> bytes:
    frames = [image(mode), image(mode).rotate(90), image(mode).crop((0, 0, 61, 44)).transpose(0)]
    return by_pillow(
        frames[0],
        name,
        save_all=True,
        append_images=frames[1:],
        duration=[100, 250, 40],
        loop=3,
        **options,
    )


def _jpegs():
    for mode in ("L", "RGB", "CMYK"):
        yield f"mode-{mode}.jpg", lambda mode=mode: by_pillow(image(mode), "JPEG", quality=90)
    for sampling in (0, 1, 2):
        for progressive in (False, True):
            name = f"sampled-{sampling}{'-progressive' * progressive}.jpg"
            yield (
                name,
                lambda s=sampling, p=progressive: by_pillow(
                    image(), "JPEG", quality=92, subsampling=s, progressive=p
                ),
            )
    yield "restarts.jpg", lambda: by_pillow(image(), "JPEG", restart_marker_blocks=2)
    yield "rgb.jpg", lambda: by_pillow(image(), "JPEG", keep_rgb=True, quality=95)
    yield "profile.jpg", lambda: by_pillow(image(), "JPEG", icc_profile=profile())
    yield "coarse.jpg", lambda: by_pillow(image(), "JPEG", quality=20)
    yield (
        "mpo.mpo",
        lambda: by_pillow(image(), "MPO", save_all=True, append_images=[image().rotate(180)]),
    )
    exif = b"Exif\0\0" + full_exif()
    yield "two-exif.jpg", lambda: _with_segments(by_pillow(image(), "JPEG", exif=exif), exif)
    yield "comment.jpg", lambda: by_pillow(image(), "JPEG", comment=b"words")
    yield "junk-behind.jpg", lambda: by_pillow(image(), "JPEG") + b"junk" * 20
    yield "jfif.jfif", lambda: by_pillow(image(), "JPEG")
    yield "jpe.jpe", lambda: by_pillow(image(), "JPEG")
    yield "named-png.png", lambda: by_pillow(image(), "JPEG")


def _with_segments(data: bytes, body: bytes) -> bytes:
    return data[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body + data[2:]


def _webps():
    for mode in ("RGB", "RGBA"):
        yield f"lossy-{mode}.webp", lambda mode=mode: by_pillow(image(mode), "WEBP", quality=95)
        yield (
            f"lossless-{mode}.webp",
            lambda mode=mode: by_pillow(image(mode), "WEBP", lossless=True),
        )
        yield f"animated-{mode}.webp", lambda mode=mode: animated("WEBP", mode, lossless=True)
    yield "animated-lossy.webp", lambda: animated("WEBP", quality=95)
    yield "profile.webp", lambda: by_pillow(image(), "WEBP", icc_profile=profile(), lossless=True)


def gif(frames, *, size=(61, 44), background=0, plays=b"") -> bytes:
    """A GIF of (indices, (left, top), disposal, clear index or None) each, in Pillow's LZW."""
    table = bytes(image("P").getpalette()[: 40 * 3]).ljust(256 * 3, b"\0")
    data = b"GIF89a" + struct.pack("<HHBBB", *size, 0xF7, background, 0) + table
    if plays:
        data += b"!\xff\x0bNETSCAPE2.0\x03\x01" + plays + b"\0"
    for indices, (left, top), disposal, clear in frames:
        flags = disposal << 2 | (clear is not None)
        data += b"!\xf9\x04" + struct.pack("<BHB", flags, 12, clear or 0) + b"\0"
        height, width = indices.shape
        data += b"," + struct.pack("<4HB", left, top, width, height, 0) + _lzw(indices)
    return data + b";"


def _lzw(indices: np.ndarray) -> bytes:
    """LZW that never compresses: it clears its table in time."""
    codes = []
    for n, value in enumerate(indices.ravel().tolist()):
        codes += [256, value] if n % 200 == 0 else [value]
    bits = "".join(format(code, "09b")[::-1] for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    body = bytes(int(bits[n : n + 8][::-1], 2) for n in range(0, len(bits), 8))
    pieces = (body[n : n + 255] for n in range(0, len(body), 255))
    return b"\x08" + b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"


def _gifs():
    whole = np.asarray(image("P"))
    part = np.ascontiguousarray(whole[10:34, 12:40])
    yield "still.gif", lambda: by_pillow(image("P"), "GIF")
    yield "interlaced.gif", lambda: by_pillow(image("P"), "GIF", interlace=1)
    yield "clear.gif", lambda: by_pillow(image("P"), "GIF", transparency=5)
    yield "still-uncovered.gif", lambda: gif([(part, (12, 10), 0, None)])
    yield "still-uncovered-background.gif", lambda: gif([(part, (12, 10), 0, None)], background=7)
    for first in (0, 1, 2, 3):
        for clear in (None, 5):
            frames = [
                (whole, (0, 0), first, clear),
                (part, (3, 4), first, clear),
                (part, (30, 18), 0, clear),
            ]
            yield f"disposal-{first}-{clear}.gif", lambda f=frames: gif(f, plays=b"\0\0")
            moved = [(part, (12, 10), first, clear), *frames[1:]]
            yield (
                f"uncovered-{first}-{clear}.gif",
                lambda f=moved: gif(f, plays=b"\2\0", background=9),
            )
    yield "once.gif", lambda: gif([(whole, (0, 0), 0, None), (part, (3, 4), 0, None)])
    yield "animated.gif", lambda: animated("GIF", "RGB")
    yield "no-trailer.gif", lambda: gif([(whole, (0, 0), 0, None)])[:-1]
    yield (
        "no-trailer-animated.gif",
        lambda: gif([(whole, (0, 0), 0, None), (part, (9, 9), 0, None)])[:-1],
    )


def _bitmaps():
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"mode-{mode}.bmp", lambda mode=mode: by_pillow(image(mode), "BMP")
    yield "dib.dib", lambda: by_pillow(image(), "DIB")
    for mode, suffix in (("1", "pbm"), ("L", "pgm"), ("RGB", "ppm")):
        yield f"mode.{suffix}", lambda mode=mode: by_pillow(image(mode), "PPM")
        yield f"plain.{suffix}", lambda mode=mode: _plain_netpbm(mode)
    for channels, name in ((1, "P5"), (3, "P6")):
        yield (
            f"deep-{name}.pnm",
            lambda c=channels, n=name: (
                b"%s\n# words\n61 44\n65535\n" % n.encode()
                + picture(channels=c, bits=16).astype(">u2").tobytes()
            ),
        )
        yield (
            f"ten-{name}.pnm",
            lambda c=channels, n=name: (
                b"%s 61 44 1023\n" % n.encode()
                + picture(channels=c, bits=10).astype(">u2").tobytes()
            ),
        )
    types = {1: b"GRAYSCALE", 2: b"GRAYSCALE_ALPHA", 3: b"RGB", 4: b"RGB_ALPHA"}
    for channels, bits in ((1, 8), (2, 8), (3, 8), (4, 8), (3, 16), (4, 16)):
        head = b"P7\nWIDTH 61\nHEIGHT 44\nDEPTH %d\nMAXVAL %d\nTUPLTYPE %s\nENDHDR\n"
        head %= (channels, 2**bits - 1, types[channels])
        yield (
            f"{channels}x{bits}.pam",
            lambda c=channels, b=bits, head=head: (
                head + picture(channels=c, bits=b).astype(">u2" if b > 8 else "u1").tobytes()
            ),
        )


def _plain_netpbm(mode: str) -> bytes:
    if mode == "1":
        bits = 1 - np.asarray(image("1")).astype(int)
        return b"P1\n61 44\n" + "\n".join(" ".join(map(str, row)) for row in bits).encode()
    array = picture(channels=len(mode))
    name = {"L": b"P2", "RGB": b"P3"}[mode]
    return name + b"\n61 44\n255\n" + "\n".join(map(str, array.ravel())).encode()


def _avifs():
    for mode in ("L", "RGB", "RGBA"):
        for sampling in ("4:2:0", "4:4:4"):
            yield (
                f"{mode}-{sampling.replace(':', '')}.avif",
                lambda m=mode, s=sampling: by_pillow(
                    image(m), "AVIF", quality=95, subsampling=s, speed=9
                ),
            )
        yield (
            f"limited-{mode}.avif",
            lambda m=mode: by_pillow(
                image(m), "AVIF", quality=95, subsampling="4:4:4", range="limited", speed=9
            ),
        )
    yield (
        "profile.avif",
        lambda: by_pillow(image(), "AVIF", quality=95, icc_profile=profile(), speed=9),
    )
    yield "animated.avif", lambda: animated("AVIF", "RGB", speed=9), False


def _stated():
    """Make files that state a resolution."""
    for name, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("BMP", "bmp"), ("WEBP", "webp")):
        for dpi in ((300, 300), (72, 72), (200, 100), (25.4, 25.4)):
            yield f"dpi-{dpi[0]}-{dpi[1]}.{suffix}", lambda n=name, d=dpi: _with_dpi(n, d)
    for unit, across, down in ((0, 1, 1), (0, 1, 2), (0, 2, 1), (2, 118, 118), (1, 1, 1)):
        yield (
            f"jfif-{unit}-{across}-{down}.jpg",
            lambda u=unit, a=across, d=down: _with_density(u, a, d),
        )
    for unit, across, down in ((0, 1, 2), (0, 3, 3), (1, 1000, 1000), (1, 5000, 2500)):
        body = struct.pack(">IIB", across, down, unit)
        yield (
            f"phys-{unit}-{across}-{down}.png",
            lambda body=body: png(picture(), bits=8, colour_type=2, extra=chunk(b"pHYs", body)),
        )


def _with_dpi(name: str, dpi: tuple[float, float]) -> bytes:
    if name != "WEBP":
        return by_pillow(image(), name, dpi=dpi)
    exif = Image.Exif()
    exif[282], exif[283], exif[296] = *dpi, 2
    return by_pillow(image(), name, exif=exif)


def _with_density(unit: int, across: int, down: int) -> bytes:
    data = bytearray(by_pillow(image(), "JPEG"))
    at = data.find(b"JFIF\0") + 7
    data[at : at + 5] = struct.pack(">BHH", unit, across, down)
    return bytes(data)


def _turned():
    for orientation in range(1, 9):
        for name, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("AVIF", "avif")):
            yield (
                f"turned-{orientation}.{suffix}",
                lambda n=name, o=orientation: _with_orientation(n, o),
            )


def _with_orientation(name: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[282], exif[283], exif[296] = orientation, 300, 150, 2
    return by_pillow(image(), name, exif=exif, **({"speed": 9} if name == "AVIF" else {}))


def nearly_clear(bits: int = 8) -> np.ndarray:
    """White at an alpha that no one sees, round an opaque black square."""
    top = 2**bits - 1
    array = np.full((48, 48, 4), top, np.uint8 if bits == 8 else np.uint16)
    array[..., 3] = round(top * 2 / 255)
    array[12:36, 12:36] = (0, 0, 0, top)
    return array


def _clear():
    """Make files with colours under their alpha."""
    arrays = {"nearly": nearly_clear(), "half": nearly_clear(), "hidden": nearly_clear()}
    arrays["half"][..., 3] = np.where(arrays["half"][..., 3] == 2, 128, 255)
    arrays["hidden"][..., 3] = np.where(arrays["hidden"][..., 3] == 2, 0, 255)
    for name, array in arrays.items():
        yield f"{name}.png", lambda a=array: by_pillow(Image.fromarray(a), "PNG")
        yield (
            f"{name}.webp",
            lambda a=array: by_pillow(Image.fromarray(a), "WEBP", lossless=True, exact=True),
        )
        yield (
            f"{name}.avif",
            lambda a=array: by_pillow(
                Image.fromarray(a), "AVIF", quality=100, speed=9, subsampling="4:4:4"
            ),
        )
    yield "nearly-deep.png", lambda: png(nearly_clear(16), bits=16, colour_type=6)
    grey = np.ascontiguousarray(nearly_clear()[..., [0, 3]])
    yield "nearly-grey.png", lambda: by_pillow(Image.fromarray(grey), "PNG")
