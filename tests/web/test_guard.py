"""Access to the server: addresses, tokens, other sites; and its headers, log and metrics."""

import json
import logging
import socket
import sys
from contextlib import suppress

import httpx2

from facts import refusal, refused
from serving import client_of, log_of, process_of, settings
from widesr.cli import run
from widesr.web.settings import load_settings

TOKEN = "correct horse battery"  # noqa: S105 - of no server
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens


def test_an_address_that_others_reach_needs_a_token_or_a_word(tmp_path, capsys):
    with refused("usage", "token"):
        settings(tmp_path, host=EVERYWHERE)
    assert settings(tmp_path, host=EVERYWHERE, token=TOKEN).token.get_secret_value() == TOKEN
    assert settings(tmp_path, host=EVERYWHERE, no_auth=True).no_auth
    assert run(["serve", "--host", EVERYWHERE, "--data", str(tmp_path)]) == 2
    refusal(capsys.readouterr().err, "usage", "token")


def test_flags_go_before_variables_and_both_are_checked(monkeypatch, tmp_path):
    monkeypatch.setenv("WIDESR_MAX_MEMORY", "3G")
    monkeypatch.setenv("WIDESR_PORT", "9000")
    monkeypatch.setenv("WIDESR_ALLOW_HOSTS", "a.example, b.example")
    given = load_settings(data=tmp_path, port="9001")
    assert (given.max_memory, given.port) == (3 * 2**30, 9001)
    assert given.allow_hosts == ("a.example", "b.example")
    for name, value in {
        "MAX_MEMORY": "10M",
        "KEEP": "soon",
        "TOKEN": "too-short",
        "LOG_FORMAT": "xml",
        "DATA": "/",
    }.items():
        with monkeypatch.context() as patch:
            patch.setenv(f"WIDESR_{name}", value)
            with refused("usage", f"WIDESR_{name}"):
                load_settings()


def test_a_token_is_asked_for_where_there_is_one(tmp_path):
    with client_of(tmp_path, token=TOKEN) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            response = client.get("/v1/info", headers=headers)
            assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
        assert (
            client.get("/v1/info", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        )
        assert client.get("/healthz").status_code == 200
        assert client.get("/").status_code == 200


def test_browsers_are_told_to_load_nothing_from_elsewhere(tmp_path):
    with client_of(tmp_path) as client:
        for path in ("/", "/v1/info", "/openapi.json", "/v1/nothing"):
            headers = client.get(path).headers
            assert headers["content-security-policy"].startswith("default-src 'none'")
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
        assert client.get("/docs").status_code == 404


def test_slow_clients_are_let_go_and_lines_and_numbers_tell_of_the_others(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ("--metrics-port", str(port), "--log-format", "json")
    with process_of(tmp_path / "data", *flags, WIDESR_PATIENCE="4") as (process, address):
        where = ("127.0.0.1", int(address.rpartition(":")[2]))
        silent, half, slow = (socket.create_connection(where, 60) for _ in range(3))
        half.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        head = b"POST /v1/upscale HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n"
        slow.sendall(head + b"\x89P")
        answer = slow.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"too-slow" in answer
        for each in (silent, half):
            with suppress(ConnectionResetError):
                assert each.recv(2000) == b""
        for each in (silent, half, slow):
            each.close()
        httpx2.get(f"{address}/v1/info", timeout=250)
        form = {"Content-Type": "multipart/form-data; boundary=x"}
        said = httpx2.post(f"{address}/v1/upscale", content=b"--y", headers=form, timeout=250)
        assert said.status_code == 422
        numbers = httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=250).text
        process.terminate()
        process.wait(250)
    lines = log_of(tmp_path / "data").read_text()
    assert 'widesr_requests_total{method="GET",route="/v1/info",status="200"} 1.0' in numbers
    assert 'widesr_requests_total{method="POST",route="/v1/upscale",status="408"} 1.0' in numbers
    assert "widesr_jobs_queued 0.0" in numbers
    said = [json.loads(line) for line in lines.splitlines()]
    asked = [line for line in said if line.get("route") == "/v1/info"]
    assert [(line["status"], line["level"]) for line in asked] == [(200, "info")]


def test_the_base_install_says_what_is_missing(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.partition(".")[0] in ("fastapi", "uvicorn")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("widesr.web.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run(["serve"]) == 1
    refusal(capsys.readouterr().err, "missing-extra", "'widesr[web]'")
    assert logging.getLogger("widesr").level == logging.NOTSET


def test_a_defect_is_answered_without_its_details_and_logged_once(tmp_path, monkeypatch, caplog):
    def broken(_settings):
        raise RuntimeError("a secret")

    monkeypatch.setattr("widesr.web.app.info_of", broken)
    with client_of(tmp_path) as client:
        answer = client.get("/v1/info")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert len([each for each in caplog.records if each.exc_info]) == 1
