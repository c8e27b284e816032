"""Interprets colour profiles, and converts their colours to sRGB, band by band."""

from dataclasses import replace

import numpy as np
import pyvips

from widesr.pictures.picture import PictureStream
from widesr.pictures.profiles import sound_profile
from widesr.pixels.rows import Band, Pixels, Rows


def space_of(icc: bytes | None) -> bytes:
    """Name the colour space of a profile: b"RGB ", b"GRAY", b"CMYK", ..."""
    return icc[16:20] if icc else b""


def meant_profile(icc: bytes | None, *, channels: int) -> bytes | None:
    """Give a profile if it is sound and fits the number of channels; None for any other."""
    icc = sound_profile(icc)
    space = space_of(icc)
    return icc if space == b"RGB " or (space, channels) == (b"GRAY", 1) else None


def in_srgb(stream: PictureStream) -> PictureStream:
    """Convert by relative colorimetry with black point compensation, as photographers' tools do.

    The picture gets the profile of sRGB. Grey stays grey, which needs no profile, where its own
    profile leaves all levels neutral. A damaged profile is as good as none, and is dropped.
    """
    icc, dtype = stream.icc, stream.rows.dtype
    if icc is None:
        return stream
    if stream.colours == 1:
        levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(256, -1, 1)
        if space_of(icc) == b"RGB ":
            levels = np.repeat(levels, 3, axis=2)
    else:
        levels = np.zeros((1, 1, 3), dtype)
    try:
        converted, srgb = _converted(levels, icc)
    except pyvips.Error:
        return replace(stream, icc=None)
    if stream.colours == 3:
        return stream.with_colours(lambda band: _converted(band, icc)[0], channels=3, icc=srgb)
    table = converted.reshape(-1, 3)
    if _is_neutral(table):
        table = table[:, 1:2]
        return stream.with_colours(lambda band: table[band[..., 0]], channels=1, icc=None)
    return stream.with_colours(lambda band: table[band[..., 0]], channels=3, icc=srgb)


def inks_to_srgb(rows: Rows, icc: bytes | None) -> tuple[Rows, bytes]:
    """Convert CMYK, with opacity if there is any, to sRGB through its profile or libvips' own.

    Returns:
        RGB of the same depth, and the profile of sRGB.

    Raises:
        pyvips.Error: The profile is damaged; also raised while rows are read.
    """
    deep = rows.dtype == np.uint16

    def inked(band: Band) -> pyvips.Image:
        image = pyvips.Image.new_from_array(np.ascontiguousarray(band), interpretation="cmyk")
        if icc:
            image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
        return image.icc_transform(
            "srgb",
            embedded=True,
            input_profile="cmyk",
            intent="relative",
            black_point_compensation=True,
            depth=16 if deep else 8,
        )

    def change(band: Band) -> Band:
        colours = inked(band[..., :4]).numpy()
        return np.concatenate([colours, band[..., 4:]], axis=2)

    srgb = bytes(inked(np.zeros((1, 1, 4), rows.dtype)).get("icc-profile-data"))
    return rows.map(change, channels=rows.channels - 1), srgb


def image_of(pixels: Pixels) -> pyvips.Image:
    """Make a libvips image in memory: grey or RGB, with or without alpha."""
    deep = pixels.dtype == np.uint16
    space = ("grey16" if deep else "b-w") if pixels.shape[2] < 3 else ("rgb16" if deep else "srgb")
    return pyvips.Image.new_from_array(np.ascontiguousarray(pixels), interpretation=space)


def _converted(array: Pixels, icc: bytes) -> tuple[Pixels, bytes]:
    image = image_of(array)
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    intent = {"intent": "relative", "black_point_compensation": True}
    # Straight from 16 bits, LittleCMS uses a coarse table that is far off; floats avoid it.
    if array.dtype == np.uint16:
        xyz = image.icc_import(embedded=True, pcs="xyz", **intent)
        image = xyz.icc_export(output_profile="srgb", depth=16, **intent)
    else:
        image = image.icc_transform("srgb", embedded=True, depth=8, **intent)
    pixels = image.numpy().reshape(image.height, image.width, 3)
    return pixels, bytes(image.get("icc-profile-data"))


def _is_neutral(table: Pixels) -> bool:
    """Say whether the channels are equal up to the rounding of profiles, one 8-bit level."""
    return bool(np.ptp(table, axis=1).max() <= np.iinfo(table.dtype).max // 255)
