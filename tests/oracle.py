"""What other programs see in a picture file: Pillow, tifffile, and a few lines of our own.

Ours are where both are known to be wrong or have no mode: the frames of a GIF, which a browser
draws on a clear canvas; PNG of 16 bits, of which Pillow gives the upper eight; PAM; JPEG whose end
mark is missing; and the colours of TIFF.
"""

import io
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from oracle_tiff import see_tiff
from seen import DamagedError, NoOracleError, Seen, inks, rgba, suitable, upright

with suppress(ImportError):  # reads HEIC, where it is installed
    import pillow_heif

    pillow_heif.register_heif_opener()

_MOST_FRAMES = 40
"""Frames of an animation whose pixels are compared."""


def see(path: Path) -> Seen:
    """See a file as others do.

    Raises:
        NoOracleError: They do not, or not rightly.
        DamagedError: They say that pixels are missing.
    """
    data = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return see_tiff(path)
        if data[:6] in (b"GIF87a", b"GIF89a"):
            return _see_gif(data)
        if data[:2] == b"P7":
            return _see_pam(data)
        if data[:3] == b"\xff\xd8\xff":
            data = _ended(data)
        return _by_pillow(data)


def _by_pillow(data: bytes) -> Seen:
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        raise NoOracleError("Pillow does not know such a file") from error
    except Exception as error:  # of many kinds
        raise NoOracleError(f"Pillow: {error!r}") from error
    with image:
        try:
            return _see_image(image, data)
        except NoOracleError:
            raise
        except Exception as error:  # of many kinds
            raise DamagedError(f"Pillow: {error!r}") from error


def _see_image(image: Image.Image, data: bytes) -> Seen:
    several = getattr(image, "n_frames", 1) if image.format in ("PNG", "WEBP", "AVIF") else 1
    first = int(several > 1 and bool(image.info.get("default_image")))
    turned = image.getexif().get(0x0112, 1) not in (0, 1)
    seen = Seen(
        frames=[],
        bits=_bits(image, data),
        alpha=_has_alpha(image),
        dots=_dots(image),
        aspect=_aspect(image),
        tagged=_is_tagged(image, data),
        turned=turned and image.format not in ("AVIF", "HEIF"),
    )
    frames, times = [], []
    for number in range(first, several):
        image.seek(number)
        image.load()
        times.append(round(image.info.get("duration", 0)))
        if len(frames) < _MOST_FRAMES:
            frames.append(_frame(image, data if several == 1 else None))
    icc, uncertain = image.info.get("icc_profile"), None
    if image.mode == "CMYK":
        icc, uncertain = None, frames[0][1]
    grey = image.mode in ("1", "L", "LA", "La", "I;16", "I", "I;16B")
    return replace(
        seen,
        frames=[frame for frame, _ in frames],
        icc=suitable(icc, grey=grey),
        uncertain=uncertain,
        times=tuple(times) if several - first > 1 else None,
        plays=image.info.get("loop") if several - first > 1 else None,
    )


def _frame(image: Image.Image, data: bytes | None) -> tuple[np.ndarray, str | None]:
    """RGBA, upright, and why it is not certain."""
    deep = _deep_png(data) if data and image.format == "PNG" else None
    if deep is not None:
        return upright(deep, image.getexif().get(0x0112, 1)), None
    orientation = image.getexif().get(0x0112, 1)
    if image.mode == "CMYK":
        array = np.asarray(image, np.float32) / 255
        colours, uncertain = inks(array, image.info.get("icc_profile"))
        return upright(rgba(colours), orientation), uncertain
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        return upright(rgba(np.asarray(image).astype(np.float32) / 65535), orientation), None
    if image.mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX"):
        raise NoOracleError(f"Pillow's mode {image.mode}")
    array = np.asarray(image.convert("RGBA" if _has_alpha(image) else "RGB"), np.float32) / 255
    return upright(rgba(array), orientation), None


def _deep_png(data: bytes) -> np.ndarray | None:
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


def _has_alpha(image: Image.Image) -> bool:
    return "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa")


