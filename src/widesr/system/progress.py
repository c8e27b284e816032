"""Name the callbacks by which long work says how far it is."""

from collections.abc import Callable
from typing import Any

OnProgress = Callable[[float, float], None]
"""Called with what is done and what there is in all, in items or in parts of them."""
OnNotice = Callable[[str], None]
"""Called with a sentence on what is being done or was found."""


def ignore(*_: Any) -> None:  # noqa: ANN401
    """Take whatever a callback is told, and do nothing."""
