"""Converts two pictures to one size, depth, mode and colour space for a comparison."""

from dataclasses import replace
from math import inf, prod, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ShapeError
from widesr.pictures.adapt import adapted, means_srgb
from widesr.pictures.picture import Picture
from widesr.pixels.resize import imresize

_BAND = 256
"""Rows that are computed at once."""


class Matched(NamedTuple):
    """Two pictures brought to one size, depth, mode and colour space."""

    a: Picture
    """If either alpha is not opaque, colours over black with alpha in both pictures; else without
    alpha in both."""
    b: Picture
    notes: tuple[str, ...]
    """The changes that were made to match the pictures, in words for people."""


def are_identical(a: Picture, b: Picture) -> bool:
    """Say whether size, mode, depth, profile and every value are the same; metadata may differ."""
    alpha = (a.alpha is None) == (b.alpha is None)
    if a.alpha is not None and b.alpha is not None:
        alpha = _equal(a.alpha, b.alpha)
    return a.icc == b.icc and alpha and _equal(a.pixels, b.pixels)


def _equal(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b)


def differing_metadata(a: Picture, b: Picture) -> dict[str, str]:
    """Map each block of metadata that differs, such as "EXIF", to "differs", "only in A", ..."""
    blocks = {
        "EXIF": (a.exif, b.exif),
        "XMP": (a.xmp, b.xmp),
        "IPTC": (a.iptc, b.iptc),
        "resolution": (_dots_per_inch(a), _dots_per_inch(b)),
    }
    return {
        name: "only in A" if in_b is None else "only in B" if in_a is None else "differs"
        for name, (in_a, in_b) in blocks.items()
        if in_a != in_b
    }


def _dots_per_inch(picture: Picture) -> tuple[int, ...] | None:
    """Round the resolution, which formats store in several units; None for 72, which means none."""
    dots = tuple(round(25.4 * n) for n in picture.pixels_per_mm or ())
    return dots if dots and dots != (72, 72) else None


def matched(a: Picture, b: Picture) -> Matched:
    """Convert two pictures so that they can be compared value by value.

    If the profiles differ, both pictures are converted to sRGB. Colours with alpha are laid over
    black, so that colours and alpha are equal exactly where the pictures look the same over every
    background. The smaller picture is enlarged by `imresize`, unless a crop of the larger to a
    multiple of 2, 3 or 4, as for scores, makes the sizes equal. If only one of the pictures has 16
    bits or RGB, 8 bits become 16, and grey becomes RGB.

    Raises:
        ShapeError: The aspects differ.
    """
    a, b, note = _in_one_colour_space(a, b)
    notes = [note]
    a, b, note = _over_black(a, b)
    notes.append(note)
    for like_other in (_cropped, _enlarged, _deepened, _coloured):
        a, note_a = like_other(a, b, "A")
        b, note_b = like_other(b, a, "B")
        notes += [note_a, note_b]
    return Matched(a, b, tuple(note for note in notes if note))


def _in_one_colour_space(a: Picture, b: Picture) -> tuple[Picture, Picture, str]:
    if a.icc == b.icc:
        return a, b, ""
    if means_srgb(a.icc) and means_srgb(b.icc):
        note = "the profiles differ, but both mean sRGB"
        return replace(a, icc=None), replace(b, icc=None), note
    a, b = (replace(adapted(each, icc="srgb"), icc=None) for each in (a, b))
    return a, b, "the profiles differ: the colours of both are converted to sRGB"


def _over_black(a: Picture, b: Picture) -> tuple[Picture, Picture, str]:
    only = "" if (a.alpha is None) == (b.alpha is None) else "B" if a.alpha is None else "A"
    if _is_opaque(a) and _is_opaque(b):
        note = f"only {only} has alpha, and is opaque everywhere" if only else ""
        return replace(a, alpha=None), replace(b, alpha=None), note
    note = f"only {only} has alpha: " if only else ""
    note += "colours are compared as they are over black, and alpha beside them"
    return _laid_over_black(a), _laid_over_black(b), note


def _is_opaque(picture: Picture) -> bool:
    alpha = picture.alpha
    return alpha is None or bool((alpha == np.iinfo(alpha.dtype).max).all())


def _laid_over_black(picture: Picture) -> Picture:
    top = np.iinfo(picture.pixels.dtype).max
    if picture.alpha is None:
        return replace(picture, alpha=np.full_like(picture.pixels[..., 0], top))
    pixels = np.empty_like(picture.pixels)
    for start in range(0, picture.height, _BAND):
        rows = slice(start, start + _BAND)
        light = picture.pixels[rows].astype(np.uint64) * picture.alpha[rows, :, np.newaxis]
        pixels[rows] = (light + top // 2) // top
    return replace(picture, pixels=pixels)


def _cropped(picture: Picture, like: Picture, name: str) -> tuple[Picture, str]:
    """Crop a picture to a multiple of 2, 3 or 4, as for scores, if that makes the sizes equal."""
    height, width = like.height, like.width
    for n in (2, 3, 4):
        whole = tuple(side - side % n for side in (picture.height, picture.width))
        if whole == (height, width) != (picture.height, picture.width):
            cropped = picture.with_planes(lambda plane: plane[:height, :width])
            return cropped, f"{name} is cropped to {width}x{height}, multiples of {n}"
    return picture, ""


def _enlarged(picture: Picture, like: Picture, name: str) -> tuple[Picture, str]:
    small, large = (picture.height, picture.width), (like.height, like.width)
    if small == large or prod(small) > prod(large):
        return picture, ""
    # The smaller is the larger divided by one factor, rounded up or down to whole pixels.
    least = max(n / (m + 1) for m, n in zip(small, large, strict=True))
    most = min(n / (m - 1) if m > 1 else inf for m, n in zip(small, large, strict=True))
    if least >= most:
        a, b = (small, large) if name == "A" else (large, small)
        raise ShapeError(
            f"the sizes are {a[1]}x{a[0]} and {b[1]}x{b[0]}, of different aspect; "
            "crop or turn one of them, or bring it to the size of the other"
        )
    factor = f"{sqrt(prod(large) / prod(small)):.3f}".rstrip("0").rstrip(".")
    note = f"{name} is enlarged {factor} times by bicubic interpolation, to {large[1]}x{large[0]}"
    return picture.with_planes(lambda plane: imresize(plane, size=large)), note


def _deepened(picture: Picture, like: Picture, name: str) -> tuple[Picture, str]:
    if picture.pixels.dtype == np.uint16 or like.pixels.dtype == np.uint8:
        return picture, ""
    deep = picture.with_planes(lambda plane: plane * np.uint16(257))
    return deep, f"{name} has 8 bits: its levels are taken times 257"


def _coloured(picture: Picture, like: Picture, name: str) -> tuple[Picture, str]:
    if picture.pixels.shape[2] == like.pixels.shape[2] or like.pixels.shape[2] == 1:
        return picture, ""
    coloured = replace(picture, pixels=np.repeat(picture.pixels, 3, axis=2))
    return coloured, f"{name} is grey: its levels are taken for red, green and blue"
