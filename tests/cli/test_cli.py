"""Commands that people type, and the lines, files and exit codes that they get."""

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FunctionType
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import widesr
from disk import decoded, files_under, save
from facts import names, refusal
from widesr.cli import ALIASES, COMMANDS, GROUPS, run
from widesr.cli.interrupt import interruptible
from widesr.cli.terminal import progress
from widesr.degrade.named import DEGRADATIONS, photograph_seed
from widesr.evaluation.report import Report
from widesr.models import catalog
from widesr.models.catalog import list_models
from widesr.pictures.picture import MAX_PIXELS
from widesr.pixels.resize import imresize

TINY = Path(__file__).parents[1] / "assets" / "tiny-x2.onnx"


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    def refused(self, error: str, *facts: object) -> str:
        """The message of a run that failed in one line, with the exit code of its error."""
        assert self.code == (2 if error == "usage" else 1)
        return refusal(self.err, error, *facts)


@pytest.fixture
def cli(capfd):
    def call(*args: object) -> Ran:
        capfd.readouterr()
        code = run([str(arg) for arg in args])
        return Ran(code, *capfd.readouterr())

    return call


def noise(height: int, width: int, *channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, *channels), np.uint8)


# ---- upscale -------------------------------------------------------------------------------


def test_upscaling_says_in_one_line_what_became_of_the_picture(cli, tmp_path):
    photo = save(tmp_path / "photo.jpg")
    ran = cli("upscale", photo, "-n", "bicubic")
    line = rf"{photo} -> {tmp_path}/photo_x2_bicubic\.jpg  6x4 -> 12x8  bicubic  \d+\.\d s\n"
    assert re.fullmatch(line, ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert decoded(tmp_path / "photo_x2_bicubic.jpg").shape == (8, 12, 3)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_is_a_model_at_every_scale(cli, tmp_path, scale):
    photo, out = save(tmp_path / "in.png"), tmp_path / "out.png"
    assert cli("upscale", photo, "-o", out, "-s", scale, "-n", "bicubic").code == 0
    assert np.array_equal(decoded(out), imresize(decoded(photo), scale=scale))


def test_a_model_file_is_a_model(cli, tmp_path):
    photo, out = save(tmp_path / "in.png", width=40, height=30), tmp_path / "out.png"
    ran = cli("upscale", photo, "-o", out, "-n", TINY)
    assert (ran.code, ran.err) == (0, "")
    assert "  tiny-x2  " in ran.out
    whole = decoded(out)
    assert whole.shape == (60, 80, 3)
    assert cli("upscale", photo, "-o", out, "-n", TINY, "-t", 16, "--overwrite").code == 0
    assert np.array_equal(decoded(out), whole)


def test_self_ensemble_is_another_picture_and_says_so(cli, tmp_path):
    photo, out = save(tmp_path / "in.png"), tmp_path / "out.png"
    cli("upscale", photo, "-o", out, "-n", TINY)
    plain = decoded(out)
    ran = cli("upscale", photo, "-o", out, "-n", TINY, "-x", "--overwrite")
    assert "  tiny-x2+  " in ran.out
    assert not np.array_equal(decoded(out), plain)


@pytest.mark.skipif(not list_models(), reason="needs the models of the package")
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_default_model_is_there_at_every_scale(cli, tmp_path, scale):
    photo, out = save(tmp_path / "in.png"), tmp_path / "out.png"
    assert cli("upscale", photo, "-o", out, "-s", scale).code == 0
    assert decoded(out).shape == (4 * scale, 6 * scale, 3)


def test_the_words_of_other_tools_work_too(cli, tmp_path):
    photo, out = save(tmp_path / "in.png", width=20, height=20), tmp_path / "out.webp"
    ours = ["-i", photo, "-s", 2, "-n", TINY, "-t", 16, "-f", "webp", "-x", "-o", out]
    theirs = ["--input", photo, "--outscale=2", "--model_name", TINY, "--tile-size", 16]
    theirs += ["--ext", "webp", "--tta", "--output", out, "--overwrite"]
    assert cli("upscale", *ours).code == 0
    made = decoded(out)
    ran = cli("upscale", *theirs)
    assert (ran.code, ran.err) == (0, "")
    assert "tiny-x2+" in ran.out
    assert np.array_equal(decoded(out), made)


def test_the_words_of_other_tools_are_left_out_of_the_help(cli):
    ran = cli("upscale", "--help")
    assert (ran.code, ran.err) == (0, "")
    assert "--scale" in ran.out
    assert not [alias for alias in ALIASES if f"--{alias} " in ran.out]


def test_a_folder_becomes_a_folder(cli, tmp_path):
    for name in ("a.png", "b.jpg", "deeper/c.gif"):
        save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").touch()
    ran = cli("upscale", tmp_path / "in", "-o", tmp_path / "out", "-n", "bicubic", "-r")
    assert (ran.code, ran.err) == (0, "")
    assert files_under(tmp_path / "out") == {"a.png", "b.jpg", "deeper/c.png", "manifest.jsonl"}
    lines = ran.out.splitlines()
    assert len(lines) == 4
    assert names(lines[2], ".gif", "PNG")
    assert names(lines[3], "3 pictures", "3 done", "1 other")


def test_when_some_of_several_fail_the_others_are_done_and_the_exit_code_is_3(cli, tmp_path):
    for name in ("a.png", "c.png"):
        save(tmp_path / "in" / name)
    (tmp_path / "in" / "b.png").touch()
    ran = cli("upscale", tmp_path / "in", "-n", "bicubic")
    assert ran.code == 3
    refusal(ran.err, "image-read", tmp_path / "in" / "b.png")
    assert names(ran.out.splitlines()[-1], "3 pictures", "2 done", "1 failed")
    assert files_under(tmp_path / "in_x2_bicubic") == {"a.png", "c.png", "manifest.jsonl"}


def test_a_name_with_control_characters_stays_in_its_line(cli, tmp_path):
    path = tmp_path / "a\nb\x1b[2J\x9b.png"
    Image.fromarray(noise(8, 8, 3)).save(path)
    ran = cli("upscale", path, "-n", "bicubic")
    assert ran.code == 0
    (line,) = ran.out.splitlines()
    assert names(line, r"a\nb\x1b[2J\x9b.png")
    again = cli("upscale", path, "-n", "bicubic").refused("output-exists")
    assert again.isprintable()


@pytest.mark.parametrize("command", ["diff", "evaluate", "degrade"])
def test_every_command_keeps_a_name_with_control_characters_in_its_line(cli, tmp_path, command):
    folder = tmp_path / "a\nb\x1b[2J\x9b\x7f\u202e"
    folder.mkdir()
    path = folder / "c\n\x1b[2J\x9b\x7f\u2028.png"
    Image.fromarray(noise(16, 16, 3)).save(path)
    Image.fromarray(noise(16, 16, 3) // 2).save(folder / "d.png")
    words = {
        "diff": [path, folder / "d.png"],
        "evaluate": [folder, "-s", 2, "-n", "bicubic"],
        "degrade": [path, "-s", 2, "-o", folder / "e.png"],
    }[command]
    ran = cli(command, *words)
    assert ran.code == 0
    assert all(line.isprintable() for line in ran.out.split("\n"))
    assert names(ran.out, r"c\n\x1b[2J\x9b\x7f\u2028.png")
    assert r"a\nb\x1b[2J\x9b\x7f\u202e" in ran.out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
@pytest.mark.parametrize(
    "words",
    [["models"], ["models", "--json"], ["recipe", "list"], ["upscale", "a.png"], ["bench", "-h"]],
)
def test_a_full_disk_behind_the_lines_is_no_defect(tmp_path, words):
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "a.png")
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "widesr", *words],
            cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=100, check=False,
        )  # fmt: skip
    assert ran.returncode == 1
    refusal(ran.stderr, "image-write", "output")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
