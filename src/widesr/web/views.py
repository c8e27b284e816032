"""A job as clients see it."""

import json
import time
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from widesr.web.problems import Problem
from widesr.web.store import Job


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
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    name: str
    """The client's name for the picture."""
    created: float
    """Seconds since 1970, as all times here."""
    started: float | None = None
    ended: float | None = None
    expires: float | None = None
    """The time at which the job and its result are forgotten."""
    width: int
    """The size of the picture, in pixels."""
    height: int
    pages: int
    """Frames or pages."""
    result_width: int
    result_height: int
    place: int | None = None
    """The number of jobs before it, while it waits."""
    tiles_done: float | None = None
    tiles: float | None = None
    progress: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the computing that is done."""
    seconds_left: float | None = None
    """Seconds until the result is there, as forecast."""
    made_by: str | None = None
    """The models that it went through."""
    notices: list[str] | None = None
    """Sentences on what was guessed, and on what is not as it was, once it is done."""
    result: str | None = None
    """The address of the result."""
    result_bytes: int | None = None
    result_sha256: str | None = None
    self: str
    """The address of this."""
    events: str
    """The address of its events."""
    problem: Problem | None = None
    """The reason why it failed."""


def address(job: str) -> str:
    """Say where a job is."""
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
    """Show a job.

    Args:
        job: The job, as the store has it.
        keep: Seconds for which it is kept after its end.
        tiles_done: Tiles that are done, of a job that runs.
        tiles: Tiles in all, of the same.
        ahead: The number of jobs before one that waits.
        seconds_before: Seconds until it is forecast to begin, of a job that waits.
    """
    at, share = address(job.id), tiles_done / tiles if tiles else 0.0
    left = None
    if job.state == "queued":
        left = seconds_before + job.seconds
    elif job.state == "running":
        spent = time.time() - (job.started or time.time())
        # What was forecast counts less, the more is done.
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
