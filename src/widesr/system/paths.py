"""Names the folders of a user's own widesr files, by the conventions of the platform."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Name the folder of files that can be made again; $WIDESR_CACHE names another."""
    return _named("WIDESR_CACHE") or _platform(mac="Caches", xdg="XDG_CACHE_HOME", home=".cache")


def models_folder() -> Path:
    """Name the folder of models that were pulled; $WIDESR_MODELS names another."""
    data = _platform(mac="Application Support", xdg="XDG_DATA_HOME", home=".local/share")
    return _named("WIDESR_MODELS") or data / "models"


def _named(variable: str) -> Path | None:
    folder = os.environ.get(variable)
    return Path(folder) if folder else None


def _platform(*, mac: str, xdg: str, home: str) -> Path:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = f"~/Library/{mac}"
    else:
        base = os.environ.get(xdg) or f"~/{home}"
    try:
        return Path(base).expanduser() / "widesr"
    except RuntimeError:  # a user without a home, as in some containers
        return Path("/nonexistent")
