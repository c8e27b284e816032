"""Writes request bodies to files as they arrive, raw or multipart, limited in size and time."""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from widesr.system.text import readable_size
from widesr.web.problems import ProblemError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_LEAST_PACE = 2**13
"""Bytes a second that a client must send on average, not counting the first `2 * patience` s."""
_MOST_FIELDS = 32
_MOST_FIELD_BYTES = 2**16
_MOST_HEADER_BYTES = 2**13
_LONGEST_NAME = 150
_PLAIN = ("", "application/octet-stream", "application/x-www-form-urlencoded")
"""Types that do not name the content; `curl --data-binary` sends the last one for any file."""


class ClientGoneError(Exception):
    """Raised when the client has disconnected, so that nobody waits for an answer."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """The facts about a picture that was received into a file."""

    n_bytes: int
    sha256: str
    name: str | None
    """The file's name in the form; None if the body is the picture itself."""
    form: dict[str, str]
    """The fields of the form; empty if there is none."""


def check_media_type(content_type: str, content_encoding: str) -> None:
    """Refuse a body whose headers show that it is not a picture.

    Raises:
        ProblemError: The media type is not accepted, or the body has a content encoding.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if content_encoding.strip().lower() not in ("", "identity"):
        raise ProblemError(
            "media-type",
            f"the body is packed as {content_encoding[:40]!r}; send it as it is",
            status=415,
        )
    if kind in _PLAIN or kind == "multipart/form-data" or re.match(r"(image|video)/", kind):
        return
    raise ProblemError(
        "media-type",
        f"the body is {kind[:60]!r}; expected a picture, as image/png or application/octet-stream, "
        "or multipart/form-data with one",
        status=415,
        headers={"Accept-Post": "image/*, application/octet-stream, multipart/form-data"},
    )


def clean_name(name: str | None) -> str:
    """Clean a client's file name for display: without folders or unprintable characters."""
    last = re.split(r"[/\\]", name or "")[-1]
    seen = "".join(each if each.isprintable() else "_" for each in last).strip(" .")
    return seen[-_LONGEST_NAME:] or "picture"


async def body_of(receive: Receive, *, most: int, patience: float) -> AsyncIterator[bytes]:
    """Yield the body of a request in chunks, as they arrive.

    Args:
        receive: ASGI's function that receives the next message.
        most: The largest body that is accepted, in bytes.
        patience: Seconds without data after which the client is told that it is too slow.

    Raises:
        ProblemError: The body is too large, or arrives too slowly.
        ClientGoneError: The client disconnected.
    """
    began, n_bytes = time.monotonic(), 0
    while True:
        try:
            async with asyncio.timeout(patience):
                message = await receive()
        except TimeoutError:
            raise _too_slow(f"nothing came for {patience:.0f} s") from None
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk: bytes = message.get("body", b"")
        n_bytes += len(chunk)
        if n_bytes > most:
            raise too_large(most)
        yield chunk
        if not message.get("more_body", False):
            return
        spent = time.monotonic() - began - 2 * patience
        if spent > 0 and n_bytes < spent * _LEAST_PACE:
            raise _too_slow(f"{n_bytes:,} bytes came in {spent + 2 * patience:.0f} s")


def too_large(most: int) -> ProblemError:
    """Say that a body is larger than the server takes."""
    return ProblemError(
        "body-too-large", f"the body is larger than {readable_size(most)}", status=413
    )


def _too_slow(found: str) -> ProblemError:
    return ProblemError(
        "too-slow", f"{found}; send the picture faster", status=408, headers={"Connection": "close"}
    )


