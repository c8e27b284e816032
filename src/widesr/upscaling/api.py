"""Upscale in one call: a picture in, a larger one of the same kind out."""

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
    """Upscale one picture and give back the same kind.

    At x2, x3 and x4 the picture goes through one network. Any other size takes the nearest network
    at or above it, above x4 that of x4 and then that of x2, and is shrunk to the pixel by
    `imresize`, which alone does what is x1 or less.

    Args:
        picture: A path, the bytes of a file, or a file object in binary mode; a `Picture`; an
            array, uint8 or uint16, (H, W) or (H, W, C) with 1 channel for grey, 3 for RGB, and 2
            and 4 for the same with alpha; or a PIL image of any mode of at most 16 bits. The mode
            stays, a palette is made anew, EXIF's orientation is applied.
        scale: Output pixels per input pixel, along each axis, at most 8; 2 if no size is given.
        width: The width of the output in pixels, instead of a scale; the aspect is kept.
        height: The height of the output, in the same way.
        longest: The longer side of the output, in the same way.
        fit: The (width, height), as in Pillow's sizes, of a box that the output fills as far as its
            aspect allows.
        model: A name or a path, as for `Upscaler.load`; or a loaded upscaler, for many pictures:
            then nothing else is given.
        tile: Side of the tiles, in LR pixels; None is the whole picture at once.
        self_ensemble: Take the mean over eight flips and turns.
        consistent: Correct the output so that it shrinks back to the input, by MATLAB's bicubic;
            the output must be a whole number of times as large as the input.

    Returns:
        A new `Picture` for a path, bytes or a file object, else what was given, larger; nothing
        is written.

    Raises:
        WidesrError: The errors of `Upscaler.load`, `read_picture` and `Upscaler`.
        ImageFormatError: A PIL image of a mode that is not taken.
    """
    sizes = (scale, width, height, longest, fit)
    if not isinstance(model, AnyUpscaler):
        if sizes == (None,) * 5:
            scale = 2
        target = Target(scale=scale, width=width, height=height, longest=longest, fit=fit)
        options = EngineOptions(tile=tile, self_ensemble=self_ensemble, consistent=consistent)
        upscaler = load_upscaler(model_name(model), target=target, options=options)
    elif sizes == (None,) * 5 and tile == "auto" and not (self_ensemble or consistent):
        upscaler = model
    else:
        raise UsageError(
            "a size or how to run the model was given with a model that is loaded; "
            "give them where it is loaded"
        )
    if isinstance(picture, np.ndarray):
        return _upscaled_array(picture, upscaler)
    if is_pil_image(picture):
        return changed_image(picture, upscaler.upscale_picture)
    if not isinstance(picture, Picture):
        picture = read_picture(picture)
    return upscaler.upscale_picture(picture)


def _upscaled_array(array: NDArray[Any], upscaler: AnyUpscaler) -> NDArray[Any]:
    array = array.astype(array.dtype.newbyteorder("="), copy=False)  # as TIFF readers give them
    if array.ndim != 3 or array.shape[2] not in (2, 4):
        return upscaler(array)
    pixels, alpha = (np.ascontiguousarray(part) for part in (array[..., :-1], array[..., -1]))
    picture = upscaler.upscale_picture(Picture(pixels=pixels, alpha=alpha))
    assert picture.alpha is not None
    return np.dstack([picture.pixels, picture.alpha])
