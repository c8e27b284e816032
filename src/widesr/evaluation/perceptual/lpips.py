"""Measures LPIPS: how different two pictures look, by the features of a trained network.

Source: Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric",
2018; richzhang/PerceptualSimilarity, version 0.1, whose linear heads lie in the package.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ModelFileError, ShapeError
from widesr.evaluation.perceptual.features import SMALLEST, FeatureNetwork, Maps

Features = Sequence[Maps]
"""The maps of a picture, (C, h, w) for each compared layer; each place is a vector of length 1."""

_SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
_SCALE = np.array([0.458, 0.448, 0.450], np.float32)


class Lpips:
    """Measures LPIPS with a network whose weights the user names; nothing is fetched."""

    name: str
    """"lpips-squeeze", "lpips-alex" or "lpips-vgg"."""
    sha256: str
    """The hash of the file of weights."""

    def __init__(self, weights: Path) -> None:
        """Read the network's weights.

        Args:
            weights: Safetensors with torchvision's `features` of SqueezeNet 1.1, AlexNet or VGG16.

        Raises:
            ModelFileError: The file cannot be read, or holds none of these networks.
        """
        self._network = FeatureNetwork(weights)
        self.name, self.sha256 = f"lpips-{self._network.name}", self._network.sha256
        self._heads = heads()[self._network.name]
        black = np.zeros((SMALLEST, SMALLEST), np.uint8)
        try:
            self(black, black)
        except (ArithmeticError, IndexError, ValueError) as error:
            raise ModelFileError(
                f"{weights}: looks like {self._network.name}, but its tensors do not fit together"
            ) from error

    def features(self, picture: NDArray[Any]) -> Features:
        """Compute the features of a picture, uint8 or uint16, (H, W, 1 or 3) or (H, W).

        Raises:
            ShapeError: The picture is too small.
        """
        pixels = np.atleast_3d(picture)
        if min(pixels.shape[:2]) < SMALLEST:
            raise ShapeError(
                f"LPIPS needs a picture of at least {SMALLEST}x{SMALLEST} pixels, got "
                f"{pixels.shape[1]}x{pixels.shape[0]}"
            )
        levels = pixels.astype(np.float32) / np.float32(np.iinfo(picture.dtype).max)
        levels = (2 * levels - 1 - _SHIFT) / _SCALE  # grey goes into all three channels
        maps = self._network.maps(np.ascontiguousarray(levels.transpose(2, 0, 1)))
        return [each / (np.sqrt(np.sum(each**2, axis=0)) + np.float32(1e-10)) for each in maps]

    def distance_map(
        self, one: Features, other: Features, *, size: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Measure the distance at each pixel of pictures of `size`, (height, width)."""
        total = np.zeros(size, np.float32)
        for each in self._distances(one, other):
            total += _stretched(each, size)
        return total

    def __call__(self, one: NDArray[Any], other: NDArray[Any]) -> float:
        """Measure the distance of two pictures: 0 if equal, 0.7 if they have little in common.

        Raises:
            ShapeError: The pictures differ in shape or type, or are too small.
        """
        if one.shape != other.shape or one.dtype != other.dtype:
            raise ShapeError(
                f"pictures to compare must be alike, got {one.shape} {one.dtype} and "
                f"{other.shape} {other.dtype}"
            )
        distances = self._distances(self.features(one), self.features(other))
        return float(sum(each.mean(dtype=np.float64) for each in distances))

    def _distances(self, one: Features, other: Features) -> list[NDArray[np.float32]]:
        return [
            np.tensordot(head, (mine - others) ** 2, axes=1)
            for head, mine, others in zip(self._heads, one, other, strict=True)
        ]


@cache
def heads() -> dict[str, list[NDArray[np.float32]]]:
    """Return the weight of each channel, by the network ("squeeze", ...) and its layers."""
    with (files(__package__) / "lpips_heads.npz").open("rb") as file, np.load(file) as arrays:
        found: dict[str, list[NDArray[np.float32]]] = {}
        for key in sorted(arrays.files):  # "alex0", "alex1", ...
            found.setdefault(key[:-1], []).append(arrays[key])
        return found


def _stretched(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Enlarge (h, w) to `size` linearly between the middles of pixels, as torch does."""
    for axis, n_out in enumerate(size):
        n = values.shape[axis]
        at = np.clip((np.arange(n_out) + 0.5) * n / n_out - 0.5, 0, n - 1)
        low = np.minimum(at.astype(np.intp), max(n - 2, 0))
        share = (at - low).astype(np.float32)
        share = share[:, np.newaxis] if axis == 0 else share
        before, after = (values.take(np.minimum(low + step, n - 1), axis=axis) for step in (0, 1))
        values = before + share * (after - before)
    return values