async def receive_picture(
    chunks: AsyncIterator[bytes],
    path: Path,
    *,
    content_type: str,
    begun: Callable[[], Awaitable[None]],
    after: int,
) -> Received:
    """Write the picture in a request's body to a file.

    Args:
        chunks: The chunks of the body.
        path: The file to make; it must not exist yet.
        content_type: The request's `Content-Type` header.
        begun: Called once, when at least `after` bytes of the picture are in the file.
        after: The number of bytes after which `begun` is called.

    Raises:
        ProblemError: The form cannot be read, holds no picture, or holds several.
    """
    kind, options = parse_options_header(content_type)
    form: _Form | None = None
    looked = False
    with path.open("xb") as file:
        sink = _Sink(file)
        if kind == b"multipart/form-data":
            boundary = options.get(b"boundary", b"")
            if not 1 <= len(boundary) <= 200:
                raise _bad_form("it has no boundary")
            form = _Form(boundary, sink)
        async for chunk in chunks:
            if form is None:
                sink.write(chunk)
            else:
                form.feed(chunk)
            if not looked and sink.n_bytes >= after:
                looked = True
                file.flush()
                await begun()
    fields, name = form.ended() if form is not None else ({}, None)
    sha256 = sink.digest.hexdigest()
    return Received(n_bytes=sink.n_bytes, sha256=sha256, name=name, form=fields)


class _Sink:
    """Writes the picture to its file, and counts and hashes its bytes."""

    def __init__(self, file: BufferedWriter) -> None:
        self._file, self.n_bytes, self.digest = file, 0, hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.digest.update(data)
        self.n_bytes += len(data)


class _Form:
    """Parses a form: passes its picture on, and keeps its fields, which are few and small."""

    def __init__(self, boundary: bytes, sink: _Sink) -> None:
        self._sink = sink
        self._fields: dict[str, bytearray] = {}
        self._headers: dict[bytes, bytearray] = {}
        self._header, self._value, self._small = bytearray(), bytearray(), 0
        self._part: bytearray | None = None
        self._in_picture, self._has_picture, self._is_whole = False, False, False
        self.name: str | None = None
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_header,
                "on_header_value": self._on_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Parse the next bytes."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _bad_form(str(error)) from error

    def ended(self) -> tuple[dict[str, str], str | None]:
        """Check that the form is complete; return its fields and the picture's file name."""
        if not self._is_whole:
            raise _bad_form("its end is missing")
        if not self._has_picture:
            raise _bad_form("there is no picture in it; send one as a file, named picture")
        try:
            fields = {name: value.decode("utf-8") for name, value in self._fields.items()}
        except UnicodeDecodeError as error:
            raise _bad_form("a field is not UTF-8") from error
        return fields, self.name

    def _count(self, n_bytes: int, most: int) -> None:
        self._small += n_bytes
        if self._small > most:
            raise _bad_form(f"its headers or fields are larger than {most:,} bytes")

    def _begin(self) -> None:
        self._headers, self._part, self._in_picture = {}, None, False
        if len(self._fields) > _MOST_FIELDS:
            raise _bad_form(f"it has more than {_MOST_FIELDS} fields")

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start, _MOST_FIELD_BYTES + _MOST_HEADER_BYTES)
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start, _MOST_FIELD_BYTES + _MOST_HEADER_BYTES)
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[bytes(self._header).lower()] = self._value
        self._header, self._value = bytearray(), bytearray()

    def _end_headers(self) -> None:
        said = bytes(self._headers.get(b"content-disposition", b""))
        kind, options = parse_options_header(said)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or not name:
            raise _bad_form("a part has no name")
        if b"filename" in options:
            if self._has_picture:
                raise _bad_form("there are several files in it; send one picture a request")
            self._has_picture = self._in_picture = True
            self.name = options[b"filename"].decode("utf-8", "replace")
        elif name in self._fields:
            raise _bad_form(f"the field {name[:40]!r} is there twice")
        else:
            self._part = self._fields.setdefault(name[:100], bytearray())

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_picture:
            self._sink.write(data[start:end])
            return
        self._count(end - start, _MOST_FIELD_BYTES)
        assert self._part is not None
        self._part += data[start:end]

    def _end(self) -> None:
        self._is_whole = True


def _bad_form(why: str) -> ProblemError:
    return ProblemError("multipart", f"the form cannot be read: {why}", status=422)
