"""Estimates how long a run will take and how much it will write, before it starts."""

from collections.abc import Sequence
from os.path import lexists  # unlike Path.exists, False also for a name that is too long
from typing import NamedTuple

from widesr.batch.disk_space import bytes_to_come, header_of
from widesr.batch.jobs import Job
from widesr.batch.settings import FileSettings
from widesr.errors import WidesrError
from widesr.upscaling.base import AnyUpscaler

_SAMPLE = 200
"""Largest number of pictures whose headers are read; the others are assumed to be like them."""
_WORTH_MEASURING = 2**21
"""Input pixels below which a run ends before anyone would read a forecast."""


class Forecast(NamedTuple):
    """The time and the disk space that a run is likely to take."""

    pictures: int
    seconds: float
    most_bytes: int
    """The largest likely size of all outputs together."""


def forecast(
    jobs: Sequence[Job],
    *,
    settings: FileSettings = FileSettings(),  # noqa: B008 (frozen)
    upscaler: AnyUpscaler,
    overwrite: bool = False,
) -> Forecast | None:
    """Forecast a run from the headers of pictures and the speed of the networks on a small sample.

    Pictures that will be refused, as far as their headers show, are left out.

    Args:
        jobs: The pictures to make; if they are many, only a sample is looked at.
        settings: The settings for reading and writing pictures.
        upscaler: The upscaler that makes the outputs.
        overwrite: True if existing outputs are made again.

    Returns:
        The forecast; None for a run too short to need one.
    """
    to_do = [job for job in jobs if not job.refused and (overwrite or not lexists(job.target))]
    sample = to_do[:: -(-len(to_do) // _SAMPLE)] if to_do else []
    sizes, n_bytes = [], 0
    for job in sample:
        try:
            header = header_of(job.source, max_pixels=settings.max_pixels)
            size = upscaler.output_size(header.height, header.width)
            most = bytes_to_come(
                job.source, job.target, header, size=size, quality=settings.quality
            )[1]
        except (WidesrError, OSError):
            continue  # its error is reported when its turn comes
        sizes.append((header.height, header.width, header.pages))
        n_bytes += most * header.pages
    share = len(to_do) / max(len(sample), 1)
    if sum(height * width * pages for height, width, pages in sizes) * share < _WORTH_MEASURING:
        return None
    seconds = sum(upscaler.seconds_for(height, width) * pages for height, width, pages in sizes)
    return Forecast(round(len(sizes) * share), seconds * share, int(n_bytes * share))
