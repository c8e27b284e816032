"""Loads FFmpeg's libraries, which come with the extra `video`, and words their errors."""

import os
from types import ModuleType

from widesr.errors import MissingExtraError


def load_av() -> ModuleType:
    """Import PyAV.

    Raises:
        MissingExtraError: The extra is not installed.
    """
    os.environ.setdefault("SVT_LOG", "1")  # otherwise the AV1 encoder prints its settings
    try:
        import av
    except ImportError as error:
        raise MissingExtraError(extra="video", needed_for="video") from error
    return av


def reason(error: Exception) -> str:
    """Say in a few words what FFmpeg found: "Invalid data found when processing input"."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].rstrip(".")
