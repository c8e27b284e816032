"""Show pictures in turn for ever: where two differ, the eye sees it move."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyvips
from numpy.typing import NDArray

from widesr.errors import ImageFormatError, ImageWriteError, OutputExistsError
from widesr.system.files import whole_file

FORMATS = (".webp", ".gif")
"""Animated WebP keeps every value; GIF, which more programs show, has 256 colours a frame."""

_SECONDS = 0.7
"""The time for which each picture is shown."""


def check_blink_format(path: Path) -> None:
    """Refuse a suffix that is not in `FORMATS`.

    Raises:
        ImageFormatError: It is not.
    """
    if path.suffix.lower() not in FORMATS:
        found = repr(path.suffix) if path.suffix else "a name without suffix"
        raise ImageFormatError(
            f"{path}: {found} cannot blink; expected one of {', '.join(FORMATS)}"
        )


def write_blinking(
    path: Path, frames: Sequence[NDArray[np.uint8]], *, overwrite: bool = False
) -> None:
    """Write the whole file or none.

    Args:
        path: Where to; the suffix decides the format.
        frames: All of one size, sRGB, (H, W, 3).
        overwrite: Replace a file that is there.

    Raises:
        ImageFormatError: Neither WebP nor GIF, or frames too large for it.
        OutputExistsError: `path` is there, and `overwrite` is not set.
        ImageWriteError: The folder is missing, full, or takes no file.
    """
    check_blink_format(path)
    strip = pyvips.Image.new_from_array(np.concatenate(frames), interpretation="srgb").copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", len(frames[0]))
    delays = [round(1000 * _SECONDS)] * len(frames)
    strip.set_type(pyvips.GValue.array_int_type, "delay", delays)
    strip.set_type(pyvips.GValue.gint_type, "loop", 0)
    try:
        if path.suffix.lower() == ".gif":
            encoded = strip.gifsave_buffer(keep="none")
        else:
            encoded = strip.webpsave_buffer(lossless=True, keep="none")
    except pyvips.Error as error:
        height, width = frames[0].shape[:2]
        raise ImageFormatError(
            f"{path}: frames of {width}x{height} are too large for this format; take a smaller "
            "crop or zoom"
        ) from error
    try:
        with whole_file(path, overwrite=overwrite) as file:
            file.write(encoded)
    except FileExistsError as error:
        raise OutputExistsError(
            f"{path}: exists already; name another output, or allow it to be replaced",
            options=["overwrite=True"],
        ) from error
    except OSError as error:
        raise ImageWriteError(
            f"{path}: cannot be written ({error.strerror}); name another file or folder"
        ) from error
