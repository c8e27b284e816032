"""Upscales the pictures of a bucket with many workers, as `widesr bulk`."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from widesr.cli import engines, options, sizes, values
from widesr.cli.outcomes import end_command
from widesr.cli.terminal import clock, print_json, print_line, print_lines, table
from widesr.errors import MissingExtraError

if TYPE_CHECKING:
    from widesr.bulk.manifest import Row
    from widesr.bulk.run import Tally
    from widesr.bulk.trial import Trial
    from widesr.bulk.worker import Work

_EVERY_S = 10.0
_MOST_LINES = 100
"""The most errors that are printed; the manifest has them all."""
_WORKERS = (1, 10, 100, 1000)
"""Numbers of workers to forecast for, beside the one that was asked for."""


def upscale_bucket(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="The URL of the pictures, such as s3://bucket/in.")
    ],
    destination: Annotated[
        str, typer.Argument(metavar="DST", help="The URL of the outputs, such as s3://bucket/out.")
    ],
    scale: sizes.Scale = None,
    width: sizes.Width = None,
    height: sizes.Height = None,
    longest: sizes.Longest = None,
    fit: sizes.Fit = None,
    model: options.Model = "default",
    tile: engines.Tile = "auto",
    format: options.Format = None,  # noqa: A002 (users' word)
    quality: options.Quality = 95,
    lossless: options.Lossless = False,
    icc: options.Icc = "keep",
    metadata: options.Metadata = "keep",
    self_ensemble: engines.SelfEnsemble = False,
    consistent: engines.Consistent = False,
    overwrite: options.Overwrite = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that was begun in DST.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --resume: try again what was set aside.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            parser=values.whole_number("workers"),
            help="The number of processes, of one core each. Default: one for each core.",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST:PORT",
            help="The address of a Ray cluster, or auto. Default: this machine.",
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch",
            metavar="N",
            parser=values.whole_number("batch", most=10_000),
            help="The pictures that a worker takes at once, which are made again if it is lost. "
            "Default: 64.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Upscale a sample, forecast the whole, and stop.")
    ] = False,
    price: Annotated[
        float,
        typer.Option("--price", metavar="NUMBER", help="The price of a core-hour, for --dry-run."),
    ] = 0.05,
    pictures: Annotated[
        int | None,
        typer.Option(
            "--pictures",
            metavar="N",
            parser=values.whole_number("pictures"),
            help="The number of pictures there are, for --dry-run. Default: as many as a minute "
            "lists.",
        ),
    ] = None,
    backend: engines.Backend = "auto",
    precision: engines.Precision = "auto",
    device: engines.Device = "auto",
    max_pixels: options.MaxPixels = None,
    max_memory: options.MaxMemory = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    _verbose: options.Verbose = 0,
) -> None:
    """Upscale the pictures of a bucket, or of a folder, by many workers on many machines.

    Outputs have the names of their inputs. What became of each picture is in Parquet files in
    DST/_widesr; after a kill of any part, the same command with --resume does what is left, and
    nothing twice. On one machine, widesr upscale does the same to a folder.
    """
    try:
        from widesr.bulk.crew import joined
        from widesr.bulk.listing import PICTURES
        from widesr.bulk.run import upscale_bulk
        from widesr.bulk.store import Store
        from widesr.bulk.worker import Work
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra="bulk", needed_for="upscaling buckets") from error

    from widesr.batch.settings import UpscaleSettings
    from widesr.engine import EngineOptions

    work = Work(
        inputs=Store(source),
        outputs=Store(destination),
        overwrite=overwrite,
        settings=UpscaleSettings(
            target=sizes.gather_target(scale, width=width, height=height, longest=longest, fit=fit),
            model=model,
            engine=EngineOptions(
                threads=1,
                tile=values.tile(tile),
                self_ensemble=self_ensemble,
                consistent=consistent,
                backend=backend,
                precision=precision,
                device=device,
                **options.limits(max_memory=max_memory),
            ),
            format=format,
            quality=quality,
            lossless=lossless,
            icc=icc,
            metadata=metadata,
            **options.limits(max_pixels=max_pixels),
        ),
    )
    batch = batch or PICTURES
    if dry_run:
        _forecast(work, workers, batch=batch, pictures=pictures, price=price, as_json=as_json)
        return
    reporter = _Reporter(quiet=quiet)
    with _saying_what_is_done(reporter), joined(address, workers=workers) as n:
        tally = upscale_bulk(
            work,
            workers=n,
            resume=resume,
            retry_failed=retry_failed,
            batch=batch,
            on_progress=reporter.tell,
        )
    failed = tally.failed.total()
    if as_json:
        print_json(json.dumps({**vars(tally), "seconds": tally.seconds._asdict()}))
    elif not quiet:
        print_line(_summary(tally, reporter.seconds))
    end_command(failed, of=failed + tally.done + tally.passed)


@contextmanager
def _saying_what_is_done(reporter: "_Reporter") -> Iterator[None]:
    """Print how far the run came and how to resume it, if Ctrl-C or SIGTERM ends it."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if not reporter.quiet:
            rest = "for the rest give the same command with --resume"
            print_line(f"widesr: stopped: {reporter.done:,} done; {rest}", err=True)
        raise