def test_a_full_disk_behind_the_notes_ends_no_work(tmp_path):
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "a.png")
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "widesr", "upscale", "a.png", "-v"],
            cwd=tmp_path, stderr=full, stdout=subprocess.PIPE, timeout=100, check=False,
        )  # fmt: skip
    assert ran.returncode == 0
    assert (tmp_path / "a_x2.png").exists()


def test_json_stays_json_whatever_a_name_holds(cli, tmp_path):
    path = tmp_path / "a\nb\x1b\x9b\x7f\u202e.png"
    Image.fromarray(noise(8, 8, 3)).save(path)
    for words in (["upscale", path, "-n", "bicubic"], ["diff", path, path]):
        ran = cli(*words, "--json")
        assert ran.code == 0
        assert ran.out.rstrip("\n").isprintable()
        told = json.loads(ran.out)
        assert (told["input"] if words[0] == "upscale" else told["a"]["path"]) == str(path)


def test_when_all_of_several_fail_the_exit_code_is_1(cli, tmp_path):
    ran = cli("upscale", tmp_path / "a.png", tmp_path / "b.png", "-n", "bicubic")
    assert ran.code == 1
    for line, name in zip(ran.err.splitlines(keepends=True), ("a.png", "b.png"), strict=True):
        refusal(line, "image-read", tmp_path / name)


