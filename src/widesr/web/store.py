"""Jobs on the disk: one SQLite file that outlives the server, in which each job has one row.

Every method is one transaction, and may be called from any thread. `requeue_running` finds the jobs
that a killed server was working on.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, cast

from widesr.errors import UsageError

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    ended REAL,
    name TEXT NOT NULL,
    source TEXT NOT NULL,
    wishes TEXT NOT NULL,
    height INTEGER NOT NULL,
    width INTEGER NOT NULL,
    pages INTEGER NOT NULL,
    out_height INTEGER NOT NULL,
    out_width INTEGER NOT NULL,
    seconds REAL NOT NULL,
    memory INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    key TEXT UNIQUE,
    fingerprint TEXT NOT NULL,
    result TEXT,
    result_bytes INTEGER,
    result_sha256 TEXT,
    made_by TEXT,
    notices TEXT,
    problem TEXT
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, number);
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_job ON events (job, id);
"""
_VERSION = 2
"""The version of the schema; a file of an unknown version is refused."""
_CHANGES = {1: "ALTER TABLE jobs ADD COLUMN notices TEXT"}
"""The statement that brings a file from each older version to the next one."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A picture that was accepted, and what became of it."""

    id: str
    """The job's name, which cannot be guessed: whoever knows it may see the result."""
    state: State
    created: float
    """Seconds since 1970, like all times here."""
    started: float | None = None
    ended: float | None = None
    name: str
    """The client's name for the picture."""
    source: str
    """The name of the picture's file in the folder of pictures."""
    wishes: str
    """`Wishes` as JSON."""
    height: int
    width: int
    pages: int
    """The number of frames or pages; all sizes are those of the first."""
    out_height: int
    out_width: int
    seconds: float
    """The forecast of the computing time."""
    memory: int
    """The forecast of the memory beside what all jobs share, in bytes."""
    bytes: int
    """The size of the picture's file, in bytes."""
    attempts: int = 0
    """The number of times that the job was begun, without those that `requeue` took back."""
    key: str | None = None
    """The `Idempotency-Key` of the request."""
    fingerprint: str
    """SHA-256 of the picture and of the options that were asked for."""
    result: str | None = None
    """The name of the result's file in the folder of results."""
    result_bytes: int | None = None
    result_sha256: str | None = None
    made_by: str | None = None
    """The models that the picture went through."""
    notices: str | None = None
    """A JSON list of sentences on what was guessed, and on what is not as in the input."""
    problem: str | None = None
    """`Problem` as JSON."""
    number: int = 0
    """The job's place in the order of arrival, which the store assigns."""

    @property
    def has_ended(self) -> bool:
        """True if the job will not change any more."""
        return self.state in ENDED


@dataclass(frozen=True)
class Event:
    """An event in the life of a job, as clients are told of it."""

    id: int
    """A number that grows from event to event, over all jobs."""
    kind: str
    data: str
    """The view of the job, as JSON."""


_COLUMNS = [field.name for field in fields(Job)]
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM jobs"  # noqa: S608 - our own names


