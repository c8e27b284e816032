"""Put pictures on the disk, and look at what is there."""

from pathlib import Path

import numpy as np
from PIL import Image


def save(path: Path, *, width: int = 6, height: int = 4, seed: int = 0) -> Path:
    """Write a picture of noise, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def decoded(path: Path) -> np.ndarray:
    """Decode by Pillow, so that our reader does not judge our writer."""
    with Image.open(path) as image:
        return np.asarray(image)


def files_under(folder: Path) -> set[str]:
    """Return the files in a folder and below it, by their names relative to it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def left_in(folder: Path) -> list[str]:
    """Return the names in a folder, in order."""
    return sorted(path.name for path in folder.iterdir())
