"""Fetches a file from one of several places, resumes where it stopped, and takes only whole files.

Pooch does most of this but cannot resume: with it, a file of 4 GB begins anew.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path
from typing import NamedTuple, Protocol

from widesr.errors import DownloadError, WidesrError
from widesr.system.files import is_full
from widesr.system.locks import lock_if_possible
from widesr.system.places import Place, RefusedError, check_scheme, open_place
from widesr.system.progress import ignore

_CHUNK = 2**20
_TRIES = 3
"""Consecutive connections that may bring nothing new before the next place is tried."""

OnBytes = Callable[[int, int | None], None]
"""Callback with the number of bytes so far, and of the whole file (None if unknown)."""


class Wanted(Protocol):
    """A file to fetch, and what tells that it is whole."""

    @property
    def name(self) -> str:
        """Name the file in the destination folder."""

    @property
    def urls(self) -> Sequence[Place]:
        """List the places of the file; the first one that gives the right file is used."""

    @property
    def n_bytes(self) -> int | None:
        """Give the size of the file, if it is known; no more bytes are ever written."""

    @property
    def digest(self) -> str | None:
        """Give `sha256:` or `md5:` and the published hash in hexadecimal; None if there is none."""


class Fetched(NamedTuple):
    """A whole file, and the check that it passed."""

    path: Path
    sha256: str
    checked: str
    """The hash that the file was compared with, in words for people."""


def fetch(
    wanted: Wanted,
    folder: Path,
    *,
    option: str,
    overwrite: bool = False,
    accept: Callable[[Path], object] = ignore,
    on_progress: OnBytes = ignore,
) -> Fetched:
    """Fetch a file into a folder.

    Until it is whole, the file is called `{name}.part`, and the bytes in it are not fetched again.
    A file without a published hash is held to the SHA-256 that `record_hash` wrote the first time.

    Args:
        wanted: The file, and the places that may give it.
        folder: An existing folder.
        option: The argument by which the caller names another place, for errors.
        overwrite: Replace an existing file; otherwise it is only held to the hash.
        accept: Called with the whole file before it takes its name; if it raises, the file is
            removed.
        on_progress: Told of the number of bytes.

    Raises:
        UsageError: An address is neither http nor https.
        DownloadError: No place gives the file, it is not the published one, the disk is full, or
            another process is fetching it. The bytes that arrived are kept for resuming, unless
            they are wrong.
    """
    path = folder / wanted.name
    for place in wanted.urls:
        check_scheme(place)
    refusals = []
    try:
        if path.exists() and not overwrite:
            return _checked(wanted, path)
        with _part_of(path) as part:
            for place in wanted.urls:
                try:
                    fetched = _from(place, part, wanted, on_progress)
                except RefusedError as error:
                    refusals.append(f"{place}: {error}")
                else:
                    _accept(part, accept)
                    os.fsync(part.fileno())
                    if os.name == "nt":  # which renames no open file
                        part.close()
                    Path(part.name).replace(path)
                    return fetched._replace(path=path)
    except RefusedError as error:
        raise DownloadError(f"{path}: {error}; remove it") from error
    except OSError as error:
        way_out = (
            "make room, and the same command goes on where it stopped"
            if is_full(error)
            else "name a folder that takes files"
        )
        raise DownloadError(
            f"{path}: cannot be written ({error.strerror or error}); {way_out}"
        ) from error
    raise DownloadError(
        f"{wanted.name}: not available ({'; '.join(refusals)}); try again later, which goes on "
        "where it stopped, or name a mirror",
        options=[option],
    )


def fetch_bytes(place: Place, *, most: int) -> bytes:
    """Fetch the content of a small file.

    Args:
        place: The place of the file.
        most: The largest number of bytes that it may have.

    Raises:
        UsageError: The address is neither http nor https.
        DownloadError: The file cannot be fetched, or is longer.
    """
    check_scheme(place)
    try:
        stream = open_place(place)
    except RefusedError as error:
        way_out = "; check the address and the connection" if isinstance(place, str) else ""
        raise DownloadError(f"{place}: {error}{way_out}") from error
    with stream.body:
        data = bytearray()
        while len(data) <= most and (chunk := stream.read()):
            data += chunk
    if len(data) > most:
        raise DownloadError(f"{place}: has more than {most:,} bytes; check the address")
    if chunk is None or stream.total not in (None, len(data)):
        raise DownloadError(f"{place}: the connection ends early; try again")
    return bytes(data)


def recorded_hash(folder: Path, name: str) -> str | None:
    """Give the SHA-256 that was recorded the first time; None if there is none."""
    try:
        text = (folder / f"{name}.sha256").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.match("([0-9a-f]{64})  ", text)
    return found[1] if found else None


def record_hash(folder: Path, name: str, sha256: str) -> None:
    """Write a file's SHA-256 beside it, in the format of `sha256sum`."""
    (folder / f"{name}.sha256").write_text(f"{sha256}  {name}\n", encoding="utf-8")


def size_of_part(path: Path) -> int:
    """Count the bytes that are there of a file that was not fetched whole."""
    part = _part_file(path)
    return part.stat().st_size if part.exists() else 0


