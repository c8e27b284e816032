"""Runs the three stages of a job: read, make and write; each returns what the next one takes."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from os.path import lexists, realpath  # Path's fail for some names: too long, or links in a ring
from typing import Literal

from widesr.batch.disk_space import Resize, decoded_bytes
from widesr.batch.jobs import Job, Outcome, make_folder
from widesr.batch.manifest import FileState
from widesr.batch.one import changed, check_output, check_still, open_any
from widesr.batch.records import Records
from widesr.batch.settings import FileSettings
from widesr.errors import (
    InternalError,
    OutOfMemoryError,
    OutputExistsError,
    ShapeError,
    UsageError,
    WidesrError,
)
from widesr.pictures.picture import Picture, PictureStream
from widesr.pictures.reading import read_header, read_picture
from widesr.pictures.sequence import PictureSequence
from widesr.pictures.several import holds_several, write_pictures
from widesr.system.progress import OnProgress, ignore

Existing = Literal["refuse", "overwrite", "skip"]
"""The choice for an output that exists already."""
OnOutcome = Callable[[Outcome], None]
"""Callback with an outcome, as soon as it is known."""

_logger = logging.getLogger(__name__)


class _StoppedError(Exception):
    """The run ends early, and nothing waits for this picture."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A job on its way through the stages, with all that is known about it so far."""

    number: int
    job: Job
    seconds: float = 0.0
    source: FileState | None = None
    """The input's content; None where no manifest is kept."""
    input_size: tuple[int, int] | None = None
    """The (height, width) of the input."""
    picture: Picture | None = None
    """The input, then the output; None if the picture is streamed."""
    count: int = 1
    """The number of pictures in the file; several are streamed one after another."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """The stages of every job of a run."""

    transform: Callable[[PictureStream, Job, OnProgress], PictureStream]
    resize: Resize
    settings: FileSettings
    n_jobs: int
    inputs: frozenset[str]
    """The paths of all inputs, links followed; none of them is ever overwritten."""
    existing: Existing
    in_memory: int
    """Limit on the decoded bytes of pictures in progress; a heavier one is streamed row by row."""
    records: Records = field(default_factory=Records)
    resume: bool = False
    several: bool = False
    """True if files of several pictures are accepted, one picture after another."""
    on_progress: OnProgress = ignore
    on_outcome: OnOutcome = ignore
    stop: threading.Event = field(default_factory=threading.Event)

    def weigh(self, task: Task) -> int:
        """Return the bytes that a job takes from its start to its end; 0 if it has nothing to do.

        A file of several pictures weighs more than the limit, so that it runs alone: it is computed
        while it is written.
        """
        job = task.job
        if job.refused or (self.existing != "overwrite" and lexists(job.target)):
            return 0
        if self.several and holds_several(job.source):
            return self.in_memory + 1
        return decoded_bytes(job.source, resize=self.resize, max_pixels=self.settings.max_pixels)

    def read(self, task: Task) -> Task | Outcome:
        """Check a job, and read its picture unless that is streamed later."""
        return _guarded(self._read, task)

    def make(self, task: Task | Outcome) -> Task | Outcome:
        """Compute the output of a picture that was read whole."""
        return _guarded(self._make, task)

    def write(self, task: Task | Outcome) -> Outcome:
        """Write the picture, or list in the manifest why there is none."""
        outcome = _guarded(self._write, task)
        assert isinstance(outcome, Outcome)
        untouched = isinstance(task, Outcome) and isinstance(task.error, OutputExistsError)
        if outcome.error and not untouched:
            self.records.add_failure(outcome)
        _log(outcome)
        self.on_outcome(outcome)
        return outcome

    def _read(self, task: Task) -> Task | Outcome:
        job = task.job
        if job.refused:
            raise job.refused
        if self._is_done(job):
            return Outcome(job=job, status="skipped")
        source = None
        several = self.several and holds_several(job.source)
        if not several:
            check_still(job.target, lossless=self.settings.lossless)
        if self.records.keeps(job):
            if not several:
                read_header(job.source)  # a file that is not a picture is refused as such
            source = FileState.of_path(job.source)  # first: a later change is seen next time
        max_pixels = self.settings.max_pixels
        if several or self.weigh(task) > self.in_memory:
            with open_any(job.source, max_pixels=max_pixels) as pictures:
                count = check_output(job.target, pictures, lossless=self.settings.lossless)
            return replace(task, input_size=pictures.size, count=count, source=source)
        picture = read_picture(job.source, max_pixels=max_pixels)
        size = (picture.height, picture.width)
        return replace(task, picture=picture, input_size=size, source=source)

    def _is_done(self, job: Job) -> bool:
        """Tell whether the output exists and is kept, before the work and not after it.

        Raises:
            OutputExistsError: The output exists, and no choice was made for it; or it is an input.
        """
        is_input = realpath(job.target) in self.inputs
        if lexists(job.target):
            difference = "exists already"
            if self.resume and self.records.keeps(job):
                found = self.records.difference(job)
                if found is None:
                    return True
                difference = found
            if self.existing == "skip":
                return True
            if self.existing == "refuse" and not is_input:
                resumable = self.records.keeps(job) and not self.resume
                raise OutputExistsError(
                    f"{job.target}: {difference}; name another output, or say what to do with it",
                    options=["resume"] * resumable + ["overwrite=True", "skip_existing"],
                )
        if is_input:
            raise OutputExistsError(
                f"{job.target}: is an input too; name another output", options=["output"]
            )
        return False

    def _make(self, task: Task) -> Task:
        if task.picture is None:
            return task
        made = self._transformed(task, task.picture.stream(), 0).whole()
        return replace(task, picture=made)

    def _transformed(self, task: Task, stream: PictureStream, number: int) -> PictureStream:
        def on_tile(done: float, total: float) -> None:
            if self.stop.is_set():
                raise _StoppedError
            self.on_progress(task.number + (number + done / total) / task.count, self.n_jobs)

        try:
            return self.transform(stream, task.job, on_tile)
        except (ShapeError, UsageError) as error:
            # One picture may be too small for settings that suit the others.
            raise type(error)(
                f"{task.job.source}: {error.message}", options=error.options
            ) from error

    @contextmanager
    def _output(self, task: Task) -> Iterator[PictureStream | PictureSequence]:
        """Give the pictures to write; streamed ones are computed while they are written."""
        if task.picture is not None:
            yield task.picture.stream()
            return
        with (
            open_any(task.job.source, max_pixels=self.settings.max_pixels) as lr,
            changed(lr, lambda each, number: self._transformed(task, each, number)) as sr,
        ):
            yield sr

    def _write(self, task: Task) -> Outcome:
        job, start = task.job, time.perf_counter()
        if job.makes_folder:
            make_folder(job.target.parent)
        with self._output(task) as picture:
            done = Outcome(
                job=job,
                status="done",
                input_size=task.input_size,
                output_size=picture.size,
                count=task.count,
            )

            def list_it(fd: int) -> None:
                seconds = task.seconds + time.perf_counter() - start
                self.records.add_done(replace(done, seconds=seconds), source=task.source, output=fd)

            write_pictures(
                job.target,
                picture,
                quality=self.settings.quality,
                lossless=self.settings.lossless,
                overwrite=self.existing == "overwrite",
                sealed=list_it,
            )
        return done


def _log(outcome: Outcome) -> None:
    job, error = outcome.job, outcome.error
    what = f"error[{error.code}]" if error else outcome.status
    _logger.info("%s -> %s: %s, %.2f s of work", job.source, job.target, what, outcome.seconds)


def _guarded(stage: Callable[[Task], Task | Outcome], task: Task | Outcome) -> Task | Outcome:
    """Run a stage for a job that has not ended; whatever goes wrong ends only this job."""
    if isinstance(task, Outcome):
        return task
    start = time.perf_counter()
    try:
        result = stage(task)
    except WidesrError as error:
        result = Outcome(job=task.job, status="failed", error=error)
    except MemoryError as error:
        memory = OutOfMemoryError(error, at=task.job.source)
        result = Outcome(job=task.job, status="failed", error=memory)
    except Exception as error:  # a defect met on one picture must not stop the others
        if os.environ.get("WIDESR_DEBUG") or isinstance(error, _StoppedError):
            raise
        defect = InternalError(error, at=task.job.source)
        result = Outcome(job=task.job, status="failed", error=defect)
    return replace(result, seconds=task.seconds + time.perf_counter() - start)
