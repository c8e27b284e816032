"""Dockerfile and compose.yaml: linted, in step with the settings, and run in a clean root."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

from waiting import until

ROOT = Path(__file__).parents[2]
DOCKERFILE, COMPOSE = ROOT / "Dockerfile", ROOT / "compose.yaml"


def tool(name):
    """A program that a package of the group `test` brings."""
    path = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    return path or pytest.skip(f"needs {name}, of the group test")


def instructions():
    """The (name, text) of all instructions, in order."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


def said(name):
    return [text for each, text in instructions() if each == name]


def variables():
    return dict(each.split("=", 1) for text in said("ENV") for each in shlex.split(text))


def test_hadolint_finds_nothing_in_the_dockerfile():
    command = [tool("hadolint"), "--no-color", str(DOCKERFILE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_compose_keeps_to_its_schema():
    command = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_variables_are_settings_of_the_server_with_values_that_hold(monkeypatch, tmp_path):
    pytest.importorskip("pydantic_settings", reason="needs the extra web")
    from widesr.web.settings import ServeSettings, load_settings

    (service,) = yaml.safe_load(COMPOSE.read_text())["services"].values()
    given = variables() | service["environment"] | {"WIDESR_TOKEN": "a token of sixteen letters"}
    ours = {name for name in given if name.startswith("WIDESR_")} - {"WIDESR_CACHE"}
    assert {name.removeprefix("WIDESR_").lower() for name in ours} <= set(
        ServeSettings.model_fields
    )
    for name in ours:
        monkeypatch.setenv(name, str(given[name]))
    monkeypatch.setenv("WIDESR_DATA", str(tmp_path))
    settings = load_settings()
    assert str(settings.port) in said("EXPOSE")
    assert service["ports"] == [f"127.0.0.1:{settings.port}:{settings.port}"]
    gib = {"g": 2**30}[service["mem_limit"][-1]] * int(service["mem_limit"][:-1])
    assert settings.max_memory < gib, "the container ends the server before its own limit holds"
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert settings.grace + settings.patience < grace


def test_the_container_is_no_root_and_writes_only_where_it_says():
    (service,) = yaml.safe_load(COMPOSE.read_text())["services"].values()
    assert said("USER") == ["10001"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    places = {volume.partition(":")[2] for volume in service["volumes"]} | set(service["tmpfs"])
    assert places == {"/data", "/tmp"}  # noqa: S108 - the container's
    for name in ("WIDESR_DATA", "WIDESR_CACHE"):
        assert variables()[name].startswith("/data/")


def clean_root(folder):
    """Do what the stage `build` says below a folder: copies, then its commands; gives the result.

    What widesr needs is there already, from where the tests run, so that pip fetches little.
    """
    source, target = folder / "src", folder / "opt/widesr"
    source.mkdir()
    copies = [text.split() for text in said("COPY") if not text.startswith("--from")]
    for *names, place in copies:
        for name in names:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, source / place, ignore=ignored)
            else:
                shutil.copy(ROOT / name, source / place)
    here = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    make, *install = said("RUN")[0].replace("/opt/widesr", str(target)).split("&&")
    make = make.replace("python", shlex.quote(sys.executable), 1)
    subprocess.run(["sh", "-ec", make], cwd=source, check=True)
    (packages,) = target.glob("lib/*/site-packages")
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib"))
    subprocess.run(["sh", "-ec", "&&".join(install)], cwd=source, env=here, check=True)
    return target


@pytest.mark.slow
@pytest.mark.timeout(900)  # pip takes its time
def test_what_the_dockerfile_says_gives_a_server_that_is_healthy(tmp_path):
    root = clean_root(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    here = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    here |= {name: text.replace("/data", f"{tmp_path}/data") for name, text in variables().items()}
    here |= {"WIDESR_PORT": port, "WIDESR_NO_AUTH": "true"}
    here["PATH"] = f"{root}/bin{os.pathsep}{os.environ['PATH']}"
    health = said("HEALTHCHECK")[0].partition("CMD")[2].replace("8765", port)
    (command,) = said("CMD")
    words = json.loads(command)
    words[0] = shutil.which(words[0], path=here["PATH"])
    with subprocess.Popen(words, env=here, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert port in server.stdout.readline()
            python, *rest = json.loads(health)

            def is_healthy():
                done = subprocess.run([root / "bin" / python, *rest], env=here, capture_output=True)
                return done.returncode == 0

            until(is_healthy)
            made = {path.name for path in (tmp_path / "data").iterdir()}
            assert {"serve"} <= made <= {"serve", "cache"}
        finally:
            server.terminate()
        assert server.wait(250) == 0
