"""See picture files as other programs do: Pillow, tifffile, and a few lines of our own.

Ours are where both are known to be wrong or have no mode: the frames of a GIF, which a browser
draws on a clear canvas; PNG of 16 bits, of which Pillow gives the upper eight; PAM; JPEG whose end
mark is missing; and the colours of TIFF.
"""

import io
import re
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from oracle_frames import MOST_FRAMES, apng_frames, see_gif
from oracle_png import deep_png, has_alpha
from oracle_tiff import see_tiff
from seen import DamagedError, NoOracleError, Seen, inks, rgba, suitable, upright

with suppress(ImportError):  # reads HEIC, where it is installed
    import pillow_heif

    pillow_heif.register_heif_opener()


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
            return see_gif(data)
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
            if "APNG" in str(error) or "palette size" in str(error):  # others are not as strict
                raise NoOracleError(f"Pillow: {error!r}") from error
            raise DamagedError(f"Pillow: {error!r}") from error


def _see_image(image: Image.Image, data: bytes) -> Seen:
    image.info.pop("xmp", None)  # Pillow would turn a picture by what XMP says
    several = getattr(image, "n_frames", 1) if image.format in ("WEBP", "AVIF") else 1
    turned = image.getexif().get(0x0112, 1) not in (0, 1)
    seen = Seen(
        frames=[],
        bits=_bits(image, data),
        alpha=has_alpha(image),
        dots=_dots(image),
        aspect=_aspect(image),
        in_srgb=image.mode == "CMYK",
        tagged=_is_tagged(image, data),
        turned=turned and image.format not in ("AVIF", "HEIF"),
    )
    frames, times = [], []
    for number in range(several):
        image.seek(number)
        image.load()
        times.append(round(image.info.get("duration", 0)))
        if len(frames) < MOST_FRAMES:
            frames.append(_frame(image, data if several == 1 else None))
    plays = image.info.get("loop") if several > 1 else None
    if image.format == "PNG" and (animated := apng_frames(data)):
        drawn, times, plays = animated
        frames = [(upright(frame, image.getexif().get(0x0112, 1)), None) for frame in drawn]
    icc, uncertain = image.info.get("icc_profile"), None
    if image.mode == "CMYK":
        icc, uncertain = None, frames[0][1]
    grey = image.mode in ("1", "L", "LA", "La", "I;16", "I", "I;16B")
    return replace(
        seen,
        frames=[frame for frame, _ in frames],
        icc=suitable(icc, grey=grey),
        uncertain=uncertain,
        times=tuple(times) if len(times) > 1 else None,
        plays=plays,
    )


def _frame(image: Image.Image, data: bytes | None) -> tuple[np.ndarray, str | None]:
    """RGBA, upright, and why it is not certain."""
    deep = deep_png(data) if data and image.format == "PNG" else None
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
    array = np.asarray(image.convert("RGBA" if has_alpha(image) else "RGB"), np.float32) / 255
    return upright(rgba(array), orientation), None


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
        swapped = [(down, across) for across, down in found]
        # Where the container turns the picture, no one knows which way EXIF means.
        found = found + swapped if image.format in ("AVIF", "HEIF") else swapped
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
    data = data.rstrip(b"\xff")  # half of the mark
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