class Store:
    """The jobs of one server."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            UsageError: The file cannot be used, or another server uses it.
        """
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            # One server owns the folder; a second would do the same jobs.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            with self._transaction():
                (version,) = self._db.execute("PRAGMA user_version").fetchone()
                while version in _CHANGES:
                    self._db.execute(_CHANGES[version])
                    version += 1
                if version not in (0, _VERSION):
                    raise UsageError(
                        f"{path}: jobs of version {version}, this widesr knows {_VERSION}; name "
                        "another folder for the data"
                    )
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
        except sqlite3.Error as error:
            why = "another server uses it" if "locked" in str(error) else str(error)
            raise UsageError(f"{path}: cannot be used ({why}); name another data folder") from error

    def close(self) -> None:
        """Close the file, so that another server may open it."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite itself may have ended it, on a full disk
                    self._db.execute("ROLLBACK")
                raise

    def add(self, job: Job, *, data: str) -> Job:
        """Add a job and return it; if its key has a job already, return that one instead.

        Args:
            job: A new job in the state "queued".
            data: The data of the first event.
        """
        names = [name for name in _COLUMNS if name != "number"]
        marks = ", ".join(f":{name}" for name in names)
        values = {name: getattr(job, name) for name in names}
        with self._transaction() as db:
            if job.key is not None and (there := self._one("key = ?", job.key)):
                return there
            db.execute(f"INSERT INTO jobs ({', '.join(names)}) VALUES ({marks})", values)  # noqa: S608
            self._tell(job.id, "queued", data)
            added = self._one("id = ?", job.id)
        assert added is not None
        return added

    def find(self, id: str) -> Job | None:  # noqa: A002 (its name everywhere)
        """Return a job in its present state; None if there is no such job."""
        with self._lock:
            return self._one("id = ?", id)

    def find_key(self, key: str) -> Job | None:
        """Return the job with this `Idempotency-Key`, if there is one."""
        with self._lock:
            return self._one("key = ?", key)

    def queued(self) -> list[Job]:
        """List the queued jobs, in the order of their arrival."""
        with self._lock:
            return self._many("state = 'queued' ORDER BY number")

    def begin(self, id: str, *, data: str) -> Job | None:  # noqa: A002
        """Mark a queued job as running and return it; None if it is not queued any more."""
        with self._transaction() as db:
            done = db.execute(
                "UPDATE jobs SET state = 'running', started = ?, attempts = attempts + 1 "
                "WHERE id = ? AND state = 'queued'",
                (time.time(), id),
            )
            if not done.rowcount:
                return None
            self._tell(id, "running", data)
            return self._one("id = ?", id)

    def end(self, id: str, state: State, *, data: str, **facts: Any) -> bool:  # noqa: A002, ANN401
        """Mark a job as ended; return False if it had ended already, or is gone."""
        sets = "".join(f", {name} = :{name}" for name in facts)
        assert set(facts) <= set(_COLUMNS)
        with self._transaction() as db:
            done = db.execute(
                f"UPDATE jobs SET state = :state, ended = :ended{sets} "  # noqa: S608 - our names
                "WHERE id = :id AND state IN ('queued', 'running')",
                {"state": state, "ended": time.time(), "id": id, **facts},
            )
            if done.rowcount:
                self._tell(id, state, data)
            return bool(done.rowcount)

    def requeue(self, id: str, *, data: str) -> None:  # noqa: A002
        """Return a running job to its old place in the queue."""
        with self._transaction() as db:
            done = db.execute(
                "UPDATE jobs SET state = 'queued', started = NULL, attempts = attempts - 1 "
                "WHERE id = ? AND state = 'running'",
                (id,),
            )
            if done.rowcount:
                self._tell(id, "queued", data)

    def requeue_running(self) -> list[Job]:
        """Return the jobs that an earlier server was running, and put them back into the queue."""
        with self._transaction() as db:
            jobs = self._many("state = 'running' ORDER BY number")
            db.execute("UPDATE jobs SET state = 'queued', started = NULL WHERE state = 'running'")
            return jobs

    def progress(self, id: str, *, data: str) -> None:  # noqa: A002
        """Record a job's progress in place of its earlier progress events."""
        with self._transaction() as db:
            if self._one("id = ?", id) is not None:
                db.execute("DELETE FROM events WHERE job = ? AND kind = 'progress'", (id,))
                self._tell(id, "progress", data)

    def events(self, id: str, *, after: int) -> list[Event]:  # noqa: A002
        """List the events of a job that follow the event `after`."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, kind, data FROM events WHERE job = ? AND id > ? ORDER BY id",
                (id, after),
            )
            return [Event(*row) for row in rows]

    def forget(self, id: str) -> Job | None:  # noqa: A002
        """Remove a job that has ended, and return it, so that its files can be removed too."""
        with self._transaction() as db:
            job = self._one("id = ? AND state IN ('done', 'failed', 'cancelled')", id)
            if job is not None:
                db.execute("DELETE FROM jobs WHERE id = ?", (id,))
            return job

    def ended_before(self, when: float) -> list[Job]:
        """List the jobs that ended before a time."""
        with self._lock:
            return self._many("ended < ?", when)

    def files(self) -> set[str]:
        """List the names of the files that belong to jobs: their pictures and their results."""
        with self._lock:
            rows = self._db.execute("SELECT source, result FROM jobs").fetchall()
        return {name for row in rows for name in row if name}

    def count_queued(self) -> int:
        """Count the queued jobs."""
        with self._lock:
            (n,) = self._db.execute("SELECT COUNT(*) FROM jobs WHERE state = 'queued'").fetchone()
        return int(n)

    def waiting_before(self, number: int) -> tuple[int, float]:
        """Count the queued jobs before a job's number, and add up the seconds forecast for them."""
        with self._lock:
            row = self._db.execute(
                "SELECT COUNT(*), TOTAL(seconds) FROM jobs WHERE state = 'queued' AND number < ?",
                (number,),
            ).fetchone()
        return cast("tuple[int, float]", row)

    def bytes_kept(self) -> int:
        """Add up the bytes of all results, and of the pictures of jobs that have not ended."""
        with self._lock:
            (total,) = self._db.execute(
                "SELECT TOTAL(COALESCE(result_bytes, 0) + "
                "CASE WHEN state IN ('queued', 'running') THEN bytes ELSE 0 END) FROM jobs"
            ).fetchone()
        return int(total)

    def _tell(self, job: str, kind: str, data: str) -> None:
        self._db.execute("INSERT INTO events (job, kind, data) VALUES (?, ?, ?)", (job, kind, data))

    def _one(self, where: str, *values: object) -> Job | None:
        found = self._many(where, *values)
        return found[0] if found else None

    def _many(self, where: str, *values: object) -> list[Job]:
        rows: Sequence[Sequence[Any]] = self._db.execute(
            f"{_SELECT} WHERE {where}", values
        ).fetchall()
        return [Job(**dict(zip(_COLUMNS, row, strict=True))) for row in rows]
