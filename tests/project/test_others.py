"""Programs that the tests hold widesr against are what they are taken for, whatever their names."""

import os
import subprocess
from pathlib import Path

import pytest

import others

TOOLS = Path(__file__).parents[2] / "scripts" / "tools"


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Make another program of a name that goes before all others in PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    others._found.cache_clear()
    yield lambda name, says, code=0: _script(tmp_path / name, says, code)
    others._found.cache_clear()


def _script(path, says, code):
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("name", ["convert", "magick", "exiftool", "ffmpeg", "avifenc"])
def test_another_program_of_the_same_name_is_not_taken(stand_in, name, code):
    path = stand_in(name, "makes money of one kind into money of another", code)
    found = others._found("magick" if name == "convert" else name)
    assert found != path


def test_the_right_program_is_found_wherever_it_lies_in_path(stand_in):
    path = stand_in("convert", "Version: ImageMagick 6.9")
    assert others._found("magick") in (path, others.shutil.which("magick"))


def test_tools_installs_by_who_answers_and_not_by_a_name(stand_in, tmp_path):
    # Nothing is installed here: apt-get is a stand-in that says what it was asked for.
    asked = tmp_path / "asked"
    for name in ("convert", "magick", "exiftool"):
        stand_in(name, "something else", 1)
    apt = Path(stand_in("apt-get", ""))
    apt.write_text(f'#!/bin/sh\necho "$@" >> "{asked}"\n')
    stand_in("id", "0")
    done = subprocess.run([TOOLS], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    installed = asked.read_text() if asked.exists() else ""
    for package, name in (("imagemagick", "magick"), ("libimage-exiftool-perl", "exiftool")):
        is_here = others._found(name) is not None
        assert (f" {package}" in installed) is not is_here, installed
        assert (f" {package}" in done.stderr) is not is_here, done.stderr
