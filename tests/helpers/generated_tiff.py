"""TIFF files of very many kinds, small, each made when it is asked for."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pyvips
import tifffile
from PIL import Image

from generated import Generated, image, nearly_clear, picture
from samples import by_pillow, profile, tiff

_TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 12: "d"}


def raw_tiff(tags: dict[int, tuple], segments: list[bytes], *, order: str = "<") -> bytes:
    """A TIFF of tags, each (type, values...) or (5, numerators and denominators...), and strips.

    The offsets (273 or 324) and sizes (279 or 325) of the segments are put in.
    """
    at = 8
    offsets = []
    for segment in segments:
        offsets.append(at)
        at += len(segment) + len(segment) % 2
    first = 324 if 322 in tags else 273
    sizes = 325 if 322 in tags else 279
    tags = {**tags, first: (4, *offsets), sizes: (4, *map(len, segments))}
    body = b"".join(segment + bytes(len(segment) % 2) for segment in segments)
    table, more, behind = b"", b"", at + 2 + 12 * len(tags) + 4
    for tag, (kind, *values) in sorted(tags.items()):
        pairs = kind == 5
        packed = struct.pack(order + str(len(values)) + ("I" if pairs else _TYPES[kind]), *values)
        count = len(values) // 2 if pairs else len(values)
        table += struct.pack(order + "HHI", tag, kind, count)
        if len(packed) > 4:
            table += struct.pack(order + "I", behind + len(more))
            more += packed + bytes(len(packed) % 2)
        else:
            table += packed.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", at)
    return head + body + struct.pack(order + "H", len(tags)) + table + bytes(4) + more


def all_generated_tiffs() -> Iterator[Generated]:
    """Every kind that needs no other program."""
    for kinds in (_layouts, _bits, _colours, _bands, _said, _pages):
        for name, make, *rest in kinds():
            yield Generated(f"{name}.tif", make, *rest)


def _layouts():
    """Strips, tiles and planes, each compressed in each way."""
    arrays = {"grey": picture(channels=1)[..., 0], "rgb": picture(), "deep": picture(bits=16)}
    for name, array in arrays.items():
        photometric = "minisblack" if name == "grey" else "rgb"
        for compression in (None, "zlib"):
            for layout in ({"rowsperstrip": 7}, {"rowsperstrip": 44}, {"tile": (16, 32)}):
                options = {"photometric": photometric, "compression": compression, **layout}
                label = (
                    f"{name}-{compression}-{'tile' if 'tile' in layout else layout['rowsperstrip']}"
                )
                yield label, lambda a=array, o=options: tiff(a, metadata=None, **o)
        for options in (
            {"byteorder": ">"},
            {"bigtiff": True},
            {"compression": "zlib", "predictor": True},
        ):
            yield (
                f"{name}-{next(reversed(options))}",
                lambda a=array, o=options, p=photometric: tiff(
                    a, photometric=p, metadata=None, **o
                ),
            )
    for bits in (8, 16):
        planes = np.ascontiguousarray(picture(bits=bits).transpose(2, 0, 1))
        for options in ({}, {"compression": "zlib"}, {"rowsperstrip": 5}):
            label = "-".join(map(str, ("planes", bits, *options)))
            yield (
                label,
                lambda a=planes, o=options: tiff(
                    a, photometric="rgb", planarconfig="separate", metadata=None, **o
                ),
            )
        yield (
            f"planes-{bits}-tiles",
            lambda a=planes: tiff(
                a, photometric="rgb", planarconfig="separate", tile=(16, 16), metadata=None
            ),
            False,
        )
    for compression in (
        "tiff_lzw",
        "packbits",
        "tiff_adobe_deflate",
        "tiff_deflate",
        "zstd",
        "lzma",
        "jpeg",
    ):
        for mode in ("L", "RGB", "RGBA"):
            if (compression, mode) != ("jpeg", "RGBA"):
                whole = compression not in ("lzma", "zstd")
                yield (
                    f"{compression}-{mode}",
                    lambda c=compression, m=mode: by_pillow(image(m), "TIFF", compression=c),
                    whole,
                )
    for compression in ("group3", "group4", "tiff_ccitt", "packbits", "tiff_lzw"):
        yield f"{compression}-1", lambda c=compression: by_pillow(image("1"), "TIFF", compression=c)
    for compression in ("lzw", "jpeg", "deflate", "packbits"):
        yield (
            f"tiles-{compression}",
            lambda c=compression: pyvips.Image.new_from_array(picture()).tiffsave_buffer(
                compression=c, tile=True, tile_width=32, tile_height=16, Q=95
            ),
        )
    yield (
        "tiles-lzw-grey",
        lambda: pyvips.Image.new_from_array(picture(channels=1)).tiffsave_buffer(
            compression="lzw", tile=True, tile_width=16, tile_height=16
        ),
    )
    yield (
        "large-tile",
        lambda: tiff(
            picture(), photometric="rgb", tile=(512, 512), compression="zlib", metadata=None
        ),
    )
    yield (
        "lowest-bit-first",
        lambda: raw_tiff(
            {**_grey_tags(1), 266: (3, 2)},
            [np.packbits(picture(channels=1)[..., 0] > 127, axis=1, bitorder="little").tobytes()],
        ),
    )


def _grey_tags(bits: int, *, photometric: int = 1, channels: int = 1) -> dict[int, tuple]:
    return {
        256: (4, 61), 257: (4, 44), 258: (3, *[bits] * channels), 259: (3, 1),
        262: (3, photometric), 277: (3, channels), 278: (4, 44),
    }  # fmt: skip


def _packed(array: np.ndarray, bits: int) -> bytes:
    """Rows of (H, W, C), each value in `bits` bits, a row ending with a byte."""
    values = array.reshape(len(array), -1, 1).astype(">u2").view(np.uint8)
    rows = np.unpackbits(values.reshape(len(array), -1, 2), axis=2)[..., 16 - bits :]
    return np.packbits(rows.reshape(len(array), -1), axis=1).tobytes()


def _bits():
    for bits in (1, 2, 4, 6, 7, 8, 10, 12, 14, 16):
        for photometric in (0, 1):
            array = picture(channels=1, bits=bits)
            data = _packed(array, bits) if bits < 16 else array.astype("<u2").tobytes()
            tags = _grey_tags(bits, photometric=photometric)
            yield f"bits-{bits}-{photometric}", lambda t=tags, d=data: raw_tiff(t, [d])
        if bits > 1:
            array = picture(bits=bits)
            data = _packed(array, bits) if bits < 16 else array.astype("<u2").tobytes()
            tags = _grey_tags(bits, photometric=2, channels=3)
            yield f"bits-{bits}-rgb", lambda t=tags, d=data: raw_tiff(t, [d])
    for bits in (1, 2, 4, 8):
        yield f"palette-{bits}", lambda b=bits: _palette(b)


def _palette(bits: int) -> bytes:
    reduced = image().quantize(2**bits)
    colours = np.zeros((2**bits, 3), np.uint16)
    given = np.array(reduced.getpalette()[: 3 * 2**bits]).reshape(-1, 3)
    colours[: len(given)] = given * 257
    tags = {**_grey_tags(bits, photometric=3), 320: (3, *colours.T.ravel().tolist())}
    return raw_tiff(tags, [_packed(np.asarray(reduced)[..., None], bits)])


def ycbcr(across: int, down: int, *, limited: bool = False) -> bytes:
    """Y, Cb and Cr of the picture in the data units of TIFF 6.0, not compressed."""
    rgb = picture(height=44, width=60).astype(float)
    red, green, blue = np.moveaxis(rgb, 2, 0)
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    cb, cr = (blue - y) / 1.772, (red - y) / 1.402
    if limited:
        y, cb, cr = 16 + y * 219 / 255, cb * 224 / 255, cr * 224 / 255
    height, width = y.shape

    def blocks(plane):
        return plane.reshape(height // down, down, width // across, across).transpose(0, 2, 1, 3)

    luma = blocks(y).reshape(height // down, width // across, -1)
    chroma = [blocks(plane).mean(axis=(2, 3))[..., None] + 128 for plane in (cb, cr)]
    units = np.concatenate([luma, *chroma], axis=2)
    return np.clip(np.round(units), 0, 255).astype(np.uint8).tobytes()


def _colours():
    for across, down in ((1, 1), (2, 1), (2, 2), (4, 1), (4, 2)):
        for limited in (False, True):
            reference = (16, 235, 128, 240, 128, 240) if limited else (0, 255, 128, 255, 128, 255)
            tags = {
                **_grey_tags(8, photometric=6, channels=3), 256: (4, 60), 530: (3, across, down),
                532: (5, *[n for value in reference for n in (value, 1)]),
            }  # fmt: skip
            data = ycbcr(across, down, limited=limited)
            label = f"ycbcr-{across}{down}{'-limited' * limited}"
            yield f"{label}-raw", lambda t=tags, d=data: raw_tiff(t, [d]), False
            for name, number, pack in (("deflate", 8, zlib.compress), ("lzw", 5, _lzw)):
                packed = {**tags, 259: (3, number)}
                yield (
                    f"{label}-{name}",
                    lambda t=packed, d=data, pack=pack: raw_tiff(t, [pack(d)]),
                    False,
                )
    yield "cmyk", lambda: by_pillow(image("CMYK"), "TIFF")
    yield "cmyk-lzw", lambda: by_pillow(image("CMYK"), "TIFF", compression="tiff_lzw")
    yield "lab", lambda: by_pillow(Image.new("LAB", (61, 44), (100, 150, 90)), "TIFF"), False
    yield "profile", lambda: tiff(picture(), photometric="rgb", iccprofile=profile(), metadata=None)
    yield (
        "profile-grey",
        lambda: tiff(picture(channels=1)[..., 0], iccprofile=profile(b"GRAY"), metadata=None),
    )


def _lzw(data: bytes) -> bytes:
    """TIFF's LZW that never compresses: it clears its table in time."""
    codes = []
    for n, value in enumerate(data):
        codes += [256, value] if n % 200 == 0 else [value]
    bits = "".join(format(code, "09b") for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _bands():
    """Bands beyond the colours."""
    for bits in (8, 16):
        array = picture(channels=4, bits=bits)
        for kind in ("unspecified", "assocalpha", "unassalpha"):
            values = array.copy()
            if kind == "assocalpha":
                alpha = values[..., 3:].astype(np.uint32)
                values[..., :3] = values[..., :3] * alpha // (2**bits - 1)
            yield (
                f"rgba-{bits}-{kind}",
                lambda a=values, k=kind: tiff(
                    a, photometric="rgb", extrasamples=[k], metadata=None
                ),
                kind != "unspecified",
            )
            grey = np.ascontiguousarray(values[..., [0, 3]])
            yield (
                f"la-{bits}-{kind}",
                lambda a=grey, k=kind: tiff(
                    a,
                    photometric="minisblack",
                    planarconfig="contig",
                    extrasamples=[k],
                    metadata=None,
                ),
                kind != "unspecified",
            )
    five = np.dstack([picture(channels=4), picture(channels=1)])
    yield (
        "five-bands",
        lambda: tiff(five, photometric="rgb", extrasamples=[0, 0], metadata=None),
        False,
    )
    yield (
        "band-and-alpha",
        lambda: tiff(five, photometric="rgb", extrasamples=[0, 2], metadata=None),
        False,
    )
    yield (
        "alpha-and-band",
        lambda: tiff(five, photometric="rgb", extrasamples=[2, 0], metadata=None),
        False,
    )
    hidden = picture(channels=4)
    hidden[..., 3][20:] = 0
    yield (
        "infrared-of-zero",
        lambda: tiff(hidden, photometric="rgb", extrasamples=[0], metadata=None),
        False,
    )
    yield (
        "no-extrasamples",
        lambda: raw_tiff(_grey_tags(8, photometric=2, channels=4), [picture(channels=4).tobytes()]),
        False,
    )
    planes = np.ascontiguousarray(picture(channels=4).transpose(2, 0, 1))
    yield (
        "alpha-in-planes",
        lambda: tiff(
            planes, photometric="rgb", planarconfig="separate", extrasamples=[2], metadata=None
        ),
    )
    for bits in (8, 16):
        for kind in ("assocalpha", "unassalpha", "unspecified"):
            for compression in (None, "zlib"):
                two = np.ascontiguousarray(picture(channels=2, bits=bits).transpose(2, 0, 1))
                if kind == "assocalpha":
                    two[0] = two[0].astype(np.uint32) * two[1] // (2**bits - 1)
                options = {"planarconfig": "separate", "extrasamples": [kind]}
                yield (
                    f"la-in-planes-{bits}-{kind}-{compression}",
                    lambda a=two, o=options, c=compression: tiff(
                        a, photometric="minisblack", metadata=None, compression=c, **o
                    ),
                    kind != "unspecified",
                )
    yield (
        "nearly-clear",
        lambda: tiff(nearly_clear(), photometric="rgb", extrasamples=[2], metadata=None),
    )
    yield (
        "nearly-clear-deep",
        lambda: tiff(nearly_clear(16), photometric="rgb", extrasamples=[2], metadata=None),
    )


def _said():
    """Resolution, orientation, place."""
    for orientation in range(1, 9):
        tags = {
            **_grey_tags(8, photometric=2, channels=3),
            274: (3, orientation),
            282: (5, 300, 1),
            283: (5, 150, 1),
        }
        yield f"turned-{orientation}", lambda t=tags: raw_tiff(t, [picture().tobytes()])
    for unit in (1, 2, 3):
        for across, down in ((118, 118), (200, 100), (1, 1)):
            tags = {**_grey_tags(8), 282: (5, across, 1), 283: (5, down, 1), 296: (3, unit)}
            yield (
                f"dots-{unit}-{across}-{down}",
                lambda t=tags: raw_tiff(t, [picture(channels=1).tobytes()]),
            )
    yield "no-dots", lambda: raw_tiff(_grey_tags(8), [picture(channels=1).tobytes()])
    place = {33550: (12, 10.0, 10.0, 0.0), 33922: (12, 0.0, 0.0, 0.0, 500000.0, 4600000.0, 0.0)}
    yield "geo", lambda: raw_tiff({**_grey_tags(8), **place}, [picture(channels=1).tobytes()])
    yield (
        "ome",
        lambda: tiff(
            picture(channels=1)[..., 0], ome=True, metadata={"axes": "YX", "PhysicalSizeX": 0.5}
        ),
    )
    yield "imagej", lambda: tiff(picture(channels=1)[..., 0], imagej=True)
    yield "shaped", lambda: tiff(picture(channels=1)[..., 0])


def _pages():
    def several(*pages, **options) -> bytes:
        data = io.BytesIO()
        with tifffile.TiffWriter(data, **options) as file:
            for array, more in pages:
                file.write(array, metadata=None, **more)
        return data.getvalue()

    rgb, grey = (picture(), {"photometric": "rgb"}), (picture(channels=1)[..., 0], {})
    small = (picture(20, 30), {"photometric": "rgb", "subfiletype": 1})
    deep = (picture(30, 25, bits=16), {"photometric": "rgb", "compression": "zlib"})
    yield "pages", lambda: several(rgb, rgb, rgb)
    yield "pages-mixed", lambda: several(rgb, grey, deep)
    yield "pages-reduced", lambda: several(rgb, small)
    yield "pages-reduced-between", lambda: several(rgb, small, grey)
    yield "pages-big", lambda: several(rgb, grey, bigtiff=True)
    yield (
        "pages-tiles",
        lambda: several(*[(picture(), {"photometric": "rgb", "tile": (16, 16)})] * 2),
    )
