"""Writes pictures to be shown in turn for ever: where two differ, the eye sees motion."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ImageFormatError
from widesr.pictures.picture import PictureStream
from widesr.pictures.sequence import PictureSequence, Timing
from widesr.pictures.several import write_pictures
from widesr.pixels.rows import Rows

FORMATS = (".webp", ".gif")
"""Animated WebP keeps every value; GIF, which more programs show, has 256 colours a frame."""

_SECONDS = Fraction(7, 10)
"""The time in seconds for which each picture is shown."""


def check_blink_format(path: Path) -> None:
    """Refuse a suffix that is not in `FORMATS`.

    Raises:
        ImageFormatError: The suffix is none of these.
    """
    if path.suffix.lower() not in FORMATS:
        found = repr(path.suffix) if path.suffix else "a name without suffix"
        raise ImageFormatError(
            f"{path}: {found} cannot blink; expected one of {', '.join(FORMATS)}"
        )


def write_blinking(
    path: Path, frames: Sequence[NDArray[np.uint8]], *, overwrite: bool = False
) -> None:
    """Write frames as an endless animation, the whole file or none.

    Args:
        path: The file to write; its suffix decides the format.
        frames: Frames of one size, sRGB, (H, W, 3).
        overwrite: True to replace an existing file.

    Raises:
        ImageFormatError: The format is neither WebP nor GIF, or the frames are too large for it.
        OutputExistsError: `path` exists, and `overwrite` is not set.
        ImageWriteError: The folder is missing, full, or takes no file.
    """
    check_blink_format(path)
    still = PictureStream(rows=Rows((), shape=frames[0].shape, dtype=np.uint8))
    timing = Timing(durations=(_SECONDS,) * len(frames), plays=0)
    write_pictures(
        path,
        PictureSequence.of_frames(frames, still=still, timing=timing),
        lossless=path.suffix.lower() == ".webp",
        overwrite=overwrite,
    )
