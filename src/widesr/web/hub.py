"""Wakes requests that wait for a job: worker threads ring, the event loop listens."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Hub:
    """Bells, by the names of jobs, for listeners on one event loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bells: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def listen_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the event loop on which the listeners run."""
        self._loop = loop

    def ring(self, name: str) -> None:
        """Wake all listeners of a name; any thread may call this."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, name)

    def ring_all(self) -> None:
        """Wake all listeners; only the event loop may call this."""
        for name in list(self._bells):
            self._wake(name)

    @contextmanager
    def bell(self, name: str) -> Iterator[asyncio.Event]:
        """Yield an event that is set when the name is rung; only the event loop may call this."""
        event = asyncio.Event()
        self._bells[name].add(event)
        try:
            yield event
        finally:
            self._bells[name].discard(event)
            if not self._bells[name]:
                del self._bells[name]

    def _wake(self, name: str) -> None:
        for event in self._bells.get(name, ()):
            event.set()
