"""Forecasts a bulk run from a sample of its pictures; nothing is written."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from widesr.batch.one import upscale_bytes
from widesr.bulk.forecast import Costs, Plan, plan
from widesr.bulk.listing import Listing
from widesr.bulk.store import Found
from widesr.bulk.worker import Work
from widesr.errors import ImageReadError, WidesrError

_SAMPLE = 16
"""Pictures that are upscaled; the same ones each time."""
_PATIENCE_S = 60.0
"""Seconds of listing, after which no more pictures are counted."""
_PROCESS_S = 5.0
"""Seconds from asking Ray for a worker to its first line: it starts Python and imports modules."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A forecast, and the measurements that it rests on."""

    pictures: int
    counted: bool
    """True if the listing came to its end, or the number was given."""
    input_bytes: int
    output_bytes: int
    megapixels: float
    """The mean size of an input."""
    read: float
    """The mean seconds to read one picture, as `make` is to make one."""
    make: float
    load: float
    """Seconds until the networks are loaded."""
    sampled: int
    failed: dict[str, int]
    """Pictures of the sample that would be set aside, by the error's code."""
    plans: list[Plan]


def rehearse(
    work: Work,
    *,
    workers: Sequence[int],
    pictures: int | None,
    batch: int,
) -> Trial:
    """List the source, upscale some of its pictures here, and forecast the whole run.

    Writing is taken to be as fast per byte as reading, and not to overlap with computing.

    Args:
        work: The run to rehearse.
        workers: The numbers of workers to forecast for.
        pictures: The number of pictures, if a minute is too short to list all of them.
        batch: Pictures in a batch.

    Raises:
        ImageReadError: There is no picture, or none of the sample can be upscaled.
        WidesrError: The errors of `Upscaler.load`.
    """
    drawn, found, n_bytes, complete = _drawn(work)
    begin = time.perf_counter()
    upscaler = work.settings.load()
    load = time.perf_counter() - begin
    sizes, outputs, pixels, reading, making = 0, 0, 0, 0.0, 0.0
    seconds: list[float] = []
    failed: dict[str, int] = {}
    for each in drawn:
        start = time.perf_counter()
        try:
            data = work.inputs.read(each.name)
            read = time.perf_counter()
            made = upscale_bytes(work.settings, data, name=each.name, upscaler=upscaler)
        except WidesrError as error:
            failed[error.code] = failed.get(error.code, 0) + 1
            continue
        end = time.perf_counter()
        sizes, outputs = sizes + len(data), outputs + len(made.data)
        pixels += prod(made.upscaled.input_size)
        reading, making = reading + read - start, making + end - read
        writing = (read - start) * len(made.data) / max(len(data), 1)
        seconds.append(max(read - start, end - read) + writing)
    n = len(seconds)
    if not n:
        codes = ", ".join(failed)
        raise ImageReadError(
            f"{work.inputs.url}: none of {len(drawn)} pictures of it can be upscaled ({codes})"
        )
    total = pictures or found
    share = n / len(drawn)
    costs = Costs(pictures=tuple(seconds), start=_PROCESS_S + load)
    return Trial(
        pictures=total,
        counted=complete or pictures is not None,
        input_bytes=round(n_bytes * total / found),
        output_bytes=round(outputs / n * share * total),
        megapixels=pixels / n / 1e6,
        read=reading / n,
        make=making / n,
        load=load,
        sampled=len(drawn),
        failed=failed,
        plans=[plan(round(total * share), workers=n, costs=costs, batch=batch) for n in workers],
    )


def _drawn(work: Work) -> tuple[list[Found], int, int, bool]:
    """Draw a uniform sample from a listing as it streams past, and count pictures and bytes."""
    rng, end = random.Random(0), time.monotonic() + _PATIENCE_S  # noqa: S311 (no secret)
    drawn: list[Found] = []
    count = n_bytes = 0
    for found in Listing(work.inputs, work.outputs).pictures():
        if count < _SAMPLE:
            drawn.append(found)
        elif (place := rng.randrange(count + 1)) < _SAMPLE:
            drawn[place] = found
        count, n_bytes = count + 1, n_bytes + found.size
        if time.monotonic() > end:
            return drawn, count, n_bytes, False
    if not count:
        raise ImageReadError(f"{work.inputs.url}: no pictures there; check the name")
    return drawn, count, n_bytes, True
