"""Reads a file at a web address or in a folder, from any byte on."""

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
"""Seconds of silence after which a connection is abandoned."""

Place = str | Path
"""The place of a file: an address, https:// or http://, or a path on this machine."""


class RefusedError(Exception):
    """A place does not give the file; the next place may."""


class Stream(NamedTuple):
    """The part of a file that a place gives."""

    body: http.client.HTTPResponse | BufferedReader
    start: int
    """The offset in the file at which the stream begins; -1 if the server does not say."""
    total: int | None
    """The number of bytes of the whole file; None if the server does not say."""
    is_part: bool
    """True for the requested part, False for the whole file."""
    version: str
    """The server's name for this state of the file."""

    def read(self) -> bytes | None:
        """Read the bytes that have arrived: b"" at the end, None if the connection breaks."""
        try:
            return self.body.read1(_CHUNK)
        except (OSError, http.client.HTTPException):
            return None


def check_scheme(place: Place) -> None:
    """Refuse an address that is not on the web.

    Raises:
        UsageError: The address is neither http nor https.
    """
    if isinstance(place, str) and not re.match("https?://", place):
        raise UsageError(f"{place}: is no place to fetch from; expected https:// or http://")


def open_place(place: Place, *, have: int = 0, version: str | None = None) -> Stream:
    """Open a file at a place, after the bytes that are already here or from its start.

    Args:
        place: The place of the file, which `check_scheme` has let pass.
        have: Number of bytes that are already here and need not be sent again.
        version: `Stream.version` of the file that these bytes are from; if the file has another
            version now, the whole file is sent.

    Raises:
        RefusedError: The place does not give the file; the message says why.
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
            return open_place(place)  # there are more bytes here than there
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
    """Find the offset in the file at which a response begins, and the size of the whole file."""
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
    """Say what went wrong with a connection, without the system's error number."""
    cause = getattr(error, "reason", error)
    return getattr(cause, "strerror", None) or str(cause) or "no answer"