def _bits(image: Image.Image, data: bytes) -> int:
    match image.format:
        case "PNG":
            return data[24]
        case "AVIF":
            at = data.find(b"av1C")
            return 12 if data[at + 6] & 0x20 else 10 if data[at + 6] & 0x40 else 8
        case "PPM":
            return 16 if image.mode in ("I", "I;16") or _netpbm_top(data) > 255 else 8
    return 8


def _netpbm_top(data: bytes) -> int:
    words = re.sub(rb"#[^\n\r]*[\n\r]", b" ", data[:2000]).split()
    return int(words[3]) if words[0] in (b"P2", b"P3", b"P5", b"P6") else 1


def _dots(image: Image.Image) -> tuple[tuple[float, float], ...]:
    """Every density that the file states, upright."""
    exif, found = image.getexif(), []
    stated = image.info.get("dpi")
    if image.format == "JPEG" or image.format == "MPO":
        unit, density = image.info.get("jfif_unit", 0), image.info.get("jfif_density", (0, 0))
        stated = tuple(n * {1: 1, 2: 2.54}.get(unit, 0) for n in density)
    if stated and image.format != "AVIF":
        found.append(stated)
    with suppress(TypeError, ValueError, ZeroDivisionError):
        inch = {2: 1, 3: 2.54}.get(exif.get(296, 2), 0)
        found.append((float(exif[282]) * inch, float(exif[283]) * inch)) if 282 in exif else None
    if exif.get(0x0112, 1) > 4:
        found = [(down, across) for across, down in found]
    return tuple((float(a), float(b)) for a, b in found if 0 < a < 1e6 and 0 < b < 1e6)


def _aspect(image: Image.Image) -> float:
    across, down = image.info.get("aspect", (1, 1))
    if image.format == "JPEG" and image.info.get("jfif_unit") == 0:
        across, down = image.info.get("jfif_density", (1, 1))
    if not across or not down:
        return 1.0
    return down / across if image.getexif().get(0x0112, 1) > 4 else across / down


def _is_tagged(image: Image.Image, data: bytes) -> bool:
    if image.format == "PNG":
        head = data[: data.find(b"IDAT")]
        return any(name in head for name in (b"gAMA", b"cHRM", b"sRGB", b"cICP"))
    if image.format in ("BMP", "DIB"):
        return int.from_bytes(data[14:18], "little") >= 108
    return image.format in ("AVIF", "HEIF") or image.mode == "CMYK"


def _ended(data: bytes) -> bytes:
    """JPEG with an end, if all pixels are there.

    What follows the entropy-coded bytes then changes no pixel; else libjpeg would draw it.
    """
    if b"\xff\xd9" in data[-64:] or b"\xff\xda" not in data:
        return data
    tails = (b"\xff\xd9", bytes(range(1, 200)) * 20 + b"\xff\xd9", b"\x55" * 4000 + b"\xff\xd9")
    arrays = []
    for tail in tails:
        with suppress(Exception), Image.open(io.BytesIO(data + tail)) as image:
            arrays.append(np.asarray(image))
    if len(arrays) == len(tails) and all((array == arrays[0]).all() for array in arrays):
        return data + tails[0]
    return data


