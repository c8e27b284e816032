"""Workers on Ray: as many as were asked for, each replaced when it ends, none given too much."""

import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from widesr.bulk.listing import Batch
from widesr.bulk.worker import Report, Work, Worker
from widesr.errors import WidesrError, WorkerLostError, last_line
from widesr.system.machine import usable_cpus

_AHEAD = 2
"""Tasks that a worker has at once: one it does, and one that waits, so that it never does."""
_STARTS = 5
"""Workers in a row that may end before they begin."""
_LOOK_S = 1.0
_PATIENCE_S = 3600.0
"""A batch that takes longer hangs, and its worker is ended."""
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
        address: As `auto` or `host:6379`; None starts a Ray of our own.
        workers: How many there are to be; by default one for each CPU.

    Yields:
        The number of workers.

    Raises:
        WorkerLostError: There is no cluster at this address, or none can be started here.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    # No graphics card is to be hidden from a worker that computes on it, and asks for none of Ray.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("VIPS_CONCURRENCY", "1")  # a worker is one thread, libvips' as well
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
        try:
            ray.init(**options)
        except Exception as error:  # Ray raises some that have no other class
            where = f"the cluster at {address}" if address else "a Ray on this machine"
            raise WorkerLostError(f"{where} cannot be had: {last_line(error)}") from error
    try:
        yield workers or _cpus()
    finally:
        if ours:
            ray.shutdown()


def _cpus() -> int:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return max(int(resources.get("CPU", 1)), 1)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A task that ended; its report is missing if its worker was lost with it."""

    task: Task
    report: Report | None = None
    at_work: bool = True
    """Whether the worker was at it, as far as is known; False where it waited behind another."""


@dataclass(eq=False)
class _Hand:
    """A worker's process, and what it has been given, first what it is at."""

    actor: Any
    ready: Any
    given: deque[tuple[Task, Any]] = field(default_factory=deque)
    since: float = 0.0
    alive: bool = False


class Crew:
    """Gives tasks to workers as they have time for them; memory does not grow with the tasks."""

    def __init__(self, work: Work, *, workers: int) -> None:
        """Ask Ray for workers, of one CPU each; tasks can be given before all are there."""
        self._kind: Any = ray.remote(num_cpus=1, max_restarts=0)(Worker)
        self._work = ray.put(work)
        self._hands = [self._hand() for _ in range(workers)]
        self._failed_starts = 0
        self.lost = 0
        """Workers that ended before their work did."""

    def _hand(self) -> _Hand:
        actor = self._kind.remote(self._work)
        return _Hand(actor, actor.process.remote())

    def ended(self, tasks: Iterable[Task], *, again: deque[Task] | None = None) -> Iterator[Ended]:
        """Have tasks done, and give each as it ends, in any order.

        Args:
            tasks: Taken one by one, as workers have time.
            again: Tasks that come up meanwhile; they go first.

        Raises:
            WidesrError: What a worker says of which no task can be done.
        """
        coming, more = iter(tasks), again if again is not None else deque()
        while True:
            nothing_left = False
            while not nothing_left and (hand := self._free()):
                task = more.popleft() if more else next(coming, None)
                if task is None:
                    nothing_left = True
                else:
                    self._give(hand, task)
            if nothing_left and not any(hand.given for hand in self._hands):
                return
            yield from self._wait()

    def _free(self) -> _Hand | None:
        hands = [hand for hand in self._hands if hand.alive and len(hand.given) < _AHEAD]
        return min(hands, key=lambda hand: len(hand.given), default=None)

    def _give(self, hand: _Hand, task: Task) -> None:
        do = hand.actor.settle if isinstance(task, str) else hand.actor.do
        if not hand.given:
            hand.since = time.monotonic()
        hand.given.append((task, do.remote(task)))

    def _wait(self) -> list[Ended]:
        """Wait for something to happen, and see to it."""
        awaited = {hand.ready: hand for hand in self._hands if not hand.alive}
        awaited |= {ref: hand for hand in self._hands for _, ref in list(hand.given)[:1]}
        happened, _ = ray.wait(list(awaited), num_returns=1, timeout=_LOOK_S)
        ended = list(chain.from_iterable(self._see(awaited[ref]) for ref in happened))
        for hand in self._hands:
            if hand.given and time.monotonic() - hand.since > _PATIENCE_S:
                _logger.warning("a batch takes more than an hour; its worker is ended")
                ray.kill(hand.actor)
        return ended

    def _see(self, hand: _Hand) -> list[Ended]:
        try:
            if not hand.alive:
                ray.get(hand.ready)
                hand.alive, self._failed_starts = True, 0
                return []
            task, ref = hand.given[0]
            report = ray.get(ref)
        except RayTaskError as error:
            if isinstance(error.cause, WidesrError):
                raise error.cause from error
            raise
        except RayError as error:  # the process, or its node, is gone
            return self._replace(hand, error)
        hand.given.popleft()
        hand.since = time.monotonic()
        return [Ended(task=task, report=report)]

    def _replace(self, hand: _Hand, error: RayError) -> list[Ended]:
        """Take another worker; what the lost one was at may be its fault, what waited is not."""
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
        self._hands.remove(hand)
        self._hands.append(self._hand())
        return [
            Ended(task=task, at_work=number == 0) for number, (task, _) in enumerate(hand.given)
        ]
