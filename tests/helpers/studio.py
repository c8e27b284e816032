"""Make samples: the pictures in them, and the kinds of picture files."""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from others import execute, exiftool, icc_file, magick, program

EXAMPLES = Path(__file__).parents[2] / "examples"


def smooth_picture(height: int = 64, width: int = 96) -> np.ndarray:
    """Gradients, and flat patches of black and white, without a hard edge: [0, 1] RGBA."""
    y, x = np.mgrid[0:height, 0:width]

    def ramp(values: np.ndarray, start: float, stop: float) -> np.ndarray:
        values = np.clip((values - start) / (stop - start), 0, 1)
        return values * values * (3 - 2 * values)

    across, down = ramp(x, 8, width - 9), ramp(y, 8, height - 9)
    diagonal = 1 - ramp(x + y, 16, height + width - 18)
    colours = 0.3 + 0.4 * np.stack([across, down, diagonal], axis=2)
    for right, level in ((26, 0.0), (width - 27, 1.0)):
        far = ramp(np.hypot(x - right, y - (height - 1) / 2), 5, 25)[..., None]
        colours = level + (colours - level) * far
    return np.dstack([colours, ramp(x - y, 4 - height, width - 8)])


def block_picture(height: int = 32, width: int = 48) -> np.ndarray:
    """Flat blocks of 16 pixels, for kinds that have few colours: [0, 1] RGBA."""
    y, x = np.mgrid[0:height, 0:width] // 16
    levels = np.stack([(x + y) % 2, x % 2, y % 2, (x + y) % 3 > 0], axis=2)
    return levels.astype(float)


def photograph() -> np.ndarray:
    """A piece of a photograph, 96x64, under an alpha of our making: [0, 1] RGBA."""
    with Image.open(EXAMPLES / "blossom.jpg") as image:
        colours = np.asarray(image.convert("RGB").crop((300, 200, 396, 264))) / 255
    alpha = np.clip(np.linspace(-0.2, 1.4, 96), 0, 1) * np.ones((64, 1))
    return np.dstack([colours, alpha])


PICTURES: dict[str, Callable[[], np.ndarray]] = {
    "smooth": smooth_picture,
    "blocks": block_picture,
    "photograph": photograph,
}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of picture file, and the output that is expected."""

    make: "str | Callable[[Studio], None]"
    """Commands, one a line; {rgb}, {rgba}, {sample}, {folder} and profiles' names are paths."""
    found: dict[str, Any] = field(default_factory=dict)
    """Tags in words that exiftool must find in the sample."""
    holds: bytes = b""
    """Bytes that must be in the sample."""
    mode: str = "RGB"
    """Channels of the output, as Pillow names those of 8 bits."""
    bits: int = 8
    """Bits of a channel of the output."""
    icc: str | None = None
    """The profile that lies in the sample."""
    meant: str | None = None
    """The profile of the sample's numbers where none lies in it; by default sRGB."""
    turned: int = 0
    """Degrees clockwise to turn the sample by, where ImageMagick does not by itself."""
    pictures: tuple[str, ...] = ("smooth", "photograph")
    tolerance: float = 2
    """Levels of 8 bits that a smooth picture may be off where nothing is written lossily."""


@dataclass(frozen=True)
class Studio:
    """A folder in which a sample is made."""

    folder: Path
    sample: Path
    picture: np.ndarray
    """[0, 1], (H, W, 4)."""

    def source(self, name: str) -> Path:
        """The source picture as a 16-bit TIFF: "rgb" or "rgba"."""
        path = self.folder / f"{name}.tif"
        extra = ["unassalpha"] if name == "rgba" else []
        array = self.levels(len(name), np.uint16)
        tifffile.imwrite(path, array, photometric="rgb", extrasamples=extra, metadata=None)
        return path

    def levels(self, channels: int, dtype: Any = np.uint8) -> np.ndarray:
        """The source picture as an array (H, W, C): grey of 1 or 2 channels, colour of 3 or 4."""
        picture = self.picture if channels > 2 else self.picture[..., [1, 3]]
        return np.round(picture[..., :channels] * np.iinfo(dtype).max).astype(dtype)

    def run(self, commands: str) -> None:
        """Run commands on files of this folder."""
        for line in commands.strip().splitlines():
            name, *words = [self._filled(word) for word in shlex.split(line)]
            if name == "magick":
                magick(*words)
            elif name == "exiftool":
                exiftool(*words)
            else:
                execute([program(name), *words], cwd=self.folder)

    def _filled(self, word: str) -> str:
        paths = {"sample": self.sample, "folder": self.folder}
        for name in re.findall(r"{(\w+)}", word):
            if name in ("rgb", "rgba"):
                paths[name] = self.source(name)
            elif name not in paths:
                paths[name] = icc_file(self.folder, name)
            word = word.replace(f"{{{name}}}", str(paths[name]))
        return word
