"""The screen of a terminal: whole lines, apart from the progress bar; logs; Ctrl-C."""

import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from disk import save
from facts import names
from screen import WIDESR, in_terminal, seen
from widesr.cli import run

TINY = Path(__file__).parents[1] / "assets" / "tiny-x2.onnx"
DONE = re.compile(r"in/\d\.png -> in_x2_bicubic/\d\.png  \d+x\d+ -> \d+x\d+  bicubic  \d+\.\d s")
ERROR = re.compile(r"widesr: error\[image-read\]: in/bad\.png: .*")


@pytest.fixture
def folder(tmp_path):
    """Five pictures that take a moment each, and one that is none."""
    for number in range(5):
        save(tmp_path / "in" / f"{number}.png", width=700, height=500)
    (tmp_path / "in" / "bad.png").touch()
    return tmp_path


def check_lines(lines: list[str], *, done: int, errors: int) -> None:
    """Every line is whole and nothing else, of bars least of all."""
    rest = [line for line in lines if line and not DONE.fullmatch(line)]
    assert sum(bool(DONE.fullmatch(line)) for line in lines) == done
    assert sum(bool(ERROR.fullmatch(line)) for line in rest) == errors
    others = [line for line in rest if not ERROR.fullmatch(line)]
    summary = re.compile(r"6 pictures: 5 done, 1 failed  \d+\.\d s")
    assert [bool(summary.fullmatch(each)) for each in others] == [True] * bool(done)


WORDS = ["upscale", "in", "-n", "bicubic"]


def test_a_bar_is_mixed_up_with_no_line(folder):
    code, shown = in_terminal([*WIDESR, *WORDS], cwd=folder)
    assert code == 3
    assert "━" in shown  # there was a bar
    check_lines(seen(shown), done=5, errors=1)


def test_a_bar_is_mixed_up_with_no_line_of_a_pipe_that_ends_in_the_same_terminal(folder):
    _, shown = in_terminal(f"{shlex.join([*WIDESR, *WORDS])} | tee log", cwd=folder)
    assert "━" in shown
    check_lines(seen(shown), done=5, errors=1)
    check_lines((folder / "log").read_text().splitlines(), done=5, errors=0)


def test_a_file_gets_the_lines_and_the_terminal_the_bar_and_the_errors(folder):
    with (folder / "log").open("w") as log:
        _, shown = in_terminal([*WIDESR, *WORDS], stdout=log.fileno(), cwd=folder)
    assert "━" in shown
    check_lines(seen(shown), done=0, errors=1)
    check_lines((folder / "log").read_text().splitlines(), done=5, errors=0)


def test_lines_and_a_bar_that_is_drawn_all_the_time_never_wait_for_each_other(tmp_path):
    program = """
import threading
from widesr.cli import terminal

def draw(bar, done):
    while not done.is_set():
        bar.refresh()

with terminal.progress(1):
    done = threading.Event()
    drawing = threading.Thread(target=draw, args=[terminal._terminal._bar, done], daemon=True)
    drawing.start()
    for number in range(300):
        terminal.print_line(f"line {number}")
    done.set()
    drawing.join()
"""
    code, shown = in_terminal([sys.executable, "-c", program], cwd=tmp_path)
    assert code == 0
    assert [line for line in seen(shown) if line] == [f"line {number}" for number in range(300)]


# ---- Ctrl-C --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "go_on"), [(["in"], "--resume"), (["in/a.png", "in/b.png"], "--skip-existing")]
)
def test_ctrl_c_says_what_is_done_and_how_to_go_on_and_that_works(tmp_path, inputs, go_on):
    save(tmp_path / "in" / "a.png", width=6, height=4)
    save(tmp_path / "in" / "b.png", width=1100, height=1100)
    words = [*WIDESR, "upscale", *inputs, "-n", str(TINY), "-o", "out/", "-x", "-t", "16"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as running:
        try:
            assert running.stdout is not None
            assert "a.png" in running.stdout.readline()  # the large one is next
            time.sleep(0.2)
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=250)
        finally:
            running.kill()
    assert running.returncode == 130
    line = err.splitlines()[-1]
    assert names(line, "stopped", "1 of 2", go_on)
    ran = subprocess.run(
        [*words, go_on], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=250
    )
    assert (ran.returncode, "1 done, 1 skipped" in ran.stdout) == (0, True), ran


