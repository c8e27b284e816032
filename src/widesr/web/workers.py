"""Does the jobs of the store in order in threads, as many at once as memory allows."""

import json
import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from widesr.errors import OutOfMemoryError, WidesrError
from widesr.web.clips import is_clip, upscale_clip_file
from widesr.web.hub import Hub
from widesr.web.memory import Shares, resident_bytes
from widesr.web.metrics import Metrics
from widesr.web.networks import Networks
from widesr.web.problems import Problem, ProblemError, refusal
from widesr.web.settings import ServeSettings
from widesr.web.store import Job, State, Store
from widesr.web.views import View, view_of
from widesr.web.wishes import NAMES, Wishes
from widesr.web.work import Made, PauseError, StopError, Watch, upscale_file

_logger = logging.getLogger(__name__)

_Recorded = TypeVar("_Recorded")

_ATTEMPTS = 3
"""A job is not begun again after this many servers were killed while they worked on it."""
_TELL_EACH_S = 0.25
"""The least time between two progress events, in seconds."""
_LOOK_AGAIN_S = 1.0
_STOP_S = 30.0
"""Seconds that a job has to stop when it is told to; a hanging job must not keep the server from
its end."""
_CANCELLED = ProblemError("cancelled", "the job was stopped by DELETE", status=409).problem


@dataclass
class _Running:
    """A job that a thread is working on."""

    job: Job
    wishes: Wishes
    stop: threading.Event = field(default_factory=threading.Event)
    cancelled: bool = False
    done: float = 0.0
    tiles: float = 0.0
    told: float = 0.0
    seen: float = field(default_factory=time.monotonic)
    """The monotonic time of the job's last progress, in seconds."""
    is_given_up: bool = False


