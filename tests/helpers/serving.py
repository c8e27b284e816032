"""Servers for tests: in this process for what is asked, in one of their own for what is killed."""

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx2

from waiting import until
from widesr.web.app import create_app
from widesr.web.service import Service
from widesr.web.settings import load_settings

FAST = "bicubic"
"""A model that takes no time, for tests of what is around it."""
_PACE = 1e-12
"""Seconds per pixel and parameter; given, so that no network is loaded to measure it."""


def settings(folder, **changed):
    given = {"data": folder / "data", "max_memory": 2**31, "allow_hosts": ["testserver"]}
    return load_settings(**{**given, **changed})


@contextmanager
def client_of(folder, **changed):
    """Give a client of a server in this process; its `service` is the server's own."""
    from starlette.testclient import TestClient

    service = Service(settings(folder, **changed), pace=_PACE)
    with TestClient(create_app(service)) as client:
        client.service = service
        until(lambda: service.networks.is_ready)
        yield client


@contextmanager
def process_of(folder, *flags, **variables):
    """Give (process, address) of a server in a process of its own; `log_of` has its log.

    The log goes to a file, because a pipe that nobody reads is full after some hundred requests,
    and then the server waits for ever.
    """
    words = [sys.executable, "-m", "widesr", "serve", "--port", "0", "--data", str(folder), *flags]
    with log_of(folder).open("a") as log:
        process = subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                "WIDESR_CACHE": f"{folder}-cache",
                **variables,
            },
        )
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, (line, log_of(folder).read_text())
        address = found[0].rstrip("/")
        until(lambda: httpx2.get(f"{address}/readyz", timeout=250).status_code == 200)
        yield process, address
    finally:
        process.kill()
        process.communicate()


def log_of(folder):
    """Return the file with the log of the servers of a folder."""
    return Path(f"{folder}.log")


def ended(client, address, *, within=200.0):
    """Wait for the end of the job at an address, and return its last view."""
    found = {}

    def has_ended():
        found.update(client.get(address).json())
        return found["state"] in ("done", "failed", "cancelled")

    until(has_ended, within=within)
    return found