def test_existing_outputs_are_refused_passed_over_or_replaced(cli, tmp_path):
    photo, out = save(tmp_path / "in.png"), tmp_path / "out.png"
    out.write_text("mine")
    words = ["upscale", photo, "-o", out, "-n", "bicubic"]
    cli(*words).refused("output-exists", out, "--overwrite")
    ran = cli(*words, "--skip-existing")
    assert (ran.code, ran.err) == (0, "")
    assert names(ran.out, photo, out, "skipped")
    assert out.read_text() == "mine"
    assert cli(*words, "--overwrite").code == 0
    assert decoded(out).shape == (8, 12, 3)


def test_json_is_one_object_per_picture(cli, tmp_path):
    photo = save(tmp_path / "a.png")
    missing = tmp_path / "b.png"
    ran = cli("upscale", photo, missing, "-n", "bicubic", "--json")
    assert ran.code == 3
    done, failed = map(json.loads, ran.out.splitlines())
    assert done.pop("seconds") >= 0
    assert done == {
        "input": str(photo),
        "output": f"{tmp_path}/a_x2_bicubic.png",
        "status": "done",
        "model": "bicubic",
        "input_width": 6,
        "input_height": 4,
        "output_width": 12,
        "output_height": 8,
        "frames": 1,
        "error": None,
    }
    assert (failed["status"], failed["output_width"]) == ("failed", None)
    assert failed["error"]["code"] == "image-read"
    assert failed["error"]["message"] == refusal(ran.err, "image-read")


def test_quiet_prints_errors_only(cli, tmp_path):
    photo = save(tmp_path / "a.png")
    assert cli("upscale", photo, "-n", "bicubic", "--quiet") == Ran(0, "", "")
    cli("upscale", photo, "-n", "bicubic", "--quiet").refused("output-exists")


@pytest.mark.parametrize(
    "name", ["with space.png", "日本語 😀.png", "-o.png", "[bold]x.png", "x" * 240 + ".png"]
)
def test_any_file_name_works(cli, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / name)
    ran = cli("upscale", "-n", "bicubic", "--", name)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{name} -> {name[:-4]}_x2_bicubic.png  ")
    assert len(files_under(tmp_path)) == 2


def test_a_file_name_that_is_no_text_works(cli, tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    save(tmp_path / "plain.png").rename(tmp_path / name)
    ran = cli("upscale", tmp_path / name, "-n", "bicubic")
    assert (ran.code, ran.err) == (0, "")
    assert r"caf\udce9_x2_bicubic.png" in ran.out
    assert len(files_under(tmp_path)) == 2


# ---- refusals ------------------------------------------------------------------------------


def bad_inputs(folder: Path) -> None:
    whole = save(folder / "whole.png", width=64, height=64).read_bytes()
    save(folder / "whole.jpg", width=64, height=64)
    (folder / "empty.png").touch()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "truncated.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:1500])
    (folder / "text.png").write_text("no picture\n" * 50)
    (folder / "noise.png").write_bytes(noise(40, 100).tobytes())
    (folder / "drawing.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (folder / "file.txt").touch()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("missing.png", "image-read"),
        ("empty.png", "image-read"),
        ("truncated.png", "image-read"),
        ("truncated.jpg", "image-read"),
        ("text.png", "image-read"),
        ("noise.png", "image-read"),
        ("drawing.svg", "image-format"),
    ],
)
def test_a_bad_input_is_one_line_and_leaves_nothing(cli, tmp_path, name, error):
    bad_inputs(tmp_path)
    before = files_under(tmp_path)
    for words in (["-o", tmp_path / "out.png"], []):
        cli("upscale", tmp_path / name, "-n", "bicubic", *words).refused(error, tmp_path / name)
        assert files_under(tmp_path) == before


@pytest.mark.parametrize(
    ("output", "found"),
    [
        ("missing/out.png", "/missing "),
        ("file.txt/out.png", "file.txt"),
        ("out", "/out: "),
        ("/proc/out.png", "/proc/out.png"),
        ("/proc/out/out.png", "/proc/out "),
    ],
)
def test_an_output_that_cannot_be_written_is_one_line_and_leaves_nothing(
    cli, tmp_path, output, found
):
    bad_inputs(tmp_path)
    before = files_under(tmp_path)
    ran = cli("upscale", tmp_path / "whole.png", "-o", tmp_path / output, "-n", "bicubic")
    assert found in ran.refused("image-write")
    assert files_under(tmp_path) == before


@pytest.mark.parametrize(
    "command",
    [
        ["upscale", ""],
        ["upscale", "photo.png", ""],
        ["samples", "-i", ""],
        ["evaluate", "", "-s", 2],
        ["train", "wdsr-a8-x2", "--data", "", "--out", "run"],
    ],
)
def test_an_empty_path_is_not_the_folder_one_is_in(cli, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise(8, 8, 3)).save("photo.png")
    ran = cli(*command)
    assert ran.code == 2
    ran.refused("usage")
    assert [each.name for each in tmp_path.iterdir()] == ["photo.png"]


