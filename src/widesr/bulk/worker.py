"""Does a batch in a worker: reads, upscales, claims, writes, closes."""

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import IO, NamedTuple

from widesr.batch.manifest import as_text
from widesr.batch.one import UpscaledBytes, upscale_bytes
from widesr.batch.settings import UpscaleSettings
from widesr.bulk.listing import Batch, Item
from widesr.bulk.manifest import Manifest, Row
from widesr.bulk.store import Store
from widesr.errors import (
    ImageWriteError,
    InternalError,
    OutputExistsError,
    WidesrError,
)
from widesr.system.threads import in_threads, overlapped
from widesr.upscaling.base import AnyUpscaler

_WAITING = 64 * 2**20
"""Bytes of inputs that are read ahead, and of outputs that wait in memory; more go to the disk."""
_WRITERS = 4
"""Outputs that are written at once: writing is waiting, not computing."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """All that a worker needs to know; can be pickled."""

    inputs: Store
    outputs: Store
    settings: UpscaleSettings
    """The settings; each worker has one thread."""
    overwrite: bool = False


class Seconds(NamedTuple):
    """The time that each part of a batch took; reading and computing overlap."""

    read: float = 0.0
    make: float = 0.0
    """Decoding, computing and encoding."""
    write: float = 0.0
    """Writing the outputs and the manifest."""
    wall: float = 0.0
    load: float = 0.0
    """Loading the networks, once in each worker."""

    def plus(self, other: "Seconds") -> "Seconds":
        """Add the times of another batch."""
        return Seconds(*(a + b for a, b in zip(self, other, strict=True)))


NO_SECONDS = Seconds()


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result of a batch, small enough for a driver of thousands of workers."""

    done: int = 0
    pixels: int = 0
    """The pixels of the inputs that are done."""
    input_bytes: int = 0
    output_bytes: int = 0
    failed: tuple[Row, ...] = ()
    seconds: Seconds = NO_SECONDS
    settled: frozenset[int] = frozenset()
    """Numbers of the pictures that need no more work, if a claim was settled."""


class _Ready(NamedTuple):
    row: Row
    start: int = 0
    """The offset of the output in the file of waiting outputs, in bytes."""


