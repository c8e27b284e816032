"""Servers for tests: in this process for what is asked, in one of their own for what is killed."""

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx2

from widesr.web.app import create_app
from widesr.web.service import Service
from widesr.web.settings import load_settings

FAST = "bicubic"
"""A model that takes no time, for tests of what is around it."""
_PACE = 1e-12
"""So that no network is loaded where none is needed."""


def settings(folder, **changed):
    given = {"data": folder / "data", "max_memory": 2**31, "allow_hosts": ["testserver"]}
    return load_settings(**{**given, **changed})


@contextmanager
def client_of(folder, **changed):
    """Requests to a server in this process; the client's `service` is what it is made of."""
    from starlette.testclient import TestClient

    service = Service(settings(folder, **changed), pace=_PACE)
    with TestClient(create_app(service)) as client:
        client.service = service
        until(lambda: service.networks.is_ready)
        yield client


@contextmanager
def process_of(folder, *flags, log=subprocess.PIPE, **variables):
    """A server in a process of its own; gives (process, address).

    A pipe that nobody reads holds 64 KiB of the server's log, and then stops the server: many
    requests need a file for it.
    """
    words = [sys.executable, "-m", "widesr", "serve", "--port", "0", "--data", str(folder), *flags]
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "WIDESR_CACHE": f"{folder}-cache", **variables},
    )
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line
        address = found[0].rstrip("/")
        until(lambda: httpx2.get(f"{address}/readyz").status_code == 200)
        yield process, address
    finally:
        process.kill()
        process.communicate()


def until(holds, *, within=60.0):
    """Wait until something holds."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.02)


def ended(client, address, *, within=60.0):
    """The job at an address, once it has ended."""
    found = {}

    def has_ended():
        found.update(client.get(address).json())
        return found["state"] in ("done", "failed", "cancelled")

    until(has_ended, within=within)
    return found
