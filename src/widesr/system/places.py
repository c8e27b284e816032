"""Read a file where it lies, at an address of the web or in a folder, from any byte of it on."""

import http
import http.client
import os
import re
import urllib.error
import urllib.request
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from widesr.errors import UsageError
from widesr.system.version import __version__

_CHUNK = 2**20
_TIMEOUT_S = 60.0
"""Seconds of silence after which a connection is given up."""

Place = str | Path
"""The place of a file: an address, https:// or http://, or a path on this machine."""


class RefusedError(Exception):
    """A place that does not give the file; the next one may."""


class Stream(NamedTuple):
    """The part of a file that a place gives."""

    body: http.client.HTTPResponse | BufferedReader
    start: int
    """The offset in the file at which it begins; -1 if that is not said."""
    total: int | None
    """Bytes of the whole file, where that is said."""
    is_part: bool
    """True for the part that was asked for, False for the whole file."""
    version: str
    """The server's name for this state of the file."""

    def read(self) -> bytes | None:
        """Read what has come by now: b"" at the end, None where the connection breaks."""
        try:
            return self.body.read1(_CHUNK)
        except (OSError, http.client.HTTPException):
            return None


def check_scheme(place: Place) -> None:
    """Refuse an address that leads elsewhere than to the web.

    Raises:
        UsageError: It is neither http nor https.
    """
    if isinstance(place, str) and not re.match("https?://", place):
        raise UsageError(f"{place}: is no place to fetch from; expected https:// or http://")


def open_place(place: Place, *, have: int = 0, version: str | None = None) -> Stream:
    """Begin to read a place behind what is there already, or from its start.

    Args:
        place: The place of the file; `check_scheme` let it pass.
        have: Bytes that are there already, and need not come again.
        version: `Stream.version` of the file that they are of: of any other, all is given.

    Raises:
        RefusedError: The place does not give the file, and why.
    """
    if isinstance(place, Path):
        return _open_file(place, have=have)
    headers = {"User-Agent": f"widesr/{__version__}", "Accept-Encoding": "identity"}
    if version is not None:
        headers["If-Range"] = version
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        request = urllib.request.Request(place, headers=headers)  # noqa: S310 (scheme is checked)
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return open_place(place)  # more is there than the server has
        phrase = http.client.responses.get(error.code, "")  # the server's own may hold anything
        raise RefusedError(f"{error.code} {phrase}".strip()) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RefusedError(_why(error)) from error
    start, total = _extent(response)
    names = ("ETag", "Last-Modified")
    known = [response.headers[name] for name in names if response.headers[name]]
    is_part = response.status == http.HTTPStatus.PARTIAL_CONTENT
    return Stream(response, start, total, is_part, known[0] if known else "unknown")


def _open_file(place: Path, *, have: int) -> Stream:
    try:
        file = place.open("rb")
        total = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise RefusedError(error.strerror or str(error)) from error
    start = have if have <= total else 0
    file.seek(start)
    return Stream(file, start, total, start > 0, "unknown")


def _extent(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """Find where what comes begins in the file, and how long the whole file is."""
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        found = re.match(
            r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)$", response.headers.get("Content-Range", "")
        )
        if found is None:
            return -1, None
        return int(found[1]), None if found[2] == "*" else int(found[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if re.fullmatch(r"\d{1,18}", length) else None


def _why(error: Exception) -> str:
    """Say what went wrong with a connection, without the number that the system has for it."""
    cause = getattr(error, "reason", error)
    return getattr(cause, "strerror", None) or str(cause) or "no answer"
