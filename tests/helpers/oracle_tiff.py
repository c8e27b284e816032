"""See TIFF files by tifffile, or by Pillow where tifffile lacks a codec; colours are ours."""

import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, TiffImagePlugin

from seen import DamagedError, NoOracleError, Seen, inks, rgba, straight, suitable, upright

_MOST_PAGES = 100
_MOST_PIXELS = 50_000_000


def see_tiff(path: Path) -> Seen:
    """See every page that is no smaller copy of another."""
    try:
        with tifffile.TiffFile(path) as file:
            if len(file.pages) > _MOST_PAGES:
                raise NoOracleError("very many pages")
            pages = [page.aspage() for page in file.pages]
            whole = [page for page in pages if not int(page.subfiletype) & 1] or pages[:1]
            if not whole:
                raise DamagedError("no page")
            seen = [_see_page(path, page) for page in whole]
    except (NoOracleError, DamagedError):
        raise
    except Exception as error:  # of many kinds
        raise DamagedError(f"tifffile: {error!r}") from error
    first = seen[0]
    return Seen(
        frames=[each.frames[0] for each in seen],
        extra=[each.extra[0] for each in seen if each.extra] or None,
        bits=first.bits,
        alpha=any(each.alpha for each in seen),
        icc=first.icc,
        in_srgb=first.in_srgb,
        tagged=first.tagged,
        uncertain=next((each.uncertain for each in seen if each.uncertain), None),
        dots=first.dots,
        aspect=first.aspect,
        geo=first.geo,
        turned=any(each.turned for each in seen),
    )


def _see_page(path: Path, page: Any) -> Seen:
    if page.imagewidth * page.imagelength > _MOST_PIXELS:
        raise NoOracleError("too large to be compared")
    if int(page.sampleformat or 1) != 1:
        raise NoOracleError(f"values of sample format {page.sampleformat}")
    photometric, bits = int(page.photometric), page.bitspersample
    if isinstance(bits, tuple):
        bits = bits[0]
    if photometric not in (0, 1, 2, 3, 5, 6):
        raise NoOracleError(f"photometric type {photometric}")
    _check_segments(path, page)
    array, is_rgb = _array(path, page, photometric)
    if photometric == 3 and not is_rgb:
        array, rest = _palette(page, array), array[..., 1:]
        n_colours, top = 3, 1.0
        array = np.concatenate([array, rest], axis=2)
    else:
        n_colours = 1 if photometric < 2 else 4 if photometric == 5 else 3
        top = float(2**bits - 1)
    array = array.astype(np.float32) / (1.0 if is_rgb else top)
    colours, more = array[..., :n_colours], array[..., n_colours:]
    icc, uncertain = page.iccprofile, None
    if photometric == 0 and not is_rgb:
        colours = 1 - colours
    elif photometric == 5 and not is_rgb:
        if int(page.tags.valueof(332, default=1)) != 1:
            raise NoOracleError("inks that are not CMYK")
        colours, uncertain = inks(colours, icc)
        icc = None
    elif photometric == 6 and not is_rgb:
        colours = _rgb_of_ycbcr(page, colours * top, bits)
    kinds = [int(kind) for kind in page.extrasamples or ()]
    alpha = next((at for at, kind in enumerate(kinds) if kind in (1, 2)), None)
    frame = rgba(colours)
    if alpha is not None and alpha < more.shape[2]:
        frame[..., 3] = more[..., alpha]
        if kinds[alpha] == 1:
            frame = straight(frame)
        more = np.delete(more, alpha, axis=2)
    orientation = int(page.tags.valueof(274, default=1))
    return Seen(
        frames=[upright(frame, orientation)],
        extra=[upright(more, orientation)] if more.shape[2] else None,
        bits=bits,
        alpha=alpha is not None,
        icc=suitable(icc, grey=photometric < 2),
        in_srgb=photometric == 5,
        tagged=photometric == 5 or 301 in page.tags or 318 in page.tags,
        uncertain=uncertain,
        **_density(page, orientation),
        geo=page.tags.valueof(33550),
        turned=orientation != 1,
    )


def _check_segments(path: Path, page: Any) -> None:
    """Hold every strip or tile to the file's size; a sparse one has no right pixels."""
    size = path.stat().st_size
    if not page.dataoffsets:
        raise DamagedError("no strip and no tile")
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if offset == 0 or count == 0:
            raise NoOracleError("a strip or tile that is left out")
        if offset + count > size:
            raise DamagedError("a strip or tile ends behind the file's end")


def _array(path: Path, page: Any, photometric: int) -> tuple[np.ndarray, bool]:
    """The samples, (H, W, C), and whether they are RGB in [0, 1] by now."""
    if _is_odd(page):
        return _unpacked(path, page), False
    jpeg = int(page.compression) in (6, 7)
    try:
        if jpeg and (int(page.compression) == 6 or photometric == 6):
            raise NoOracleError("libjpeg's colours are those of Pillow")
        values = page.asarray()
    except (ValueError, NotImplementedError, KeyError, TypeError, NoOracleError) as error:
        if isinstance(error, (ValueError, TypeError)) and not _lacks_codec(error):
            raise DamagedError(f"tifffile: {error}") from error
        return _by_pillow(path, page, error)
    except RuntimeError as error:  # of imagecodecs
        if "INSUFFICIENT_SPACE" not in str(error):  # more than the pixels is there
            raise
        return _by_pillow(path, page, error)
    if values.ndim == 3 and int(page.planarconfig or 1) == 2:
        values = values.transpose(1, 2, 0)
    if values.ndim not in (2, 3):
        raise NoOracleError(f"an array of {values.ndim} axes")
    return np.atleast_3d(values), False