def _see_pam(data: bytes) -> Seen:
    head, mark, body = data.partition(b"ENDHDR\n")
    lines = [line.split(None, 1) for line in head.splitlines()[1:] if line and line[:1] != b"#"]
    fields = {line[0]: line[1] for line in lines if len(line) == 2}
    try:
        width, height, depth, top = (
            int(fields[name]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")
        )
        dtype = np.dtype(">u2" if top > 255 else "u1")
        values = np.frombuffer(body, dtype, count=height * width * depth)
    except (KeyError, ValueError) as error:
        raise DamagedError(f"PAM: {error!r}") from error
    if not mark or depth not in (1, 2, 3, 4):
        raise NoOracleError(f"PAM of {depth} channels")
    name = fields.get(b"TUPLTYPE", b"").strip()
    if depth in (2, 4) and not name.endswith(b"_ALPHA"):
        raise NoOracleError(f"PAM of type {name!r}")
    array = values.reshape(height, width, depth).astype(np.float32) / top
    return Seen(frames=[rgba(array)], bits=16 if top > 255 else 8, alpha=depth in (2, 4))


def _see_gif(data: bytes) -> Seen:
    frames, times, plays = [], [], 1
    try:
        for part in _gif_parts(data):
            if isinstance(part, int):
                plays = part
            else:
                times.append(part[1])
                if len(frames) < _MOST_FRAMES:
                    frames.append(part[0])
    except (IndexError, struct.error, OSError, SyntaxError, ValueError) as error:
        raise DamagedError(f"GIF: {error!r}") from error
    if not frames:
        raise DamagedError("GIF without a frame")
    several = len(times) > 1
    return Seen(
        frames=frames,
        bits=8,
        alpha=any((frame[..., 3] < 1).any() for frame in frames),
        times=tuple(times) if several else None,
        plays=plays if several else None,
    )


def _gif_parts(data: bytes) -> Iterator[Any]:
    """Each frame as it is shown, with its milliseconds; and how often all are, where it is said."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at, everywhere = 13, None
    if flags & 0x80:
        at, everywhere = _colour_table(data, at, flags)
    canvas, delay, disposal, clear = None, 0, 0, None
    while at < len(data) and data[at] != 0x3B:
        if data[at] == 0x21:
            label, at = data[at + 1], at + 2
            at, body = _chain(data, at)
            if label == 0xF9 and len(body) >= 4:
                disposal, delay = body[0] >> 2 & 7, int.from_bytes(body[1:3], "little")
                clear = body[3] if body[0] & 1 else None
            elif label == 0xFF and body[:11] in (b"NETSCAPE2.0", b"ANIMEXTS1.0"):
                if body[11:12] == b"\1":
                    again = int.from_bytes(body[12:14], "little")
                    yield again + 1 if again else 0
        elif data[at] == 0x2C:
            left, top, wide, high, flags = struct.unpack_from("<4HB", data, at + 1)
            at, table = at + 10, everywhere
            if flags & 0x80:
                at, table = _colour_table(data, at, flags)
            end, _ = _chain(data, at + 1)
            indices = _gif_indices(data[at:end], wide, high, interlaced=flags & 0x40)
            at = end
            if canvas is None:
                if not width or not height:
                    width, height = left + wide, top + high
                canvas = np.zeros((height, width, 4), np.float32)
            before = canvas.copy()
            box = canvas[top : top + high, left : left + wide]
            drawn = indices[: box.shape[0], : box.shape[1]]
            if table is None:
                raise NoOracleError("a GIF without a table of colours")
            shown = drawn != (-1 if clear is None else clear)
            box[shown] = rgba(table[np.minimum(drawn, len(table) - 1)])[shown]
            yield canvas.copy(), delay * 10
            if disposal == 2:
                box[:] = 0
            elif disposal == 3:
                canvas = before
            delay, disposal, clear = 0, 0, None
        elif data[at] == 0:
            at += 1
        else:
            raise ValueError("a block of unknown kind")


def _colour_table(data: bytes, at: int, flags: int) -> tuple[int, np.ndarray]:
    size = 3 * 2 ** ((flags & 7) + 1)
    table = np.frombuffer(data, np.uint8, size, at).reshape(-1, 3)
    return at + size, table.astype(np.float32) / 255


def _chain(data: bytes, at: int) -> tuple[int, bytes]:
    """Where a chain of sub-blocks ends, and what it holds."""
    body = bytearray()
    while size := data[at]:
        body += data[at + 1 : at + 1 + size]
        at += 1 + size
    return at + 1, bytes(body)


def _gif_indices(lzw: bytes, width: int, height: int, *, interlaced: int) -> np.ndarray:
    """Decode one frame as a GIF of its own, by Pillow."""
    table = bytes(n for n in range(256) for _ in range(3))
    head = b"GIF87a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0) + table
    frame = b"," + struct.pack("<4HB", 0, 0, width, height, interlaced)
    with Image.open(io.BytesIO(head + frame + lzw + b";")) as image:
        image.load()
        return np.asarray(image).astype(np.int64)
