"""Inputs and outputs as people name them: `-`, patterns, folders to be made, web addresses."""

import io
import os
import pty
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facts import refusal
from screen import WIDESR
from widesr.cli import run
from widesr.pixels.resize import imresize


def picture(name="PNG", *, width=30, height=20, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, name, **options)
    return data.getvalue()


def decoded(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.format, np.asarray(image)


def widesr(*words, given=b"", cwd):
    """The command in a process of its own, as a shell's pipe calls it."""
    return subprocess.run(
        [*WIDESR, *words], input=given, capture_output=True, check=False, timeout=250, cwd=cwd
    )


@pytest.mark.parametrize("words", [["-"], ["-", "-o", "-"], ["-i", "-"]])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_picture_goes_from_pipe_to_pipe_and_stays_of_its_format(tmp_path, words, kind):
    given = picture(kind)
    ran = widesr("upscale", *words, "-n", "bicubic", "-s", "1.5", given=given, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, b"")
    found, made = decoded(ran.stdout)
    assert found == kind
    assert made.shape == (30, 45, 3)
    if kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(made, imresize(decoded(given)[1], size=(30, 45)))
    assert list(tmp_path.iterdir()) == []


def test_a_file_goes_to_a_pipe_in_the_format_that_is_chosen(tmp_path):
    (tmp_path / "a.jpg").write_bytes(picture("JPEG"))
    ran = widesr("upscale", "a.jpg", "-o", "-", "-f", "webp", "-n", "bicubic", cwd=tmp_path)
    assert (ran.returncode, decoded(ran.stdout)[0]) == (0, "WEBP")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_a_pipe_goes_to_a_file_or_into_a_folder(tmp_path):
    ran = widesr("upscale", "-", "-o", "b.png", "-n", "bicubic", given=picture(), cwd=tmp_path)
    assert ran.stdout.startswith(b"standard input -> b.png  30x20 -> 60x40")
    ran = widesr("upscale", "-", "-o", "new/", "-n", "bicubic", given=picture(), cwd=tmp_path)
    assert ran.returncode == 0
    assert (tmp_path / "new" / "stdin.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_notes_and_warnings_say_standard_input(tmp_path):
    coarse = picture("JPEG", quality=20)
    ran = widesr("upscale", "-", "-n", "fast", "-o", "b.png", given=coarse[:-2], cwd=tmp_path)
    assert ran.returncode == 0
    note, warning = ran.stderr.decode().splitlines()
    assert note.startswith("widesr: note: standard input ")  # that realistic suits it better
    assert warning.startswith("widesr: warning: standard input: ")  # that its end is not marked
    ran = widesr("upscale", "-", "-n", "bicubic", "--lossless", given=coarse, cwd=tmp_path)
    assert refusal(ran.stderr.decode(), "image-format").startswith("standard output: ")


def test_degrade_works_in_a_pipe_too(tmp_path):
    given = picture()
    ran = widesr("degrade", "-", "-o", "-", "-s", "2", given=given, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, b"")
    np.testing.assert_array_equal(decoded(ran.stdout)[1], imresize(decoded(given)[1], scale=0.5))


@pytest.mark.parametrize(
    ("words", "given", "code", "status", "found"),
    [
        (["-"], b"", "image-read", 1, "standard input: "),
        (["-"], b"no picture", "image-read", 1, "standard input: "),
        (["-"], picture()[:-40], "image-read", 1, "standard input: "),
        (["-", "-"], picture(), "usage", 2, "- is "),
        (["-", "a.png"], picture(), "usage", 2, "- is "),
        (["-", "--json"], picture(), "usage", 2, "--json"),
        ([".", "-o", "-"], b"", "usage", 2, "- is "),
        (["-", "-o", "no/b.png"], picture(), "image-write", 1, "no/b.png"),
        (["https://x.org/a.png"], b"", "image-read", 1, "https://x.org/a.png: "),
        (["a.png", "-o", "s3://b/c.png"], b"", "image-write", 1, "s3://b/c.png: "),
        (["*.jpg"], b"", "image-read", 1, "*.jpg: "),
    ],
)
def test_what_is_not_valid_is_one_line_in_the_users_words(
    tmp_path, words, given, code, status, found
):
    (tmp_path / "a.png").write_bytes(picture())
    ran = widesr("upscale", *words, "-n", "bicubic", given=given, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (status, b"")
    message = refusal(ran.stderr.decode(), code)
    assert found in message
    assert "/widesr-" not in message
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_no_picture_is_thrown_at_a_terminal(tmp_path):
    terminal, child = pty.openpty()
    ran = subprocess.run(
        [*WIDESR, "upscale", "-", "-n", "bicubic"],
        input=picture(),
        stdout=child,
        stderr=subprocess.PIPE,
        check=False,
        cwd=tmp_path,
        timeout=250,
    )
    os.close(child)
    os.close(terminal)
    assert ran.returncode == 2
    refusal(ran.stderr.decode(), "usage")


# ---- patterns and folders ------------------------------------------------------------------


@pytest.fixture
def upscale(capfd, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*words):
        capfd.readouterr()
        return run(["upscale", *words, "-n", "bicubic", "-s", "0.5"]), *capfd.readouterr()

    return call


def test_a_pattern_that_the_shell_left_becomes_its_files_in_order(upscale):
    for name in ("b.png", "a.png", "c.jpg", "deep/d.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(picture())
    code, out, err = upscale("*.png", "-o", "out/")
    assert (code, err) == (0, "")
    assert [line.split(" -> ")[0] for line in out.splitlines()[:-1]] == ["a.png", "b.png"]
    assert upscale("**/d.p?g", "-o", "out/")[0] == 0
    assert {path.name for path in Path("out").glob("*.png")} == {"a.png", "b.png", "d.png"}


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(upscale):
    for name in ("a[1].png", "a1.png"):
        Path(name).write_bytes(picture())
    assert upscale("a[1].png", "-o", "b.png")[0] == 0
    assert "a[1].png -> " in upscale("a[1].png", "-o", "c.png")[1]


def test_a_slash_at_the_end_makes_the_folder(upscale):
    Path("a.png").write_bytes(picture())
    assert upscale("a.png", "-o", "new/deeper/")[0] == 0
    assert decoded(Path("new/deeper/a.png").read_bytes())[1].shape == (10, 15, 3)
    code, out, err = upscale("a.png", "-o", "other")
    assert (code, out) == (1, "")
    assert "other/" in err
    assert upscale("a.png", "-o", "a.png/")[0] == 1  # a file is there


@pytest.mark.parametrize(
    ("model", "end"),
    [
        ("default", ""),
        ("fast", "_fast"),
        ("wdsr-a8-x2", "_wdsr-a8-x2"),
        (str(Path(__file__).parents[1] / "assets" / "tiny-x2.onnx"), "_tiny-x2"),
    ],
)
def test_two_models_have_two_names(upscale, model, end):
    Path("a.png").write_bytes(picture())
    assert run(["upscale", "a.png", "-n", model, "--width", "20"]) == 0
    assert Path(f"a_20w{end}.png").is_file()
    Path("in").mkdir()
    Path("in/a.png").write_bytes(picture())
    assert run(["upscale", "in", "-n", model, "--width", "20"]) == 0
    assert Path(f"in_20w{end}/a.png").is_file()
