"""Wakes those who wait for a job: worker threads tell, requests on the event loop listen."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Hub:
    """Bells by the names of jobs; one event loop listens."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bells: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def listen_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say where the listeners run."""
        self._loop = loop

    def ring(self, name: str) -> None:
        """Wake all who listen to a name; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, name)

    def ring_all(self) -> None:
        """Wake everyone; on the loop."""
        for name in list(self._bells):
            self._wake(name)

    @contextmanager
    def bell(self, name: str) -> Iterator[asyncio.Event]:
        """Give an event that is set when the name is rung; on the loop."""
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
