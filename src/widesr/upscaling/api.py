"""Upscales in one call: a picture goes in, and a larger one of the same kind comes out."""

import os
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from widesr.engine import EngineOptions, model_name
from widesr.errors import UsageError
from widesr.pictures.picture import Picture
from widesr.pictures.pil import changed_image, is_pil_image
from widesr.pictures.reading import read_picture
from widesr.pictures.sources import Source
from widesr.upscaling.base import AnyUpscaler
from widesr.upscaling.interpolation import Nearest
from widesr.upscaling.resize_to import load_upscaler
from widesr.upscaling.target import Target

if TYPE_CHECKING:
    from PIL.Image import Image

Kind = TypeVar("Kind", Picture, NDArray[np.uint8], NDArray[np.uint16], "Image")


@overload
def upscale(
    picture: Source,
    *,
    scale: float | None = ...,
    width: int | None = ...,
    height: int | None = ...,
    longest: int | None = ...,
    fit: tuple[int, int] | None = ...,
    model: str | os.PathLike[str] | AnyUpscaler = ...,
    tile: int | Literal["auto"] | None = ...,
    self_ensemble: bool = ...,
    consistent: bool = ...,
) -> Picture: ...


@overload
def upscale(
    picture: Kind,
    *,
    scale: float | None = ...,
    width: int | None = ...,
    height: int | None = ...,
    longest: int | None = ...,
    fit: tuple[int, int] | None = ...,
    model: str | os.PathLike[str] | AnyUpscaler = ...,
    tile: int | Literal["auto"] | None = ...,
    self_ensemble: bool = ...,
    consistent: bool = ...,
) -> Kind: ...


def upscale(
    picture: Any,
    *,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    longest: int | None = None,
    fit: tuple[int, int] | None = None,
    model: str | os.PathLike[str] | AnyUpscaler = "default",
    tile: int | Literal["auto"] | None = "auto",
    self_ensemble: bool = False,
    consistent: bool = False,
) -> Any:
    """Upscale one picture and return a larger one of the same kind.

    At x2, x3 and x4 the picture goes through one network. For any other size it goes through the
    nearest network at or above that size (above x4, through the x4 network and then the x2 one),
    and `imresize` shrinks the result to the exact size. At x1 or less, `imresize` works alone.

    Args:
        picture: A path, the bytes of a file, or a file object in binary mode; a `Picture`; an
            array, uint8 or uint16, (H, W) or (H, W, C) with 1 channel for grey, 3 for RGB, and 2
            or 4 for the same with alpha; or a PIL image of any mode of at most 16 bits. A PIL
            image keeps its mode, its palette is made anew (except by "nearest"), and its EXIF
            orientation is applied.
        scale: Output pixels per input pixel, along each axis, at most 8; 2 if no size is given.
        width: The width of the output in pixels, instead of a scale; the aspect ratio is kept.
        height: The height of the output, in the same way.
        longest: The longer side of the output, in the same way.
        fit: The (width, height), in the order of Pillow's sizes, of a box that the output fills as
            far as its aspect ratio allows.
        model: A name or a path, as for `Upscaler.load`; or, for many pictures, a loaded upscaler,
            with which no other argument may be given.
        tile: Side of the tiles, in LR pixels; None upscales the whole picture at once.
        self_ensemble: Average over eight flips and turns.
        consistent: Correct the output so that MATLAB's bicubic shrinks it back to the input; the
            output must be a whole number of times as large as the input.

    Returns:
        A new `Picture` for a path, bytes or a file object; otherwise a larger picture of the kind
        that was given. Nothing is written to disk.

    Raises:
        WidesrError: The errors of `Upscaler.load`, `read_picture` and `Upscaler`.
        ImageFormatError: The PIL image has a mode that is not supported.
    """
    is_sized = any(each is not None for each in (scale, width, height, longest, fit))
    if isinstance(model, AnyUpscaler):
        if is_sized or tile != "auto" or self_ensemble or consistent:
            raise UsageError(
                "a size or how to run the model was given with a model that is loaded; "
                "give them where it is loaded"
            )
        upscaler = model
    else:
        scale = scale if is_sized else 2
        target = Target(scale=scale, width=width, height=height, longest=longest, fit=fit)
        options = EngineOptions(tile=tile, self_ensemble=self_ensemble, consistent=consistent)
        upscaler = load_upscaler(model_name(model), target=target, options=options)
    if isinstance(picture, np.ndarray):
        return _upscaled_array(picture, upscaler)
    if is_pil_image(picture):
        copies = isinstance(upscaler, Nearest)
        return changed_image(picture, upscaler.upscale_picture, copies=copies)
    if not isinstance(picture, Picture):
        picture = read_picture(picture)
    return upscaler.upscale_picture(picture)


def _upscaled_array(array: NDArray[Any], upscaler: AnyUpscaler) -> NDArray[Any]:
    array = array.astype(array.dtype.newbyteorder("="), copy=False)  # TIFF readers may swap bytes
    if array.ndim != 3 or array.shape[2] not in (2, 4):
        return upscaler(array)
    pixels, alpha = (np.ascontiguousarray(part) for part in (array[..., :-1], array[..., -1]))
    picture = upscaler.upscale_picture(Picture(pixels=pixels, alpha=alpha))
    assert picture.alpha is not None
    return np.dstack([picture.pixels, picture.alpha])
