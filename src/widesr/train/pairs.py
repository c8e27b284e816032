"""Photographs to pairs of LR and HR, loaded once."""

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from widesr.data.patches import Pair
from widesr.degradation import cropped_to_multiple, degrade
from widesr.errors import DataError, ImageFormatError, ImageReadError, ImageTooLargeError
from widesr.folder import is_folder, pictures_in
from widesr.reading import read_picture


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
