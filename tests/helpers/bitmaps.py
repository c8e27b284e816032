"""BMP and Netpbm files made by hand and by Pillow."""

import struct

import numpy as np
from PIL import Image

from samples import (
    DEEP,
    GREY,
    PALETTE,
    RGB,
    RGBA,
    by_pillow,
    pillow_image,
)

GREY_PALETTE = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


COLOURS = np.random.default_rng(3).integers(0, 256, (256, 3), np.uint8)


def rows(array, *, bits):
    """Rows from the bottom, each filled up to 4 bytes: (H, W) of `bits` each, or (H, W, 3)."""
    made = b""
    for row in array[::-1]:
        if bits < 8:
            numbers = np.unpackbits(row[:, None].astype(np.uint8), axis=1)[:, -bits:]
            data = np.packbits(numbers).tobytes()
        else:
            data = row.astype("u1" if row.ndim == 2 else f"<u{bits // 8}").tobytes()
        made += data.ljust(-(-len(data) // 4) * 4, b"\0")
    return made


def bmp(
    array,
    *,
    bits,
    body=None,
    size=40,
    packing=0,
    palette=None,
    masks=(),
    height=None,
    icc=b"",
    dots=(0, 0),
):
    """A BMP with a header of any age."""
    table = b""
    if palette is not None:
        filling = b"" if size == 12 else b"\0"
        table = b"".join(bytes(colour[::-1]) + filling for colour in palette)
    body = rows(array, bits=bits) if body is None else body
    wide, high = array.shape[1], array.shape[0] if height is None else height
    if size == 12:
        header = struct.pack("<IHHHH", 12, wide, high, 1, bits)
    else:
        n_colours = len(palette) if palette is not None else 0
        numbers = (size, wide, high, 1, bits, packing, len(body), *dots, n_colours, 0)
        header = struct.pack("<IiiHHIIiiII", *numbers)
        header += b"".join(struct.pack("<I", mask) for mask in masks)
        if icc:
            header = header.ljust(56, b"\0") + b"DEBM"
            header = header.ljust(112, b"\0") + struct.pack(
                "<II", size + len(table) + len(body), len(icc)
            )
        header = header.ljust(size, b"\0")
    start = 14 + len(header) + len(table)
    whole = start + len(body) + len(icc)
    return struct.pack("<2sIII", b"BM", whole, 0, start) + header + table + body + icc


INDEX = GREY[..., 0]


FIFTEEN = (DEEP[..., 0] & 0x7FFF).astype(np.uint16)


WIDE = np.random.default_rng(5).integers(0, 2**32, (5, 7), np.uint32)


MADE_BY_HAND = {
    "1 bit": bmp(INDEX & 1, bits=1, palette=COLOURS[:2]),
    "1 bit grey": bmp(INDEX & 1, bits=1, palette=[(0, 0, 0), (255, 255, 255)]),
    "4 bit": bmp(INDEX & 15, bits=4, palette=COLOURS[:16]),
    "4 bit with few colours": bmp(INDEX % 5, bits=4, palette=COLOURS[:5]),
    "8 bit": bmp(INDEX, bits=8, palette=COLOURS),
    "8 bit grey": bmp(INDEX, bits=8, palette=GREY_PALETTE),
    "OS/2": bmp(INDEX, bits=8, palette=COLOURS, size=12),
    "OS/2 24 bit": bmp(RGB[..., ::-1], bits=8, size=12).replace(
        struct.pack("<HH", 1, 8), struct.pack("<HH", 1, 24), 1
    ),
    "16 bit": bmp(FIFTEEN, bits=16),
    "16 bit 5-6-5": bmp(DEEP[..., 0], bits=16, packing=3, masks=(0xF800, 0x7E0, 0x1F), size=56),
    "32 bit": bmp(WIDE, bits=32),
    "32 bit by masks": bmp(
        WIDE, bits=32, packing=3, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000), size=124
    ),
}


MADE_BY_PILLOW = {
    "1": by_pillow(pillow_image(GREY).convert("1"), "BMP"),
    "grey": by_pillow(pillow_image(GREY), "BMP"),
    "palette": by_pillow(PALETTE, "BMP"),
    "rgb": by_pillow(pillow_image(RGB), "BMP"),
    "rgba": by_pillow(Image.fromarray(RGBA, "RGBA"), "BMP"),
}


BMPS = {f"by hand: {k}": v for k, v in MADE_BY_HAND.items()}


BMPS |= {f"by Pillow: {k}": v for k, v in MADE_BY_PILLOW.items()}


PGM_TEXT = b"P2 # a comment\n# another\n3 2\n# and one\n 255\n0 1 2\n\n253\t254 255\n"


NETPBM = {
    "P1": (b"P1\n4 2\n1 0 1 0\n0110\n", np.array([[0, 255, 0, 255], [255, 0, 0, 255]])),
    "P2": (PGM_TEXT, np.array([[0, 1, 2], [253, 254, 255]])),
    "P2 of 4 levels": (b"P2 4 1 3 0 1 2 3", np.array([[0, 85, 170, 255]])),
    "P2 without a last space": (b"P2\n1 1\n255\n7", np.array([[7]])),
    "P3": (b"P3\n1 2\n255\n1 2 3\n4 5 6", np.array([[[1, 2, 3]], [[4, 5, 6]]])),
    "P4": (b"P4\n10 1\n\x80\x40", np.array([[0] + [255] * 8 + [0]])),
    "P5": (b"P5\n3 1\n255\n\n\x0c\xff", np.array([[10, 12, 255]])),
    "P6": (b"P6\r1\t1\r255\r\1\2\3", np.array([[[1, 2, 3]]])),
}


NETPBM_16 = {
    "P2": (b"P2\n2 1\n65535\n0 65535\n", np.array([[0, 65535]])),
    "P2 of 10 bits": (b"P2\n3 1\n1023\n0 1 1023\n", np.array([[0, 64, 65535]])),
    "P5": (b"P5\n2 1\n65535\n\1\2\3\4", np.array([[0x0102, 0x0304]])),
    "P6": (b"P6\n1 1\n65535\n\1\2\3\4\5\6", np.array([[[0x0102, 0x0304, 0x0506]]])),
}
