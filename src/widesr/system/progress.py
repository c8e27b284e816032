"""Names the callbacks by which long work reports its progress."""

from collections.abc import Callable
from typing import Any

OnProgress = Callable[[float, float], None]
"""Callback with the work done and the total work, in items or in parts of them."""
OnNotice = Callable[[str], None]
"""Callback with a sentence on what is being done or was found."""


def ignore(*_: Any) -> None:  # noqa: ANN401
    """Accept the arguments of any callback, and do nothing."""
