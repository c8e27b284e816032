"""The application: its routes, their description in OpenAPI, and the guard around them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from widesr.system.files import is_full
from widesr.system.version import __version__
from widesr.web import description
from widesr.web.answers import events_response, job_response, not_found, result_response
from widesr.web.guard import Guard, problem_response
from widesr.web.info import Info, info_of
from widesr.web.problems import ProblemError, disk_full
from widesr.web.service import Service
from widesr.web.store import Job
from widesr.web.upscale import upscale

STATIC = Path(__file__).parent / "static"

_Id = Annotated[
    str,
    InPath(pattern=r"^[A-Za-z0-9_-]{22}$", description="The id of a job, as its `Location` says."),
]


def create_app(service: Service) -> ASGIApp:
    """Make the application that answers for a service, and that starts and stops it."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="widesr",
        version=__version__,
        summary=description.SUMMARY,
        description=description.TEXT,
        lifespan=lifespan,
        docs_url=None,  # both pages load scripts from other sites
        redoc_url=None,
        openapi_url="/openapi.json",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        separate_input_output_schemas=False,
    )
    _add_errors(app)
    _add_pictures(app, service)
    _add_jobs(app, service)
    _add_health(app, service)
    _add_page(app)
    return Guard(app, settings=service.settings, metrics=service.metrics)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(ProblemError)
    async def problem(_request: Request, error: ProblemError) -> Response:
        return problem_response(error)

    @app.exception_handler(OSError)
    @app.exception_handler(sqlite3.OperationalError)
    async def disk(_request: Request, error: OSError | sqlite3.OperationalError) -> Response:
        if isinstance(error, OSError):
            has_no_room = is_full(error)
        else:
            has_no_room = error.sqlite_errorcode == sqlite3.SQLITE_FULL
        if not has_no_room:
            raise error
        return problem_response(disk_full("the server's disk is full; try again later"))

    @app.exception_handler(Exception)
    async def defect(_request: Request, error: Exception) -> Response:
        found = f"unexpected {type(error).__name__}; this is a defect of widesr: please report it"
        return problem_response(ProblemError("internal", found, status=500))

    @app.exception_handler(RequestValidationError)
    async def validation(_request: Request, error: RequestValidationError) -> Response:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        return problem_response(ProblemError("usage", faults, status=422))

    @app.exception_handler(HTTPException)
    async def http(_request: Request, error: HTTPException) -> Response:
        code = {404: "not-found", 405: "method"}.get(error.status_code, "usage")
        return problem_response(
            ProblemError(
                code,
                str(error.detail),
                status=error.status_code,
                headers=dict(error.headers or {}),
            )
        )


def _add_pictures(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/upscale",
        tags=["pictures"],
        operation_id="upscale",
        summary="Make a picture larger",
        description=description.UPSCALE,
        responses=description.UPSCALE_RESPONSES,
        openapi_extra=description.UPSCALE_EXTRA,
        response_class=Response,
    )
    async def post_upscale(request: Request) -> Response:
        return await upscale(service, request)

    @app.get(
        "/v1/info",
        tags=["pictures"],
        operation_id="info",
        summary="Say what there is: models, formats, limits",
        responses=description.PROBLEMS,
    )
    async def info() -> Info:
        return await asyncio.to_thread(info_of, service.settings)


def _add_jobs(app: FastAPI, service: Service) -> None:
    async def found(id: str) -> Job:  # noqa: A002 (its name everywhere)
        job = await asyncio.to_thread(service.store.find, id)
        if job is None:
            raise not_found()
        return job

    @app.get(
        "/v1/jobs/{id}",
        tags=["jobs"],
        operation_id="job",
        summary="Say where a job stands",
        responses=description.JOB_RESPONSES,
        response_class=JSONResponse,
    )
    async def get_job(id: _Id) -> Response:  # noqa: A002
        view = await asyncio.to_thread(service.workers.view, await found(id))
        return job_response(view, status=200)

    @app.delete(
        "/v1/jobs/{id}",
        tags=["jobs"],
        operation_id="stop",
        summary="Stop a job within a tile, or forget one that has ended",
        status_code=204,
        responses=description.DELETE_RESPONSES,
        response_class=Response,
    )
    async def delete_job(id: _Id) -> Response:  # noqa: A002
        job = await found(id)
        if job.has_ended:
            await asyncio.to_thread(service.forget, job)
        else:
            await asyncio.to_thread(service.workers.cancel, id)
        return Response(status_code=204)

    @app.get(
        "/v1/jobs/{id}/result",
        tags=["jobs"],
        operation_id="result",
        summary="Give the larger picture",
        responses=description.RESULT_RESPONSES,
        openapi_extra=description.RESULT_EXTRA,
        response_class=Response,
    )
    async def get_result(id: _Id, request: Request) -> Response:  # noqa: A002
        return result_response(service, await found(id), request)

    @app.get(
        "/v1/jobs/{id}/events",
        tags=["jobs"],
        operation_id="events",
        summary="Tell of a job as it goes on, as server-sent events",
        responses=description.EVENTS_RESPONSES,
        response_class=Response,
    )
    async def get_events(
        id: _Id,  # noqa: A002
        last_event_id: Annotated[
            str | None, Header(max_length=30, description="Go on after this event.")
        ] = None,
    ) -> Response:
        said = last_event_id or ""
        after = int(said) if said.isascii() and said.isdigit() and len(said) < 19 else 0
        return events_response(service, await found(id), after=after)


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get(
        "/healthz", tags=["health"], operation_id="health", summary="Say that the server lives"
    )
    async def health() -> dict[str, str]:
        return {"status": "ok", "version": __version__}

    @app.get(
        "/readyz",
        tags=["health"],
        operation_id="ready",
        summary="Say whether pictures are taken",
        responses=description.READY_RESPONSES,
    )
    async def ready() -> dict[str, str]:
        if service.stopping or not service.networks.is_ready:
            raise ProblemError(
                "stopping" if service.stopping else "busy",
                "the server stops" if service.stopping else "the first model is being loaded",
                status=503,
                headers={"Retry-After": "2"},
            )
        return {"status": "ready"}


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    app.mount("/static", _Static(directory=STATIC), name="static")


class _Static(StaticFiles):
    """Files of the page; browsers revalidate them, as they belong to one version."""

    async def get_response(self, path: str, scope: Any) -> Response:  # noqa: ANN401 - Starlette's
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response
