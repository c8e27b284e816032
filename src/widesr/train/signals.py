"""Makes Ctrl-C wait for the end of a step, so that a resumed run equals an uninterrupted one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def held_back() -> Iterator[list[int]]:
    """Hold back SIGINT and SIGTERM until the block ends; the second one is let through at once.

    Signals are held back only in the main thread, and only if a Python function handles them:
    others are not ours to hold.

    Yields:
        The signals that came, for the block to check between two steps. The first is delivered when
        the block has ended.
    """
    came: list[int] = []
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
        before = {each: handler for each, handler in handlers.items() if callable(handler)}

    def hold(number: int, frame: FrameType | None) -> None:
        if came:
            before[number](number, frame)
        came.append(number)

    for each in before:
        signal.signal(each, hold)
    try:
        yield came
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    if came:
        signal.raise_signal(came[0])
