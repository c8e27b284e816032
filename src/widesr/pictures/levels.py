"""Corrects the levels that libheif decodes from AVIF and HEIC files.

libheif takes limited-range levels of grey and alpha for full-range ones, and, if RGB is stored
directly, red and blue for colour differences. Through libvips, grey comes as RGB, 10 and 12 bits
come in the upper bits of 16, and colours may come multiplied by their alpha.
"""

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ImageFormatError, ImageReadError
from widesr.pictures.av1 import av1_colours
from widesr.pictures.boxes import Heif
from widesr.pictures.sources import PictureFile
from widesr.pixels.alpha import straight
from widesr.pixels.rows import Band, Rows

_Table = NDArray[np.uint8 | np.uint16]
"""The true level for each level that libheif gives."""


def true_levels(file: PictureFile, rows: Rows, *, bits: int) -> Rows:
    """Bring rows to the full range of their type, and grey to one channel.

    Args:
        file: The file that the rows come from.
        rows: Rows from libheif, (H, W, C): grey, or RGB that may be grey, then alpha if there is
            any; 10 and 12 bits lie in the upper bits of 16.
        bits: The number of bits per channel: 8, 10 or 12.

    Returns:
        Rows of 1 to 4 channels, not premultiplied.

    Raises:
        ImageFormatError: The colours are coded in a way that libheif mistakes for another.
        ImageReadError: The file claims to be grey, but has colours; raised when rows are read.
    """
    heif = file.heif
    has_alpha, is_tripled = rows.channels in (2, 4), rows.channels > 2 and _is_monochrome(heif)
    is_grey = is_tripled or rows.channels < 3
    is_premultiplied = has_alpha and heif.refers(b"prem", heif.primary)
    alpha = heif.alpha() if has_alpha else None
    matrix, is_full = _matrix_and_range(heif, heif.primary)
    full = _table(bits)
    if is_grey:
        tables = [full if is_full else _table(bits, limited=True)]
    else:
        _check_matrix(file, matrix, is_full=is_full)
        outer = full if matrix or is_full else _table(bits, stretch=224 / 219)
        tables = [outer, full, outer]
    if has_alpha:
        limited = alpha is not None and not _matrix_and_range(heif, alpha)[1]
        tables.append(_table(bits, limited=limited))
    shift = 8 * rows.dtype.itemsize - bits
    is_as_meant = bits == 8 and all(table is full for table in tables)

    def change(band: Band) -> Band:
        if is_tripled:
            if (band[..., :3] != band[..., :1]).any():
                raise ImageReadError(
                    f"{file.path}: this file is damaged (it is said to be grey, and has colours); "
                    "get a whole copy of it"
                )
            band = np.delete(band, (1, 2), axis=2)
        if not is_as_meant:
            planes = [table[band[..., n] >> shift] for n, table in enumerate(tables)]
            band = np.stack(planes, axis=2)
        return straight(band) if is_premultiplied else band

    return rows.map(change, channels=len(tables))


def _table(bits: int, *, limited: bool = False, stretch: float = 1) -> _Table:
    dtype = np.uint8 if bits == 8 else np.uint16
    unit, top = 2 ** (bits - 8), np.iinfo(dtype).max
    black, white = (16 * unit, 235 * unit) if limited else (0, 2**bits - 1)
    levels = (np.arange(2**bits) - black) / (white - black) * stretch * top
    table: _Table = np.clip(np.floor(levels + 0.5), 0, top).astype(dtype)
    return table


_MATRICES = (0, 1, 2, 4, 5, 6, 7, 8, 9, 12)
"""The codes of the matrices from RGB to luma and colour differences that libheif can invert."""


def _check_matrix(file: PictureFile, matrix: int, *, is_full: bool) -> None:
    halved = any(len(body) > 2 and body[2] & 0x0C for body in _configurations(file.heif))
    if matrix not in _MATRICES or (matrix == 8 and not is_full) or (matrix == 0 and halved):
        raise ImageFormatError(
            f"{file.path}: its colours are coded by matrix {matrix} of ITU-T H.273 in a way that "
            "is not read; open it in another program and save it as PNG or TIFF"
        )


def _is_monochrome(heif: Heif) -> bool:
    """Say whether an AVIF is grey, by the configuration of its codec."""
    return any(len(body) > 2 and body[2] & 0x10 for body in _configurations(heif))


def _configurations(heif: Heif) -> list[bytes]:
    return heif.named(heif.coded(heif.primary), b"av1C")


def _matrix_and_range(heif: Heif, item: int) -> tuple[int, bool]:
    """Give the code of an item's matrix, and True if its levels use the full range.

    Its colour codes state them, else the header of its coded data.
    """
    coded = heif.coded(item)
    for body in (*heif.named(item, b"colr"), *heif.named(coded, b"colr")):
        if body[:4] == b"nclx" and len(body) >= 11:
            return int.from_bytes(body[8:10], "big"), bool(body[10] & 0x80)
    is_av1 = heif.kind(coded) == b"av01"
    header = av1_colours(heif.data(coded, most=_BEGINNING)) if is_av1 else None
    return (header.matrix, header.full_range) if header else (2, True)


_BEGINNING = 256
"""The number of first bytes of a coded picture that hold its sequence header."""
