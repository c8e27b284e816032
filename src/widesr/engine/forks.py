"""Lets runtimes survive a fork: unloads them before it, and reloads them where they are needed.

A fork copies the memory of a process, but only one of its threads. A runtime whose threads are gone
waits for them for ever, at its next picture or when it is freed; so none is loaded during a fork.
"""

import logging
import os
from collections.abc import Callable
from threading import Condition, Lock
from weakref import WeakSet

from widesr.engine.graph import after_fork_in_child, stop_openvino
from widesr.engine.protocol import Runtime, Tensor, Wrapper

_logger = logging.getLogger(__name__)


class Forkable(Wrapper):
    """A runtime that can be used before and after a fork, by the parent and by the child.

    A fork waits until the pictures or tiles in progress are done.
    """

    def __init__(self, load: Callable[[], Runtime]) -> None:
        """Load a runtime.

        Args:
            load: Function that loads the same runtime each time.
        """
        runtime = load()
        super().__init__(runtime)
        self._load = load
        self._runtime: Runtime | None = runtime
        self._running = 0
        self._changed = Condition(Lock())
        _alive.add(self)

    def run_all(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the network; see `Runtime.run_all`."""
        with self._changed:
            if self._runtime is None:
                _logger.info("process %d was forked or forks: loading %s", os.getpid(), self.name)
                self._runtime = self._load()
            runtime = self._runtime
            self._running += 1
        try:
            return runtime.run_all(*inputs)
        finally:
            del runtime
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def before_fork(self) -> None:
        """Unload the runtime, and block loading until `after_fork`."""
        self._changed.acquire()
        self._changed.wait_for(lambda: not self._running)
        self._runtime = None

    def after_fork(self) -> None:
        """Allow loading again."""
        self._changed.release()

    def after_fork_in_child(self) -> None:
        """Allow loading again in the child, where the waiting threads no longer exist."""
        self._changed = Condition(Lock())


_alive: WeakSet[Forkable] = WeakSet()
_forking: list[Forkable] = []
"""Objects that `_before` has unloaded; one thread forks at a time."""


def _before() -> None:
    _forking[:] = _alive
    for each in _forking:
        each.before_fork()
    stop_openvino()


def _after() -> None:
    for each in _forking:
        each.after_fork()
    _forking.clear()


def _after_in_child() -> None:
    for each in _forking:
        each.after_fork_in_child()
    _forking.clear()
    after_fork_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
