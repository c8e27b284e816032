"""Records the result of each picture, in Parquet beside the outputs, so that no kill can lose it.

A batch of pictures is one step. When its outputs are made, and before the first of them gets its
name, a claim lists them with their hashes; when the last one is in its place, a part replaces the
claim. A picture that no part lists is therefore either in a claim, which is settled by comparing
hashes, or was not begun. Parts are never changed.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from widesr.batch.manifest import MadeBy, as_text
from widesr.bulk.store import Found, Store
from widesr.errors import OutputExistsError, UsageError
from widesr.system.threads import in_threads
from widesr.system.version import __version__

FOLDER = "_widesr"
"""The folder in the output's place; engines that read folders of Parquet skip such names."""
_RUN, _CLAIMS, _PARTS = "run.json", "claims", "parts"
_READERS = 16
"""Parts that are read at once: reading is waiting, not computing."""
_KEY_BYTES = 16

SCHEMA = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("key", pa.binary(_KEY_BYTES), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_bytes", pa.int64(), nullable=False),
        pa.field("source_version", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("output", pa.string()),
        pa.field("output_bytes", pa.int64()),
        pa.field("output_sha256", pa.string()),
        pa.field("input_width", pa.int32()),
        pa.field("input_height", pa.int32()),
        pa.field("output_width", pa.int32()),
        pa.field("output_height", pa.int32()),
        pa.field("seconds", pa.float64()),
        pa.field("error_code", pa.string()),
        pa.field("error_message", pa.string()),
        pa.field("worker", pa.string()),
        pa.field("widesr", pa.string(), nullable=False),
    ]
)
"""A row for each picture; `docs/how-to/bulk.md` says what the columns mean."""


class Row(NamedTuple):
    """A picture that is done or that failed, with the columns of `SCHEMA`."""

    number: int
    """Its number in the order of the listing, from 0."""
    key: bytes
    source: str
    source_bytes: int
    source_version: str
    status: Literal["done", "failed"]
    output: str | None = None
    output_bytes: int | None = None
    output_sha256: str | None = None
    input_width: int | None = None
    input_height: int | None = None
    output_width: int | None = None
    output_height: int | None = None
    seconds: float | None = None
    """The time to decode, compute and encode, without reading and writing."""
    error_code: str | None = None
    error_message: str | None = None
    worker: str | None = None
    """Host and process."""
    widesr: str = __version__


class Keys:
    """The pictures that are settled, 16 bytes for each."""

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        self._sorted: NDArray[np.bytes_] = np.unique(
            np.fromiter(keys, dtype=f"S{_KEY_BYTES}")  # NumPy ignores zeros at the end
        )

    def __len__(self) -> int:
        return len(self._sorted)

    def __contains__(self, key: bytes) -> bool:
        wanted = np.array(key, self._sorted.dtype)
        at = int(np.searchsorted(self._sorted, wanted))
        return at < len(self._sorted) and bool(self._sorted[at] == wanted)


def key_of(found: Found) -> bytes:
    """Identify a picture and its contents, as far as a listing shows them."""
    text = "\0".join((found.name, str(found.size), found.version))
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()


