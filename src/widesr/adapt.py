"""What of a file's colour profile and metadata goes along, where users do not want all of it."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pyvips

from widesr.picture import Picture, Pixels

Icc = Literal["keep", "srgb", "strip"]
Kept = Literal["keep", "strip"]


def adapted(picture: Picture, *, icc: Icc = "keep", metadata: Kept = "keep") -> Picture:
    """Change the profile, and leave out metadata, as users asked.

    Args:
        picture: What was read.
        icc: "srgb" converts the colours to sRGB and says so with its profile, which a picture
            that is grey does not need; a damaged profile is dropped. "strip" drops any and leaves
            the numbers, so that viewers take them for sRGB.
        metadata: "strip" drops EXIF, XMP, IPTC and the resolution.
    """
    if icc == "srgb":
        try:
            picture = _in_srgb(picture)
        except pyvips.Error:  # a damaged profile is as good as none
            picture = replace(picture, icc=None)
    elif icc == "strip":
        picture = replace(picture, icc=None)
    if metadata == "strip":
        picture = replace(picture, exif=None, xmp=None, iptc=None, pixels_per_mm=None)
    return picture


def _in_srgb(picture: Picture) -> Picture:
    """Convert by relative colorimetry with black point compensation, as photographers' tools do."""
    if picture.icc is None:
        return picture
    deep = picture.pixels.dtype == np.uint16
    is_grey = picture.pixels.shape[2] == 1
    array = picture.pixels
    if is_grey and picture.icc[16:20] == b"RGB ":
        array = np.repeat(array, 3, axis=2)
    space = ("grey16" if deep else "b-w") if array.shape[2] == 1 else ("rgb16" if deep else "srgb")
    image = pyvips.Image.new_from_array(np.ascontiguousarray(array), interpretation=space)
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", picture.icc)
    intent = {"intent": "relative", "black_point_compensation": True}
    if deep:  # by way of floats: from 16 bits at once, LittleCMS takes a coarse table, far off
        xyz = image.icc_import(embedded=True, pcs="xyz", **intent)
        image = xyz.icc_export(output_profile="srgb", depth=16, **intent)
    else:
        image = image.icc_transform("srgb", embedded=True, depth=8, **intent)
    pixels = image.numpy().reshape(image.height, image.width, 3)
    if is_grey and _is_neutral(pixels):
        return replace(picture, pixels=np.ascontiguousarray(pixels[..., 1:2]), icc=None)
    return replace(picture, pixels=pixels, icc=bytes(image.get("icc-profile-data")))


def _is_neutral(pixels: Pixels) -> bool:
    """Say whether the channels differ by no more than profiles' rounding: one level of 8 bits."""
    return bool(np.ptp(pixels, axis=2).max() <= np.iinfo(pixels.dtype).max // 255)
