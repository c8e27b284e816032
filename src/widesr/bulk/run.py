"""A bulk run: workers do the pictures of a listing, and take over those of lost workers."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from widesr.batch.manifest import MadeBy
from widesr.bulk.crew import Crew, Ended, Task
from widesr.bulk.listing import PICTURES, Batch, Listing
from widesr.bulk.manifest import Keys, Manifest, Row
from widesr.bulk.worker import NO_SECONDS, Report, Seconds, Work, row_of
from widesr.errors import ImageReadError, UsageError, WorkerLostError
from widesr.pictures.writing import output_format
from widesr.system.progress import ignore

_APART = 2
"""Workers that are lost with a batch before each of its pictures gets a batch of its own."""
_ASIDE = 3
"""Workers that are lost with one picture before it is set aside."""


@dataclass
class Tally:
    """The numbers of a run so far."""

    done: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """Pictures that failed, by the error's code."""
    passed: int = 0
    """Pictures that were settled in an earlier run."""
    others: int = 0
    """Files that are not pictures, by their names."""
    pixels: int = 0
    """The pixels of the inputs that are done."""
    input_bytes: int = 0
    output_bytes: int = 0
    batches: int = 0
    workers_lost: int = 0
    seconds: Seconds = NO_SECONDS
    """The sum over all workers."""

    def add(self, report: Report) -> None:
        """Count a batch."""
        self.done += report.done
        self.failed.update(row.error_code or "" for row in report.failed)
        self.pixels += report.pixels
        self.input_bytes += report.input_bytes
        self.output_bytes += report.output_bytes
        self.seconds = self.seconds.plus(report.seconds)
        self.batches += 1


OnTally = Callable[[Tally, tuple[Row, ...]], None]
"""Callback with the numbers so far, and the rows of the pictures that have just failed."""


def upscale_bulk(
    work: Work,
    *,
    workers: int,
    resume: bool = False,
    retry_failed: bool = False,
    batch: int = PICTURES,
    on_progress: OnTally = ignore,
) -> Tally:
    """Upscale all pictures of one place into another, on the workers of a Ray that is joined.

    A picture that cannot be upscaled is set aside: its row says why, and it is not tried again. A
    lost worker is replaced, and another one does the pictures that it had not finished; a picture
    with which three workers are lost is set aside.

    Args:
        work: The places and settings of the run.
        workers: The number of processes, of one CPU each.
        resume: Go on with a run that was begun in the output's place.
        retry_failed: Also try the pictures that an earlier run set aside.
        batch: Pictures in one step, which are done again if a worker is lost.
        on_progress: Called after each batch.

    Raises:
        OutputExistsError: A run was begun in the output's place, and `resume` is False.
        UsageError: The run was begun with other pictures or settings, both places are the same,
            or a place is not shared between processes.
        ModelNotFoundError: There is no such model; other errors of `Upscaler.load` may come too.
        ImageReadError: The inputs cannot be listed, or there are none.
        ImageWriteError: Nothing can be written in the output's place.
        WorkerLostError: No worker can begin.
    """
    for store in (work.inputs, work.outputs):
        if store.is_of_one_process:
            raise UsageError(
                f"{store.url}: each worker has a memory of its own; name a bucket or a folder"
            )
    if work.inputs.root == work.outputs.root:
        raise UsageError(f"{work.outputs.url}: is the input's place; name another")
    first = next(Listing(work.inputs, work.outputs).pictures(), None)
    if first is None:  # before anything is written
        raise ImageReadError(f"{work.inputs.url}: no pictures there; check the name")
    manifest = Manifest(work.outputs)
    manifest.begin(work.inputs.url, made_by(work), resume=resume)
    with Crew(work, workers=workers) as crew:
        run = _Run(manifest, crew, on_progress)
        run.settle_claims()
        settled = manifest.settled(retry_failed=retry_failed)
        return run.over(Listing(work.inputs, work.outputs), settled, batch=batch)


def made_by(work: Work) -> MadeBy:
    """Give all that decides the outputs, and load the networks, which finds their errors early.

    Raises:
        ImageFormatError: The format cannot be written.
        WidesrError: The errors of `UpscaleSettings.load`.
    """
    settings = work.settings
    if settings.format:
        output_format(f"output.{settings.format.removeprefix('.')}", animated=True)
    upscaler = settings.load()
    names = ("format", "quality", "lossless", "icc", "metadata")
    made = {name: getattr(settings, name) for name in names}
    made |= {"size": settings.target.name_end.removeprefix("_")}
    made |= {name: getattr(settings.engine, name) for name in ("precision", "consistent")}
    return MadeBy(upscaler.model, upscaler.weights_sha256, made)


class _Run:
    def __init__(self, manifest: Manifest, crew: Crew, on_progress: OnTally) -> None:
        self._manifest, self._crew, self._on_progress = manifest, crew, on_progress
        self._tally = Tally()
        self._batches: Iterator[Batch] = iter(())
        self._claims: deque[str] = deque()
        self._lost: dict[str, Batch] = {}
        """Batches whose claims are being settled, by their ids."""
        self._again: deque[Batch] = deque()
        """Pictures left undone by lost workers; they come last, as one of them may end workers."""

    def settle_claims(self) -> None:
        """Settle the claims that an earlier run left open."""
        self._claims.extend(self._manifest.claims())
        if self._claims:
            for ended in self._crew.ended(self._next):
                if isinstance(ended.task, str) and ended.report is None:
                    self._claims.append(ended.task)

    def over(self, listing: Listing, settled: Keys, *, batch: int) -> Tally:
        """Upscale all pictures that are listed and not settled."""
        self._batches = listing.batches(settled, most=batch)
        for ended in self._crew.ended(self._next):
            self._tally.workers_lost = self._crew.lost
            self._see(ended)
        self._tally.passed, self._tally.others = listing.settled, listing.others
        return self._tally

    def _next(self) -> Task | None:
        if self._claims:
            return self._claims.popleft()
        if batch := next(self._batches, None):
            return batch
        return self._again.popleft() if self._again else None

    def _see(self, ended: Ended) -> None:
        match ended:
            case Ended(task=Batch() as batch, report=None):
                self._lost[batch.id] = batch
                self._claims.append(batch.id)
            case Ended(task=str() as claim, report=None):
                self._claims.append(claim)
            case Ended(task=str() as claim, report=Report() as report):
                self._count(report)
                self._do_again(self._lost.pop(claim), report.settled)
            case Ended(report=Report() as report):
                self._count(report)

    def _do_again(self, lost: Batch, settled: frozenset[int]) -> None:
        rest = lost.again(settled)
        if not rest.items:
            return
        if len(rest.items) == 1 and rest.losses >= _ASIDE:
            self._set_aside(rest)
        elif len(rest.items) > 1 and rest.losses >= _APART:
            self._again.extend(rest.apart())
        else:
            self._again.append(rest)

    def _set_aside(self, batch: Batch) -> None:
        (item,) = batch.items
        error = WorkerLostError(
            f"{item.found.name}: {batch.losses} workers ended while they were at this picture; "
            "upscale it alone, with more memory"
        )
        row = row_of(item, error, None)
        self._manifest.close(batch.id, [row])
        self._count(Report(failed=(row,)))

    def _count(self, report: Report) -> None:
        self._tally.add(report)
        self._on_progress(self._tally, report.failed)