@pytest.mark.parametrize(("given", "at"), [(".", "in"), ("..", "in/below")])
def test_a_folder_by_its_dots_becomes_a_folder_beside_it(cli, tmp_path, monkeypatch, given, at):
    (tmp_path / "in/below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / at)
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "in/photo.png")
    assert cli("upscale", given, "-n", "nearest").code == 0
    assert (tmp_path / "in_x2_nearest/photo.png").exists()


@pytest.mark.parametrize("output", ["/proc/new", "file.txt", "file.txt/new"])
def test_an_output_folder_that_cannot_be_made_is_refused(cli, tmp_path, output):
    save(tmp_path / "in" / "a.png")
    (tmp_path / "file.txt").touch()
    ran = cli("upscale", tmp_path / "in", "-o", tmp_path / output, "-n", "bicubic")
    ran.refused("image-write")
    assert files_under(tmp_path) == {"in/a.png", "file.txt"}


def test_an_unknown_model_is_one_line_that_lists_what_there_is(cli, tmp_path):
    photo = save(tmp_path / "a.png")
    cli("upscale", photo, "-n", "bicubik").refused("model-not-found", "'bicubik'", "'bicubic'")
    cli("upscale", photo, "-n", TINY, "-s", 3).refused("model-not-found", TINY, "x2", "x3")
    assert files_under(tmp_path) == {"a.png"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["-s", "x"], "scale x"),
        (["-t", "8"], "tile 8"),
        (["-t", "big"], "tile big"),
        (["-t", "9" * 5000], "tile 999"),
        (["-q", "0"], "quality 0"),
        (["-q", "101"], "quality 101"),
        (["-f", "bmp"], "'bmp'"),
        (["--threads", "0"], "threads 0"),
        (["--max-pixels", "many"], "max-pixels many"),
        (["--overwrite", "--skip-existing"], "--overwrite and --skip-existing"),
        (["--sclae", "2"], "--sclae"),
        (["-o"], "-o"),
    ],
)
def test_words_that_are_not_valid_are_one_line_with_exit_code_2(cli, tmp_path, words, found):
    photo = save(tmp_path / "a.png")
    assert found in cli("upscale", photo, "-n", "bicubic", *words).refused("usage")
    assert files_under(tmp_path) == {"a.png"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["upscale"], "input"),
        (["upscayl"], "'upscayl'"),
        (["degrade", "a.png", "-s", "2"], "--output"),
        (["degrade", "a.png", "-o", "b.png"], "--scale"),
        (["degrade", "a.png", "-o", "b.png", "-s", "5"], "'5'"),
        (["degrade", "a.png", "-o", "b.png", "-s", "2", "--edges", "wrap"], "'wrap'"),
        (["compare", "a.png"], "HR"),
        (["compare", "a.png", "b.png", "-s", "2", "--protocol", "psnr"], "benchmark-y, matlab-y"),
        (["evaluate", "-s", "2"], "DIR"),
        (["models", "a", "b"], "a b"),
        (["--wat"], "--wat"),
    ],
)
def test_every_command_refuses_in_the_same_form(cli, tmp_path, monkeypatch, words, found):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        save(tmp_path / name, width=30, height=30)
    assert found in cli(*words).refused("usage")


def test_without_a_command_the_help_is_shown(cli):
    ran = cli()
    assert (ran.code, ran.err) == (2, "")
    assert all(f" {name} " in ran.out for name in [*COMMANDS, *GROUPS])


@pytest.mark.parametrize("name", [*COMMANDS, *GROUPS])
def test_every_command_has_its_help(cli, name):
    ran = cli(name, "-h")
    assert (ran.code, ran.err) == (0, "")
    assert f"widesr {name}" in ran.out


def test_the_help_names_the_limit_that_is_meant(cli):
    assert f" {MAX_PIXELS / 1e6:.0f} " in cli("upscale", "--help").out


def test_a_large_picture_is_refused_with_the_way_to_raise_the_limit(cli, tmp_path):
    photo = save(tmp_path / "a.png", width=40, height=30)
    words = ["upscale", photo, "-n", "bicubic", "--max-pixels"]
    cli(*words, 1199).refused("image-too-large", "--max-pixels")
    assert cli(*words, 1200).code == 0


