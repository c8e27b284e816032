"""Jobs: their events, how they are stopped, and how they outlive a server."""

import errno
import io
import json
import os
import re
import signal
import sqlite3
import threading
from contextlib import closing

import httpx2
import pytest
from PIL import Image

from facts import refused
from samples import smooth
from serving import FAST, client_of, ended, process_of
from waiting import until
from widesr.web import workers


def encoded(height, width):
    file = io.BytesIO()
    Image.fromarray(smooth(height, width)).save(file, "PNG")
    return file.getvalue()


SMALL, LARGE = encoded(30, 40), encoded(900, 1200)
"""Done in a moment, and done in many tiles."""
LATER = {"Prefer": "respond-async"}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with client_of(tmp_path_factory.mktemp("server"), at_once=1, max_queue=2) as client:
        yield client


def ask(client, body=SMALL, *, model=FAST, address="", **headers):
    response = client.post(
        f"{address}/v1/upscale", content=body, params={"model": model}, headers={**LATER, **headers}
    )
    assert response.status_code == 202, response.text
    return response.json()


def told(client, job, **headers):
    """Return the events of a job up to its end: (id, kind, data)."""
    text = client.get(job["events"], headers=headers).text
    found = re.findall(r"id: (\d+)\nevent: (\w+)\ndata: (.*)\n\n", text)
    return [(int(number), kind, json.loads(data)) for number, kind, data in found]


def test_events_tell_of_a_job_to_its_end_and_go_on_from_the_last_one(client):
    job = ask(client)
    events = told(client, job)
    assert [kind for _, kind, _ in events if kind != "progress"] == ["queued", "running", "done"]
    assert [number for number, _, _ in events] == sorted({number for number, _, _ in events})
    assert events[-1][2]["result"] == f"{job['self']}/result"
    first = events[0][0]
    assert told(client, job, **{"Last-Event-ID": str(first)}) == events[1:]
    last = {"Last-Event-ID": str(events[-1][0])}
    assert client.get(job["events"], headers=last).status_code == 204


def test_tiles_are_counted_and_a_job_stops_within_one(client):
    job, waits = ask(client, LARGE, model="default"), ask(client)
    running = {}

    def is_at_work():
        running.update(client.get(job["self"]).json())
        return running.get("tiles_done")

    until(is_at_work)
    assert client.get(waits["self"]).json()["place"] == 0
    assert 0 < running["progress"] < 1
    assert running["seconds_left"] > 0
    assert client.delete(job["self"]).status_code == 204
    assert ended(client, job["self"])["state"] == "cancelled"
    assert client.get(f"{job['self']}/result").status_code == 409
    assert ended(client, waits["self"])["state"] == "done"
    assert not list(client.service.settings.results.glob(f"{job['id']}*"))


def test_a_job_that_waits_is_stopped_at_once_and_one_that_is_done_is_forgotten(client):
    first, second = ask(client, LARGE, model="default"), ask(client)
    client.delete(second["self"])
    assert client.get(second["self"]).json()["state"] == "cancelled"
    client.delete(first["self"])
    done = ask(client)
    ended(client, done["self"])
    assert client.delete(done["self"]).status_code == 204
    assert client.get(done["self"]).status_code == 404
    assert not list(client.service.settings.results.glob(f"{done['id']}*"))
    ended(client, first["self"])


def test_results_are_kept_for_the_stated_time(tmp_path):
    with client_of(tmp_path, keep=0.5) as client:
        job = ask(client)
        until(lambda: client.get(job["self"]).status_code == 404)
        # A job is forgotten before its files are removed.
        until(lambda: not list(client.service.settings.results.iterdir()))
        until(lambda: not list(client.service.settings.pictures.iterdir()))


def test_a_full_queue_says_when_to_come_again(client):
    jobs = [ask(client, LARGE, model="default")]
    until(lambda: client.get(jobs[0]["self"]).json()["state"] == "running")
    jobs += [ask(client), ask(client)]
    response = client.post("/v1/upscale", content=SMALL)
    assert (response.status_code, response.json()["code"]) == (429, "queue-full")
    assert int(response.headers["retry-after"]) >= 1
    for job in reversed(jobs):
        client.delete(job["self"])
        ended(client, job["self"])


def test_jobs_outlive_a_server_that_was_killed_and_one_that_was_stopped(tmp_path):
    variables = {"WIDESR_GRACE": "0.1", "WIDESR_AT_ONCE": "1"}
    with process_of(tmp_path / "data", **variables) as (process, address):
        jobs = [ask(httpx2, LARGE, model="default", address=address)]
        jobs += [ask(httpx2, address=address, **{"Idempotency-Key": str(n)}) for n in range(3)]
        until(lambda: httpx2.get(address + jobs[0]["self"]).json()["state"] == "running")
        process.kill()
        process.wait()
    stray = tmp_path / "data/pictures/stray.part"
    stray.write_bytes(b"of a request that was cut")
    with process_of(tmp_path / "data", **variables) as (process, address):
        with httpx2.Client(base_url=address) as client:
            for job in jobs:
                assert ended(client, job["self"])["state"] == "done"
                kinds = [kind for _, kind, _ in told(client, job)]
                assert kinds.count("done") == 1
            assert not stray.exists()
            assert ask(client, **{"Idempotency-Key": "0"})["id"] == jobs[1]["id"]
            last = ask(client, LARGE, model="default")
            until(lambda: client.get(last["self"]).json().get("tiles_done"))
        process.send_signal(signal.SIGINT)
        assert process.wait(250) == 0
    with closing(sqlite3.connect(tmp_path / "data/jobs.sqlite")) as db:
        left = db.execute("SELECT id, attempts FROM jobs WHERE state = 'queued'").fetchall()
    assert left == [(last["id"], 0)]
    assert not list((tmp_path / "data/results").glob(".*"))