def remove_part(path: Path) -> bool:
    """Remove the part of a file that was not fetched whole; return False if there is none."""
    part = _part_file(path)
    there = part.exists()
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)
    return there


def _part_file(path: Path) -> Path:
    """Name the file that holds what has come of another."""
    return path.with_name(f"{path.name}.part")


@contextmanager
def _part_of(path: Path) -> Iterator[BufferedRandom]:
    """Open the part file of a file, for one process at a time."""
    part = _part_file(path)
    with _locked(part) as file:
        try:
            yield file
        finally:
            # Seeking also flushes what was written before Ctrl-C.
            if not file.closed and not file.seek(0, os.SEEK_END):
                if os.name == "nt":  # which removes no open file
                    file.close()
                part.unlink(missing_ok=True)
            if not part.exists():
                _version_file(part).unlink(missing_ok=True)


def _locked(part: Path) -> BufferedRandom:
    """Open a part file that no other process has open, and that still has its name."""
    while True:
        file = part.open("a+b")
        try:
            lock_if_possible(file.fileno())
        except BlockingIOError as error:
            file.close()
            raise DownloadError(
                f"{part.with_suffix('')}: another process is fetching it; wait until that has ended"
            ) from error
        with suppress(FileNotFoundError):
            if os.path.samestat(part.stat(), os.fstat(file.fileno())):
                return file
        file.close()  # it was completed or removed between the two calls


def _accept(part: BufferedRandom, accept: Callable[[Path], object]) -> None:
    """Pass the whole file to `accept`, and empty it if that refuses it."""
    try:
        accept(Path(part.name))
    except WidesrError:
        part.truncate(0)
        raise


def _from(place: Place, part: BufferedRandom, wanted: Wanted, on_progress: OnBytes) -> Fetched:
    """Complete the file from a place; start once more if the bytes that were there prove wrong.

    Those bytes may come from an older state of the file, which only the whole file can show.
    """
    was_begun = part.seek(0, os.SEEK_END) > 0
    _complete(part, place, wanted, on_progress)
    try:
        return _checked(wanted, Path(part.name))
    except RefusedError:
        if not was_begun:
            raise
    _complete(part, place, wanted, on_progress)
    return _checked(wanted, Path(part.name))


def _complete(part: BufferedRandom, place: Place, wanted: Wanted, on_progress: OnBytes) -> None:
    """Connect again and again until the file is whole, as long as connections bring new bytes."""
    fruitless = 0
    while fruitless < _TRIES:
        have = part.seek(0, os.SEEK_END)
        if (have and have == wanted.n_bytes) or _more(part, place, wanted, on_progress):
            return
        fruitless = 0 if part.seek(0, os.SEEK_END) > have else fruitless + 1
    raise RefusedError(f"the connection ends after {have:,} bytes, again and again")


def _more(part: BufferedRandom, place: Place, wanted: Wanted, on_progress: OnBytes) -> bool:
    """Append the bytes from one connection, and return whether the file is whole."""
    have = part.seek(0, os.SEEK_END)
    version = _version_file(Path(part.name))
    known = None
    if have and wanted.digest is None:  # only the server can say whether its file is the same
        known = version.read_text(encoding="latin-1") if version.exists() else "unknown"
    stream = open_place(place, have=have, version=known)
    with stream.body:
        start, total, most = stream.start, stream.total, wanted.n_bytes
        if most is not None and total not in (None, most):
            raise RefusedError(f"has {total:,} bytes, {most:,} were expected")
        if start != have:
            part.truncate(start := 0)
            if stream.is_part:
                return False
        if not start and wanted.digest is None:
            version.write_text(stream.version, encoding="latin-1")  # as in headers
        while chunk := stream.read():
            if most is not None and start + len(chunk) > most:
                part.truncate(0)
                raise RefusedError(f"gives more than the {most:,} bytes that were expected")
            start += part.write(chunk)
            on_progress(start, total)
        part.flush()
    whole = most if total is None else total
    return chunk is not None and whole in (None, start)


def _version_file(part: Path) -> Path:
    """Name the file that keeps the server's version of the file, as long as it is not whole."""
    return part.with_name(f"{part.name}.version")


def _checked(wanted: Wanted, path: Path) -> Fetched:
    """Check a file against its published hash, or else against the one recorded the first time."""
    kind, _, published = (wanted.digest or "").partition(":")
    expected = published or recorded_hash(path.parent, wanted.name)
    sha256, other = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            other.update(chunk)
    found = other.hexdigest() if kind == "md5" else sha256.hexdigest()
    if expected is not None and found != expected:
        if path.name != wanted.name:
            os.truncate(path, 0)
        what = "published" if published else f"of the first time, in {wanted.name}.sha256"
        raise RefusedError(f"its {kind or 'sha256'} is {found}, not {expected} ({what})")
    if published:
        checked = f"{kind} as published"
    elif expected:
        checked = "sha256 as the first time"
    else:
        checked = f"not checked: no published checksum; its sha256 is kept in {wanted.name}.sha256"
    return Fetched(path, sha256.hexdigest(), checked)