class Workers:
    """Does jobs, reports their progress, and stops them within a tile."""

    def __init__(
        self,
        settings: ServeSettings,
        *,
        store: Store,
        networks: Networks,
        hub: Hub,
        metrics: Metrics,
    ) -> None:
        """Make the threads, but begin no job yet."""
        self._settings, self._store, self._networks = settings, store, networks
        self._hub, self._metrics = hub, metrics
        self._shares = Shares.of(settings.max_memory)
        self._change = threading.Condition()
        self._running: dict[str, _Running] = {}
        self._stopping = False
        self._threads = [self._thread() for _ in range(settings.at_once)]

    def start(self) -> None:
        """Requeue the jobs that an earlier server left, and start the threads."""
        for job in self._store.requeue_running():
            if job.attempts >= _ATTEMPTS:
                problem = ProblemError(
                    "internal",
                    f"{job.name}: {job.attempts} servers were ended while they worked on it, so it "
                    "is not begun again",
                    status=500,
                ).problem
                self._end(job, "failed", problem=problem)
        for thread in self._threads:
            thread.start()

    def notify(self) -> None:
        """Wake the threads, because there is a new job."""
        with self._change:
            self._change.notify_all()

    def view(self, job: Job) -> View:
        """Make the view of a job, with its progress or its place in the queue."""
        running = self._running.get(job.id)
        ahead, seconds = (0, 0.0)
        if job.state == "queued":
            ahead, seconds = self._store.waiting_before(job.number)
            seconds += sum(map(_left, list(self._running.values())))
        return view_of(
            job,
            tiles_done=running.done if running else 0.0,
            tiles=running.tiles if running else 0.0,
            ahead=ahead,
            seconds_before=seconds,
            keep=self._settings.keep,
        )

    def seconds_of_queue(self) -> float:
        """Forecast the seconds until a job that came now would begin."""
        _, seconds = self._store.waiting_before(2**62)
        return seconds + sum(map(_left, list(self._running.values())))

    def cancel(self, id: str) -> None:  # noqa: A002 (its name everywhere)
        """Stop a job: at once if it is queued, within a tile if it runs, not if it has ended."""
        with self._change:
            running = self._running.get(id)
            if running is not None:
                running.cancelled = True
                running.stop.set()
            elif (job := self._store.find(id)) is not None:
                self._end(job, "cancelled", problem=_CANCELLED)

    def drain(self) -> None:
        """Begin no more jobs."""
        with self._change:
            self._stopping = True
            self._change.notify_all()

    def stop(self, *, within: float) -> None:
        """Give running jobs `within` seconds to finish; leave the others to the next server."""
        self.drain()
        self._join(within)
        for running in list(self._running.values()):
            running.stop.set()
        self._join(_STOP_S)

    def _join(self, seconds: float) -> None:
        """Wait until all threads have ended, for this many seconds at most."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(until - time.monotonic(), 0))

    def give_up_stuck(self) -> None:
        """Fail the jobs that make no progress, and start a new thread in place of each one's.

        A thread that hangs inside a library cannot be ended from outside. If it ever finishes, its
        result is not kept.
        """
        longest = self._settings.stuck_after
        for running in list(self._running.values()):
            if time.monotonic() - running.seen < longest:
                continue
            job = running.job
            problem = ProblemError(
                "stuck",
                f"{job.name}: did not go on for {longest:.0f} seconds, and was given up",
                status=500,
            ).problem
            running.stop.set()
            running.is_given_up = True
            self._end(job, "failed", problem=problem)
            _logger.error("job %s is stuck", job.id)
            with self._change:
                self._running.pop(job.id, None)
                if not self._stopping:
                    self._threads.append(self._thread())
                    self._threads[-1].start()

    def counts(self) -> tuple[int, int]:
        """Count the running jobs, and the bytes of memory that are set aside for them."""
        running = list(self._running.values())
        return len(running), sum(each.job.memory for each in running)

    def _thread(self) -> threading.Thread:
        return threading.Thread(target=self._work, name="widesr-job", daemon=True)

    def _work(self) -> None:
        while (running := self._patiently(self._next)) is not None:
            try:
                self._do(running)
            except Exception:  # a defect of the server itself must not cost it a thread
                _logger.exception("job %s", running.job.id)
            finally:
                with self._change:
                    self._running.pop(running.job.id, None)
                    self._change.notify_all()
            if running.is_given_up:
                return  # another thread has its place

    def _patiently(self, record: Callable[[], _Recorded]) -> _Recorded:
        """Record something in the store, as soon as the disk has room for it.

        Otherwise a full disk would end the thread, or leave a job without an end.
        """
        is_told = False
        while True:
            try:
                return record()
            except sqlite3.OperationalError:
                if self._stopping:
                    raise
                if not is_told:
                    _logger.exception("the jobs cannot be recorded; trying again")
                is_told = True
                time.sleep(_LOOK_AGAIN_S)

    def _next(self) -> _Running | None:
        """Wait until there is memory for the first queued job, and begin it; None at the end."""
        with self._change:
            while not self._stopping:
                waiting = self._store.queued()
                if waiting and self._fits(waiting[0]):
                    begun = replace(waiting[0], state="running", started=time.time())
                    job = self._store.begin(begun.id, data=_as_data(self.view(begun)))
                    if job is not None:
                        wishes = Wishes.model_validate_json(job.wishes)
                        self._running[job.id] = running = _Running(job, wishes)
                        self._hub.ring(job.id)
                        return running
                    continue
                self._change.wait(_LOOK_AGAIN_S if waiting else None)
            return None

    def _fits(self, job: Job) -> bool:
        """Tell whether there is memory for the next job.

        Jobs are begun strictly in order, so that none waits for ever.
        """
        if not self._running:
            if resident_bytes() + job.memory > self._settings.max_memory:
                self._networks.let_go()  # the job needs the memory that was meant for them
            return True
        taken = sum(each.job.memory for each in self._running.values())
        if taken + job.memory > self._shares.pictures:
            return False
        if resident_bytes() + job.memory > self._settings.max_memory:
            return False
        if is_clip(job.source):
            return True  # a clip loads a network of its own, which `job.memory` includes
        wishes = Wishes.model_validate_json(job.wishes)
        with suppress(WidesrError):  # the error is reported when the job's turn comes
            return self._networks.would_fit(self._keys(job, wishes))
        return True

    def _keys(self, job: Job, wishes: Wishes) -> list[tuple[str, int]]:
        size = {"height": job.height, "width": job.width}
        return self._networks.keys(wishes.model, wishes.target, **size)

    def _do(self, running: _Running) -> None:
        job, wishes = running.job, running.wishes
        size = {"height": job.height, "width": job.width}

        def end(state: State, **facts: Any) -> bool:  # noqa: ANN401 - as `_end`
            return self._patiently(lambda: self._end(job, state, **facts))

        began = time.monotonic()
        try:
            made = self._made(running, size)
        except (StopError, PauseError):
            if running.cancelled:
                end("cancelled", problem=_CANCELLED)
            else:
                waits = replace(job, state="queued", started=None)
                self._store.requeue(job.id, data=_as_data(self.view(waits)))
                self._hub.ring(job.id)
            return
        except (WidesrError, MemoryError) as error:
            known = error if isinstance(error, WidesrError) else OutOfMemoryError(error)
            why = refusal(known, known=NAMES, folder=self._settings.data, name=job.name)
            end("failed", problem=why.problem)
            return
        except Exception:
            _logger.exception("job %s", job.id)
            text = f"{job.name}: a defect of widesr; see the server's log"
            problem = ProblemError("internal", text, status=500).problem
            end("failed", problem=problem)
            return
        seconds = time.monotonic() - began
        if not is_clip(job.source):  # tiles that are as in the frame before are not computed
            self._networks.learn(
                wishes.model, wishes.target, pages=job.pages, seconds=seconds, **size
            )
        self._metrics.made(made.size[0] * made.size[1] * job.pages, seconds=seconds)
        is_kept = end(
            "done",
            result=made.path.name,
            result_bytes=made.n_bytes,
            result_sha256=made.sha256,
            out_height=made.size[0],
            out_width=made.size[1],
            made_by=made.made_by,
            notices=json.dumps(made.notices),
        )
        if not is_kept:
            made.path.unlink(missing_ok=True)

    def _made(self, running: _Running, size: dict[str, int]) -> Made:
        job, wishes = running.job, running.wishes
        source = self._settings.pictures / job.source
        if is_clip(job.source):
            return upscale_clip_file(
                source,
                self._settings.results,
                wishes=wishes,
                options=self._networks.options.but(consistent=wishes.consistent),
                watch=self._watch(running),
                max_pixels=self._settings.max_pixels,
                most=self._settings.max_clip,
            )
        loading = self._networks.upscaler(
            wishes.model, wishes.target, consistent=wishes.consistent, **size
        )
        with loading as upscaler:
            return upscale_file(
                source,
                self._settings.results,
                upscaler=upscaler,
                wishes=wishes,
                pages=job.pages,
                watch=self._watch(running),
                max_pixels=self._settings.max_pixels,
                max_memory=self._shares.network,
            )

    def _watch(self, running: _Running) -> Watch:
        def on_tile(done: float, tiles: float) -> None:
            if running.stop.is_set():
                if is_clip(running.job.source) and not running.cancelled:
                    raise PauseError  # the next server resumes the clip
                raise StopError("the job is stopped")
            running.done, running.tiles = done, tiles
            running.seen = now = time.monotonic()
            if now - running.told >= _TELL_EACH_S:
                running.told = now
                with suppress(sqlite3.OperationalError):  # on a full disk, the work goes on
                    self._store.progress(running.job.id, data=_as_data(self.view(running.job)))
                self._hub.ring(running.job.id)

        return on_tile

    def _end(
        self,
        job: Job,
        state: State,
        *,
        problem: Problem | None = None,
        **facts: Any,  # noqa: ANN401 - fields of `Job`
    ) -> bool:
        """Record how a job ended, and remove its picture; False if it had ended already."""
        text = problem.model_dump_json() if problem else None
        ended = replace(job, state=state, ended=time.time(), problem=text, **facts)
        data = _as_data(view_of(ended, keep=self._settings.keep))
        is_new = self._store.end(job.id, state, data=data, problem=text, **facts)
        if is_new:
            (self._settings.pictures / job.source).unlink(missing_ok=True)
            if is_clip(job.source):
                for unfinished in self._settings.results.glob(f".{job.id}.*.widesr"):
                    shutil.rmtree(unfinished, ignore_errors=True)
            self._metrics.ended(state)
            _logger.info("job %s: %s%s", job.id, state, f" ({problem.code})" if problem else "")
        self._hub.ring(job.id)
        return is_new


def _left(running: _Running) -> float:
    share = running.done / running.tiles if running.tiles else 0.0
    return running.job.seconds * (1 - share)


def _as_data(view: View) -> str:
    return view.model_dump_json(exclude_none=True)
