"""Puts together the parts that one server owns from its start to its end."""

import asyncio
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from widesr.errors import UsageError, WidesrError
from widesr.web.hub import Hub
from widesr.web.intake import check_disk
from widesr.web.memory import Shares
from widesr.web.metrics import Metrics
from widesr.web.networks import Networks
from widesr.web.problems import ProblemError, disk_full
from widesr.web.settings import ServeSettings
from widesr.web.store import Job, Store
from widesr.web.workers import Workers

_logger = logging.getLogger(__name__)

_MOST_RETRY_S = 300
_SWEEP_S = 30.0


class Service:
    """Everything that requests need; made once, started once, stopped once."""

    def __init__(self, settings: ServeSettings, *, pace: float | None = None) -> None:
        """Open the data folder.

        Args:
            settings: The settings of the server.
            pace: Seconds per pixel and parameter, as for `Networks`.

        Raises:
            UsageError: The data folder cannot be used.
        """
        self.settings = settings
        self.metrics, self.hub = Metrics(), Hub()
        self.networks = Networks(
            max_memory=Shares.of(settings.max_memory).network,
            threads=settings.threads,
            pace=pace,
        )
        _make_folders(settings)
        self.store = Store(settings.data / "jobs.sqlite")
        self.workers = Workers(
            settings,
            store=self.store,
            networks=self.networks,
            hub=self.hub,
            metrics=self.metrics,
        )
        self.stopping = False
        self._arriving = 0
        self._arriving_bytes = 0
        self._kept = (float("-inf"), 0)
        self._sweeping = threading.Event()
        self._warming = threading.Thread(target=self._warm_up, name="widesr-warm-up", daemon=True)
        self._sweeper = threading.Thread(target=self._sweep, name="widesr-sweeper", daemon=True)
        self.metrics.watch(
            queued=self.store.count_queued,
            running=lambda: self.workers.counts()[0],
            reserved=lambda: self.workers.counts()[1],
            kept=self._kept_bytes,
        )

    async def start(self) -> None:
        """Remove stray files, and begin to load the first network and to sweep old results."""
        self.hub.listen_on(asyncio.get_running_loop())
        await asyncio.to_thread(self._remove_strays)
        self._warming.start()
        self._sweeper.start()

    def _warm_up(self) -> None:
        """Load and measure the first network while requests are accepted, then begin the jobs."""
        try:
            self.networks.warm_up()
        except WidesrError:  # other models may work all the same
            _logger.exception("the default model cannot be loaded")
        self.workers.start()

    def drain(self) -> None:
        """Accept and begin no more jobs, and wake waiting requests; call it on the event loop."""
        if not self.stopping:
            self.stopping = True
            self.workers.drain()
            self.hub.ring_all()

    async def stop(self) -> None:
        """Let running jobs end within the grace period, or leave them to the next server."""
        self.drain()
        await asyncio.to_thread(self._warming.join)
        self._sweeping.set()
        await asyncio.to_thread(self.workers.stop, within=self.settings.grace)
        self.store.close()

    @contextmanager
    def arrival(self, n_bytes: int | None) -> Iterator[None]:
        """Reserve room for a picture that is about to be sent.

        Args:
            n_bytes: The length of the body in bytes, if the client states it.

        Raises:
            ProblemError: There is no room in the queue or on the disk, or the server stops.
        """
        if self.stopping:
            raise ProblemError(
                "stopping", "the server is about to stop; try again", status=503,
                headers={"Retry-After": "10"},
            )  # fmt: skip
        waiting = self.store.count_queued() + self._arriving
        if waiting >= self.settings.max_queue:
            raise ProblemError(
                "queue-full",
                f"{waiting} pictures wait already, the limit is {self.settings.max_queue}; try "
                "again later",
                status=429,
                headers={"Retry-After": str(self.retry_after())},
            )
        size = n_bytes if n_bytes is not None else 2**20
        kept = self._kept_bytes() + self._arriving_bytes + size
        if kept > self.settings.max_disk:
            raise disk_full(
                "the server keeps as many pictures as it may; try again when some have expired"
            )
        check_disk(self.settings.data, size)
        self._arriving += 1
        self._arriving_bytes += size
        try:
            yield
        finally:
            self._arriving -= 1
            self._arriving_bytes -= size

    def _kept_bytes(self) -> int:
        """Return the bytes kept, at most a second old, because adding them up reads every job."""
        when, n_bytes = self._kept
        if time.monotonic() - when > 1:
            n_bytes = self.store.bytes_kept()
            self._kept = (time.monotonic(), n_bytes)
        return n_bytes

    def retry_after(self) -> int:
        """Forecast the seconds until a quarter of the queue is done.

        With a shorter time, many clients would ask again and again for the few free places.
        """
        return int(min(max(self.workers.seconds_of_queue() / 4, 1), _MOST_RETRY_S))

    def forget(self, job: Job) -> None:
        """Remove a job that has ended, with its files."""
        gone = self.store.forget(job.id)
        if gone is not None and gone.result:
            (self.settings.results / gone.result).unlink(missing_ok=True)

    def _sweep(self) -> None:
        shortest = min(self.settings.keep, self.settings.stuck_after)
        each = min(_SWEEP_S, max(shortest / 4, 0.1))
        while not self._sweeping.wait(each):
            try:
                self.workers.give_up_stuck()
                for job in self.store.ended_before(time.time() - self.settings.keep):
                    self.forget(job)
            except Exception:  # a full disk must not end the sweeping that makes room
                _logger.exception("results cannot be swept")

    def _remove_strays(self) -> None:
        """Remove files that no job owns, left by requests that the end of a server cut off."""
        owned = self.store.files()
        jobs = {name.partition(".")[0] for name in owned}
        settings = self.settings
        for folder in (settings.pictures, settings.results, settings.temporary):
            for path in folder.iterdir():
                if path.is_dir():  # a clip that is not finished: `.ID.mp4.widesr`
                    if path.name.removeprefix(".").partition(".")[0] not in jobs:
                        shutil.rmtree(path, ignore_errors=True)
                elif path.name not in owned:
                    with suppress(OSError):
                        path.unlink()


def _make_folders(settings: ServeSettings) -> None:
    data = settings.data
    try:
        for folder in (data, settings.pictures, settings.results, settings.temporary):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{error.filename or data}: the folder for jobs cannot be made ({error.strerror}); "
            "name another",
            options=["data"],
        ) from error
    if not os.access(data, os.W_OK | os.X_OK):
        raise UsageError(
            f"{data}: the folder for jobs takes no files; name another", options=["data"]
        )
