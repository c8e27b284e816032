"""Workers on Ray: as many as were asked for, each with one task at a time, replaced when lost."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from widesr.bulk.listing import Batch
from widesr.bulk.worker import Report, Work, Worker
from widesr.errors import WidesrError, WorkerLostError, last_line
from widesr.system.machine import usable_cpus

_STARTS = 5
"""Workers in a row that may end before they begin; also the tries to start a Ray of our own."""
_LOOK_S = 1.0
_PATIENCE_S = 3600.0
"""Seconds after which a batch is taken to hang, and its worker is ended."""
_STORE = 200 * 2**20
"""Bytes of a local Ray's object store, through which no picture goes."""

_logger = logging.getLogger(__name__)

Task = Batch | str
"""A batch to do, or the id of a claim to settle."""


@contextmanager
def joined(address: str | None, *, workers: int | None) -> Iterator[int]:
    """Join a cluster, or start Ray on this machine alone, for as long as it is needed.

    A Ray that the caller has started is used and left as it is.

    Args:
        address: The address of a cluster, `auto` or `host:6379`; None starts a Ray of our own.
        workers: The number of workers; by default one for each CPU.

    Yields:
        The number of workers.

    Raises:
        WorkerLostError: There is no cluster at this address, or none can be started here.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    # Workers ask Ray for no graphics card, and Ray would hide it from those that compute on it.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("VIPS_CONCURRENCY", "1")  # one thread per worker, in libvips too
    ours = not ray.is_initialized()
    if ours:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address is None:
            n = workers or usable_cpus()
            options |= {
                "address": "local",
                "num_cpus": n,
                "include_dashboard": False,
                "object_store_memory": _STORE,
            }
        else:
            options |= {
                "address": address,
                "runtime_env": {"env_vars": {"VIPS_CONCURRENCY": "1"}},
            }
        _begin(options, tries=_STARTS if address is None else 1)
    try:
        yield workers or _cpus()
    finally:
        if ours:
            ray.shutdown()


def _begin(options: dict[str, Any], *, tries: int) -> None:
    """Join or start Ray; try again, as a busy machine may be too slow the first time."""
    for left in reversed(range(tries)):
        try:
            ray.init(**options)
        except Exception as error:  # Ray raises some as plain Exception
            ray.shutdown()
            if not left:
                raise WorkerLostError(
                    f"no Ray at {options['address']}: {last_line(error)}; check the address, and "
                    "that the cluster is up"
                ) from error
        else:
            return


def _cpus() -> int:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return max(int(resources.get("CPU", 1)), 1)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A task that ended; its report is missing if its worker was lost with it."""

    task: Task
    report: Report | None


@dataclass(eq=False)
class _Hand:
    """A worker's process and its present task."""

    actor: Any
    awaited: Any
    """Ray's next answer: that the networks are loaded, or the result of its task."""
    alive: bool = False
    task: Task | None = None
    since: float = 0.0


class Crew:
    """Gives each worker a task when it is free; memory does not grow with the number of tasks."""

    def __init__(self, work: Work, *, workers: int) -> None:
        """Ask Ray for workers, of one CPU each; tasks can be given before all are there."""
        self._kind: Any = ray.remote(num_cpus=1, max_restarts=0)(Worker)
        self._work = ray.put(work)
        self._hands = [self._hand() for _ in range(workers)]
        self._failed_starts = 0
        self.lost = 0
        """The number of workers that ended before their work did."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for hand in self._hands:
            ray.kill(hand.actor)

    def _hand(self) -> _Hand:
        actor = self._kind.remote(self._work)
        return _Hand(actor, actor.load.remote())

    def ended(self, next_task: Callable[[], Task | None]) -> Iterator[Ended]:
        """Run tasks, and give each as it ends, in any order.

        Args:
            next_task: Called whenever a worker is free; None if there is no task now. What has
                ended may bring new ones.

        Raises:
            WidesrError: An error in a worker that keeps every task from being done.
        """
        while True:
            for hand in self._hands:
                if hand.alive and hand.task is None:
                    task = next_task()
                    if task is None:
                        break
                    self._give(hand, task)
            some_idle = any(hand.alive and hand.task is None for hand in self._hands)
            if some_idle and not any(hand.task for hand in self._hands):
                return
            yield from self._wait()

    def _give(self, hand: _Hand, task: Task) -> None:
        do = hand.actor.settle if isinstance(task, str) else hand.actor.do
        hand.task, hand.since, hand.awaited = task, time.monotonic(), do.remote(task)

    def _wait(self) -> list[Ended]:
        """Wait for answers from workers, and handle them."""
        busy = [hand for hand in self._hands if hand.task is not None or not hand.alive]
        awaited = {hand.awaited: hand for hand in busy}
        happened, _ = ray.wait(list(awaited), num_returns=1, timeout=_LOOK_S)
        for hand in busy:
            if hand.task is not None and time.monotonic() - hand.since > _PATIENCE_S:
                _logger.warning("a batch takes more than an hour; its worker is ended")
                ray.kill(hand.actor)
        return list(chain.from_iterable(self._see(awaited[ref]) for ref in happened))

    def _see(self, hand: _Hand) -> list[Ended]:
        try:
            said = ray.get(hand.awaited)
        except RayTaskError as error:
            if isinstance(error.cause, WidesrError):
                raise error.cause from error
            raise
        except RayError as error:  # the process, or its node, is gone
            self._replace(hand, error)
            return [] if hand.task is None else [Ended(task=hand.task, report=None)]
        if hand.task is None:
            hand.alive, self._failed_starts = True, 0
            return []
        ended, hand.task = Ended(task=hand.task, report=said), None
        return [ended]

    def _replace(self, hand: _Hand, error: RayError) -> None:
        self.lost += hand.alive
        self._failed_starts += not hand.alive
        _logger.info("a worker was lost: %s", last_line(error))
        if self._failed_starts > _STARTS:
            raise WorkerLostError(
                f"workers end before they begin ({last_line(error)}); each node of the cluster "
                "needs the same Python with widesr[bulk]"
            ) from error
        if not isinstance(error, RayActorError):
            ray.kill(hand.actor)
        self._hands[self._hands.index(hand)] = self._hand()
