"""Measures NIQE: how natural a picture looks, without its original; lower is more natural.

The statistics of 96x96 blocks, at the picture's size and at half of it, are compared with those of
pristine photographs. NIQE says nothing about truth: invented detail looks natural.

Source: Mittal, Soundararajan and Bovik, "Making a completely blind image quality analyzer", 2012,
and the authors' release, whose parameters lie in the package; held to MATLAB's value.
"""

from functools import cache
from importlib.resources import files
from math import gamma
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ShapeError
from widesr.pixels.depth import in_levels
from widesr.pixels.metrics import luma
from widesr.pixels.resize import imresize

BLOCK = 96
"""Side of the blocks in pixels; incomplete blocks at the right and below are ignored."""

_Values = NDArray[np.float64]


class _Pristine(NamedTuple):
    mean: _Values
    """(36,)"""
    covariance: _Values
    """(36, 36)"""
    window: _Values
    """(7, 7)"""


def niqe(picture: NDArray[Any]) -> float:
    """Measure NIQE on the luma of a picture, rounded to whole levels, no border left out.

    Args:
        picture: uint8 or uint16 (read as levels of 1/257), (H, W, 3) RGB, or grey (H, W, 1) or
            (H, W), which is taken as luma.

    Raises:
        ShapeError: Fewer than two blocks fit into the picture, or fewer than two are not flat.
    """
    levels = np.atleast_3d(in_levels(picture))
    y = luma(levels, rounded=True) if levels.shape[2] == 3 else np.floor(levels + 0.5)
    y = y[..., 0]
    rows, columns = y.shape[0] // BLOCK, y.shape[1] // BLOCK
    if rows * columns < 2:
        raise ShapeError(
            f"NIQE needs at least two blocks of {BLOCK}x{BLOCK} pixels, got a picture of "
            f"{y.shape[1]}x{y.shape[0]}"
        )
    y = y[: rows * BLOCK, : columns * BLOCK]
    pristine = _pristine()
    halves = []
    for side in (BLOCK, BLOCK // 2):
        halves.append(_features_of_blocks(_normalised(y, pristine.window), side))
        y = imresize(y, scale=0.5)
    features = np.concatenate(halves, axis=1)
    alive = features[~np.isnan(features).any(axis=1)]
    if len(alive) < 2:
        raise ShapeError(f"NIQE needs two blocks of {BLOCK}x{BLOCK} pixels that are not flat")
    mean = np.nanmean(features, axis=0)
    covariance = np.cov(alive, rowvar=False)
    away = pristine.mean - mean
    inverse = np.linalg.pinv((pristine.covariance + covariance) / 2)
    return float(np.sqrt(away @ inverse @ away))


@cache
def _pristine() -> _Pristine:
    with (files(__package__) / "niqe_parameters.npz").open("rb") as file, np.load(file) as found:
        return _Pristine(
            mean=found["mu_pris_param"].ravel(),
            covariance=found["cov_pris_param"],
            window=found["gaussian_window"],
        )


def _normalised(y: _Values, window: _Values) -> _Values:
    """Normalise the contrast: subtract the local mean, and divide by the local deviation plus 1."""
    mean = _weighed(y, window)
    deviation = np.sqrt(np.abs(_weighed(y**2, window) - mean**2))
    normalised: _Values = (y - mean) / (deviation + 1)
    return normalised


def _weighed(y: _Values, window: _Values) -> _Values:
    """Sum the weighted surroundings of each pixel; edge pixels are repeated beyond the border."""
    reach = len(window) // 2
    padded = np.pad(y, reach, mode="edge")
    height, width = y.shape
    weighed: _Values = sum(
        (
            weight * padded[row : row + height, column : column + width]
            for (row, column), weight in np.ndenumerate(window)
        ),
        start=np.zeros_like(y),
    )
    return weighed


def _features_of_blocks(values: _Values, side: int) -> _Values:
    """Describe the square blocks of (H, W), one column of them after another: (n, 18)."""
    height, width = values.shape
    return np.array(
        [
            _features(values[top : top + side, left : left + side])
            for left in range(0, width, side)
            for top in range(0, height, side)
        ]
    )


def _features(block: _Values) -> list[float]:
    """Describe a block by 18 numbers: of its values, and of the products with four neighbours."""
    shape, left, right = _fitted(block)
    features = [shape, (left + right) / 2]
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        shape, left, right = _fitted(block * np.roll(block, (down, across), axis=(0, 1)))
        mean = (right - left) * gamma(2 / shape) / gamma(1 / shape)
        features += [shape, mean, left, right]
    return features


def _fitted(values: _Values) -> tuple[float, float, float]:
    """Fit an asymmetric generalised Gaussian: its shape, and its width on either side."""
    shapes, ratios = _shapes()
    below, above = values[values < 0], values[values > 0]
    left, right = (np.sqrt(np.mean(side**2)) if side.size else np.nan for side in (below, above))
    squares = np.mean(values**2)
    if not squares or np.isnan(left) or np.isnan(right):  # a flat block, which does not count
        return np.nan, np.nan, np.nan
    across = left / right
    spread = np.mean(np.abs(values)) ** 2 / squares
    wanted = spread * (across**3 + 1) * (across + 1) / (across**2 + 1) ** 2
    shape = float(shapes[np.argmin((ratios - wanted) ** 2)])
    width = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, float(left * width), float(right * width)


@cache
def _shapes() -> tuple[_Values, _Values]:
    """List the shapes that are tried, and the ratio of moments that each has."""
    shapes = np.arange(0.2, 10.001, 0.001)
    gammas = np.vectorize(gamma)
    return shapes, gammas(2 / shapes) ** 2 / (gammas(1 / shapes) * gammas(3 / shapes))