class Worker:
    """Does batches, one at a time, on one thread."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._manifest = Manifest(work.outputs)
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._load_s = self._read_s = self._make_s = 0.0

    @cached_property
    def _upscaler(self) -> AnyUpscaler:
        return self._work.settings.load()

    def load(self) -> None:
        """Load the networks, so that no picture is blamed if this ends the process.

        Raises:
            WidesrError: The errors of `UpscaleSettings.load`.
        """
        begin = time.perf_counter()
        _ = self._upscaler
        self._load_s += time.perf_counter() - begin

    def settle(self, batch: str) -> Report:
        """Settle the claim of a worker that is gone.

        Raises:
            WidesrError: The output's place cannot be read or written.
        """
        return _reported(self._manifest.settle(batch), settled=True)

    def do(self, batch: Batch) -> Report:
        """Upscale a batch; an error in one picture goes into its row, and stops no other.

        Raises:
            WidesrError: No batch can be done, as the network cannot be loaded or no output written.
        """
        self.load()
        load = self._load_s
        self._load_s = self._read_s = self._make_s = 0.0
        begin = time.perf_counter()
        with SpooledTemporaryFile(max_size=_WAITING) as waiting:  # unnamed, so a kill leaves none
            ready = list(self._made(batch, waiting))
            writing = time.perf_counter()
            self._manifest.claim(batch.id, [each.row for each in ready])
            lock = threading.Lock()

            def write(each: _Ready) -> Row:
                with lock:
                    data = _taken(waiting, each)
                return self._written(each.row, data)

            rows = list(in_threads(ready, write, threads=_WRITERS))
            _check_place(ready, rows)
            self._manifest.close(batch.id, rows)
        end = time.perf_counter()
        seconds = Seconds(self._read_s, self._make_s, end - writing, load + end - begin, load)
        return _reported(rows, seconds=seconds)

    def _made(self, batch: Batch, waiting: IO[bytes]) -> Iterator[_Ready]:
        """Give each picture's row, and append its output to those that wait."""
        made = overlapped(
            batch.items,
            read=self._read,
            make=self._make,
            write=lambda each: each,
            weigh=lambda item: item.found.size,
            budget=_WAITING,
            stop=threading.Event(),
        )
        for row, output in made:
            start = waiting.tell()
            if output:
                waiting.write(output.data)
            yield _Ready(row, start)

    def _read(self, item: Item) -> tuple[Item, bytes | WidesrError]:
        start = time.perf_counter()
        try:
            return item, self._work.inputs.read(item.found.name)
        except WidesrError as error:
            return item, error
        finally:
            self._read_s += time.perf_counter() - start

    def _make(self, given: tuple[Item, bytes | WidesrError]) -> tuple[Row, UpscaledBytes | None]:
        item, data = given
        if isinstance(data, WidesrError):
            return row_of(item, data, self._name), None
        start = time.perf_counter()
        try:
            settings, upscaler = self._work.settings, self._upscaler
            made = upscale_bytes(settings, data, name=item.found.name, upscaler=upscaler)
        except WidesrError as error:
            return row_of(item, error, self._name), None
        except Exception as error:  # a defect met on one picture must not stop the others
            return row_of(item, InternalError(error), self._name), None
        finally:
            seconds = time.perf_counter() - start
            self._make_s += seconds
        (in_height, in_width), (out_height, out_width), _ = made.upscaled
        row = row_of(item, None, self._name)._replace(
            output=output_name(item.found.name, made.suffix),
            output_bytes=len(made.data),
            output_sha256=hashlib.sha256(made.data).hexdigest(),
            input_width=in_width,
            input_height=in_height,
            output_width=out_width,
            output_height=out_height,
            seconds=round(seconds, 4),
        )
        return row, made

    def _written(self, row: Row, data: bytes) -> Row:
        if row.output is None:
            return row
        assert row.output_bytes is not None
        assert row.output_sha256 is not None
        outputs, size, sha256 = self._work.outputs, row.output_bytes, row.output_sha256
        try:
            outputs.put(row.output, data, overwrite=self._work.overwrite)
        except FileExistsError:
            if not outputs.holds(row.output, size=size, sha256=sha256):
                error = OutputExistsError(
                    f"{row.output}: another file has this name; name another place, or allow it "
                    "to be replaced",
                    options=["overwrite=True"],
                )
                return _failed(row, error)
        except ImageWriteError as error:
            return _failed(row, error)
        return row


def _check_place(ready: Sequence[_Ready], rows: Sequence[Row]) -> None:
    """Stop the run if no output at all can be written, before all pictures are set aside."""
    refused = [row for row in rows if row.error_code == ImageWriteError.code]
    if len(refused) > 1 and len(refused) == sum(each.row.output is not None for each in ready):
        raise ImageWriteError(refused[0].error_message or "")


def output_name(source: str, suffix: str) -> str:
    """Name an output like its input, with the new suffix appended if the format changed.

    `scan.bmp` becomes `scan.bmp.png`, so that it shares no output with `scan.png`. Only with a
    `scan.bmp.png` beside it would it; one of these two is then set aside, as its output exists.
    """
    same = PurePosixPath(source).suffix.lower() == suffix.lower()
    return source if same else source + suffix


def row_of(item: Item, error: WidesrError | None, worker: str | None) -> Row:
    """Begin the row of a picture, or complete it if an error left no output."""
    number, key, found = item
    row = Row(number, key, as_text(found.name), found.size, found.version, "done", worker=worker)
    return _failed(row, error) if error else row


def _failed(row: Row, error: WidesrError) -> Row:
    return row._replace(
        status="failed",
        output=None,
        output_bytes=None,
        output_sha256=None,
        error_code=error.code,
        error_message=as_text(error),
    )


def _taken(waiting: IO[bytes], each: _Ready) -> bytes:
    waiting.seek(each.start)
    return waiting.read(each.row.output_bytes or 0)


def _reported(rows: list[Row], *, seconds: Seconds | None = None, settled: bool = False) -> Report:
    done = [row for row in rows if row.status == "done"]
    return Report(
        done=len(done),
        pixels=sum((row.input_width or 0) * (row.input_height or 0) for row in done),
        input_bytes=sum(row.source_bytes for row in done),
        output_bytes=sum(row.output_bytes or 0 for row in done),
        failed=tuple(row for row in rows if row.status == "failed"),
        seconds=seconds or NO_SECONDS,
        settled=frozenset(row.number for row in rows) if settled else frozenset(),
    )
