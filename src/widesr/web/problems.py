"""Answers errors over HTTP: RFC 9457 problem details with widesr's own codes."""

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from widesr.errors import WidesrError

STATUS = {
    "usage": 422,
    "image-read": 422,
    "image-format": 415,
    "image-too-large": 413,
    "image-write": 507,
    "video-read": 422,
    "video-format": 415,
    "memory": 503,
    "shape": 422,
    "model-not-found": 422,
    "missing-extra": 415,
}
"""HTTP statuses by the codes of widesr's errors; other codes are defects, or the server's own."""

TITLES = {
    "usage": "The request is not valid",
    "image-read": "The picture cannot be read",
    "image-format": "This kind of picture is not read or written",
    "image-too-large": "The picture is too large",
    "image-write": "The result cannot be kept",
    "video-read": "The clip cannot be read",
    "video-format": "This kind of clip is not read or written",
    "memory": "There is not enough memory",
    "shape": "The shape of the picture is not supported",
    "model-not-found": "There is no such model",
    "missing-extra": "A part of widesr is not installed here",
    "body-too-large": "The body is too large",
    "media-type": "This type of body is not supported",
    "multipart": "The form cannot be read",
    "too-slow": "The client is too slow",
    "queue-full": "The queue is full",
    "busy": "Too many requests at once",
    "stopping": "The server stops",
    "disk-full": "The disk is full",
    "unauthorized": "A token is needed",
    "forbidden": "The request comes from another site",
    "not-found": "There is nothing here",
    "method": "This method is not allowed here",
    "not-done": "The job is not done",
    "cancelled": "The job was stopped",
    "range": "This part cannot be given",
    "key-reused": "The key was used for another picture",
    "stuck": "The job did not go on",
    "internal": "A defect of widesr",
}
"""Titles by code; the codes below "missing-extra" are the server's own."""


class Problem(BaseModel):
    """A problem in the format of RFC 9457."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "type": "urn:widesr:error:image-format",
                "title": "This kind of picture is not read or written",
                "status": 415,
                "detail": "photo.psd: this is a Photoshop document; open it in another program "
                "and save it as PNG or TIFF",
                "code": "image-format",
                "options": [],
            }
        },
    )

    type: str
    """A name for this kind of problem: `urn:widesr:error:CODE`."""
    title: str
    """A title, the same for all problems of a code."""
    status: int
    """The HTTP status of the answer; for a job, of the answer in place of its result."""
    detail: str
    """A sentence on what was found, and on what was expected."""
    code: str
    """A stable name for programs; the reference of errors lists all of them."""
    options: list[str] = Field(default_factory=list)
    """Parameters that help, such as `format=png`."""


class ProblemError(Exception):
    """Raised to answer with a problem in place of what a request asked for."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int,
        options: list[str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(
            type=f"urn:widesr:error:{code}",
            title=TITLES.get(code, "An error"),
            status=status,
            detail=detail,
            code=code,
            options=options or [],
        )
        self.headers = dict(headers or {})


def disk_full(detail: str) -> ProblemError:
    """Say that there is no room on the disk."""
    return ProblemError("disk-full", detail, status=507)


def refusal(
    error: WidesrError,
    *,
    known: frozenset[str],
    folder: Path | None = None,
    name: str = "",
    status: int | None = None,
) -> ProblemError:
    """Turn an error of the library into a problem for the client.

    Args:
        error: The error that the library raised.
        known: The parameters of a request; the error's other options are the server's to set.
        folder: The server's own folder; paths in it are not revealed.
        name: The client's name for the picture, which replaces those paths.
        status: The HTTP status, if it is not the usual one of the error's code.
    """
    detail = " ".join(error.message.split())
    if folder is not None:
        inside = rf"{re.escape(str(folder))}(/[\w.-]*[\w-])*"
        detail = re.sub(inside, lambda _: name, detail)
    options = [_parameter(each) for each in error.options if each.partition("=")[0] in known]
    status = status or STATUS.get(error.code, 500)
    return ProblemError(error.code, detail, status=status, options=options)


def _parameter(option: str) -> str:
    """Write an option of the library as a query parameter: `deinterlace=true`."""
    name, _, value = option.partition("=")
    value = value.lower() if value in ("True", "False") else value.strip("\"'")
    return f"{name}={value}" if value else name
