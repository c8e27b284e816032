"""Requests that mean harm: none ends the server, none sees a traceback, none leaves its folder."""

import os
import random
import re
import socket
import threading
from contextlib import suppress

import httpx2
import pytest

from damage import damaged, traps
from fuzz import whole_files
from serving import FAST, process_of
from waiting import until

_ODD = re.compile(rb"Traceback|File \"|site-packages|/data/pictures")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    limits = {"WIDESR_MAX_PIXELS": "4000000", "WIDESR_MAX_BODY": "8M", "WIDESR_PATIENCE": "1"}
    flags = ["--max-memory", "1500M"]
    with process_of(folder / "data", *flags, **limits) as (process, address):
        yield folder, process, address


def raw(address, data, *, wait=3.0):
    """Send bytes, and return what comes back."""
    host, port = address.removeprefix("http://").split(":")
    found = b""
    with socket.create_connection((host, int(port)), 60) as connection, suppress(OSError):
        connection.settimeout(wait)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while more := connection.recv(65536):
            found += more
    return found


def lies(dice, body):
    """Requests whose heads are not what they say."""
    length = len(body)
    post = b"POST /v1/upscale?model=bicubic HTTP/1.1\r\nHost: localhost\r\n"
    name = b"../" * dice.randrange(1, 9) + dice.choice([b"etc/passwd", b"a\0b.png", b"~/.bashrc"])
    form = (
        b'--x\r\nContent-Disposition: form-data; name="picture"; filename="' + name + b'"\r\n\r\n'
    )
    return dice.choice(
        [
            post + b"Content-Length: %d\r\n\r\n" % (length * 3) + body,
            post + b"Content-Length: 5\r\n\r\n" + body,
            post + b"Content-Length: -1\r\n\r\n" + body,
            post + b"Content-Length: 99999999999999\r\n\r\n" + body[:1000],
            post + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFF\r\n" + body[:1000],
            post + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            post + b"X-Long: " + b"a" * 200_000 + b"\r\n\r\n",
            post + b"".join(b"X-%d: a\r\n" % n for n in range(5000)) + b"\r\n",
            post + b"Idempotency-Key: \xff\xfe\r\nContent-Length: 2\r\n\r\nab",
            post
            + b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n"
            % (len(form) + length + 7)
            + form
            + body
            + b"\r\n--x--",
            post + b"Content-Type: multipart/form-data; boundary=" + b"x" * 5000 + b"\r\n\r\n",
            b"GET /static/%2e%2e/%2e%2e/settings.py HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /static/..%2fapp.py HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /v1/jobs/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /v1/jobs/"
            + b"a" * 22
            + b"/result HTTP/1.1\r\nHost: localhost\r\nRange: bytes=-\r\n\r\n",
            b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00" + os.urandom(200),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            body,
        ]
    )


def attack(served, *, n, seed):
    """Make `n` requests from four threads, and look at every answer."""
    folder, process, address = served
    files, caught = whole_files(), traps()
    outside = {path for path in folder.rglob("*") if folder / "data" not in path.parents}
    odd, statuses = [], set()

    def ask(dice):
        body = dice.choice(files if dice.random() < 0.9 else caught)
        if dice.random() < 0.8:
            body = damaged(dice, body, dice.choice(files))
        if dice.random() < 0.4:
            answer = raw(address, lies(dice, body))
        else:
            options = dice.choice(
                [
                    {},
                    {"scale": 8},
                    {"format": "webp"},
                    {"scale": 0.01},
                    {"name": "../../x"},
                    {"fit": "9x9"},
                ]
            )
            query = {"model": FAST, "wait": 20, **options}
            response = httpx2.post(f"{address}/v1/upscale", content=body, params=query, timeout=250)
            statuses.add(response.status_code)
            answer = b"" if response.status_code == 200 else response.content
            if response.status_code >= 400:
                kind = response.headers["content-type"]
                assert kind == "application/problem+json", (response.status_code, response.text)
            if response.status_code >= 500:
                odd.append((response.status_code, response.text, body[:40]))
        if _ODD.search(answer) or b" 500 " in answer[:20]:
            odd.append(answer[:500])

    def many(dice, n):
        for _ in range(n):
            ask(dice)

    threads = [
        threading.Thread(target=many, args=(random.Random(f"{seed} {k}"), n // 4))  # noqa: S311
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not odd
    assert {200, 415} <= statuses
    assert process.poll() is None
    until(lambda: httpx2.get(f"{address}/readyz").status_code == 200)
    assert {path for path in folder.rglob("*") if folder / "data" not in path.parents} == outside
    until(lambda: not list((folder / "data" / "pictures").iterdir()))


def test_a_hundred_hostile_requests(served):
    attack(served, n=100, seed="few")


@pytest.mark.slow
def test_a_thousand_hostile_requests(served):
    attack(served, n=1000, seed="many")
