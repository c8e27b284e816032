"""Makes many pictures that all shrink back to one input, and shows where they differ."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from widesr.engine import EngineOptions
from widesr.errors import ShapeError, UsageError
from widesr.pictures.picture import Picture
from widesr.pictures.pil import is_pil_image
from widesr.pictures.reading import read_picture
from widesr.pixels.rows import Band, Rows, check_array
from widesr.system.arguments import whole_number
from widesr.upscaling.api import upscale
from widesr.upscaling.upscaler import Upscaler, checked_seed

_BRIGHTER = 8
"""Factor on the deviation in a map: the deviation seldom exceeds an eighth of the range."""
_CHUNK = 2**22
"""Values, of all samples together, that are compared at once."""


def samples(
    picture: Any,  # noqa: ANN401 - a path, bytes, or any kind of picture
    *,
    scale: int = 4,
    count: int = 5,
    seed: int = 0,
    temperature: float = 1.0,
    model: str | os.PathLike[str] = "samples",
    tile: int | Literal["auto"] | None = "auto",
) -> Iterator[Any]:
    """Make several large pictures of one input, each with different plausible detail.

    MATLAB's bicubic shrinks each of them back to the input, apart from rounding.

    Args:
        picture: The input: a path, bytes, an array or another kind that `upscale` takes.
        scale: Output pixels per input pixel, along each axis; the default is the model's.
        count: The number of samples.
        seed: The seed of the first sample; the others use the seeds after it. A seed always gives
            the same picture.
        temperature: The spread of the samples: at 0 they are equal, at 1 they differ as the model
            learned.
        model: A model that reads noise: "samples", a name or a path, as for `Upscaler.load`.
        tile: Side of the tiles, in LR pixels; None upscales the whole picture at once.

    Returns:
        One sample after another, of the kind that `upscale` gives.

    Raises:
        UsageError: The model makes only one picture per input, or a value is not valid.
        WidesrError: The errors of `upscale`.
    """
    count = whole_number(count, "a count of at least 1 sample", least=1)
    seed = checked_seed(seed)
    options = EngineOptions(tile=tile, seed=seed, temperature=temperature)
    sampler = load_sampler(model, scale=scale, options=options)
    if not isinstance(picture, Picture | np.ndarray) and not is_pil_image(picture):
        picture = read_picture(picture)
    return (upscale(picture, model=sampler.sample(seed + i)) for i in range(count))


def load_sampler(
    model: str | os.PathLike[str] = "samples", *, scale: int, options: EngineOptions | None = None
) -> Upscaler:
    """Load a model that reads noise, to make samples that shrink back to their input.

    With precision "auto" the model runs in fp32, so that a seed gives one picture on every machine.

    Args:
        model: A name or a path, as for `Upscaler.load`.
        scale: Output pixels per input pixel, along each axis.
        options: The settings for running the network.

    Raises:
        UsageError: The model reads no noise, and so makes only one picture per input.
        WidesrError: The errors of `Upscaler.load`.
    """
    options = (options or EngineOptions()).but(consistent=True)
    if options.precision == "auto":
        options = options.but(precision="fp32")
    sampler = Upscaler.load(model, scale=scale, options=options)
    if not (isinstance(sampler, Upscaler) and sampler.reads_noise):
        raise UsageError(
            f"{model} makes one picture of each input, for it reads no noise; take another model",
            options=['model="samples"'],
        )
    return sampler


def variance_map(pictures: Sequence[Picture | NDArray[Any]]) -> NDArray[np.uint8]:
    """Show where samples of one picture differ: their detail there is invented.

    Args:
        pictures: Two or more samples of the same size and type; alpha is ignored.

    Returns:
        Grey levels, (H, W): eight times the standard deviation over the samples, in levels of 255,
        from the variance averaged over the channels. Black marks places where all are alike.

    Raises:
        ShapeError: There are fewer than two samples, or they differ in size or type.
        UsageError: The value is not a sequence of pictures.
    """
    if not isinstance(pictures, Sequence):
        raise UsageError(f"{type(pictures).__name__} was given, expected a list of pictures")
    arrays = [each.pixels if isinstance(each, Picture) else each for each in pictures]
    for each in arrays:
        check_array(each)
        if each.ndim not in (2, 3):
            raise ShapeError(f"expected samples (H, W) or (H, W, C), got {each.shape}")
    return variance_rows([Rows.of(np.atleast_3d(each)) for each in arrays]).whole()[..., 0]


def variance_rows(samples: Sequence[Rows]) -> Rows:
    """Make the map of `variance_map`, (H, W, 1), as the rows of the samples arrive.

    Raises:
        ShapeError: The same reasons as in `variance_map`.
    """
    if len(samples) < 2:
        raise ShapeError(f"expected at least 2 samples to compare, got {len(samples)}")
    first = samples[0]
    if first.dtype not in (np.uint8, np.uint16) or 0 in first.shape:
        raise ShapeError(
            f"expected uint8 or uint16 samples with pixels, got {first.dtype} {first.shape}"
        )
    kinds = {(each.shape, each.dtype) for each in samples}
    if len(kinds) > 1:
        raise ShapeError(
            "expected samples of one size and type, got "
            + " and ".join(sorted(f"{shape} {dtype}" for shape, dtype in kinds))
        )
    n = 1 if first.channels < 3 else 3
    factor = np.float32(255 / np.iinfo(first.dtype).max)
    height = max(_CHUNK // (first.width * first.channels * len(samples)), 1)

    def bands() -> Iterator[Band]:
        for each in zip(*(rows.chunks(height) for rows in samples), strict=True):
            levels = np.stack([band[..., :n] for band in each]).astype(np.float32) * factor
            variance = levels.var(axis=0, ddof=1).mean(axis=2, keepdims=True)
            shown = _BRIGHTER * np.sqrt(variance) + np.float32(0.5)
            yield np.clip(shown, 0, 255).astype(np.uint8)

    return Rows(bands(), shape=(first.height, first.width, 1), dtype=np.uint8)