def test_a_defect_is_one_line_that_asks_for_a_report(cli, tmp_path, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("widesr.batch.jobs.plan_jobs", broken)
    monkeypatch.delenv("WIDESR_DEBUG", raising=False)
    cli("upscale", save(tmp_path / "a.png")).refused("internal", "RuntimeError: two lines")
    monkeypatch.setenv("WIDESR_DEBUG", "1")
    with pytest.raises(RuntimeError, match="two"):
        cli("upscale", tmp_path / "a.png")


# ---- degrade -------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "words"), [(2, []), (3, []), (4, []), (8, ["--float"])])
def test_degrade_writes_the_published_lr_of_set5(cli, bench, tmp_path, scale, words):
    hr_paths = sorted((bench / "Set5/HR").glob("*.png"))
    assert len(hr_paths) == 5
    for hr in hr_paths:
        lr = tmp_path / hr.name
        assert cli("degrade", hr, "-o", lr, "-s", scale, *words).code == 0
        published = bench / f"Set5/LR_bicubic/X{scale}/{hr.stem}x{scale}.png"
        assert np.array_equal(decoded(lr), decoded(published))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_degrade_writes_the_lr_of_set14_and_keeps_grey(cli, bench, tmp_path, scale):
    words = ["-s", scale, "--edges", "replicate", "--quiet"]
    assert cli("degrade", bench / f"Set14/HR_x{scale}", "-o", tmp_path / "lr", *words).code == 0
    made = sorted((tmp_path / "lr").iterdir())
    assert len(made) == 14
    for lr in made:
        published = bench / f"Set14/LR_x{scale}" / lr.name.replace("_HR", "_LR")
        assert np.array_equal(decoded(lr), decoded(published))
    assert decoded(made[2]).ndim == 2


def test_degrade_writes_a_folder_as_png_and_keeps_16_bits_and_alpha(cli, tmp_path):
    deep = noise(9, 9).astype(np.uint16) * 257
    (tmp_path / "in").mkdir()
    Image.fromarray(deep).save(tmp_path / "in" / "deep.tif")
    Image.fromarray(noise(9, 9, 4)).save(tmp_path / "in" / "clear.webp", lossless=True)
    ran = cli("degrade", tmp_path / "in", "-o", tmp_path / "lr", "-s", 3)
    assert (ran.code, ran.err) == (0, "")
    assert files_under(tmp_path / "lr") == {"deep.png", "clear.png"}
    assert np.array_equal(decoded(tmp_path / "lr" / "deep.png"), imresize(deep, scale=1 / 3))
    assert decoded(tmp_path / "lr" / "clear.png").shape == (3, 3, 4)


def test_degrade_makes_the_lr_that_training_learns_from(cli, tmp_path):
    pixels = noise(26, 33, 4)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    made = {}
    for seed in (0, 1):
        lr = tmp_path / f"{seed}.png"
        words = ["-s", 2, "--degradation", "realistic", "--seed", seed]
        assert cli("degrade", tmp_path / "a.png", "-o", lr, *words).code == 0
        made[seed] = decoded(lr)
        expected = DEGRADATIONS["realistic"].shrink(
            pixels[..., :3], scale=2, seed=photograph_seed("a.png", variant=seed)
        )
        assert np.array_equal(made[seed][..., :3], expected)
        assert np.array_equal(made[seed][..., 3], imresize(pixels[:26, :32, 3], scale=1 / 2))
    assert not np.array_equal(made[0], made[1])
    words = ["-s", 3, "--degradation", "wild"]
    assert cli("degrade", tmp_path / "grey.png", "-o", tmp_path / "lr.png", *words).code == 0
    assert decoded(tmp_path / "lr.png").shape == (8, 11)


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (["--degradation", "blurry"], "blurry"),
        (["--degradation", "mild", "--float"], "--edges and --float"),
        (["--degradation", "mild", "--seed", -1], "--seed"),
    ],
)
def test_degrade_refuses_what_is_not_valid(cli, tmp_path, words, fact):
    save(tmp_path / "a.png", width=20, height=20)
    ran = cli("degrade", tmp_path / "a.png", "-o", tmp_path / "lr.png", "-s", 2, *words)
    ran.refused("usage", fact)
    assert not (tmp_path / "lr.png").exists()


