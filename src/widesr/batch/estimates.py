"""How long a run will take and how much it will write, told before it starts."""

from collections.abc import Sequence
from os.path import lexists  # unlike Path.exists, False also for a name that is too long
from typing import NamedTuple

from widesr.batch.disk_space import bytes_to_come, header_of
from widesr.batch.jobs import Job
from widesr.errors import WidesrError
from widesr.pictures.picture import MAX_PIXELS
from widesr.upscaling.base import AnyUpscaler

_SAMPLE = 200
"""Pictures whose headers are read; what more there are is taken to be like them."""


_WORTH_MEASURING = 2**21
"""Input pixels below which a run is over before a forecast would be read."""


class Forecast(NamedTuple):
    """What a run is likely to take."""

    pictures: int
    seconds: float
    most_bytes: int
    """Of all outputs together."""


def forecast(
    jobs: Sequence[Job],
    *,
    upscaler: AnyUpscaler,
    quality: int = 95,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Forecast | None:
    """Look at the headers, and measure the networks' speed on a small sample.

    What will be refused, as far as its header tells, is left out.

    Args:
        jobs: What is to be done; of many pictures, some are looked at.
        upscaler: Makes the outputs.
        quality: 1 to 100, of outputs that lose some.
        overwrite: Outputs that are there already are made again.
        max_pixels: The largest picture that is read.

    Returns:
        None for a run that is not worth it.
    """
    to_do = [job for job in jobs if not job.refused and (overwrite or not lexists(job.target))]
    sample = to_do[:: -(-len(to_do) // _SAMPLE)] if to_do else []
    sizes, n_bytes = [], 0
    for job in sample:
        try:
            header = header_of(job.source, max_pixels=max_pixels)
            size = upscaler.output_size(header.height, header.width)
            most = bytes_to_come(job.source, job.target, header, size=size, quality=quality)[1]
        except (WidesrError, OSError):
            continue  # it will be said when its turn comes
        sizes.append((header.height, header.width, header.pages))
        n_bytes += most * header.pages
    share = len(to_do) / max(len(sample), 1)
    if sum(height * width * pages for height, width, pages in sizes) * share < _WORTH_MEASURING:
        return None
    seconds = sum(upscaler.seconds_for(height, width) * pages for height, width, pages in sizes)
    return Forecast(round(len(sizes) * share), seconds * share, int(n_bytes * share))