class _Reporter:
    """Prints errors as they come, and the progress of the run every few seconds."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet, self._begin, self._last = quiet, time.monotonic(), time.monotonic()
        self._errors = 0
        self.done = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begin

    def tell(self, tally: "Tally", failed: "tuple[Row, ...]") -> None:
        self.done = tally.done
        for row in failed:
            self._errors += 1
            if self._errors <= _MOST_LINES:
                print_line(f"widesr: error[{row.error_code}]: {row.error_message}", err=True)
            elif self._errors == _MOST_LINES + 1:
                print_line("widesr: further errors are in the manifest alone", err=True)
        now = time.monotonic()
        if not self.quiet and now - self._last > _EVERY_S:
            self._last = now
            rate = tally.done / self.seconds
            print_line(
                f"widesr: {tally.done:,} done, {tally.failed.total():,} failed, "
                f"{rate:.3g} pictures a second, {tally.workers_lost} workers lost",
                err=True,
            )


def _summary(tally: "Tally", seconds: float) -> str:
    parts = [f"{tally.done:,} done"]
    parts += [f"{n:,} failed ({code})" for code, n in sorted(tally.failed.items())]
    if tally.passed:
        parts.append(f"{tally.passed:,} were settled before")
    if tally.others:
        parts.append(f"{tally.others:,} other files passed over")
    if tally.workers_lost:
        parts.append(f"{tally.workers_lost} workers lost and replaced")
    return f"{', '.join(parts)}  {clock(seconds)}"


def _forecast(
    work: "Work",
    workers: int | None,
    *,
    batch: int,
    pictures: int | None,
    price: float,
    as_json: bool,
) -> None:
    from widesr.bulk.trial import rehearse

    numbers = sorted({*_WORKERS, *([workers] if workers else [])})
    trial = rehearse(work, workers=numbers, pictures=pictures, batch=batch)
    if as_json:
        print_json(json.dumps(asdict(trial) | {"price": price}))
        return
    print_lines(_forecast_lines(trial, price))


def _forecast_lines(trial: "Trial", price: float) -> list[str]:
    from widesr.system.text import readable_size

    least = "" if trial.counted else "at least "
    rows = [("workers", "hours", "core-hours", "cost", "cost of a million")]
    for each in trial.plans:
        cost = each.core_hours * price
        rows.append(
            (
                f"{each.workers:,}",
                f"{each.hours:,.2f}",
                f"{each.core_hours:,.2f}",
                f"{cost:,.2f}",
                f"{cost / trial.pictures * 1e6:,.2f}",
            )
        )
    per_megapixel = trial.make / trial.megapixels
    whole = (
        f"{least}{trial.pictures:,} pictures, {trial.megapixels:.2f} megapixels each, "
        f"{readable_size(trial.input_bytes)} in, about {readable_size(trial.output_bytes)} out"
    )
    each_takes = (
        f"{trial.sampled} of them: {trial.read:.3f} s to read and {trial.make:.3f} s to make one, "
        f"{per_megapixel:.2f} s for a megapixel; {trial.load:.1f} s to load"
    )
    lines = [whole, each_takes]
    if trial.failed:
        codes = ", ".join(f"{n} {code}" for code, n in sorted(trial.failed.items()))
        lines.append(f"of these would be set aside: {codes}")
    return [*lines, *table(rows, left=frozenset())]
