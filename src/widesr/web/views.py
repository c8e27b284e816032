"""A job as clients see it."""

import json
import time
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from widesr.web.problems import Problem
from widesr.web.store import Job, State


class View(BaseModel):
    """The state of a job."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "id": "q7Zr0yqkQx2c1mQm8s3y4A",
                "state": "running",
                "name": "photo.jpg",
                "created": 1767225600.0,
                "width": 1200,
                "height": 800,
                "pages": 1,
                "result_width": 2400,
                "result_height": 1600,
                "tiles_done": 3,
                "tiles": 8,
                "progress": 0.375,
                "seconds_left": 2.1,
                "self": "/v1/jobs/q7Zr0yqkQx2c1mQm8s3y4A",
                "events": "/v1/jobs/q7Zr0yqkQx2c1mQm8s3y4A/events",
            }
        },
    )

    id: str
    state: State
    name: str
    """The client's name for the picture."""
    created: float
    """Seconds since 1970, like all times here."""
    started: float | None = None
    ended: float | None = None
    expires: float | None = None
    """The time at which the job and its result are forgotten."""
    width: int
    """The size of the picture, in pixels."""
    height: int
    pages: int
    """The number of frames or pages."""
    result_width: int
    result_height: int
    place: int | None = None
    """The number of jobs ahead of this one, while it is queued."""
    tiles_done: float | None = None
    tiles: float | None = None
    progress: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of the computing that is done."""
    seconds_left: float | None = None
    """The forecast of the seconds until the result is ready."""
    made_by: str | None = None
    """The models that the picture went through."""
    notices: list[str] | None = None
    """Sentences on what was guessed, and on what is not as in the input, once the job is done."""
    result: str | None = None
    """The address of the result."""
    result_bytes: int | None = None
    result_sha256: str | None = None
    self: str
    """The address of this job."""
    events: str
    """The address of the job's events."""
    problem: Problem | None = None
    """The reason why the job failed or was stopped."""

    @property
    def retry_after(self) -> str:
        """Seconds after which to ask again, at least 1, as the header `Retry-After` has them."""
        return str(max(int(self.seconds_left or 1), 1))


def address(job: str) -> str:
    """Return the address of a job."""
    return f"/v1/jobs/{job}"


def view_of(
    job: Job,
    *,
    keep: float,
    tiles_done: float = 0.0,
    tiles: float = 0.0,
    ahead: int = 0,
    seconds_before: float = 0.0,
) -> View:
    """Make the view of a job for clients.

    Args:
        job: The job, as the store has it.
        keep: Seconds for which a job is kept after its end.
        tiles_done: The number of tiles done, for a running job.
        tiles: The number of tiles in total, for a running job.
        ahead: The number of jobs ahead, for a queued job.
        seconds_before: The forecast of the seconds until the job begins, for a queued job.
    """
    at, share = address(job.id), tiles_done / tiles if tiles else 0.0
    left = None
    if job.state == "queued":
        left = seconds_before + job.seconds
    elif job.state == "running":
        spent = time.time() - (job.started or time.time())
        # The more is done, the less the forecast counts.
        by_pace = spent * (1 - share) / share if share else 0.0
        left = share * by_pace + (1 - share) * max(job.seconds * (1 - share), 0.0)
    is_done = job.state == "done"
    return View(
        id=job.id,
        state=job.state,
        name=job.name,
        created=job.created,
        started=job.started,
        ended=job.ended,
        expires=job.ended + keep if job.ended is not None else None,
        width=job.width,
        height=job.height,
        pages=job.pages,
        result_width=job.out_width,
        result_height=job.out_height,
        place=ahead if job.state == "queued" else None,
        tiles_done=round(tiles_done, 2) if job.state == "running" else None,
        tiles=round(tiles, 2) if job.state == "running" else None,
        progress=1.0 if is_done else min(round(share, 4), 1.0),
        seconds_left=round(left, 1) if left is not None else None,
        made_by=job.made_by,
        notices=json.loads(job.notices) if job.notices else None,
        result=f"{at}/result" if is_done else None,
        result_bytes=job.result_bytes,
        result_sha256=job.result_sha256,
        self=at,
        events=f"{at}/events",
        problem=Problem.model_validate_json(job.problem) if job.problem else None,
    )