def _is_odd(page: Any) -> bool:
    """Tell whether values of few bits lie in strips that are plain or deflated."""
    bits = np.unique(page.bitspersample)
    plain = not page.is_tiled and int(page.planarconfig or 1) == 1 and int(page.fillorder) == 1
    packed = int(page.compression) in (1, 8, 32946) and page.predictor == 1
    return plain and packed and len(bits) == 1 and bits[0] < 16 and bits[0] not in (1, 8)


def _unpacked(path: Path, page: Any) -> np.ndarray:
    bits, n = int(np.max(page.bitspersample)), int(page.samplesperpixel)
    data, rows = path.read_bytes(), []
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        strip = data[offset : offset + count]
        strip = zlib.decompress(strip) if int(page.compression) != 1 else strip
        width = -(-page.imagewidth * n * bits // 8)
        rows.append(np.frombuffer(strip, np.uint8)[: len(strip) // width * width])
    packed = np.concatenate(rows).reshape(-1, width)[: page.imagelength]
    if len(packed) < page.imagelength:
        raise DamagedError("rows are missing")
    each = np.unpackbits(packed, axis=1)[:, : page.imagewidth * n * bits]
    weights = 2 ** np.arange(bits - 1, -1, -1)
    values = each.reshape(len(packed), page.imagewidth, n, bits) @ weights
    return values.astype(np.uint16)


def _lacks_codec(error: Exception) -> bool:
    return any(word in str(error) for word in ("imagecodecs", "not supported", "not implemented"))


def _by_pillow(path: Path, page: Any, why: Exception) -> tuple[np.ndarray, bool]:
    """Read a page by libtiff, which makes RGB of YCbCr."""
    before = TiffImagePlugin.READ_LIBTIFF
    try:
        TiffImagePlugin.READ_LIBTIFF = int(page.photometric) == 6
        with warnings.catch_warnings(), Image.open(path, formats=["TIFF"]) as image:
            warnings.simplefilter("ignore")
            image.seek(page.index)
            image.tag_v2[274] = 1  # it would turn the picture
            image.load()
            if image.mode not in ("1", "L", "I;16", "I;16B", "RGB", "RGBA", "LA", "P", "CMYK"):
                raise NoOracleError(f"Pillow's mode {image.mode}; tifffile: {why}")
            mode, values = image.mode, np.atleast_3d(np.asarray(image))
    except NoOracleError:
        raise
    except Exception as error:  # of many kinds
        if _is_damage(error):
            raise DamagedError(f"Pillow: {error}") from error
        raise NoOracleError(f"Pillow: {error}; tifffile: {why}") from error
    finally:
        TiffImagePlugin.READ_LIBTIFF = before
    if mode == "P":
        values = np.asarray(image.convert("RGB"))
    if mode in ("1", "L") and int(page.photometric) == 0:  # Pillow has made white of it
        values = (1 if mode == "1" else 255) - values
    if mode == "P" or page.photometric == 6:
        return values.astype(np.float32) / 255, True
    if mode in ("1", "L"):  # whatever the bits were
        top = 2 ** int(np.max(page.bitspersample)) - 1
        values = values.astype(np.float32) / (1 if mode == "1" else 255) * top
    return values, False


def _is_damage(error: Exception) -> bool:
    words = ("decoder error", "truncated", "-2", "-9", "broken", "buffer overrun", "not enough")
    return isinstance(error, OSError) and any(word in str(error) for word in words)


def _palette(page: Any, array: np.ndarray) -> np.ndarray:
    table = np.asarray(page.colormap, np.float32)  # (3, N)
    top = 65535 if table.max() > 255 else 255  # some writers mean 8 bits
    return np.moveaxis((table / top)[:, array[..., 0].astype(int)], 0, 2)


def _rgb_of_ycbcr(page: Any, values: np.ndarray, bits: int) -> np.ndarray:
    """Convert by the file's coefficients and its reference black and white, as TIFF 6.0 says."""

    def fractions(tag: int, default: tuple[float, ...]) -> list[float]:
        found = page.tags.valueof(tag)
        if found is None:
            return list(default)
        return [top / (below or 1) for top, below in zip(found[::2], found[1::2], strict=True)]

    top, middle = 2**bits - 1, 2 ** (bits - 1)
    red, green, blue = fractions(529, (0.299, 0.587, 0.114))
    black_y, white_y, black_b, white_b, black_r, white_r = fractions(
        532, (0, top, middle, top, middle, top)
    )
    y = (values[..., 0] - black_y) / (white_y - black_y)
    cb = (values[..., 1] - black_b) / (white_b - black_b) * (middle - 1) / top
    cr = (values[..., 2] - black_r) / (white_r - black_r) * (middle - 1) / top
    r, b = y + cr * (2 - 2 * red), y + cb * (2 - 2 * blue)
    g = (y - red * r - blue * b) / green
    return np.clip(np.stack([r, g, b], axis=2), 0, 1)


def _density(page: Any, orientation: int) -> dict[str, Any]:
    values = [page.tags.valueof(tag) for tag in (282, 283)]
    if None in values or any(not below for _, below in values):
        return {}
    across, down = (top / below for top, below in values)
    if orientation > 4:
        across, down = down, across
    unit = int(page.tags.valueof(296, default=2))
    if unit == 1 or across <= 0 or down <= 0:
        return {"aspect": across / down if across > 0 and down > 0 else 1.0}
    inch = 2.54 if unit == 3 else 1
    return {"dots": ((across * inch, down * inch),)}
