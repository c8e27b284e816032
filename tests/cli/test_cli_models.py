"""`widesr models` and the commands below it, as users type them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from facts import names, refusal
from waiting import sleeps, until
from widesr.cli import run
from widesr.models.catalog import ALIASES, ModelFile, list_models, read_card, write_card

TINY = Path(__file__).parents[1] / "assets" / "tiny-x2.onnx"


@pytest.fixture(autouse=True)
def shelf(tmp_path, monkeypatch):
    """The folder that models are pulled into."""
    monkeypatch.setenv("WIDESR_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def mirror(tmp_path):
    """A folder with two model files."""
    (tmp_path / "mirror").mkdir()
    card = read_card(TINY)
    for name in ("big-x2", "other-x2"):
        out = tmp_path / "mirror" / f"{name}.onnx"
        write_card(ModelFile(TINY, card), card.model_copy(update={"name": name}), out=out)
    return tmp_path / "mirror"


@pytest.fixture
def cli(capsys):
    def call(*words):
        code = run([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_a_team_shares_a_model_in_three_commands(cli, server, mirror, shelf, tmp_path):
    code, out, err = cli("models", "index", mirror)
    assert (code, err) == (0, "")
    assert names(out, mirror / "models.json", "big-x2, other-x2", f"--mirror {mirror}")
    server.files |= {f"/{path.name}": path.read_bytes() for path in mirror.iterdir()}
    code, out, err = cli("models", "pull", "big-x2", "--mirror", server.url)
    assert (code, err) == (0, "")
    assert names(out, "0.0 MB", shelf / "big-x2.onnx", "sha256", "Apache-2.0", "-s 2 -n big-x2")
    photo = tmp_path / "photo.png"
    Image.new("RGB", (20, 10), "teal").save(photo)
    assert cli("upscale", photo, "-s", 2, "-n", "big-x2")[::2] == (0, "")
    with Image.open(tmp_path / "photo_x2_big-x2.png") as larger:
        assert larger.size == (40, 20)


def test_the_list_says_where_each_model_is_from(cli, mirror):
    assert cli("models", "index", mirror, "--quiet") == (0, "", "")
    assert cli("models", "pull", "big-x2", "--mirror", mirror, "--quiet") == (0, "", "")
    _, out, _ = cli("models", "-s", 2)
    head, *rows = out.split("\n\n")[0].splitlines()
    at = head.index("from")
    origins = {row.split()[0]: row[at:].split("  ")[0] for row in rows}
    assert origins.pop("big-x2") == "pulled"
    assert set(origins.values()) == {"package", ""} or set(origins) == {"bicubic", "nearest"}
    found = json.loads(cli("models", "-s", 2, "--json")[1])
    assert [each["from"] for each in found if each["name"] == "big-x2"] == ["pulled"]
    assert f"{mirror.parent}/models/big-x2.onnx" in cli("models", "big-x2")[1]
    assert json.loads(cli("models", TINY, "--json")[1])["from"] == "file"


@pytest.mark.skipif(not list_models(), reason="needs the models of the package")
@pytest.mark.parametrize(
    ("short", "long"),
    [
        ([], ["show"]),
        (["--verbose"], ["show", "--verbose"]),
        (["--json"], ["show", "--json"]),
        (["-s", 3], ["show", "-s", 3]),
        (["--scale", 3, "--json"], ["show", "--json", "--scale", 3]),
        (["wdsr-a8-x2"], ["show", "wdsr-a8-x2"]),
        (["-s", 2, "default"], ["show", "default", "-s", 2]),
    ],
)
def test_show_is_what_models_does_by_itself(cli, short, long):
    assert cli("models", *short) == cli("models", *long)
    assert cli("models", *short)[::2] == (0, "")


@pytest.mark.skipif(not list_models(), reason="needs the models of the package")
@pytest.mark.parametrize("words", [[], ["--verbose"], ["default"], ["-s", 4]])
def test_the_list_fits_a_terminal_of_80_columns(cli, words):
    _, out, _ = cli("models", *words)
    assert out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.skipif(not list_models(), reason="needs the models of the package")
def test_the_list_counts_parameters_as_the_readme_does(cli):
    rows = [line.split() for line in cli("models")[1].splitlines() if line.startswith("wdsr-")]
    listed = {row[0]: row[1 : 1 + ["," in cell for cell in row].index(True)] for row in rows}
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    row = r"^\| `(\S+)` \| (?:`(\w+)` )?\| (x\d) \| ([\d,]+) \|"
    table = re.findall(row, readme, re.MULTILINE)
    of_clips = ALIASES["video"].values()
    told = {name: [cell for cell in rest if cell] for name, *rest in table}
    assert told == {name: row for name, row in listed.items() if name not in of_clips}


@pytest.mark.skipif(not list_models(), reason="needs the models of the package")
def test_an_alias_without_a_scale_lists_its_models(cli):
    code, out, err = cli("models", "default")
    assert (code, err) == (0, "")
    found = [line.split()[0] for line in out.split("\n\n")[0].splitlines()[1:]]
    assert found == [ALIASES["default"][scale] for scale in (2, 3, 4)]
    assert sorted(found) == [m["name"] for m in json.loads(cli("models", "default", "--json")[1])]
    code, out, err = cli("models", "bicubic")
    assert (code, out) == (1, "")
    refusal(err, "model-not-found", "'bicubic'")


@pytest.mark.skipif(not list_models(), reason="needs the models of the package")
def test_json_has_the_ranges_of_int8_only_if_they_are_asked_for(cli):
    (short, *_), (whole, *_) = (
        json.loads(cli("models", "default", "--json", *more)[1]) for more in ([], ["--verbose"])
    )
    assert whole.pop("ranges")
    assert short == whole
    name = short["name"]
    assert json.loads(cli("models", name, "--json")[1]) == short
    assert "ranges" in json.loads(cli("models", name, "--json", "--verbose")[1])


def test_the_help_names_the_commands_below(cli):
    code, out, _ = cli("models", "--help")
    assert code == 0
    assert all(f" {name} " in out for name in ("show", "pull", "remove", "index"))
    assert "--mirror" in cli("models", "pull", "--help")[1]


@pytest.mark.parametrize(
    ("words", "code", "facts"),
    [
        (["pul", "big-x2"], "usage", ["pul big-x2"]),
        (["--mirror", "x"], "usage", ["--mirror"]),
        (["pull", "big-x2"], "usage", ["WIDESR_MIRROR", "--mirror"]),
        (["pull", "x", "--mirror", "ftp://x"], "usage", ["ftp://x", "https://"]),
        (["pull", "x", "--mirror", "none"], "download", ["none", "https://"]),
        (["remove"], "usage", ["argument", "remove"]),
        (["remove", "x"], "model-not-found", ["'x'", "none"]),
        (["index", "none"], "usage", ["none"]),
    ],
)
def test_what_cannot_be_meant_is_one_line(cli, words, code, facts):
    found, out, err = cli("models", *words)
    assert (found, out) == (2 if code == "usage" else 1, "")
    refusal(err, code, *facts)


def test_pull_without_a_name_lists_what_the_mirror_has(cli, mirror, monkeypatch):
    cli("models", "index", mirror)
    monkeypatch.setenv("WIDESR_MIRROR", str(mirror))
    cli("models", "pull", "big-x2")
    code, out, err = cli("models", "pull")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["model", "scale", "file", "licence"],
        ["big-x2", "x2", "0.0", "MB", "Apache-2.0", "pulled"],
        ["other-x2", "x2", "0.0", "MB", "Apache-2.0"],
    ]
    found = json.loads(cli("models", "pull", "--json")[1])
    assert {each["name"]: each["standing"] for each in found} == {
        "big-x2": "pulled",
        "other-x2": "",
    }
    assert found[0]["bytes"] == (mirror / "big-x2.onnx").stat().st_size


def test_several_are_pulled_or_none_if_a_name_is_wrong(cli, mirror, shelf):
    cli("models", "index", mirror)
    code, out, err = cli("models", "pull", "big-x2", "othr-x2", "--mirror", mirror)
    assert (code, out) == (1, "")
    refusal(err, "model-not-found", "'othr-x2'", "'other-x2'")
    assert not shelf.exists()
    code, out, _ = cli("models", "pull", "big-x2", "other-x2", "--mirror", mirror, "--json")
    assert code == 0
    found = [json.loads(line) for line in out.splitlines()]
    assert [(each["name"], each["was_there"]) for each in found] == [
        ("big-x2", False),
        ("other-x2", False),
    ]
    assert names(cli("models", "pull", "big-x2", "--mirror", mirror)[1], "big-x2", "already")


def test_a_pulled_model_goes_by_its_name(cli, mirror, shelf):
    cli("models", "index", mirror)
    cli("models", "pull", "big-x2", "other-x2", "--mirror", mirror)
    code, out, err = cli("models", "remove", "big-x2")
    assert (code, out, err) == (0, f"big-x2: removed {shelf}/big-x2.onnx\n", "")
    assert [path.name for path in shelf.iterdir()] == ["other-x2.onnx"]
    refusal(cli("models", "big-x2")[2], "model-not-found", "'big-x2'")


def test_a_damaged_file_does_not_hide_the_others(cli, mirror, shelf):
    shelf.mkdir()
    shutil.copy(mirror / "big-x2.onnx", shelf)
    (shelf / "bad-x2.onnx").write_bytes(TINY.read_bytes()[:1000])
    code, out, err = cli("models")
    assert code == 1
    assert "\nbig-x2 " in out
    assert "bicubic" in out
    refusal(err, "model-file", shelf / "bad-x2.onnx")
    states = {each["check"]: each for each in json.loads(cli("doctor", "--json")[1])}
    assert not states["pulled"]["ok"]
    assert "bad-x2.onnx" in states["pulled"]["detail"]


@pytest.mark.skipif(not list_models(), reason="needs the models of the package")
def test_doctor_shows_the_folder_and_what_the_package_hides(cli, mirror, shelf):
    shelf.mkdir()
    shutil.copy(mirror / "big-x2.onnx", shelf)
    shutil.copy(TINY, shelf / "wdsr-a8-x2.onnx")
    states = {each["check"]: each for each in json.loads(cli("doctor", "--json")[1])}
    assert states["pulled"]["ok"]
    assert states["pulled"]["detail"].startswith(f"{shelf}: big-x2 sha256 ")
    assert names(states["pulled"]["detail"], "hidden", "wdsr-a8-x2")


def test_a_pull_that_is_interrupted_goes_on_later(server, mirror, shelf, tmp_path):
    run(["models", "index", str(mirror), "--quiet"])
    server.files |= {f"/{path.name}": path.read_bytes() for path in mirror.iterdir()}
    server.stop_after = {"/big-x2.onnx": 2000}
    words = [sys.executable, "-m", "widesr", "models", "pull", "big-x2", "--mirror", server.url]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, env=os.environ)
    assert server.is_silent.wait(200)
    until(lambda: sleeps(process.pid))  # so it has read all that came
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=250) == 130
    assert process.stderr.read() == b""
    process.stderr.close()
    server.stop_after.clear()
    assert not (shelf / "big-x2.onnx").exists()
    have = (shelf / "big-x2.onnx.part").stat().st_size
    assert have == 2000
    assert run(["models", "pull", "big-x2", "--mirror", server.url, "--quiet"]) == 0
    assert server.asked[-1].start == have
    assert (shelf / "big-x2.onnx").read_bytes() == (mirror / "big-x2.onnx").read_bytes()


def test_control_characters_in_the_names_of_folders_reach_no_terminal(
    cli, mirror, tmp_path, monkeypatch
):
    hostile = tmp_path / "a\nb\x1b[2J\x9b\x7f"
    mirror.rename(hostile)
    monkeypatch.setenv("WIDESR_MODELS", str(hostile / "models"))
    told = [
        cli("models", "index", hostile),
        cli("models", "pull", "big-x2", "--mirror", hostile),
        cli("models", "pull", "other-x2", "--mirror", hostile, "--json"),
        cli("models", "big-x2"),
        cli("models", "big-x2", "--json"),
        cli("doctor"),
        cli("doctor", "--json"),
        cli("models", "remove", "big-x2"),
    ]
    for code, out, err in told:
        assert (code, err) == (0, "")
        assert all(line.isprintable() for line in out.split("\n"))
    assert all(r"a\nb\x1b[2J\x9b\x7f" in out for _, out, _ in told[::7])
    assert json.loads(told[4][1])["path"] == str(hostile / "models" / "big-x2.onnx")
