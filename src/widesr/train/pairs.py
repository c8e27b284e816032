"""Photographs to aligned LR and HR patches: loaded once, then drawn at random from a seed."""

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from widesr.degradation import cropped_to_multiple, degrade
from widesr.errors import DataError, ImageFormatError, ImageReadError, ImageTooLargeError
from widesr.folder import is_folder, pictures_in
from widesr.reading import read_picture


class Pair(NamedTuple):
    """One photograph: LR uint8 (h, w, 3), HR uint8 (s*h, s*w, 3)."""

    name: str
    lr: NDArray[np.uint8]
    hr: NDArray[np.uint8]


def list_photographs(folder: Path, *, exclude: Iterable[str] = ()) -> list[Path]:
    """List the pictures of a folder and of those in it; `exclude` names files to leave out.

    Raises:
        DataError: No such folder, or no picture in it.
        ImageReadError: A folder that may not be listed.
    """
    if not is_folder(folder):
        raise DataError(f"{folder}: no such folder; --data takes a folder of HR photographs")
    left_out = set(exclude)
    photographs = [p for p in pictures_in(folder, recursive=True) if p.name not in left_out]
    if not photographs:
        raise DataError(f"{folder}: no pictures in it; --data takes a folder of HR photographs")
    return photographs


def hold_out(photographs: Sequence[Path], n: int) -> tuple[list[Path], list[Path]]:
    """Split into (for training, for validation): the `n` whose names have the smallest SHA-256.

    A photograph keeps its side when others are added to the folder, as far as `n` allows.

    Raises:
        DataError: Nothing would be left to train on.
    """
    if n >= len(photographs):
        raise DataError(f"{len(photographs)} photographs cannot spare {n} for validation")
    ranked = sorted(photographs, key=lambda path: hashlib.sha256(path.name.encode()).digest())
    held = set(ranked[:n])
    return [path for path in photographs if path not in held], sorted(held)


def load_pairs(photographs: Sequence[Path], *, scale: int, lr_patch: int) -> list[Pair]:
    """Decode photographs and make their LR, on all cores; both stay in memory as uint8.

    Raises:
        DataError: A picture that cannot be read, has 16 bits, or is smaller than a patch.
    """

    def load(path: Path) -> Pair:
        try:
            picture = read_picture(path)
        except (ImageReadError, ImageFormatError, ImageTooLargeError) as error:
            raise DataError(str(error)) from error
        pixels = picture.pixels
        if pixels.dtype != np.uint8:
            raise DataError(f"{path}: 16-bit pictures are not trained on; convert it to 8 bits")
        rgb = np.broadcast_to(pixels, (*pixels.shape[:2], 3)).astype(np.uint8, copy=False)
        (height, width), side = pixels.shape[:2], lr_patch * scale
        if min(height, width) < side:
            raise DataError(f"{path}: {width}x{height} is smaller than a patch of {side}x{side}")
        hr = np.ascontiguousarray(cropped_to_multiple(rgb, scale))
        return Pair(path.name, degrade(hr, scale=scale), hr)

    with ThreadPoolExecutor() as pool:
        return list(pool.map(load, photographs))


class PatchSampler:
    """Endless batches of aligned patches; where they come from depends on the seed alone.

    Each patch is drawn from all positions of all photographs alike, so large photographs give
    more of them, and is turned in one of eight ways.
    """

    def __init__(self, pairs: Sequence[Pair], *, scale: int, lr_patch: int, seed: int) -> None:
        self._pairs = pairs
        self._scale = scale
        self._side = lr_patch
        positions = [(p.lr.shape[0] - lr_patch + 1) * (p.lr.shape[1] - lr_patch + 1) for p in pairs]
        self._shares = np.cumsum(positions) / np.sum(positions)
        self._random = np.random.default_rng(seed)

    def batch(self, n: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Draw `n` patches: LR (n, p, p, 3) and HR (n, s*p, s*p, 3)."""
        lr_side, hr_side = self._side, self._side * self._scale
        lr = np.empty((n, lr_side, lr_side, 3), np.uint8)
        hr = np.empty((n, hr_side, hr_side, 3), np.uint8)
        for i in range(n):
            pair = self._pairs[int(np.searchsorted(self._shares, self._random.random(), "right"))]
            y = int(self._random.integers(pair.lr.shape[0] - lr_side + 1))
            x = int(self._random.integers(pair.lr.shape[1] - lr_side + 1))
            turn = int(self._random.integers(8))
            lr[i] = turned(pair.lr[y : y + lr_side, x : x + lr_side], turn)
            y, x = y * self._scale, x * self._scale
            hr[i] = turned(pair.hr[y : y + hr_side, x : x + hr_side], turn)
        return lr, hr

    @property
    def state(self) -> dict[str, Any]:
        """Where the random sequence stands, as plain numbers and text; assign it to go on."""
        return dict(self._random.bit_generator.state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._random.bit_generator.state = state


def turned(image: NDArray[Any], turn: int) -> NDArray[Any]:
    """Show (H, W, C) in one of its eight turns, 0..7; 0 is the image as it is. A view."""
    if turn & 4:
        image = image.transpose(1, 0, 2)
    if turn & 2:
        image = image[::-1]
    if turn & 1:
        image = image[:, ::-1]
    return image