class Manifest:
    """The manifest of an output's place; can be pickled."""

    def __init__(self, outputs: Store) -> None:
        """Name the manifest; nothing is read yet."""
        self._outputs, self._store = outputs, outputs.below(FOLDER)

    def begin(self, source: str, made_by: MadeBy, *, resume: bool) -> None:
        """Record what the run does, or check it against what an earlier run recorded.

        Args:
            source: The URL of the pictures.
            made_by: The model and settings, which decide the outputs together with their inputs.
            resume: Go on with a run that was begun; if there is none, begin it.

        Raises:
            OutputExistsError: A run was begun here, and `resume` is False.
            UsageError: The run was begun with other pictures, another model or other settings.
            ImageWriteError: Nothing can be written here.
        """
        note = {"widesr": __version__, "source": as_text(source), **made_by._asdict()}
        try:
            self._store.put(_RUN, json.dumps(note, indent=1).encode(), overwrite=False)
        except FileExistsError as error:
            if not resume:
                raise OutputExistsError(
                    f"{self._outputs.url}: has the manifest of a run; go on with it, or name "
                    "another place",
                    options=["resume=True"],
                ) from error
            self._check(json.loads(self._store.read(_RUN)), source, made_by)

    def _check(self, then: dict[str, object], source: str, made_by: MadeBy) -> None:
        was = MadeBy(**{name: then[name] for name in MadeBy._fields})  # type: ignore[arg-type]
        difference = made_by.difference(was)
        if then["source"] != as_text(source):
            difference = f"the source was {then['source']} and is {source}"
        if difference:
            raise UsageError(
                f"{self._outputs.url}: the run there was begun otherwise ({difference}); say the "
                "same again, or name another place"
            )

    def claim(self, batch: str, rows: Sequence[Row]) -> None:
        """Record which outputs are about to get their names.

        Raises:
            ImageWriteError: The claim cannot be written.
        """
        self._store.put(f"{_CLAIMS}/{batch}.parquet", as_parquet(rows), overwrite=True)

    def close(self, batch: str, rows: Sequence[Row]) -> None:
        """Record the results of a batch once and for all, and remove its claim.

        Raises:
            ImageWriteError: The part cannot be written.
        """
        if rows:
            self._store.put(f"{_PARTS}/{batch}.parquet", as_parquet(rows), overwrite=True)
        self._store.remove(f"{_CLAIMS}/{batch}.parquet")

    def claims(self) -> list[str]:
        """Name the batches that were claimed but not closed: a few for each worker that ended."""
        return self._names(_CLAIMS)

    def settle(self, batch: str) -> list[Row]:
        """Close a batch whose worker is gone, and give the rows that need no more work.

        Outputs that were claimed but are not in their place are not listed, and their leftovers are
        removed.
        """
        claim = self._store.find(f"{_CLAIMS}/{batch}.parquet")
        if claim is None:  # never claimed; or closed, and the worker ended after that
            part = self._store.find(f"{_PARTS}/{batch}.parquet")
            return rows_of(part) if part else []
        rows = rows_of(claim)
        kept = [row for row in rows if row.status == "failed" or self._is_there(row)]
        numbers = {row.number for row in kept}
        lost = [row.output for row in rows if row.number not in numbers]
        self._outputs.clean(output for output in lost if output)
        self.close(batch, kept)
        return kept

    def _is_there(self, row: Row) -> bool:
        assert row.output is not None
        assert row.output_bytes is not None
        assert row.output_sha256 is not None
        return self._outputs.holds(row.output, size=row.output_bytes, sha256=row.output_sha256)

    def settled(self, *, retry_failed: bool = False) -> Keys:
        """Read which pictures need no more work: those done, and those set aside.

        Args:
            retry_failed: Leave out pictures that were set aside, so that they are tried again.
        """
        return Keys(self._keys(retry_failed=retry_failed))

    def _keys(self, *, retry_failed: bool) -> Iterator[bytes]:
        def read(part: str) -> list[bytes]:
            data = io.BytesIO(self._store.read(f"{_PARTS}/{part}.parquet"))
            table = pq.read_table(data, columns=["key", "status"]).to_pydict()
            pairs = zip(table["key"], table["status"], strict=True)
            return [key for key, status in pairs if status == "done" or not retry_failed]

        for keys in in_threads(self._names(_PARTS), read, threads=_READERS):
            yield from keys

    def rows(self) -> Iterator[Row]:
        """Read all parts, one after another."""
        for part in self._names(_PARTS):
            yield from rows_of(self._store.read(f"{_PARTS}/{part}.parquet"))

    def _names(self, folder: str) -> list[str]:
        if folder not in self._store:
            return []
        names = (found.name for found in self._store.below(folder).list())
        return [name.removesuffix(".parquet") for name in names if name.endswith(".parquet")]


def as_parquet(rows: Iterable[Row]) -> bytes:
    """Write rows as a Parquet file."""
    data = io.BytesIO()
    table = pa.Table.from_pylist([row._asdict() for row in rows], schema=SCHEMA)
    pq.write_table(table, data, compression="zstd")
    return data.getvalue()


def rows_of(data: bytes) -> list[Row]:
    """Read the rows of a Parquet file."""
    return [Row(**row) for row in pq.read_table(io.BytesIO(data)).to_pylist()]
