"""A file from one of several places, resumed where it stopped, and taken only if it is whole.

Pooch, which does most of this, cannot resume: its files of 4 GB begin anew.
"""

import fcntl
import hashlib
import http
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path
from typing import NamedTuple

import widesr
from widesr.data.sets import Archive
from widesr.errors import DataError, UsageError

_CHUNK = 2**20
_TIMEOUT_S = 60.0
"""Of silence, after which a connection is given up."""
_TRIES = 3
"""Connections in turn that may bring nothing new before the next place is asked."""

Report = Callable[[int, int | None], None]
"""Called with the bytes that are there, and with all of them where that is known."""


class Fetched(NamedTuple):
    """A whole file, and how it is known to be."""

    path: Path
    sha256: str
    checked: str
    """What it was held to, for people."""


class _RefusedError(Exception):
    """A place that does not give the file; the next one may."""


def fetch(archive: Archive, folder: Path, *, report: Report = lambda _n, _all: None) -> Fetched:
    """Get an archive into a folder.

    Until it is whole it is called `{name}.part`; what is there of it is not fetched again. A file
    without a published hash is held to the SHA-256 that `record_hash` wrote the first time.

    Args:
        archive: Which, and from where.
        folder: An existing folder.
        report: Told of the bytes.

    Raises:
        UsageError: A place that is neither http nor https.
        DataError: No place gives the file, it is another than the published one, the disk is full,
            or another process gets it. What came of it stays, to be resumed, unless it is wrong.
    """
    path = folder / archive.name
    for url in archive.urls:
        if not re.match("https?://", url):
            raise UsageError(f"{url}: cannot be fetched from; expected https:// or http://")
    refusals = []
    try:
        if path.exists():
            return _checked(archive, path)
        with _part_of(path) as part:
            for url in archive.urls:
                try:
                    _complete(part, url, archive, report)
                    fetched = _checked(archive, Path(part.name))
                except _RefusedError as error:
                    refusals.append(f"{url}: {error}")
                else:
                    os.fsync(part.fileno())
                    Path(part.name).replace(path)
                    return fetched._replace(path=path)
    except _RefusedError as error:
        raise DataError(f"{path}: {error}; remove it") from error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); make room, and the same "
            "command goes on where it stopped"
        ) from error
    raise DataError(
        f"{archive.name}: not to be had ({'; '.join(refusals)}); try again later, which goes on "
        "where it stopped, or name a mirror with --url"
    )


def recorded_hash(folder: Path, name: str) -> str | None:
    """Give the SHA-256 that was written the first time."""
    try:
        text = (folder / f"{name}.sha256").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.match("([0-9a-f]{64})  ", text)
    return found[1] if found else None


def record_hash(folder: Path, name: str, sha256: str) -> None:
    """Write it beside the file, in the form of `sha256sum`."""
    (folder / f"{name}.sha256").write_text(f"{sha256}  {name}\n", encoding="utf-8")


@contextmanager
def _part_of(path: Path) -> Iterator[BufferedRandom]:
    """Open what there is of a file, for one process at a time."""
    part = path.with_name(f"{path.name}.part")
    with part.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"{path}: another process is getting it; wait for its end") from error
        try:
            yield file
        finally:
            if not os.fstat(file.fileno()).st_size:
                part.unlink(missing_ok=True)
            if not part.exists():
                _validator_of(part).unlink(missing_ok=True)


def _complete(part: BufferedRandom, url: str, archive: Archive, report: Report) -> None:
    """Connect until the file is whole, as long as the connections bring something."""
    fruitless = 0
    while fruitless < _TRIES:
        have = part.seek(0, os.SEEK_END)
        if (have and have == archive.n_bytes) or _more(part, url, archive, report):
            return
        fruitless = 0 if part.seek(0, os.SEEK_END) > have else fruitless + 1
    raise _RefusedError("the connection ends early, again and again")


def _more(part: BufferedRandom, url: str, archive: Archive, report: Report) -> bool:
    """Write what one connection brings behind what is there, and say whether that is all."""
    have = part.seek(0, os.SEEK_END)
    validator = _validator_of(Path(part.name))
    headers = {"User-Agent": f"widesr/{widesr.__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if archive.digest is None:  # only the server can say whether its file is still the same
            headers["If-Range"] = (
                validator.read_text(encoding="utf-8") if validator.exists() else "unknown"
            )
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (the scheme is checked)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            part.truncate(0)  # more of it is there than the server has: not this file
            return False
        raise _RefusedError(f"{error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _RefusedError(str(getattr(error, "reason", error)) or "no answer") from error
    with response:
        start, total = _extent(response)
        if archive.n_bytes is not None and total not in (None, archive.n_bytes):
            raise _RefusedError(f"has {total:,} bytes, {archive.n_bytes:,} were expected")
        if start != have:
            part.truncate(start := 0)
            if response.status == http.HTTPStatus.PARTIAL_CONTENT:
                return False
        if not start and archive.digest is None:
            names = ("ETag", "Last-Modified")
            known = [response.headers[name] for name in names if response.headers[name]]
            validator.write_text(known[0] if known else "unknown", encoding="utf-8")
        while chunk := _read(response):
            start += part.write(chunk)
            report(start, total)
        part.flush()
    return chunk is not None and total in (None, start)


def _read(response: http.client.HTTPResponse) -> bytes | None:
    """Read on: b"" at the end, None where the connection breaks."""
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException):
        return None


def _extent(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """Where what comes begins in the file, and how long the whole file is."""
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        found = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if found is None:
            return -1, None
        return int(found[1]), None if found[2] == "*" else int(found[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _validator_of(part: Path) -> Path:
    """Where the server's name for this state of the file is kept, while only a part is here."""
    return part.with_name(f"{part.name}.version")


def _checked(archive: Archive, path: Path) -> Fetched:
    """Hold a file to its published hash, else to that of the first time."""
    kind, _, published = (archive.digest or "").partition(":")
    expected = published or recorded_hash(path.parent, archive.name)
    sha256, other = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            other.update(chunk)
    found = other.hexdigest() if kind == "md5" else sha256.hexdigest()
    if expected is not None and found != expected:
        if path.name != archive.name:
            os.truncate(path, 0)
        what = "published" if published else f"of the first time, in {archive.name}.sha256"
        raise _RefusedError(f"its {kind or 'sha256'} is {found}, not {expected} ({what})")
    if published:
        checked = f"{kind} as published"
    elif expected:
        checked = "sha256 as the first time"
    else:
        checked = f"not checked: no published checksum; its sha256 is kept in {archive.name}.sha256"
    return Fetched(path, sha256.hexdigest(), checked)