def test_a_job_that_ended_three_servers_is_not_begun_again(tmp_path):
    with client_of(tmp_path, at_once=1, grace=0.05) as client:
        job = ask(client, LARGE, model="default")
        until(lambda: client.get(job["self"]).json()["state"] == "running")
    with closing(sqlite3.connect(tmp_path / "data/jobs.sqlite")) as db, db:
        # As the third kill leaves it.
        changed = db.execute("UPDATE jobs SET state = 'running', attempts = 3").rowcount
        assert changed == 1
    with client_of(tmp_path) as client:
        said = client.get(job["self"]).json()
        assert (said["state"], said["problem"]["code"]) == ("failed", "internal")


def test_a_job_that_hangs_gives_its_place_to_the_next(tmp_path, monkeypatch):
    hangs, held, real = threading.Event(), threading.Event(), workers.upscale_file

    def at_work():
        return sum(each.name == "widesr-job" for each in threading.enumerate())

    def hangs_first(*arguments, **options):
        monkeypatch.setattr(workers, "upscale_file", real)
        hangs.set()
        assert held.wait(250)
        return real(*arguments, **options)

    monkeypatch.setattr(workers, "upscale_file", hangs_first)
    # The next job must not seem to hang where the machine is busy, so time passes for one alone.
    with client_of(tmp_path, at_once=1, stuck_after=20) as client:
        job = ask(client)
        assert hangs.wait(200)
        client.service.workers._running[job["id"]].seen -= 20
        said = ended(client, job["self"])
        assert (said["state"], said["problem"]["code"]) == ("failed", "stuck")
        assert ended(client, ask(client)["self"])["state"] == "done"
        both = at_work()
        held.set()
        until(lambda: at_work() < both)
        assert client.get(job["self"]).json()["problem"]["code"] == "stuck"
        until(lambda: len(list(client.service.settings.results.iterdir())) == 1)


def test_a_full_disk_refuses_pictures_until_there_is_room(tmp_path, monkeypatch):
    with client_of(tmp_path) as client:
        store = client.service.store
        (pages,) = store._db.execute("PRAGMA page_count").fetchone()
        store._db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own full disk
        answers = [client.post("/v1/upscale", content=SMALL, headers=LATER) for _ in range(30)]
        full = next(each for each in answers if each.status_code != 202)
        assert (full.status_code, full.json()["code"]) == (507, "disk-full")
        store._db.execute("PRAGMA max_page_count = 100000")
        for each in answers:
            if each.status_code == 202:  # whose ends could not be recorded for a while
                assert ended(client, each.headers["location"])["state"] == "done"
        assert ended(client, ask(client)["self"])["state"] == "done"

        def no_room(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("widesr.web.bodies._Sink.write", no_room)
        full = client.post("/v1/upscale", content=SMALL)
        assert (full.status_code, full.json()["code"]) == (507, "disk-full")


def test_a_job_is_begun_and_ended_as_soon_as_there_is_room(tmp_path, monkeypatch):
    monkeypatch.setattr("widesr.web.workers._LOOK_AGAIN_S", 0.05)
    with client_of(tmp_path, at_once=1) as client:
        refused = []
        for name in ("begin", "progress", "end"):
            record = getattr(client.service.store, name)

            def once_full(*args, name=name, record=record, **facts):
                if name not in refused:
                    refused.append(name)
                    raise sqlite3.OperationalError("database or disk is full")
                return record(*args, **facts)

            monkeypatch.setattr(client.service.store, name, once_full)
        assert ended(client, ask(client, LARGE)["self"])["state"] == "done"
        assert refused == ["begin", "progress", "end"]


def test_jobs_of_the_version_before_are_taken_over(tmp_path):
    with client_of(tmp_path) as client:
        job = ended(client, ask(client)["self"])
    with closing(sqlite3.connect(tmp_path / "data/jobs.sqlite")) as db, db:
        db.execute("ALTER TABLE jobs DROP COLUMN notices")
        db.execute("PRAGMA user_version = 1")
    with client_of(tmp_path) as client:
        assert client.get(job["self"]).json()["result_sha256"] == job["result_sha256"]
        assert client.get(job["result"]).status_code == 200
        assert ended(client, ask(client)["self"])["state"] == "done"


def test_two_servers_never_share_a_folder(tmp_path):
    with (
        client_of(tmp_path),
        refused("usage", "server"),
        client_of(tmp_path),
    ):
        pass
