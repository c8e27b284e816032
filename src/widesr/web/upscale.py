"""`POST /v1/upscale`: takes a picture, and answers with a larger one or with a job."""

import asyncio
import hashlib
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from widesr.errors import WidesrError
from widesr.web.answers import job_response, result_response, until_ended
from widesr.web.bodies import (
    ClientGoneError,
    Received,
    body_of,
    check_media_type,
    clean_name,
    receive_picture,
    too_large,
)
from widesr.web.intake import EARLY, Intake, look_early, take_in
from widesr.web.networks import check_model
from widesr.web.problems import ProblemError, refusal
from widesr.web.service import Service
from widesr.web.store import Job
from widesr.web.views import address, view_of
from widesr.web.wishes import NAMES, Asked, read_asked

_LONGEST_KEY = 255


async def upscale(service: Service, request: Request) -> Response:
    """Answer one request to upscale a picture.

    Raises:
        ProblemError: The request is refused; nothing of it is kept.
    """
    settings, headers = service.settings, request.headers
    length = _length(headers.get("content-length"))
    if length is not None and length > settings.max_body:
        raise too_large(settings.max_body)
    content_type = headers.get("content-type", "")
    check_media_type(content_type, headers.get("content-encoding", ""))
    key = _key(headers.get("idempotency-key"))
    query = _query(request)
    asked = _asked(query, {})
    with service.arrival(length):
        id = secrets.token_urlsafe(16)  # noqa: A001 (its name everywhere)
        path = settings.pictures / f"{id}.part"
        try:
            job = await _accepted(service, request, path, id, query, asked, content_type, key)
        except ClientGoneError:
            return Response(status_code=499)
        finally:
            path.unlink(missing_ok=True)
    is_new = job.id == id
    if is_new:
        service.workers.notify()
    wait, applied = _wait(service, request, asked, job)
    response = await _answered(service, request, job, wait=wait, is_new=is_new)
    if applied:
        response.headers["Preference-Applied"] = applied
    return response


async def _accepted(
    service: Service,
    request: Request,
    path: Path,
    id: str,  # noqa: A002
    query: dict[str, str],
    asked: Asked,
    content_type: str,
    key: str | None,
) -> Job:
    """Receive a picture, inspect it, and make a job of it."""
    settings = service.settings
    name = clean_name(asked.name or _name_of(request.headers.get("content-disposition")))

    async def look() -> None:
        await asyncio.to_thread(look_early, path, name=name, max_pixels=settings.max_pixels)

    chunks = body_of(request.receive, most=settings.max_body, patience=settings.patience)
    received = await receive_picture(
        chunks, path, content_type=content_type, begun=look, after=EARLY
    )
    if received.form:
        asked = _asked(query, received.form)
    if asked.name is None and received.name is not None:
        name = clean_name(received.name)
    if not received.n_bytes:
        raise ProblemError("image-read", "the body is empty, a picture was expected", status=422)
    fingerprint = _fingerprint(received, asked)
    if key is not None and (there := service.store.find_key(key)):
        return _same(there, fingerprint)
    intake = await asyncio.to_thread(
        take_in,
        path,
        name=name,
        wishes=asked.wishes,
        settings=settings,
        networks=service.networks,
    )
    try:
        job = _job(
            id,
            intake,
            name=name,
            asked=asked,
            n_bytes=received.n_bytes,
            key=key,
            fingerprint=fingerprint,
        )
        data = view_of(job, keep=settings.keep).model_dump_json(exclude_none=True)
        added = await asyncio.to_thread(service.store.add, job, data=data)
    except BaseException:
        intake.source.unlink(missing_ok=True)
        raise
    if added.id != id:  # another request with this key was quicker
        intake.source.unlink(missing_ok=True)
        return _same(added, fingerprint)
    return added


def _job(
    id: str,  # noqa: A002
    intake: Intake,
    *,
    name: str,
    asked: Asked,
    n_bytes: int,
    key: str | None,
    fingerprint: str,
) -> Job:
    return Job(
        id=id,
        state="queued",
        created=time.time(),
        name=name,
        source=intake.source.name,
        wishes=asked.wishes.model_dump_json(),
        height=intake.height,
        width=intake.width,
        pages=intake.pages,
        out_height=intake.size[0],
        out_width=intake.size[1],
        seconds=intake.seconds,
        memory=intake.memory,
        bytes=n_bytes,
        key=key,
        fingerprint=fingerprint,
    )


