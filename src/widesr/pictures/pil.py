"""Changes PIL images as pictures, and gives them back in their own mode.

Pillow is not a requirement: a caller who has an image has loaded Pillow.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from widesr.errors import ImageFormatError, ImageReadError
from widesr.pictures.metadata import Metadata, cleaned, orientation_of_exif, sized
from widesr.pictures.picture import Picture

if TYPE_CHECKING:
    from PIL import Image

_COMPUTED_IN = {
    "1": "L",
    "L": "L",
    "LA": "LA",
    "La": "LA",
    "P": "RGB",
    "PA": "RGBA",
    "RGB": "RGB",
    "RGBX": "RGB",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
    "YCbCr": "RGB",
    "HSV": "RGB",
}
"""The mode that Pillow converts each mode to and from; I;16 and CMYK are taken as they are."""
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""Pillow's name for the turn that brings each EXIF orientation upright."""


def is_pil_image(value: object) -> "TypeGuard[Image.Image]":
    """Say whether a value is a PIL image, without loading Pillow."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def changed_image(
    image: "Image.Image", change: Callable[[Picture], Picture], *, copies: bool = False
) -> "Image.Image":
    """Apply a function on pictures to a PIL image.

    The mode stays. A palette is made anew, with 256 colours; any other image with a transparent
    colour gets alpha instead. The three colours of CMYK are changed as one picture and black as
    another, so that areas printed in black alone stay so.

    The image is turned upright as EXIF asks; EXIF and XMP in `info` then state that orientation
    and the new size.

    Args:
        image: The image, at the frame to change.
        change: A function that gives a picture of the same depth, colours and alpha, of any size.
        copies: True if it makes no new colours: then an image of mode P keeps its palette, and its
            numbers, which may be labels.

    Raises:
        ImageFormatError: The mode has more than 16 bits, or is not supported.
        ImageReadError: Pillow cannot decode the image's file.
    """
    from PIL.Image import Transpose

    try:
        image.load()
    except (OSError, SyntaxError, ValueError) as error:  # all three mean a damaged file
        raise ImageReadError(f"the PIL image cannot be decoded: {error}") from error
    # Pillow itself fails on a damaged block, and heeds XMP as well
    orientation = orientation_of_exif(_block(image, "exif") or b"")
    turn = _TURNS.get(orientation)
    upright = image.transpose(Transpose[turn]) if turn else image
    keeps_palette = upright.mode == "P" and copies
    if keeps_palette:
        changed = _changed_numbers(upright, change)
    elif upright.mode == "CMYK":
        changed = _changed_inks(upright, change)
    elif upright.mode.startswith("I;16") and "transparency" not in upright.info:
        changed = _changed_16_bits(upright, change)
    elif upright.mode in _COMPUTED_IN:
        changed = _changed_8_bits(upright, change)
    else:
        what = " with a transparent colour" if "transparency" in upright.info else ""
        raise ImageFormatError(
            f"a PIL image of mode {upright.mode}{what} is not taken; expected I;16, CMYK or one of "
            f"{', '.join(_COMPUTED_IN)}: bring its values to 8 bits or, as I;16, to 16"
        )
    changed.info = _info(image, width=changed.width, height=changed.height)
    if not keeps_palette:
        changed.info.pop("transparency", None)
    if orientation > 4 and "dpi" in changed.info:
        changed.info["dpi"] = changed.info["dpi"][::-1]
    return changed


def _block(image: "Image.Image", name: str) -> bytes | None:
    block = image.info.get(name)
    return block if isinstance(block, bytes) else None


def _changed_8_bits(image: "Image.Image", change: Callable[[Picture], Picture]) -> "Image.Image":
    from PIL import Image

    mode, computed_in = image.mode, _COMPUTED_IN[image.mode]
    if "transparency" in image.info and mode in ("1", "L", "P", "RGB"):
        computed_in += "A"
        mode = mode if mode == "P" else computed_in
    array = np.atleast_3d(np.asarray(image.convert(computed_in)))
    n = 1 if array.shape[2] < 3 else 3
    alpha = np.ascontiguousarray(array[..., n]) if array.shape[2] > n else None
    picture = change(Picture(pixels=np.ascontiguousarray(array[..., :n]), alpha=alpha))
    planes = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    changed = Image.fromarray(planes[..., 0] if planes.shape[2] == 1 else planes)
    match mode:
        case "P":
            return changed.quantize(256)
        case "PA":
            with_palette = changed.convert("RGB").quantize(256).convert("PA")
            with_palette.putalpha(changed.getchannel("A"))
            return with_palette
        case "1":
            return changed.convert("1", dither=Image.Dither.NONE)
        case _:
            return changed if changed.mode == mode else changed.convert(mode)


def _changed_numbers(image: "Image.Image", change: Callable[[Picture], Picture]) -> "Image.Image":
    """Change the numbers of a palette's colours as if they were grey."""
    from PIL import Image

    numbers = np.asarray(image)[..., np.newaxis]
    changed = Image.fromarray(change(Picture(pixels=numbers)).pixels[..., 0])
    mode = image.palette.mode if image.palette else "RGB"
    changed.putpalette(image.getpalette(mode) or [], mode)
    return changed


def _changed_16_bits(image: "Image.Image", change: Callable[[Picture], Picture]) -> "Image.Image":
    from PIL import Image

    array = np.asarray(image)
    picture = change(Picture(pixels=array[..., np.newaxis].astype(np.uint16)))
    return Image.fromarray(picture.pixels[..., 0].astype(array.dtype))


def _changed_inks(image: "Image.Image", change: Callable[[Picture], Picture]) -> "Image.Image":
    """Change CMYK as two pictures of light: the light that the colours leave, and black leaves."""
    from PIL import Image

    light = 255 - np.asarray(image)
    parts = (np.ascontiguousarray(part) for part in (light[..., :3], light[..., 3:]))
    inks = 255 - np.dstack([change(Picture(pixels=part)).pixels for part in parts])
    return Image.merge("CMYK", [Image.fromarray(ink) for ink in np.moveaxis(inks, 2, 0)])


def _info(image: "Image.Image", *, width: int, height: int) -> dict[Any, Any]:
    """Update the image's `info` to the changed image, which is upright and of the given size."""
    info = dict(image.info)
    exif, xmp = _block(image, "exif"), _block(image, "xmp")
    blocks = sized(cleaned(Metadata(exif, xmp)), width=width, height=height)
    if exif and blocks.exif:
        info["exif"] = (b"Exif\0\0" if exif.startswith(b"Exif\0\0") else b"") + blocks.exif
    if xmp:
        info["xmp"] = blocks.xmp
    return info
