"""Reads, upscales and writes many pictures at once, and reports the outcome of each.

One picture is read while another is computed and a third is written. A picture that is too large
for that is streamed row by row, on its own, and its parts overlap in the same way. A job that fails
is reported and does not stop the others. The work on a folder is recorded in a manifest, so that a
killed run can be resumed.
"""

from collections.abc import Callable, Generator, Sequence
from os.path import realpath  # Path's fails for some names: too long, or links in a ring

from widesr.batch.disk_space import check_space
from widesr.batch.jobs import Job, Outcome, clean_folders
from widesr.batch.manifest import MadeBy, Manifest, Settings
from widesr.batch.one import upscaled_stream
from widesr.batch.records import Records
from widesr.batch.settings import FileSettings, UpscaleSettings
from widesr.batch.stages import Existing, OnOutcome, Task, Work
from widesr.engine import MAX_MEMORY
from widesr.errors import UsageError
from widesr.pictures.picture import Picture, PictureStream
from widesr.system.progress import OnProgress, ignore
from widesr.system.threads import overlapped
from widesr.upscaling.base import AnyUpscaler

_UNDER_WAY = 1 / 4
"""Share of the memory for the pictures and outputs that are decoded at once."""
_ALONE = 1 / 64
"""Share of the memory for a single picture: a larger one is finished sooner if it is read, computed
and written at once, as there are no others to read and write meanwhile."""


def upscale_many(
    jobs: Sequence[Job],
    *,
    settings: UpscaleSettings = UpscaleSettings(),  # noqa: B008 (frozen)
    upscaler: AnyUpscaler | None = None,
    existing: Existing = "refuse",
    resume: bool = False,
    on_progress: OnProgress = ignore,
    on_outcome: OnOutcome = ignore,
) -> Generator[Outcome]:
    """Upscale many pictures, and keep a manifest in the output folder of each input folder.

    Jobs are processed as by `transform_many`.

    Args:
        jobs: The pictures, from `plan_jobs`.
        settings: All that decides the outputs.
        upscaler: The upscaler that makes the outputs; by default the one from `settings.load()`.
        existing: The choice for an output that exists: "refuse", "overwrite" or "skip".
        resume: Pass over an output that the manifest lists, if its input, the model and the
            settings are still the same; `existing` decides about other outputs that exist.
        on_progress: Called in another thread with the number of pictures computed, including parts
            of a picture, and the number of all.
        on_outcome: Called in another thread with each outcome, including those that are no longer
            yielded because the generator is closed.

    Raises:
        UsageError: There is nothing to resume, because no input was a folder.
        OutputExistsError: Another file is in the place of a manifest.
        ImageWriteError: The outputs certainly do not fit on the disk, or a manifest cannot be kept.
    """
    roots = {job.root for job in jobs if job.root is not None}
    if resume and not roots:
        raise UsageError(
            "only the run of a folder is resumed, and no folder was given; single pictures that "
            "are done can be skipped",
            options=["skip_existing"],
        )
    made_by = upscaler or settings.load()
    kept: Settings = {"size": settings.target.name_end.removeprefix("_")}
    kept |= {"icc": settings.icc, "metadata": settings.metadata}
    lossy = kept | {"quality": settings.quality, "lossless": settings.lossless}
    records = Records(
        manifests={root: Manifest(root) for root in roots},
        made_by=MadeBy(made_by.model, made_by.weights_sha256, kept),
        lossy=MadeBy(made_by.model, made_by.weights_sha256, lossy),
    )
    clean_folders(jobs)  # first: what is left there takes space
    check_space(
        ((job.source, job.target) for job in jobs if not job.refused),
        resize=made_by.output_size,
        quality=settings.quality,
        max_pixels=settings.max_pixels,
    )

    def transform(lr: PictureStream, _: Job, on_tile: OnProgress) -> PictureStream:
        return upscaled_stream(lr, settings, made_by, on_tile)

    work = Work(
        transform=transform,
        resize=made_by.output_size,
        settings=settings,
        n_jobs=len(jobs),
        inputs=_where(jobs),
        existing=existing,
        in_memory=int(settings.engine.max_memory * (_UNDER_WAY if len(jobs) > 1 else _ALONE)),
        records=records,
        resume=resume,
        several=True,
        on_progress=on_progress,
        on_outcome=on_outcome,
    )
    return _outcomes(jobs, work)


def transform_many(
    jobs: Sequence[Job],
    *,
    transform: Callable[[Picture, Job], Picture],
    settings: FileSettings = FileSettings(),  # noqa: B008 (frozen)
    existing: Existing = "refuse",
    on_outcome: OnOutcome = ignore,
) -> Generator[Outcome]:
    """Read, transform and write each picture, and yield its outcome when it has ended.

    Outcomes come in order, but other pictures are worked on meanwhile, so more may be done than was
    yielded. No input of any job is ever overwritten, not even with `existing="overwrite"`.

    Args:
        jobs: The pictures, from `plan_jobs`.
        transform: Function that makes the output from the input of a job, called in another thread.
        settings: The settings for reading and writing pictures.
        existing: The choice for an output that exists: "refuse", "overwrite" or "skip".
        on_outcome: Called in another thread with each outcome, as soon as it is known.
    """
    clean_folders(jobs)
    work = Work(
        transform=lambda stream, job, _: transform(stream.whole(), job).stream(),
        resize=lambda height, width: (height, width),
        settings=settings,
        n_jobs=len(jobs),
        inputs=_where(jobs),
        existing=existing,
        in_memory=int(MAX_MEMORY * _UNDER_WAY),
        on_outcome=on_outcome,
    )
    return _outcomes(jobs, work)


def _outcomes(jobs: Sequence[Job], work: Work) -> Generator[Outcome]:
    return overlapped(
        (Task(number=number, job=job) for number, job in enumerate(jobs)),
        read=work.read,
        make=work.make,
        write=work.write,
        weigh=work.weigh,
        budget=work.in_memory,
        stop=work.stop,
    )


def _where(jobs: Sequence[Job]) -> frozenset[str]:
    return frozenset(realpath(job.source) for job in jobs)
