"""Many pictures: each read, upscaled and written, and what became of it.

One picture is read while another is computed and a third written. One that is too large for that
passes row by row, on its own, and its parts overlap in the same way. A job that fails is reported
as such and does not stop the others. What is done to a folder is kept in a manifest, so that a run
that was killed can be resumed.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from os.path import lexists, realpath  # Path's fail at some names: too long, or links in a ring
from pathlib import Path
from typing import Literal

from widesr.batch.disk_space import Resize, check_space, decoded_bytes
from widesr.batch.jobs import Job, Outcome, make_folder
from widesr.batch.manifest import Entry, Failure, FileState, MadeBy, Manifest, Settings, as_text
from widesr.engine import MAX_MEMORY
from widesr.errors import (
    ImageWriteError,
    InternalError,
    OutOfMemoryError,
    OutputExistsError,
    UsageError,
    WidesrError,
)
from widesr.pictures.adapt import Icc, Kept, adapted_stream
from widesr.pictures.picture import MAX_PIXELS, Picture, PictureStream
from widesr.pictures.reading import open_picture, read_header, read_picture
from widesr.pictures.several import (
    Several,
    check_several,
    holds_several,
    open_several,
    write_pictures,
)
from widesr.pictures.writing import check_lossless, check_opaque, output_format
from widesr.system.files import remove_leftovers
from widesr.system.threads import overlapped
from widesr.upscaling.base import AnyUpscaler, Progress

Existing = Literal["refuse", "overwrite", "skip"]
"""What to do with an output that is there already."""
Computed = Callable[[float], None]
"""Called with how many pictures are computed, parts of one too."""
Ended = Callable[[Outcome], None]
"""Called with an outcome as soon as it is there."""

_logger = logging.getLogger(__name__)

_UNDER_WAY = 1 / 4
"""Share of the memory for the pictures and outputs that are decoded at once."""
_ALONE = 1 / 64
"""The same for one picture alone: a larger one is sooner done when it is read, computed and written
at once, and there is no other to be read and written meanwhile."""


def upscale_many(
    jobs: Sequence[Job],
    *,
    upscaler: AnyUpscaler,
    existing: Existing = "refuse",
    resume: bool = False,
    settings: Settings | None = None,
    quality: int = 95,
    lossless: bool = False,
    icc: Icc = "keep",
    metadata: Kept = "keep",
    max_pixels: int = MAX_PIXELS,
    max_memory: int = MAX_MEMORY,
    progress: Computed = lambda _: None,
    ended: Ended = lambda _: None,
) -> Generator[Outcome]:
    """Upscale as `transform_many`, and keep a manifest in the output folder of each input folder.

    Args:
        jobs: From `plan_jobs`.
        upscaler: Makes the outputs.
        existing: What to do with an output that is there already.
        resume: Pass over an output that the manifest lists, if its input, the model and the
            settings are still the same; `existing` says what to do with another.
        settings: What else decides the outputs, such as their size; the manifest keeps it.
        quality: 1 to 100, of JPEG, WebP and AVIF.
        lossless: Every value is kept, or the picture refused.
        icc: As for `adapted`.
        metadata: As for `adapted`.
        max_pixels: The largest picture that is read.
        max_memory: Bytes to take at most, about, with what the upscaler was given.
        progress: Told, in another thread, how far the computing is.
        ended: Told, in another thread, of each outcome, also of those that are not yielded any more
            where the generator is closed.

    Raises:
        UsageError: There is nothing to resume: no input was a folder.
        OutputExistsError: Another file is in the place of a manifest.
        ImageWriteError: The outputs surely do not fit on the disk, or a manifest cannot be kept.
    """
    roots = {job.root for job in jobs if job.root is not None}
    if resume and not roots:
        raise UsageError(
            "--resume goes on with the run of a folder, and no folder was given; for single "
            "pictures say --skip-existing"
        )
    manifests = {root: Manifest(root) for root in roots}
    _remove_leftovers(jobs)  # first: they take space
    pairs = ((job.source, job.target) for job in jobs if not job.refused)
    check_space(pairs, resize=upscaler.output_size, quality=quality, max_pixels=max_pixels)

    def transform(lr: PictureStream, _: Job, on_tile: Progress) -> PictureStream:
        lr = adapted_stream(lr, icc=icc, metadata=metadata)
        return upscaler.upscale_stream(lr, progress=on_tile)

    settings = {**(settings or {}), "icc": icc, "metadata": metadata}
    work = _Work(
        transform=transform,
        resize=upscaler.output_size,
        inputs=frozenset(realpath(job.source) for job in jobs),
        existing=existing,
        quality=quality,
        lossless=lossless,
        max_pixels=max_pixels,
        in_memory=int(max_memory * (_UNDER_WAY if len(jobs) > 1 else _ALONE)),
        progress=progress,
        ended=ended,
        resume=resume,
        manifests=manifests,
        made_by=MadeBy(upscaler.model, upscaler.weights_sha256, settings),
        several=True,
    )
    return _outcomes(jobs, work)


def transform_many(
    jobs: Sequence[Job],
    *,
    transform: Callable[[Picture, Job], Picture],
    existing: Existing = "refuse",
    quality: int = 95,
    lossless: bool = False,
    max_pixels: int = MAX_PIXELS,
    ended: Ended = lambda _: None,
) -> Generator[Outcome]:
    """Read, transform and write each picture; yield what became of it when it is over.

    In order; but others are worked on meanwhile, so more may be done than was yielded. No input of
    any job is ever written over, not even with `existing="overwrite"`.

    Args:
        jobs: From `plan_jobs`.
        transform: Makes the output from the input of a job; called in another thread.
        existing: What to do with an output that is there already.
        quality: 1 to 100, of JPEG, WebP and AVIF.
        lossless: Every value is kept, or the picture refused.
        max_pixels: The largest picture that is read.
        ended: Told, in another thread, of each outcome as soon as it is there.
    """
    _remove_leftovers(jobs)
    work = _Work(
        transform=lambda stream, job, _: transform(stream.whole(), job).stream(),
        resize=lambda height, width: (height, width),
        inputs=frozenset(realpath(job.source) for job in jobs),
        existing=existing,
        quality=quality,
        lossless=lossless,
        max_pixels=max_pixels,
        ended=ended,
    )
    return _outcomes(jobs, work)


def _outcomes(jobs: Sequence[Job], work: "_Work") -> Generator[Outcome]:
    return overlapped(
        (_Task(number=number, job=job) for number, job in enumerate(jobs)),
        read=work.read,
        make=work.make,
        write=work.write,
        weigh=lambda task: work.weigh(task.job),
        budget=work.in_memory,
        stop=work.stop,
    )


def _remove_leftovers(jobs: Sequence[Job]) -> None:
    for folder in dict.fromkeys(job.target.parent for job in jobs):
        remove_leftovers(folder)


_NOBODY = MadeBy("", None, {})


class _StoppedError(Exception):
    """The run ends early; no one waits for this picture."""


@dataclass(frozen=True, kw_only=True)
class _Task:
    """A job on its way through the stages, and what is known of it by then."""

    number: int
    job: Job
    seconds: float = 0.0
    source: FileState | None = None
    """None where no manifest is kept."""
    input_size: tuple[int, int] | None = None
    """(height, width)"""
    picture: Picture | None = None
    """The input, then the output; None where it passes."""
    count: int = 1  # of pictures in it: several pass one after another


@dataclass(frozen=True, kw_only=True)
class _Work:
    """The three stages of every job; each gives what the next one takes, or the end of it."""

    transform: Callable[[PictureStream, Job, Progress], PictureStream]
    resize: Resize
    inputs: frozenset[str]
    """Where they are, links followed."""
    existing: Existing
    quality: int
    lossless: bool
    max_pixels: int
    in_memory: int = int(MAX_MEMORY * _UNDER_WAY)
    """Bytes of the pictures that are under way, decoded; a heavier one passes row by row."""
    progress: Computed = lambda _: None
    ended: Ended = lambda _: None
    resume: bool = False
    manifests: Mapping[Path, Manifest] = field(default_factory=dict)
    """By `Job.root`."""
    made_by: MadeBy = _NOBODY
    several: bool = False
    """Whether files of several pictures are taken, one picture after another."""
    stop: threading.Event = field(default_factory=threading.Event)

    def weigh(self, job: Job) -> int:
        """Bytes that a job takes from its start to its end; none where nothing is to be done."""
        if job.refused or (self.existing != "overwrite" and lexists(job.target)):
            return 0
        if self.several and holds_several(job.source):
            return self.in_memory + 1  # alone: it is computed while it is written
        return decoded_bytes(job.source, resize=self.resize, max_pixels=self.max_pixels)

    def read(self, task: _Task) -> _Task | Outcome:
        return _guarded(self._read, task)

    def make(self, task: _Task | Outcome) -> _Task | Outcome:
        return _guarded(self._make, task)

    def write(self, task: _Task | Outcome) -> Outcome:
        """Write the picture, or list in the manifest why there is none."""
        outcome = _guarded(self._write, task)
        assert isinstance(outcome, Outcome)
        untouched = isinstance(task, Outcome) and isinstance(task.error, OutputExistsError)
        manifest = self._manifest(outcome.job)
        if manifest and outcome.error and not untouched:
            with suppress(ImageWriteError):  # what the picture suffers from is said in any case
                manifest.add(self._entry(manifest, outcome))
        _log(outcome)
        self.ended(outcome)
        return outcome

    def _read(self, task: _Task) -> _Task | Outcome:
        job, manifest = task.job, self._manifest(task.job)
        if job.refused:
            raise job.refused
        if lexists(job.target):  # before the work and not after it
            why_not = "exists already"
            if self.resume and manifest:
                differs = manifest.difference(job.source, job.target, made_by=self._made_by(job))
                if differs is None:
                    return Outcome(job=job, status="skipped")
                why_not = differs
            if self.existing == "skip":
                return Outcome(job=job, status="skipped")
            if self.existing == "refuse" and realpath(job.target) not in self.inputs:
                ways_out = "--overwrite or --skip-existing"
                if manifest and not self.resume:
                    ways_out = f"--resume, {ways_out}"
                raise OutputExistsError(
                    f"{job.target}: {why_not}; name another output, or say {ways_out}"
                )
        if realpath(job.target) in self.inputs:
            raise OutputExistsError(f"{job.target}: is an input too; name another output with -o")
        several = self.several and holds_several(job.source)
        if not several:
            output_format(job.target)  # GIF is not one of a still picture
            if self.lossless:
                check_lossless(job.target)
        source = None
        if manifest:
            if not several:
                read_header(job.source)  # what is no picture is refused for that
            source = FileState.of_path(job.source)  # first: a change meanwhile is seen next time
        if several:
            with open_several(job.source, max_pixels=self.max_pixels) as pictures:
                check_several(job.target, pictures, lossless=self.lossless)
            return replace(task, input_size=pictures.size, count=pictures.count, source=source)
        if self.weigh(job) > self.in_memory:
            with open_picture(job.source, max_pixels=self.max_pixels) as stream:
                check_opaque(job.target, stream)
            return replace(task, input_size=stream.rows.shape[:2], source=source)
        picture = read_picture(job.source, max_pixels=self.max_pixels)
        size = (picture.height, picture.width)
        return replace(task, picture=picture, input_size=size, source=source)

    def _make(self, task: _Task) -> _Task:
        if task.picture is None:
            return task
        return replace(task, picture=self._transformed(task, task.picture.stream()).whole())

    def _transformed(self, task: _Task, stream: PictureStream, *, before: int = 0) -> PictureStream:
        def on_tile(done: float, tiles: float) -> None:
            if self.stop.is_set():
                raise _StoppedError
            self.progress(task.number + (before + done / tiles) / task.count)

        try:
            return self.transform(stream, task.job, on_tile)
        except UsageError as error:  # one picture may be too small for what suits the others
            raise UsageError(f"{task.job.source}: {error}") from error

    @contextmanager
    def _output(self, task: _Task) -> Iterator[PictureStream | Several]:
        """Give what is to be written; of what passes, it is made meanwhile."""
        if task.picture is not None:
            yield task.picture.stream()
            return
        source, limit = task.job.source, self.max_pixels
        if task.count > 1:
            with (
                open_several(source, max_pixels=limit) as pictures,
                pictures.ahead() as lr,
                lr.map(lambda each, n: self._transformed(task, each, before=n)).ahead() as sr,
            ):
                yield sr
            return
        with (
            open_picture(source, max_pixels=limit) as still,
            still.ahead() as passing,
            self._transformed(task, passing).ahead() as made,
        ):
            yield made

    def _write(self, task: _Task) -> Outcome:
        job, manifest, start = task.job, self._manifest(task.job), time.perf_counter()
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
                if manifest:
                    outcome = replace(done, seconds=task.seconds + time.perf_counter() - start)
                    entry = self._entry(manifest, outcome)
                    states = {"input_file": task.source, "output_file": FileState.of(fd)}
                    manifest.add(entry.model_copy(update=states))

            write_pictures(
                job.target,
                picture,
                quality=self.quality,
                lossless=self.lossless,
                overwrite=self.existing == "overwrite",
                sealed=list_it,
            )
        return done

    def _entry(self, manifest: Manifest, outcome: Outcome) -> Entry:
        job, error = outcome.job, outcome.error
        made_by = self._made_by(job)
        (in_height, in_width), (out_height, out_width) = (
            size or (None, None) for size in (outcome.input_size, outcome.output_size)
        )
        return Entry(
            input=as_text(job.source),
            output=manifest.name_of(job.target),
            status="failed" if error else "done",
            input_width=in_width,
            input_height=in_height,
            output_width=out_width,
            output_height=out_height,
            model=made_by.model,
            model_sha256=made_by.model_sha256,
            settings=made_by.settings,
            seconds=round(outcome.seconds, 3),
            error=Failure(code=error.code, message=as_text(error)) if error else None,
        )

    def _manifest(self, job: Job) -> Manifest | None:
        return self.manifests.get(job.root) if job.root is not None else None

    def _made_by(self, job: Job) -> MadeBy:
        if output_format(job.target, animated=True) in ("png", "tiff"):
            return self.made_by
        how = {"quality": self.quality, "lossless": self.lossless}
        return self.made_by._replace(settings=self.made_by.settings | how)


def _log(outcome: Outcome) -> None:
    job, error = outcome.job, outcome.error
    what = f"error[{error.code}]" if error else outcome.status
    _logger.info("%s -> %s: %s, %.2f s of work", job.source, job.target, what, outcome.seconds)


def _guarded(stage: Callable[[_Task], _Task | Outcome], task: _Task | Outcome) -> _Task | Outcome:
    """Do a stage for a job that has not ended; whatever goes wrong in it ends this job alone."""
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
    except Exception as error:  # a defect met on one picture must not cost the others theirs
        if os.environ.get("WIDESR_DEBUG") or isinstance(error, _StoppedError):
            raise
        defect = InternalError(error, at=task.job.source)
        result = Outcome(job=task.job, status="failed", error=defect)
    return replace(result, seconds=task.seconds + time.perf_counter() - start)