def _same(job: Job, fingerprint: str) -> Job:
    """Return the job of an `Idempotency-Key` that is sent again, if it is for the same request."""
    if job.fingerprint != fingerprint:
        raise ProblemError(
            "key-reused",
            "this Idempotency-Key was sent with another picture or other options; take a new one",
            status=422,
        )
    return job


async def _answered(
    service: Service, request: Request, job: Job, *, wait: float, is_new: bool
) -> Response:
    """Answer with the result if it is ready in time, or else with the job."""
    if wait > 0 and not job.has_ended:
        waiting = asyncio.ensure_future(until_ended(service, job, within=wait))
        gone = asyncio.ensure_future(_gone(request))
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not waiting.done():
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
            if is_new and job.key is None:  # nobody can ask for it any more
                await asyncio.to_thread(service.workers.cancel, job.id)
            return Response(status_code=499)
        job = waiting.result()
    if wait > 0 and job.has_ended:
        return result_response(service, job, request)
    view = await asyncio.to_thread(service.workers.view, job)
    headers = {"Location": address(job.id), "Retry-After": view.retry_after}
    return job_response(view, status=202, headers=headers)


async def _gone(request: Request) -> None:
    """Wait until the client disconnects; the body of the request must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _wait(service: Service, request: Request, asked: Asked, job: Job) -> tuple[float, str]:
    """Choose how long the answer may wait for the result.

    Returns:
        The seconds, 0 to answer by 202; and the preference that decided it, for the header
        `Preference-Applied`, or "".
    """
    settings = service.settings
    longest = settings.longest_wait
    prefer = _preferences(request)
    if asked.wait is not None:
        return min(asked.wait, longest), ""
    if re.fullmatch(r"[0-9]{1,6}", prefer.get("wait", "")):
        seconds = min(int(prefer["wait"]), longest)
        return seconds, f"wait={seconds:g}"
    if "respond-async" in prefer:
        return 0.0, "respond-async"
    if job.has_ended:
        return longest, ""
    _, before = service.store.waiting_before(job.number)
    is_short = before + job.seconds <= settings.answer_within
    return (min(3 * settings.answer_within, longest) if is_short else 0.0), ""


def _preferences(request: Request) -> dict[str, str]:
    """Read the header `Prefer`: the value of each preference by its name, "" if it has none."""
    said = ",".join(request.headers.getlist("prefer"))[:1000]
    parts = [part.strip().partition("=") for part in re.split("[,;]", said)]
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in parts if name}


def _query(request: Request) -> dict[str, str]:
    pairs = request.query_params.multi_items()
    if len({name for name, _ in pairs}) != len(pairs):
        raise ProblemError("usage", "a parameter is given twice in the address", status=422)
    return dict(pairs)


def _asked(query: dict[str, str], form: dict[str, str]) -> Asked:
    try:
        asked = read_asked(query, form)
        check_model(asked.model)
    except WidesrError as error:
        raise refusal(error, known=NAMES) from error
    return asked


def _length(header: str | None) -> int | None:
    return int(header) if header is not None and re.fullmatch(r"[0-9]{1,18}", header) else None


def _key(header: str | None) -> str | None:
    if header is None:
        return None
    key = header.strip().strip('"')
    if not 1 <= len(key) <= _LONGEST_KEY or not key.isprintable():
        raise ProblemError(
            "usage",
            f"the Idempotency-Key has {len(key)} characters, expected 1 to {_LONGEST_KEY}",
            status=422,
        )
    return key


def _name_of(disposition: str | None) -> str | None:
    found = re.search(r'filename="?([^";]{1,300})', disposition or "")
    return found[1] if found else None


def _fingerprint(received: Received, asked: Asked) -> str:
    said = f"{received.sha256} {asked.wishes.model_dump_json()}"
    return hashlib.sha256(said.encode()).hexdigest()
