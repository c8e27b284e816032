"""Describes the routes for OpenAPI, with examples."""

from typing import Any

from widesr.web.views import View
from widesr.web.wishes import Asked

SUMMARY = "Faithful single-image super-resolution over HTTP."
TEXT = """\
Send a picture, get a larger one.

Colour profile, depth, transparency and metadata are kept, as `widesr upscale` keeps them, and so
are the frames of animations and the pages of TIFF files. Where `/v1/info` names `clip_formats`, a
clip is taken as a picture is. Nothing is ever fetched: a picture comes in the body of a request,
never as an address.

Every error is a problem of RFC 9457, `application/problem+json`, whose `code` is stable.
"""
UPSCALE = """\
The body is the picture itself, or a form (`multipart/form-data`) with one file. Options are in the
address or in fields of the form.

Short work is answered at once with the picture. Longer work is answered by 202 and `Location`,
where the job is. `Prefer: respond-async` always asks for that, `Prefer: wait=N` or `wait=N` for the
picture within N seconds. The same `Idempotency-Key` with the same body and options is the same job,
so that a request whose answer was lost can be sent again.
"""

_PICTURE: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_PICTURES: dict[str, Any] = dict.fromkeys(
    ("image/png", "image/jpeg", "image/webp", "image/tiff", "image/avif", "image/gif"), _PICTURE
)
_RESULTS = _PICTURES | dict.fromkeys(
    ("video/mp4", "video/quicktime", "video/x-matroska", "video/webm"), _PICTURE
)
_RESULT_HEADERS = {
    "ETag": {"description": "Strong: the SHA-256 of the result.", "schema": {"type": "string"}},
    "Content-Location": {"description": "Where the result stays.", "schema": {"type": "string"}},
    "Widesr-Model": {"description": "The models that made it.", "schema": {"type": "string"}},
}
_APPLIED = {
    "Preference-Applied": {
        "description": "The preference of `Prefer` that was followed.",
        "schema": {"type": "string"},
    }
}
_RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}


def _problem(text: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": text, "content": content, **more}


_UNAUTHORIZED = _problem("The token is missing or another.")
_FORBIDDEN = _problem("The request comes from another site, or by a name that is not known.")
_NOT_FOUND = _problem("There is no such job, or not any more.")
_NOT_MEANT = _problem("The request is not valid.")
_BUSY = _problem("The server stops, or is too busy.", headers=_RETRY)
PROBLEMS: dict[int | str, dict[str, Any]] = {401: _UNAUTHORIZED, 403: _FORBIDDEN, 503: _BUSY}

_JOB = {"model": View, "description": "The job."}
_OF_JOB = {**PROBLEMS, 404: _NOT_FOUND, 422: _NOT_MEANT}
JOB_RESPONSES: dict[int | str, dict[str, Any]] = {200: _JOB, **_OF_JOB}
DELETE_RESPONSES: dict[int | str, dict[str, Any]] = {
    204: {"description": "It is being stopped, or forgotten."},
    **_OF_JOB,
}
RESULT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture.", "content": _RESULTS, "headers": _RESULT_HEADERS},
    206: {"description": "The part that `Range` asks for.", "content": _RESULTS},
    304: {"description": "The client has it already (`If-None-Match`)."},
    400: _problem("A `Range` that cannot be read."),
    **_OF_JOB,
    409: _problem("The job is not done, or was stopped."),
    413: _problem("Why it failed: too large."),
    415: _problem("Why it failed: a kind that is not read or written."),
    416: _problem("A `Range` beyond its end."),
    500: _problem("Why it failed: a defect."),
    507: _problem("Why it failed: the disk was full."),
}
RESULT_EXTRA: dict[str, Any] = {
    "parameters": [
        {
            "name": "If-None-Match",
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": "The `ETag` of what the client has.",
        }
    ]
}
EVENTS_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `queued`, `running`, `progress`, `done`, `failed`, `cancelled`; the "
        "data of each is the job. The stream ends with the job.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 7\nevent: progress\ndata: {"id":"...","progress":0.5}\n\n',
            }
        },
    },
    204: {"description": "Nothing is left to be told."},
    **_OF_JOB,
}
READY_RESPONSES: dict[int | str, dict[str, Any]] = {503: _BUSY}

UPSCALE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The larger picture.",
        "content": _RESULTS,
        "headers": {**_RESULT_HEADERS, **_APPLIED},
    },
    202: {
        "model": View,
        "description": "A job that goes on.",
        "headers": {
            "Location": {"description": "Where the job is.", "schema": {"type": "string"}},
            **_RETRY,
            **_APPLIED,
        },
    },
    304: {"description": "The client has the result already (`If-None-Match`)."},
    **PROBLEMS,
    400: _problem("No request of HTTP."),
    408: _problem("The body comes too slowly."),
    409: _problem("The job was stopped meanwhile."),
    413: _problem("The body, the picture, the result or the memory that it takes is too large."),
    415: _problem("No picture of a kind that is read."),
    422: _problem("An option, the form or the picture is not valid."),
    429: _problem("The queue is full.", headers=_RETRY),
    500: _problem("A defect of widesr."),
    507: _problem("The disk is full."),
}

_EXAMPLES = {
    "scale": 2,
    "width": 1920,
    "fit": "1920x1080",
    "model": "default",
    "format": "png",
    "codec": "hevc",
    "crf": 20,
    "deinterlace": True,
    "damaged": "repeat",
}


def _parameters() -> list[dict[str, Any]]:
    found = []
    for name, schema in Asked.model_json_schema()["properties"].items():
        schema = {key: value for key, value in schema.items() if key != "title"}
        options = [each for each in schema.pop("anyOf", [schema]) if each.get("type") != "null"]
        default = schema.get("default")
        text = schema.pop("description", "")
        plain = {**schema, **options[0]} if options[0] is not schema else schema
        if default is None:
            plain.pop("default", None)
        parameter = {"name": name, "in": "query", "required": False, "schema": plain}
        if text:
            parameter["description"] = text
        if name in _EXAMPLES:
            parameter["example"] = _EXAMPLES[name]
        found.append(parameter)
    return found


UPSCALE_EXTRA: dict[str, Any] = {
    "parameters": [
        *_parameters(),
        {
            "name": "Prefer",
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "examples": {
                "async": {"value": "respond-async"},
                "wait": {"value": "wait=30"},
            },
        },
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
        },
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": _PICTURE,
            # Not a form: `curl --data-binary` sends this type for any file.
            "application/x-www-form-urlencoded": _PICTURE,
            "image/*": _PICTURE,
            "video/*": _PICTURE,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "picture": {"type": "string", "format": "binary"},
                        **{
                            each["name"]: each["schema"]
                            for each in _parameters()
                            if each["name"] != "name"
                        },
                    },
                    "required": ["picture"],
                },
            },
        },
    },
}
