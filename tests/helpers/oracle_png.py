"""PNG as Pillow sees it, with the lower bytes of 16 bits that it leaves out."""

import io
import struct

import numpy as np
from PIL import Image

from seen import rgba


def deep_png(data: bytes) -> np.ndarray | None:
    """RGBA of a PNG of 16 bits: Pillow's upper bytes, and its lower ones in a second reading."""
    bits, colour_type = data[24], data[25]
    names = {0: ("I;16B", "I;16B"), 2: ("RGB;16B", "RGB;16L"), 6: ("RGBA;16B", "RGBA;16L")}
    if bits != 16 or colour_type not in names:
        return None
    if colour_type == 0:
        with Image.open(io.BytesIO(data)) as image:
            values = np.atleast_3d(np.asarray(image)).astype(np.int64)
    else:
        parts = []
        for name in names[colour_type]:
            with Image.open(io.BytesIO(data)) as image:
                image.tile = [image.tile[0]._replace(args=name)]
                image.load()
                parts.append(np.asarray(image).astype(np.int64))
        values = parts[0] * 256 + parts[1]
    frame = rgba(values / 65535)
    at = data.find(b"tRNS", 33, data.find(b"IDAT"))
    if at > 0 and colour_type in (0, 2):
        n = values.shape[2]
        key = struct.unpack(f">{n}H", data[at + 4 : at + 4 + 2 * n])
        frame[..., 3] = ~(values == key).all(axis=2)
    return frame


def has_alpha(image: Image.Image) -> bool:
    return "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
