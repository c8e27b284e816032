"""Makes several samples of each of many picture files, and a map of where they differ."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from os.path import lexists, realpath  # Path's fail for some names: too long, or links in a ring
from pathlib import Path

from widesr.batch.disk_space import check_space
from widesr.batch.jobs import Job, clean_folders, make_folder
from widesr.batch.one import upscale_one
from widesr.batch.settings import UpscaleSettings
from widesr.errors import (
    ImageFormatError,
    OutputExistsError,
    UsageError,
    WidesrError,
    output_exists,
)
from widesr.pictures.picture import PictureStream
from widesr.pictures.reading import open_picture
from widesr.pictures.several import holds_several
from widesr.pictures.writing import write_stream
from widesr.system.progress import OnProgress, ignore
from widesr.upscaling.sampling import variance_rows
from widesr.upscaling.target import MAX_SCALE
from widesr.upscaling.upscaler import Upscaler


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """The samples of one picture, or why there are none."""

    source: Path
    targets: tuple[Path, ...]
    """The samples, in the order of their seeds."""
    variance: Path | None
    """The map of where they differ; None for a single sample."""
    seconds: float = 0.0
    input_size: tuple[int, int] | None = None
    """The (height, width) of the input; None if it failed. The same holds for `output_size`."""
    output_size: tuple[int, int] | None = None
    error: WidesrError | None = None
    """The reason why there are no samples."""


def sample_many(
    jobs: Sequence[Job],
    *,
    count: int,
    seed: int,
    settings: UpscaleSettings,
    sampler: Upscaler,
    challenge: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = ignore,
) -> Iterator[Sampled]:
    """Make samples of each picture, one picture after another; a failure does not stop the others.

    The target photo_x4.png of a job stands for photo_x4_1.png and so on, and for
    photo_x4_variance.png. If one of these files exists already, no sample of the picture is made,
    unless it may be overwritten.

    Args:
        jobs: The pictures, from `plan_jobs`.
        count: The number of samples of each picture.
        seed: The seed of the first sample; the others use the seeds after it.
        settings: The settings for reading and writing files.
        sampler: The model, from `load_sampler`.
        challenge: Name the samples as the NTIRE challenge does, 000000_sample00000.png and so on,
            by the number of the job.
        overwrite: Replace existing files.
        on_progress: Called with the number of samples made, including parts of a sample, and the
            number of all.

    Raises:
        ImageWriteError: The samples certainly do not fit on the disk.
    """
    clean_folders(jobs)
    planned = [_plan(job, n, count, challenge=challenge) for n, job in enumerate(jobs)]
    check_space(
        (
            (job.source, target)
            for job, plan in zip(jobs, planned, strict=True)
            if not job.refused
            for target in plan.targets
        ),
        resize=sampler.output_size,
        quality=settings.quality,
        max_pixels=settings.max_pixels,
    )
    inputs = {realpath(job.source) for job in jobs}
    owners: defaultdict[str, list[Path]] = defaultdict(list)
    for job, plan in zip(jobs, planned, strict=True):
        for target in () if job.refused else _files(plan):
            owners[realpath(target)].append(job.source)

    def made(number: int, job: Job, plan: Sampled) -> Sampled:
        if job.refused:
            raise job.refused
        _check_targets(plan, inputs, owners, overwrite=overwrite)
        if holds_several(job.source):
            raise ImageFormatError(
                f"{job.source}: holds several pictures; samples are made of single ones"
            )
        if job.makes_folder:
            make_folder(job.target.parent)
        began = time.perf_counter()
        for i, target in enumerate(plan.targets):

            def on_tile(done: float, total: float, before: int = number * count + i) -> None:
                on_progress(before + done / total, len(jobs) * count)

            one = upscale_one(
                settings,
                job.source,
                target,
                overwrite=overwrite,
                upscaler=sampler.sample(seed + i),
                on_progress=on_tile,
            )
        _write_map(plan, settings, overwrite=overwrite)
        seconds = time.perf_counter() - began
        return replace(
            plan, seconds=seconds, input_size=one.input_size, output_size=one.output_size
        )

    for number, (job, plan) in enumerate(zip(jobs, planned, strict=True)):
        try:
            yield made(number, job, plan)
        except WidesrError as error:
            yield replace(plan, error=error)


def _plan(job: Job, number: int, count: int, *, challenge: bool) -> Sampled:
    """Name the files that are made from a picture."""
    stem, ending = job.target.stem, job.target.suffix
    if challenge:
        names = [f"{number:06d}_sample{i:05d}{ending}" for i in range(count)]
    else:
        names = [f"{stem}_{i}{ending}" for i in range(1, count + 1)]
    return Sampled(
        source=job.source,
        targets=tuple(job.target.with_name(name) for name in names),
        variance=job.target.with_name(f"{stem}_variance.png") if count > 1 else None,
    )


def _files(plan: Sampled) -> list[Path]:
    """List all files that are made from a picture."""
    return [*plan.targets, *filter(None, [plan.variance])]


def _check_targets(
    plan: Sampled, inputs: set[str], owners: Mapping[str, list[Path]], *, overwrite: bool
) -> None:
    """Refuse to overwrite files, before anything is computed.

    Raises:
        OutputExistsError: An output exists already, or is an input.
        UsageError: An output would be written for another picture too.
    """
    for target in _files(plan):
        if others := [str(each) for each in owners[realpath(target)] if each != plan.source]:
            raise UsageError(
                f"{plan.source}: would be written to {target}, and so would "
                f"{' and '.join(others)}; rename one, or give each an output of its own"
            )
        if realpath(target) in inputs:
            raise OutputExistsError(
                f"{target}: is an input too; name another output", options=["output"]
            )
        if lexists(target) and not overwrite:
            raise output_exists(target)


def _write_map(plan: Sampled, settings: UpscaleSettings, *, overwrite: bool) -> None:
    """Read the samples in parallel, row by row, and write the map of where they differ."""
    if plan.variance is None:
        return
    most = settings.max_pixels * MAX_SCALE**2
    with ExitStack() as stack:
        rows = [
            stack.enter_context(open_picture(target, max_pixels=most)).rows
            for target in plan.targets
        ]
        write_stream(plan.variance, PictureStream(rows=variance_rows(rows)), overwrite=overwrite)
