"""One call: a picture in, a larger one of the same kind out."""

from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from widesr.picture import Picture
from widesr.reading import read_picture
from widesr.sizing import Target
from widesr.upscaler import load_upscaler

Pixels = TypeVar("Pixels", bound=np.uint8 | np.uint16)


@overload
def upscale(
    picture: Picture | Path | str,
    *,
    scale: float | None = ...,
    width: int | None = ...,
    height: int | None = ...,
    longest: int | None = ...,
    fit: tuple[int, int] | None = ...,
    model: str = ...,
    tile: int | Literal["auto"] | None = ...,
    self_ensemble: bool = ...,
) -> Picture: ...


@overload
def upscale(
    picture: NDArray[Pixels],
    *,
    scale: float | None = ...,
    width: int | None = ...,
    height: int | None = ...,
    longest: int | None = ...,
    fit: tuple[int, int] | None = ...,
    model: str = ...,
    tile: int | Literal["auto"] | None = ...,
    self_ensemble: bool = ...,
) -> NDArray[Pixels]: ...


def upscale(
    picture: Picture | Path | str | NDArray[Any],
    *,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    longest: int | None = None,
    fit: tuple[int, int] | None = None,
    model: str = "default",
    tile: int | Literal["auto"] | None = "auto",
    self_ensemble: bool = False,
) -> Picture | NDArray[Any]:
    """Upscale one picture; for several, `Upscaler.load` once and call it.

    At x2, x3 and x4 the picture goes through one network. Any other size takes the nearest network
    at or above it, above x4 that of x4 and then that of x2, and is shrunk to the pixel by
    `imresize`, which alone does what is x1 or less.

    Args:
        picture: A file, a `Picture`, or an array as `Upscaler` takes it.
        scale: Output pixels per input pixel, along each axis, at most 8; 2 if no size is given.
        width: Of the output, in pixels, instead of a scale; the aspect is kept.
        height: The same for the height.
        longest: The same for the longer side.
        fit: (height, width) of a box that the output fills as far as its aspect allows.
        model: As for `Upscaler.load`, with `tile` and `self_ensemble`.
        tile: Side of the tiles, LR pixels; None is the whole picture at once.
        self_ensemble: Mean over eight flips and turns.

    Returns:
        An array for an array, else a `Picture`; nothing is written.

    Raises:
        WidesrError: As `Upscaler.load`, `read_picture` and `Upscaler` say.
    """
    if (scale, width, height, longest, fit) == (None,) * 5:
        scale = 2
    target = Target(scale=scale, width=width, height=height, longest=longest, fit=fit)
    upscaler = load_upscaler(model, target=target, tile=tile, self_ensemble=self_ensemble)
    if isinstance(picture, np.ndarray):
        return upscaler(picture)
    if not isinstance(picture, Picture):
        picture = read_picture(Path(picture))
    return upscaler.upscale_picture(picture)
