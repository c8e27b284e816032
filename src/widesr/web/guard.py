"""Guards every request: who may ask, from where and how many at once; adds headers for browsers."""

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from widesr.web.metrics import Metrics
from widesr.web.problems import ProblemError
from widesr.web.settings import ServeSettings

_logger = logging.getLogger("widesr.web.requests")

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
_CSP_OF_DATA = "default-src 'none'; frame-ancestors 'none'; sandbox"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})
"""The methods that the metrics tell apart."""
_OPEN = re.compile(r"/$|/static/|/healthz$|/readyz$|/openapi\.json$|/favicon\.ico$")
"""The paths that need no token: they say nothing about anyone's pictures."""
_ROUTES = re.compile(
    r"(?P<whole>/|/healthz|/readyz|/openapi\.json|/favicon\.ico|/v1/upscale|/v1/info)"
    r"|/v1/jobs/[^/]+(?P<below>/result|/events)?|(?P<static>/static)/.*"
)


class Guard:
    """An ASGI application that wraps the one that answers."""

    def __init__(self, app: ASGIApp, *, settings: ServeSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        token = settings.token.get_secret_value() if settings.token else None
        self._bearer = f"Bearer {token}".encode() if token else None
        self._hosts = _names_of(settings)
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or let the application answer it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        # HEAD is answered as GET is; uvicorn leaves out the body.
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        began, answer = time.monotonic(), _Answer(send, scope["path"])
        self._under_way += 1
        try:
            self._check(scope)
            await self._app(asked, receive, answer.send)
        except ProblemError as error:
            await answer.problem(error, scope, receive)
        except Exception:  # a defect, which the application has answered
            _logger.exception("%s %s", scope["method"], route_of(scope["path"]))
            if not answer.is_whole:
                raise  # the connection is cut, so that nobody takes half an answer for all of it
        finally:
            self._under_way -= 1
            self._tell(scope, answer, time.monotonic() - began)

    def _check(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        if self._under_way > self._settings.max_requests:
            raise ProblemError(
                "busy", "too many requests at once; try again", status=503,
                headers={"Retry-After": "2"},
            )  # fmt: skip
        host = headers.get(b"host", b"").decode("latin-1")
        if self._hosts and _split(f"//{host}").hostname not in self._hosts:
            raise ProblemError(
                "forbidden", "this server is not known by that name (Host)", status=403
            )
        origin = headers.get(b"origin", b"").decode("latin-1")
        is_ours = not origin or _split(origin).netloc == host
        site = headers.get(b"sec-fetch-site", b"none")
        is_api = scope["path"].startswith("/v1")
        if is_api and (not is_ours or site not in (b"same-origin", b"none")):
            raise ProblemError("forbidden", "the request comes from another site", status=403)
        if self._bearer is None or _OPEN.match(scope["path"]):
            return
        if not secrets.compare_digest(headers.get(b"authorization", b""), self._bearer):
            raise ProblemError(
                "unauthorized", "send the server's token: Authorization: Bearer TOKEN", status=401,
                headers={"WWW-Authenticate": 'Bearer realm="widesr"'},
            )  # fmt: skip

    def _tell(self, scope: Scope, answer: "_Answer", seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        route, status = route_of(scope["path"]), answer.status or 499
        self._metrics.answered(method, route, status, seconds=seconds)
        _logger.info(
            "%s %s %d %.3f s", method, route, status, seconds,
            extra={
                "method": method, "route": route, "status": status,
                "seconds": round(seconds, 4), "bytes": answer.n_bytes,
            },
        )  # fmt: skip


def route_of(path: str) -> str:
    """Return the template of a path's route, without the job's id, which is secret."""
    found = _ROUTES.fullmatch(path)
    if not found:
        return "other"
    if found["whole"]:
        return found["whole"]
    return "/static" if found["static"] else f"/v1/jobs/{{id}}{found['below'] or ''}"


def _split(address: str) -> SplitResult:
    """Take apart an address that a header names.

    Raises:
        ProblemError: It is none, such as "http://[".
    """
    try:
        return urlsplit(address)
    except ValueError:
        raise ProblemError(
            "forbidden", "the address in Host or Origin is not valid", status=403
        ) from None


def _names_of(settings: ServeSettings) -> frozenset[str]:
    """Return the names by which browsers may address the server; an empty set allows any name.

    If there is no token, another site could point its own name to this address (DNS rebinding), and
    its scripts would then read what the server answers.
    """
    if not settings.allow_hosts and (settings.token is not None or not settings.is_local):
        return frozenset()
    return frozenset({"localhost", "127.0.0.1", "::1", settings.host, *settings.allow_hosts})


class _Answer:
    """Passes an answer on with added headers, and remembers its status and size."""

    def __init__(self, send: Callable[[Message], Awaitable[None]], path: str) -> None:
        self._send, self.status, self.n_bytes, self.is_whole = send, 0, 0, False
        self._is_replaced = False
        is_page = path == "/" or path.startswith("/static/")
        extra = dict(_HEADERS)
        extra["Content-Security-Policy"] = _CSP if is_page else _CSP_OF_DATA
        if path.startswith("/v1"):
            extra["Cache-Control"] = "no-store"
        self._headers = [(name.lower().encode(), value.encode()) for name, value in extra.items()]

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if self._is_replaced:  # the body of an answer that a problem has replaced
            return
        if message["type"] == "http.response.start":
            if (error := _bad_range(message)) is not None:
                await self._replace(problem_response(error))
                return
            self.status = message["status"]
            there = {name.lower() for name, _ in message.get("headers", ())}
            added = [each for each in self._headers if each[0] not in there]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        elif message["type"] == "http.response.body":
            self.n_bytes += len(message.get("body", b""))
            self.is_whole = not message.get("more_body", False)
        await self._send(message)

    async def _replace(self, response: Response) -> None:
        await self.send(
            {
                "type": "http.response.start",
                "status": response.status_code,
                "headers": response.raw_headers,
            }
        )
        await self.send({"type": "http.response.body", "body": response.body})
        self._is_replaced = True

    async def problem(self, error: ProblemError, scope: Scope, receive: Receive) -> None:
        if self.status:
            raise error
        await problem_response(error)(scope, receive, self.send)


def _bad_range(message: MutableMapping[str, Any]) -> ProblemError | None:
    """Return a problem to replace the plain text with which Starlette refuses a `Range`."""
    status, headers = message["status"], dict(message.get("headers", ()))
    if status not in (400, 416) or not headers.get(b"content-type", b"").startswith(b"text/plain"):
        return None
    if status == 400:
        found = "the header Range cannot be read; expected bytes=FIRST-LAST"
        return ProblemError("range", found, status=status)
    size = headers.get(b"content-range", b"").decode("latin-1")
    found = f"the header Range asks for bytes beyond the end, {size.rpartition('/')[2]}"
    return ProblemError("range", found, status=status, headers={"Content-Range": size})


def problem_response(error: ProblemError) -> JSONResponse:
    """Make the answer that states a problem."""
    return JSONResponse(
        error.problem.model_dump(),
        status_code=error.problem.status,
        headers=error.headers,
        media_type="application/problem+json",
    )
