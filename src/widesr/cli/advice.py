"""Recommends another model, before pictures are upscaled, if it suits them better."""

from collections.abc import Sequence
from pathlib import Path

_LOOKED_AT = 8
"""The number of pictures of a run to look at, evenly spread; each takes some hundredths of a
second."""
_FOR_FAULTS = "realistic"


def recommend(sources: Sequence[Path], *, model: str) -> str:
    """Recommend `realistic` for pictures that look compressed or noisy; "" if none does.

    Users who have chosen any model that is not for clean pictures get no recommendation.
    """
    from widesr.evaluation.faults import find_faults
    from widesr.models.catalog import ALIASES

    clean = {alias: names for alias, names in ALIASES.items() if alias != _FOR_FAULTS}
    if model not in {*clean, *(name for names in clean.values() for name in names.values())}:
        return ""
    every = max(1, len(sources) // _LOOKED_AT)
    looked_at = sources[::every][:_LOOKED_AT]
    found = [(path, str(faults)) for path in looked_at if str(faults := find_faults(path))]
    if not found:
        return ""
    path, fault = found[0]
    of = f" and {len(found) - 1} of {len(looked_at) - 1} others" if len(found) > 1 else ""
    return f"{path} ({fault}){of}: -n {_FOR_FAULTS} takes JPEG's blocks and noise away"
