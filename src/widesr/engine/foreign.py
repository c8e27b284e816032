"""Finds by trial the scale and reach of other makers' ONNX files, which have no card.

The network is run on noise, once as it is and then with one pixel changed to extreme values: it
looks as far as its output changes. If that is up to the border of the largest trial picture, or if
crops come out different from the whole (attention windows, unshuffled inputs), the network is run
on whole pictures only.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from widesr.engine.interface import describe_ports, is_rgb
from widesr.errors import ModelFileError
from widesr.models.catalog import ModelCard, ModelFile
from widesr.system.machine import usable_cpus

FOREIGN = "foreign"
"""The family name of other makers' networks."""

_SIDES = (48, 96, 192)
"""Sides of the trial pictures, LR pixels: multiples of 16, which some networks insist on."""
_TOLERANCE = 1e-4
"""Largest difference between crops and the whole, range 1: a fortieth of an 8-bit level."""
_UNHEARD_OF = (1e3, -1e3, float("nan"))
"""Values of the changed pixel. NaN passes through every linear layer, but not every ReLU."""


@lru_cache(maxsize=8)
def probe(path: Path, graph_sha256: str) -> ModelFile:
    """Find by trial what the card of a file without one would say.

    Raises:
        ModelFileError: The file is not an ONNX network from RGB to larger RGB.
    """
    from widesr.engine.ort import OnnxRuntimeEngine

    card = ModelCard(
        name=path.stem,
        family=FOREIGN,
        scale=1,
        receptive_radius=0,
        parameters=0,
        licence="unknown",
        degradation="unknown",
        weights_sha256=graph_sha256,
    )
    engine = OnnxRuntimeEngine(ModelFile(path, card), threads=usable_cpus())
    if not is_rgb(engine):
        raise ModelFileError(
            f"{path}: expected a network from RGB to RGB, found {describe_ports(engine)}"
        )
    trial = _Trial(path, run=lambda lr: engine.infer(lr)[0], size=engine.fixed_size)
    radius = trial.reach()
    tiles = radius is not None and trial.is_the_same_in_crops(radius)
    found = {"scale": trial.scale, "receptive_radius": radius if tiles else 0, "tiles": tiles}
    return ModelFile(path, card.model_copy(update=found))


class _Trial:
    """A network under trial."""

    def __init__(
        self,
        path: Path,
        *,
        run: Callable[[NDArray[np.float32]], NDArray[np.float32]],
        size: tuple[int, int] | None,
    ) -> None:
        """Find the scale.

        Args:
            path: The path of its file, for messages.
            run: The network.
            size: The only (height, width) that it takes; None if it takes any.

        Raises:
            ModelFileError: The output is not a whole number of times the input.
        """
        self._run, self._size = run, size
        lr = _noise(*(size or (_SIDES[0], _SIDES[0])))
        sr = run(lr)
        self.scale = sr.shape[-1] // lr.shape[-1]
        if sr.shape != (1, 3, lr.shape[2] * self.scale, lr.shape[3] * self.scale) or not self.scale:
            raise ModelFileError(
                f"{path}: made {sr.shape} of {lr.shape}; expected a picture 1, 2, 3 ... times "
                "as high and wide"
            )

    def reach(self) -> int | None:
        """Measure how far the network looks, LR pixels; None if past the largest trial picture."""
        for size in [(side, side) for side in _SIDES] if self._size is None else [self._size]:
            lr = _noise(*size)
            middle = (lr.shape[2] // 2, lr.shape[3] // 2)
            base = self._run(lr)
            reach = max(self._changed(lr, base, middle, value) for value in _UNHEARD_OF)
            if reach <= min(middle) * 3 // 4:  # nearer the border, it may be cut off
                return reach
        return None

    def _changed(
        self, lr: NDArray[np.float32], base: NDArray[np.float32], at: tuple[int, int], value: float
    ) -> int:
        """Measure how far from a pixel the output changes when that pixel does."""
        changed = lr.copy()
        changed[:, :, at[0], at[1]] = value
        differs = (self._run(changed) != base).any(axis=(0, 1))  # NaN differs from everything
        rows, columns = np.nonzero(differs)
        far = [np.abs(rows // self.scale - at[0]), np.abs(columns // self.scale - at[1])]
        return int(max((part.max(initial=0) for part in far), default=0))

    def is_the_same_in_crops(self, radius: int) -> bool:
        """Tell whether crops, with the radius around them, come out as in the whole picture."""
        height, width = self._size or (2 * radius + 40, 2 * radius + 40)
        # If the network takes any size, crops get another: odd, and not a multiple of anything.
        less = (0, 0) if self._size else (3, 6)
        picture = _noise(height + 8, width + 8)
        one = self._run(picture[:, :, :height, :width])
        for y, x in ((0, 7), (5, 0), (3, 4)):
            crop = picture[:, :, y : y + height - less[0], x : x + width - less[1]]
            try:
                other = self._run(crop)
            except ModelFileError:
                return False
            size = (height - y - less[0] - 2 * radius, width - x - less[1] - 2 * radius)
            same = self._part(one, y + radius, x + radius, size)
            if not np.allclose(same, self._part(other, radius, radius, size), atol=_TOLERANCE):
                return False
        return True

    def _part(
        self, sr: NDArray[np.float32], y: int, x: int, size: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Cut the part at these LR pixels out of the output."""
        s = self.scale
        return sr[:, :, y * s : (y + size[0]) * s, x * s : (x + size[1]) * s]


def _noise(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((1, 3, height, width), np.float32)