def test_degrade_names_pictures_that_a_degradation_cannot_take(cli, tmp_path):
    Image.fromarray(noise(9, 9).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    save(tmp_path / "small.png", width=1, height=5)
    for name, code, fact in (("deep", "image-format", "deep.png"), ("small", "shape", "1x5")):
        words = ["-s", 2, "--degradation", "mild"]
        ran = cli("degrade", tmp_path / f"{name}.png", "-o", tmp_path / "lr.png", *words)
        ran.refused(code, fact, f"{name}.png")
    ran = cli("degrade", tmp_path / "small.png", "-o", tmp_path / "lr.png", "-s", 2)
    ran.refused("shape", "1x5", tmp_path / "small.png")


@pytest.mark.parametrize("output", ["there.png", "none/lr.png", "lr.xyz"])
def test_degrade_says_that_the_input_is_missing_before_what_is_wrong_with_the_output(
    cli, tmp_path, output
):
    save(tmp_path / "there.png", width=20, height=20)
    ran = cli("degrade", tmp_path / "none.png", "-o", tmp_path / output, "-s", 2)
    ran.refused("image-read", tmp_path / "none.png")


# ---- compare and evaluate ------------------------------------------------------------------


def test_every_number_has_its_protocol(cli, tmp_path):
    sr, hr = save(tmp_path / "sr.png", width=40, height=40), tmp_path / "hr.png"
    Image.fromarray(noise(40, 40, 3, seed=1)).save(hr)
    ran = cli("compare", sr, hr, "-s", 2)
    number = r"\d+\.\d\d dB PSNR-Y  0\.\d{4} SSIM-Y  benchmark-y: Y, border 2 px at x2, .*\n"
    assert re.fullmatch(number, ran.out)
    ran = cli("compare", sr, hr, "-s", 2, "--protocol", "matlab-y", "--protocol", "krasserm")
    assert [line.split("  ")[2].split(":")[0] for line in ran.out.splitlines()] == [
        "matlab-y",
        "krasserm",
    ]
    as_json = json.loads(cli("compare", sr, hr, "-s", 2, "--json").out)
    expected = widesr.psnr(
        decoded(sr), decoded(hr), protocol=widesr.PROTOCOLS["benchmark-y"], scale=2
    )
    assert as_json["scores"]["benchmark-y"]["psnr"] == expected


@pytest.mark.parametrize("words", [["compare"], ["evaluate"]])
def test_the_protocols_can_be_listed(cli, words):
    ran = cli(*words, "--protocol", "list")
    assert (ran.code, ran.err) == (0, "")
    told = [line.split()[0] for line in ran.out.splitlines()]
    assert told[: len(widesr.PROTOCOLS)] == list(widesr.PROTOCOLS)  # those of clips follow


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_evaluate_gives_the_published_row_of_bicubic(cli, bench, tmp_path, scale):
    # Golden: the matlab-y row of bicubic on Set5, as in the tables of EDSR, RCAN and others.
    psnr, ssim = {2: (33.6396, 0.9292), 3: (30.3850, 0.8678), 4: (28.4165, 0.8101)}[scale]
    path = tmp_path / "report.json"
    ran = cli(
        *("evaluate", bench / "Set5/HR", "-n", "bicubic", "-s", scale, "--json", path),
        *("--protocol", "matlab-y", "--lr", bench / f"Set5/LR_bicubic/X{scale}"),
    )
    assert (ran.code, ran.err) == (0, "")
    mean = Report.model_validate_json(path.read_text()).mean["matlab-y"]
    assert mean.psnr == pytest.approx(psnr, abs=5e-4)
    assert mean.ssim == pytest.approx(ssim, abs=5e-4)
    (line,) = (line for line in ran.out.splitlines() if line.startswith("mean"))
    assert line.split()[1:3] == [f"{psnr:.2f}", f"{ssim:.4f}"]


def test_evaluate_takes_a_model_of_another_maker(cli, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(TINY)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    save(tmp_path / "hr" / "a.png", width=60, height=60)
    means = []
    for name in (TINY, tmp_path / "foreign.onnx"):
        path = tmp_path / f"{name.stem}.json"
        words = ["evaluate", tmp_path / "hr", "-n", name, "-s", 2, "--json", path]
        words += ["--protocol", "benchmark-y", "--engine", "onnxruntime", "--precision", "fp32"]
        ran = cli(*words, "--threads", 1)
        assert (ran.code, ran.err) == (0, "")
        means.append(Report.model_validate_json(path.read_text()).mean["benchmark-y"])
    assert means[0] == means[1]


def test_evaluate_needs_a_place_for_its_report_before_it_starts(cli, tmp_path):
    save(tmp_path / "hr" / "a.png", width=40, height=40)
    words = ["evaluate", tmp_path / "hr", "-s", 2, "-n", "bicubic"]
    out = tmp_path / "missing" / "r.json"
    cli(*words, "--json", out).refused("image-write", out.parent)


def test_a_report_replaces_no_picture(cli, tmp_path):
    photo = save(tmp_path / "hr" / "a.png", width=40, height=40)
    before, report = photo.read_bytes(), tmp_path / "r.json"
    words = ["evaluate", photo.parent, "-s", 2, "-n", "bicubic", "--json"]
    cli(*words, photo).refused("output-exists", photo)
    assert photo.read_bytes() == before
    assert [cli(*words, report).code for _ in range(2)] == [0, 0]  # an older report is replaced


@pytest.mark.parametrize(
    ("way", "unused"),
    [
        (["--protocol", "vid4-bi"], ["--lr", "lr"]),
        (["--protocol", "vid4-bi"], ["--metrics", "psnr,ssim"]),  # although it is the default
        (["--protocol", "vid4-bi"], ["--detector", "d.onnx"]),
        (["--protocol", "vid4-bi"], ["--max-pixels", "9"]),
        ([], ["--samples", "3"]),
        (["--protocol", "sr-space"], ["--metrics", "niqe"]),
        (["--protocol", "sr-space", "--sr", "made"], ["--model", "best"]),
        (["--detector", "d.onnx", "--boxes", "b.json"], ["--protocol", "benchmark-y"]),
        (["--detector", "d.onnx", "--boxes", "b.json"], ["--lr", "lr"]),
    ],
)
def test_evaluate_refuses_options_that_would_change_nothing(cli, tmp_path, way, unused):
    folder = save(tmp_path / "hr" / "a.png", width=40, height=40).parent
    cli("evaluate", folder, "-s", 2, *way, *unused).refused("usage", unused[0])


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_evaluate_refuses_a_folder_without_pictures(cli, tmp_path, name):
    (tmp_path / "empty").mkdir()
    folder = tmp_path / name
    cli("evaluate", folder, "-s", 2, "-n", "bicubic").refused("data", folder)


@pytest.mark.parametrize(
    "words",
    [
        ["import", "{}.pth"],
        ["import", "a.pth", "-o", "{}.safetensors"],
        ["calibrate", TINY, "--data", ".", "-o", "{}.onnx"],
        ["models", "index", "{}"],
        ["models", "pull", "x", "--mirror", "{}"],
    ],
)
def test_a_name_that_is_too_long_is_no_defect(cli, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    ran = cli(*(str(word).replace("{}", "x" * 300) for word in words))
    assert ran.code in (1, 2)
    assert "error[internal]" not in ran.err


# ---- models and doctor ---------------------------------------------------------------------


def test_models_lists_what_there_is(cli):
    ran = cli("models")
    assert (ran.code, ran.err) == (0, "")
    listed = [line.split()[0] for line in ran.out.split("\n\n")[0].splitlines()[1:]]
    assert set(listed) == {*(model.card.name for model in list_models()), "bicubic", "nearest"}
    cards = json.loads(cli("models", "--json").out)
    assert [*(card["name"] for card in cards), "bicubic", "nearest"] == listed


@pytest.mark.parametrize("words", [["show", TINY], [TINY], [TINY, "-s", 2]])
def test_models_shows_one_card(cli, words):
    ran = cli("models", *words)
    assert (ran.code, ran.err) == (0, "")
    rows = dict(re.split(r" {2,}", line, maxsplit=1) for line in ran.out.splitlines())
    assert rows["name"] == "tiny-x2"
    assert rows["receptive radius"] == "4"
    assert json.loads(cli("models", *words, "--json").out)["name"] == "tiny-x2"


def test_models_knows_no_model_of_a_wrong_name(cli):
    cli("models", "wdsr-zzz").refused("model-not-found", "'wdsr-zzz'")


def test_doctor_finds_an_installation_without_models_broken(cli, tmp_path, monkeypatch):
    monkeypatch.setattr("widesr.models.catalog.MODELS_DIR", tmp_path)
    ran = cli("doctor")
    assert ran.code == 1
    states = {line[8:].split("  ")[0]: line.split()[0] for line in ran.out.splitlines()}
    assert states.pop("models") == "BROKEN"
    assert {states.pop(f"upscale x{scale}") for scale in (2, 3, 4)} == {"BROKEN"}
    assert states == dict.fromkeys(["versions", "machine", "back ends", "formats", "pulled"], "ok")


def test_doctor_finds_a_model_that_makes_no_pictures_broken(cli, tmp_path, monkeypatch):
    (tmp_path / TINY.name).write_bytes(TINY.read_bytes())  # random weights
    monkeypatch.setattr("widesr.models.catalog.MODELS_DIR", tmp_path)
    monkeypatch.setitem(catalog.ALIASES, "default", {2: "tiny-x2"})
    results = {each["check"]: each for each in json.loads(cli("doctor", "--json").out)}
    assert results["models"]["ok"]
    assert not results["upscale x2"]["ok"]


@pytest.mark.skipif(not list_models(), reason="needs the models of the package")
def test_doctor_finds_this_installation_sound(cli):
    ran = cli("doctor")
    assert (ran.code, ran.err) == (0, "")
    assert "BROKEN" not in ran.out


# ---- the program itself --------------------------------------------------------------------

WITHOUT_TORCH = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "onnx", "onnxscript", "safetensors"}:
            raise AssertionError(f"{name} was imported")

sys.meta_path.insert(0, Blocker())
from widesr.cli import run
for words in %r:
    assert run(words) == 0, words
"""


def program(*args: object, **options) -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", "widesr", *map(str, args)]
    return subprocess.run(words, capture_output=True, text=True, timeout=250, **options)


def test_nothing_imports_torch_on_the_way_of_use(tmp_path):
    hr, lr, sr = (str(tmp_path / name) for name in ("hr/a.png", "lr.png", "sr.png"))
    save(Path(hr), width=40, height=40)
    commands = [
        ["degrade", hr, "-o", lr, "-s", "2"],
        ["upscale", lr, "-o", sr, "-n", str(TINY)],
        ["upscale", lr, "-n", "bicubic"],
        ["compare", sr, hr, "-s", "2"],
        ["evaluate", str(tmp_path / "hr"), "-s", "2", "-n", str(TINY)],
        ["models"],
        ["models", str(TINY)],
    ]
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH % commands],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert decoded(Path(sr)).shape == (40, 40, 3)


def test_the_blocker_of_torch_blocks():
    code = WITHOUT_TORCH % [] + "\nimport torch"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=250, check=False
    )
    assert "torch was imported" in ran.stderr


def test_the_version_is_printed(cli):
    assert cli("--version") == Ran(0, f"widesr {widesr.__version__}\n", "")


def test_the_program_has_a_version_and_exit_codes():
    ran = program("--version")
    assert (ran.returncode, ran.stdout) == (0, f"widesr {widesr.__version__}\n")
    assert program("upscale", "missing.png", "-n", "bicubic").returncode == 1
    ran = program("upscale", "missing.png", "-s", "9")
    assert (ran.returncode, ran.stdout) == (2, "")
    refusal(ran.stderr, "usage", "scale 9")


@pytest.mark.parametrize("words", [["upscale", "in", "-n", "bicubic"], ["--help"], ["models"]])
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path, words):
    for i in range(4):
        save(tmp_path / "in" / f"{i}.png")
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-m", "widesr", *words],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=250,
        check=False,
        cwd=tmp_path,
    )
    os.close(writer)
    assert ran.stderr == ""
    assert ran.returncode == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("wait", [0, 0.2])
def test_a_stopped_run_leaves_nothing_half_done(tmp_path, number, code, wait):
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "b.png", width=3000, height=3000)
    words = [sys.executable, "-m", "widesr", "upscale", str(tmp_path / "in"), "-n", str(TINY)]
    with subprocess.Popen(
        [*words, "-x", "-t", "16"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        try:
            assert "a.png" in running.stdout.readline()  # the large one is next
            time.sleep(wait)
            running.send_signal(number)
            out, err = running.communicate(timeout=250)
        finally:
            running.kill()
    assert (running.returncode, out) == (code, "")
    *others, last = err.splitlines()
    assert not [line for line in others if "2 pictures: about" not in line]
    assert names(last, "stopped", "1 of 2")
    assert files_under(tmp_path) == {
        "in/a.png", "in/b.png", "in_x2_tiny-x2/a.png", "in_x2_tiny-x2/manifest.jsonl",
    }  # fmt: skip


def test_an_interrupt_inside_libvips_is_not_lost():
    finished = []

    def callback():
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.1)
        finished.append(True)

    world = {"__name__": "pyvips.vobject", "signal": signal, "time": time, "finished": finished}
    in_pyvips = FunctionType(callback.__code__, world, closure=callback.__closure__)

    def interrupted():
        with interruptible():
            in_pyvips()
            time.sleep(10)

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert finished
    assert time.monotonic() - start < 9  # the sleep was woken
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_bar_shows_how_much_is_done_and_of_what(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress(4) as show:
        show(1.5, "[b]photo.png")
    shown = terminal.getvalue()
    assert "[b]photo.png" in shown
    assert "38%" in shown
    with progress(4, quiet=True) as show:
        show(1.5, "photo.png")
    assert terminal.getvalue() == shown


def test_the_bar_is_for_terminals_and_the_lines_for_pipes(tmp_path):
    save(tmp_path / "a.png")
    terminal, child = pty.openpty()
    words = [sys.executable, "-m", "widesr", "upscale", str(tmp_path / "a.png"), "-n", "bicubic"]
    ran = subprocess.run(
        words,
        stdout=subprocess.PIPE,
        stderr=child,
        text=True,
        timeout=250,
        check=False,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(child)
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert ran.returncode == 0
    assert re.fullmatch(
        r".*a\.png -> .*a_x2_bicubic\.png  6x4 -> 12x8  bicubic  \d+\.\d s\n", ran.stdout
    )
    assert "\x1b[" in shown
    assert "%" in shown
