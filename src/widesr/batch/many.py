"""Read, upscale and write many pictures at once, and tell what became of each.

One picture is read while another is computed and a third written. One that is too large for that
passes row by row, on its own, and its parts overlap in the same way. A job that fails is reported
as such and does not stop the others. What is done to a folder is kept in a manifest, so that a run
that was killed can be resumed.
"""

from collections.abc import Callable, Generator, Sequence
from os.path import realpath  # Path's fails at some names: too long, or links in a ring

from widesr.batch.disk_space import check_space
from widesr.batch.jobs import Job, Outcome
from widesr.batch.manifest import MadeBy, Manifest, Settings
from widesr.batch.one import upscaled_stream
from widesr.batch.records import Records
from widesr.batch.settings import FileSettings, UpscaleSettings
from widesr.batch.stages import Existing, OnOutcome, Task, Work
from widesr.engine import MAX_MEMORY
from widesr.errors import UsageError
from widesr.pictures.picture import Picture, PictureStream
from widesr.system.files import remove_leftovers
from widesr.system.progress import OnProgress, ignore
from widesr.system.threads import overlapped
from widesr.upscaling.base import AnyUpscaler

_UNDER_WAY = 1 / 4
"""Share of the memory for the pictures and outputs that are decoded at once."""
_ALONE = 1 / 64
"""The same for one picture alone: a larger one is sooner done when it is read, computed and written
at once, and there is no other to be read and written meanwhile."""


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
    """Upscale as `transform_many`, and keep a manifest in the output folder of each input folder.

    Args:
        jobs: The pictures, from `plan_jobs`.
        settings: All that decides the outputs.
        upscaler: Makes the outputs; by default what `settings.load()` gives.
        existing: The choice for an output that is there: "refuse", "overwrite" or "skip".
        resume: Pass over an output that the manifest lists, if its input, the model and the
            settings are still the same; `existing` says what to do with another.
        on_progress: Told, in another thread, how many pictures are computed, parts of one too.
        on_outcome: Told, in another thread, of each outcome, also of those that are not yielded any
            more where the generator is closed.

    Raises:
        UsageError: There is nothing to resume: no input was a folder.
        OutputExistsError: Another file is in the place of a manifest.
        ImageWriteError: The outputs surely do not fit on the disk, or a manifest cannot be kept.
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
    _remove_leftovers(jobs)  # first: they take space
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
    """Read, transform and write each picture; yield what became of it when it is over.

    Outcomes come in order; but others are worked on meanwhile, so more may be done than was
    yielded. No input of any job is ever written over, not even with `existing="overwrite"`.

    Args:
        jobs: The pictures, from `plan_jobs`.
        transform: Makes the output from the input of a job; called in another thread.
        settings: The settings by which pictures are read and written.
        existing: The choice for an output that is there: "refuse", "overwrite" or "skip".
        on_outcome: Told, in another thread, of each outcome as soon as it is there.
    """
    _remove_leftovers(jobs)
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


def _remove_leftovers(jobs: Sequence[Job]) -> None:
    for folder in dict.fromkeys(job.target.parent for job in jobs):
        remove_leftovers(folder)
