"""Draws labelled pictures beside one another, for a person to compare."""

import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Drawing = NDArray[np.uint8]
"""A drawing in RGB, (H, W, 3)."""

GAP = 8
"""Width of the black gap between the parts of a sheet, in pixels."""

# The letters from space to "~", 5x7 pixels: a byte per column, its lowest bit on top. They are
# drawn here because a fresh machine may have no font, and a sheet should look the same everywhere.
_LETTERS = bytes.fromhex(
    "0000000000 00005f0000 0007000700 147f147f14 242a7f2a12 2313086462 3649552250 0000070000"
    "001c224100 0041221c00 082a1c2a08 08083e0808 0050300000 0808080808 0060600000 2010080402"
    "3e5149453e 00427f4000 4261514946 2141454b31 1814127f10 2745454539 3c4a494930 0171090503"
    "3649494936 064949291e 0036360000 0056360000 0814224100 1414141414 0041221408 0201510906"
    "324979413e 7e1111117e 7f49494936 3e41414122 7f4141221c 7f49494941 7f09090101 3e4149497a"
    "7f0808087f 00417f4100 2040413f01 7f08142241 7f40404040 7f020c027f 7f0408107f 3e4141413e"
    "7f09090906 3e4151215e 7f09192946 4649494931 01017f0101 3f4040403f 1f2040201f 3f4038403f"
    "6314081463 0304780403 6151494543 007f414100 0204081020 0041417f00 0402010204 4040404040"
    "0001020400 2054545478 7f48444438 3844444420 384444487f 3854545418 087e090102 0c5252523e"
    "7f08040478 00447d4000 2040443d00 7f10284400 00417f4000 7c04180478 7c08040478 3844444438"
    "7c14141408 081414187c 7c08040408 4854545420 043f444020 3c4040207c 1c2040201c 3c4030403c"
    "4428102844 0c5050503c 4464544c44 0008364100 00007f0000 0041360800 0804081008"
)
_COLUMNS = 5
_SIZE = 2
"""Pixels of the sheet per pixel of a letter."""
_LABEL_HEIGHT = 16 * _SIZE


def label(text: str, *, width: int) -> Drawing:
    """Write white letters on black, (32, `width`, 3).

    Accents are dropped, and letters other than Latin become "?". A text that is too long loses its
    middle.
    """
    letters = _fitted(_as_ascii(text), (width - 2 * GAP) // ((_COLUMNS + 1) * _SIZE))
    columns = [
        column
        for letter in letters
        for column in (*_LETTERS[_COLUMNS * (letter - 32) :][:_COLUMNS], 0)
    ]
    bits = np.array(columns, np.uint8) >> np.arange(7, dtype=np.uint8)[:, np.newaxis] & 1
    drawn = enlarged(np.repeat(bits[..., np.newaxis] * np.uint8(255), 3, axis=2), zoom=_SIZE)
    strip = np.zeros((_LABEL_HEIGHT, width, 3), np.uint8)
    top = (_LABEL_HEIGHT - drawn.shape[0]) // 2
    strip[top : top + drawn.shape[0], GAP : GAP + drawn.shape[1]] = drawn
    return strip


def _as_ascii(text: str) -> bytes:
    plain = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    printable = "".join(c if c.isprintable() else "?" for c in plain)
    return printable.encode("ascii", "replace")


def _fitted(text: bytes, most: int) -> bytes:
    if len(text) <= most:
        return text
    end = max(most - 2, 0) // 2
    return (text[: max(most - 2 - end, 0)] + b".." + text[len(text) - end :])[:most]


def enlarged(pixels: Drawing, *, zoom: int) -> Drawing:
    """Repeat every pixel `zoom` times along both axes: nothing is smoothed."""
    return pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)


def titled(text: str, pixels: Drawing, *, width: int) -> Drawing:
    """Put a label above a picture; both become `width` wide, or as wide as a wider picture."""
    width = max(width, pixels.shape[1])
    return np.concatenate([label(text, width=width), _padded(pixels, axis=1, length=width)])


def joined(parts: Sequence[Drawing], *, axis: int) -> Drawing:
    """Put pictures below (axis 0) or beside (axis 1) one another, with `GAP` pixels between."""
    across = 1 - axis
    length = max(part.shape[across] for part in parts)
    shape = (GAP, length, 3) if axis == 0 else (length, GAP, 3)
    gap = np.zeros(shape, np.uint8)
    pieces = [piece for part in parts for piece in (gap, _padded(part, axis=across, length=length))]
    return np.concatenate(pieces[1:], axis=axis)


def _padded(pixels: Drawing, *, axis: int, length: int) -> Drawing:
    missing = [(0, length - pixels.shape[axis] if each == axis else 0) for each in range(3)]
    return np.pad(pixels, missing)


def framed(pixels: Drawing, rows: slice, columns: slice) -> Drawing:
    """Draw a yellow frame, two pixels thick, around a window, cut off at the picture's edge."""
    drawn = pixels.copy()
    outer = (slice(max(span.start - 2, 0), span.stop + 2) for span in (rows, columns))
    drawn[*outer] = (255, 220, 0)
    drawn[rows, columns] = pixels[rows, columns]
    return drawn


def densest(values: NDArray[np.generic], *, height: int, width: int) -> tuple[int, int]:
    """Find the window of this size with the greatest sum of `values`, (H, W).

    Of several such windows, the result is the one nearest to their middle, which centres a part
    that stands alone.
    """
    sums = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    windows = (
        sums[height:, width:] - sums[:-height, width:]
        - sums[height:, :-width] + sums[:-height, :-width]
    )  # fmt: skip
    places = np.argwhere(windows == windows.max())
    off_middle = np.abs(places - places.mean(axis=0)).sum(axis=1)
    top, left = places[off_middle.argmin()]
    return int(top), int(left)