# ---- logs ----------------------------------------------------------------------------------


@pytest.fixture
def upscale(capfd, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.png", width=60, height=40)

    def call(*words):
        capfd.readouterr()
        code = run(["upscale", "a.png", "-n", str(TINY), "-o", "b.png", "--overwrite", *words])
        return code, *capfd.readouterr()

    return call


def test_what_is_chosen_is_said_when_asked_for_and_else_nothing(upscale):
    assert upscale()[2] == ""
    code, out, err = upscale("-v", "--backend", "onnxruntime", "--threads", "1")
    assert code == 0
    assert {line[:14] for line in err.splitlines()} == {"widesr: info: "}
    assert names(err, "tiny-x2", "x2", "onnxruntime", "fp32", "cpu", "1 threads")
    assert names(err, "a.png -> b.png", "done")
    assert "info" not in out
    assert upscale()[2] == ""  # and the next run is quiet again


def test_the_logging_module_gets_the_same(upscale, caplog):
    with caplog.at_level(logging.INFO, logger="widesr"):
        upscale("-v", "--backend", "onnxruntime")
    names = {record.name for record in caplog.records}
    assert {"widesr.engine", "widesr.batch.stages"} <= names


def test_a_program_that_uses_the_library_sees_no_log_that_it_did_not_ask_for(tmp_path):
    code = (
        "import logging, widesr; logging.getLogger('widesr.engine').warning('unasked'); "
        "logging.basicConfig(format='%(name)s %(message)s'); "
        "logging.getLogger('widesr.engine').warning('asked')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr == "widesr.engine asked\n"


def test_nothing_but_our_own_lines_is_on_stderr_whatever_is_wrong_with_a_picture(tmp_path):
    shared = Path(__file__).parents[3] / "shared" / "pictures"
    if not shared.is_dir():
        pytest.skip("needs the pictures in ../shared/pictures")
    words = [*WIDESR, "upscale", str(shared), "-n", "bicubic", "-o", str(tmp_path / "out"), "-vv"]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=200)
    assert ran.returncode in (0, 3)
    lines = ran.stderr.splitlines()
    assert lines
    assert [line for line in lines if not line.startswith("widesr: ")] == []


# ---- another user's folders ----------------------------------------------------------------

WITHOUT_RIGHTS = (
    ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] if os.geteuid() == 0 else []
)
"""Root may read everything; here it shall not."""


def without_rights(words, *, cwd, env=None):
    """Run the command as a user who is not root."""
    command = [*WITHOUT_RIGHTS, *WIDESR, *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, env=env, timeout=250
    )


@pytest.mark.parametrize("words", [["upscale", "a.png", "-n", str(TINY)], ["models"], ["doctor"]])
def test_a_home_that_belongs_to_another_is_done_without(tmp_path, words):
    save(tmp_path / "a.png", width=60, height=40)
    home = tmp_path / "home"
    home.mkdir(mode=0o000)
    unset = ("WIDESR_CACHE", "WIDESR_MODELS", "XDG_CACHE_HOME", "XDG_DATA_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    try:
        ran = without_rights(words, cwd=tmp_path, env=kept | {"HOME": str(home)})
    finally:
        home.chmod(0o700)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert list(home.iterdir()) == []


def test_what_may_not_be_read_costs_no_other_picture(tmp_path):
    for name in ("a.png", "locked.png", "sub/b.png", "shut/c.png"):
        save(tmp_path / "in" / name)
    shut = [tmp_path / "in" / "locked.png", tmp_path / "in" / "shut"]
    modes = [each.stat().st_mode for each in shut]
    for each in shut:
        each.chmod(0o000)
    words = ["upscale", "in", "in/locked.png", "in/shut", "-o", "out", "-r", "-n", "bicubic"]
    try:
        ran = without_rights(words, cwd=tmp_path)
    finally:
        for each, mode in zip(shut, modes, strict=True):
            each.chmod(mode)
    assert ran.returncode == 3
    made = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")}
    assert made == {"a.png", "sub/b.png"}
    refused = [line for line in ran.stderr.splitlines() if "error[image-read]" in line]
    assert len(refused) == len(ran.stderr.splitlines()) >= 2
    assert any("in/locked.png: " in line for line in refused)
    assert any("in/shut: " in line for line in refused)
