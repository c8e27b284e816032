"""Answers that carry a result, a job or its events."""

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from widesr.web.problems import Problem, ProblemError
from widesr.web.service import Service
from widesr.web.store import Job
from widesr.web.views import View

_MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".tiff": "image/tiff",
    ".tif": "image/tiff",
    ".avif": "image/avif",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
}
_HEARTBEAT_S = 15.0


def job_response(view: View, *, status: int, headers: dict[str, str] | None = None) -> Response:
    """Answer with a job."""
    return JSONResponse(view.model_dump(exclude_none=True), status_code=status, headers=headers)


def result_response(service: Service, job: Job, request: Request) -> Response:
    """Answer with the result of a job that is done.

    Raises:
        ProblemError: The job is not done, failed or was stopped, or its result is gone.
    """
    if job.problem is not None:
        kept = Problem.model_validate_json(job.problem)
        raise ProblemError(kept.code, kept.detail, status=kept.status, options=kept.options)
    if job.state != "done" or job.result is None:
        wait = {"Retry-After": service.workers.view(job).retry_after}
        raise ProblemError("not-done", f"the job is {job.state}", status=409, headers=wait)
    path = service.settings.results / job.result
    etag = f'"{job.result_sha256}"'
    name = (
        f"{job.name.rpartition('.')[0] or job.name}_{job.out_width}x{job.out_height}{path.suffix}"
    )
    headers = {
        "ETag": etag,
        "Content-Location": f"/v1/jobs/{job.id}/result",
        "Content-Disposition": _inline(name),
        "Cache-Control": "private, no-cache",
        "Widesr-Model": (job.made_by or "").encode("latin-1", "replace").decode("latin-1"),
    }
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers={"ETag": etag})
    if not path.is_file():
        raise not_found()
    return FileResponse(path, media_type=_MEDIA_TYPES.get(path.suffix), headers=headers)


def not_found() -> ProblemError:
    """Say that there is no such job."""
    return ProblemError(
        "not-found", "there is no such job; results are kept for a stated time", status=404
    )


def _inline(name: str) -> str:
    """Name a file twice: in ASCII for old clients, and unchanged as UTF-8."""
    plain = "".join(each if 32 <= ord(each) < 127 and each not in '"\\%' else "_" for each in name)
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _matches(header: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
    return etag in tags or tags == ["*"]


async def until_ended(service: Service, job: Job, *, within: float) -> Job:
    """Wait until a job ends, for at most `within` seconds and only while the server lives."""
    until = time.monotonic() + within
    with service.hub.bell(job.id) as bell:
        while True:
            bell.clear()
            now = await asyncio.to_thread(service.store.find, job.id)
            if now is None:
                raise not_found()
            if service.stopping:
                # The next server does a queued job; a running one has the grace period.
                until = min(
                    until,
                    time.monotonic() + (service.settings.grace if now.state == "running" else 0),
                )
            left = until - time.monotonic()
            if now.has_ended or left <= 0:
                return now
            try:
                async with asyncio.timeout(min(left, 1.0) if service.stopping else left):
                    await bell.wait()
            except TimeoutError:
                continue


def events_response(service: Service, job: Job, *, after: int) -> Response:
    """Stream the events of a job that follow `after`, as server-sent events, until it has ended.

    If no event is left, the answer is 204, which keeps a browser from connecting again.
    """
    if job.has_ended and not service.store.events(job.id, after=after):
        return Response(status_code=204)
    return StreamingResponse(
        _events(service, job.id, after),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(service: Service, id: str, after: int) -> AsyncIterator[str]:  # noqa: A002
    yield "retry: 2000\n\n"
    with service.hub.bell(id) as bell:
        while True:
            bell.clear()
            for event in await asyncio.to_thread(service.store.events, id, after=after):
                after = event.id
                yield f"id: {event.id}\nevent: {event.kind}\ndata: {event.data}\n\n"
            job = await asyncio.to_thread(service.store.find, id)
            if job is None or service.stopping:
                return
            if job.has_ended and not service.store.events(id, after=after):
                return
            try:
                async with asyncio.timeout(_HEARTBEAT_S):
                    await bell.wait()
            except TimeoutError:
                yield ": still here\n\n"
