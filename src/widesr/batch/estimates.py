"""Estimate how long a run will take and how much it will write, before it starts."""

from collections.abc import Sequence
from os.path import lexists  # unlike Path.exists, False also for a name that is too long
from typing import NamedTuple

from widesr.batch.disk_space import bytes_to_come, header_of
from widesr.batch.jobs import Job
from widesr.batch.settings import FileSettings
from widesr.errors import WidesrError
from widesr.upscaling.base import AnyUpscaler

_SAMPLE = 200
"""Pictures whose headers are read; what more there are is taken to be like them."""
_WORTH_MEASURING = 2**21
"""Input pixels below which a run is over before a forecast would be read."""


class Forecast(NamedTuple):
    """The time and the room that a run is likely to take."""

    pictures: int
    seconds: float
    most_bytes: int
    """The size of all outputs together."""


def forecast(
    jobs: Sequence[Job],
    *,
    settings: FileSettings = FileSettings(),  # noqa: B008 (frozen)
    upscaler: AnyUpscaler,
    overwrite: bool = False,
) -> Forecast | None:
    """Look at the headers, and measure the networks' speed on a small sample.

    What will be refused, as far as its header tells, is left out.

    Args:
        jobs: The pictures to be made; only some of many are looked at.
        settings: The settings by which pictures are read and written.
        upscaler: Makes the outputs.
        overwrite: Outputs that are there already are made again.

    Returns:
        None for a run that is not worth it.
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
            continue  # its error is told when its turn comes
        sizes.append((header.height, header.width, header.pages))
        n_bytes += most * header.pages
    share = len(to_do) / max(len(sample), 1)
    if sum(height * width * pages for height, width, pages in sizes) * share < _WORTH_MEASURING:
        return None
    seconds = sum(upscaler.seconds_for(height, width) * pages for height, width, pages in sizes)
    return Forecast(round(len(sizes) * share), seconds * share, int(n_bytes * share))
