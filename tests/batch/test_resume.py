"""A folder's run survives anything: kills at any moment, changes meanwhile, and full memory."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from disk import save
from facts import names, refusal, refused
from widesr.batch.jobs import plan_jobs
from widesr.batch.manifest import MANIFEST, Manifest
from widesr.batch.many import upscale_many
from widesr.batch.settings import UpscaleSettings
from widesr.cli import run
from widesr.errors import OutputExistsError
from widesr.pixels.resize import resize_rows
from widesr.system.files import append_whole
from widesr.upscaling.upscaler import Upscaler

BICUBIC = UpscaleSettings(model="bicubic")
TINY = Path(__file__).parents[1] / "assets" / "tiny-x2.onnx"
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.jpg"))


@pytest.fixture
def folder(tmp_path) -> Path:
    for n in range(4):
        save(tmp_path / "in" / f"{n}.png", seed=n)
    return tmp_path / "in"


@pytest.fixture
def upscaled(folder, capfd):
    """Upscale the folder; give the exit code, and status or error code by the input's name."""

    def call(*words: object, inputs: tuple[Path, ...] = (folder,)):
        capfd.readouterr()
        if folder in inputs and "-o" not in words and "-s" not in words:
            words += ("-o", folder.with_name("in_x2"))
        code = run(["upscale", *map(str, inputs), "-n", "bicubic", "--json", *map(str, words)])
        rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
        return code, {
            Path(row["input"]).name: row["error"]["code"] if row["error"] else row["status"]
            for row in rows
        }

    return call


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()]


def states(folder: Path) -> dict[str, tuple]:
    """Return the bytes of each output, with what shows that it is still the same file."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.name != MANIFEST:
            info = path.stat()
            found[str(path.relative_to(folder))] = (
                path.read_bytes(), info.st_ino, info.st_mtime_ns,
            )  # fmt: skip
    return found


def sha256(path: Path) -> str:
    out = subprocess.run(["sha256sum", str(path)], capture_output=True, text=True, check=True)
    return out.stdout.split()[0]


# ---- the manifest --------------------------------------------------------------------------


def test_the_manifest_has_a_line_for_each_picture(folder, upscaled):
    (folder / "2.png").write_bytes(b"no picture")
    code, _ = upscaled("-s", 3)
    assert code == 3
    out = folder.with_name("in_x3_bicubic")
    by_output = {line["output"]: line for line in lines(out)}
    assert list(by_output) == ["0.png", "1.png", "2.png", "3.png"]
    done = by_output["1.png"]
    assert done["input"] == str(folder / "1.png")
    assert (done["status"], done["error"]) == ("done", None)
    assert done["input_file"]["sha256"] == sha256(folder / "1.png")
    assert done["output_file"]["sha256"] == sha256(out / "1.png")
    assert done["output_file"]["bytes"] == (out / "1.png").stat().st_size
    assert (done["input_width"], done["input_height"]) == (6, 4)
    assert (done["output_width"], done["output_height"]) == (18, 12)
    assert (done["model"], done["model_sha256"]) == ("bicubic", None)
    assert done["settings"] == {"size": "x3", "icc": "keep", "metadata": "keep"}
    assert done["seconds"] > 0
    failed = by_output["2.png"]
    assert (failed["status"], failed["error"]["code"]) == ("failed", "image-read")
    assert "2.png" in failed["error"]["message"]


def test_the_manifest_names_the_network_and_the_quality(folder):
    upscaler = Upscaler.load(str(TINY), scale=2)
    jobs = plan_jobs([folder], name_end="_x2", format="jpg")
    assert all(outcome.error is None for outcome in upscale_many(jobs, upscaler=upscaler))
    line = lines(folder.with_name("in_x2"))[0]
    assert line["model"] == "tiny-x2"
    assert (line["settings"]["quality"], line["settings"]["lossless"]) == (95, False)
    assert upscaler.card is not None
    assert line["model_sha256"] == upscaler.card.weights_sha256


def test_the_manifest_lists_a_tree_relative_to_itself(folder, upscaled):
    save(folder / "deeper" / "ü 界.png")
    upscaled("-r")
    out = folder.with_name("in_x2")
    assert {line["output"] for line in lines(out)} == set(states(out))
    assert [path.name for path in out.rglob(MANIFEST)] == [MANIFEST]


def test_names_that_are_no_text_can_be_listed_and_resumed(folder, upscaled):
    save(folder / "4.png").rename(folder / os.fsdecode(b"\xff.png"))
    assert upscaled()[0] == 0
    code, found = upscaled("--resume")
    assert (code, set(found.values())) == (0, {"skipped"})


def test_single_pictures_leave_no_manifest(folder, upscaled, tmp_path):
    (tmp_path / "out").mkdir()
    upscaled("-o", tmp_path / "out", inputs=(folder / "0.png", folder / "1.png"))
    upscaled(inputs=(folder / "0.png",))
    assert not list(tmp_path.rglob(MANIFEST))


def test_a_folder_in_which_nothing_succeeds_leaves_no_manifest(folder, upscaled, tmp_path):
    for path in folder.iterdir():
        path.write_bytes(b"no picture")
    assert upscaled()[0] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("content", [b"mine\n", b'{"image": "a.png"}\n', b"[]"])
def test_a_manifest_of_another_program_is_left_alone(folder, content):
    out = folder.with_name("in_x2")
    out.mkdir()
    (out / MANIFEST).write_bytes(content)
    jobs = plan_jobs([folder], name_end="_x2")
    with refused("output-exists", "manifest.jsonl"):
        upscale_many(jobs, settings=BICUBIC)
    assert (out / MANIFEST).read_bytes() == content


def test_a_manifest_that_cannot_be_kept_stops_the_run_before_it_begins(folder):
    (folder.with_name("in_x2") / MANIFEST).mkdir(parents=True)
    jobs = plan_jobs([folder], name_end="_x2")
    with refused("image-write", "manifest.jsonl"):
        upscale_many(jobs, settings=BICUBIC)


def test_no_output_gets_its_name_that_the_manifest_cannot_list(folder):
    out = folder.with_name("in_x2")
    jobs = plan_jobs([folder], name_end="_x2")
    outcomes = upscale_many(jobs, settings=BICUBIC)
    (out / MANIFEST).mkdir(parents=True)  # it went bad after the run had begun
    errors = [outcome.error for outcome in outcomes]
    assert [error and error.code for error in errors] == ["image-write"] * 4
    assert all(MANIFEST in str(error) for error in errors)
    assert [path.name for path in out.iterdir()] == [MANIFEST]


@pytest.mark.parametrize("torn", [b"", b"{", b'{"widesr":"0.1', b'{"widesr":"0.1.0"}x' * 9999])
def test_a_torn_last_line_is_cut_before_the_next_is_added(tmp_path, torn):
    path = tmp_path / "lines"
    for begin in (b"", b"first\nsecond\n"):
        path.write_bytes(begin + torn)
        append_whole(path, b"last\n")
        assert path.read_bytes() == begin + b"last\n"


def test_lines_of_several_processes_do_not_mix(tmp_path):
    code = (
        "import sys; from pathlib import Path; from widesr.system.files import append_whole\n"
        "for n in range(50): append_whole(Path(sys.argv[1]), sys.argv[2].encode() * 5000 + b'\\n')"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lines"), word])
        for word in "abc"
    ]
    assert [each.wait(250) for each in running] == [0, 0, 0]
    found = Counter((tmp_path / "lines").read_bytes().splitlines())
    assert found == {word * 5000: 50 for word in (b"a", b"b", b"c")}


# ---- resuming ------------------------------------------------------------------------------


def test_resuming_does_what_is_missing_and_nothing_twice(folder, upscaled):
    upscaled()
    out = folder.with_name("in_x2")
    (out / "1.png").unlink()
    before = states(out)
    code, found = upscaled("--resume")
    assert code == 0
    assert found == {"0.png": "skipped", "1.png": "done", "2.png": "skipped", "3.png": "skipped"}
    assert states(out).items() > before.items()
    assert upscaled("--resume")[1] == dict.fromkeys(found, "skipped")
    assert len(lines(out)) == 5


def test_a_first_run_can_say_resume_too(folder, upscaled):
    assert set(upscaled("--resume")[1].values()) == {"done"}


def test_resuming_finds_copies_to_be_the_same(folder, upscaled):
    upscaled()
    for path in (folder / "0.png", folder.with_name("in_x2") / "1.png"):
        os.utime(path, (1, 1))
    assert set(upscaled("--resume")[1].values()) == {"skipped"}


def change_input(folder):
    save(folder / "1.png", seed=99)


def change_output(folder):
    (folder.with_name("in_x2") / "1.png").write_bytes(b"edited")


def forget(folder):
    path = folder.with_name("in_x2") / MANIFEST
    kept = [line for line in path.read_text().splitlines(True) if '"output":"1.png"' not in line]
    path.write_text("".join(kept))


def tear(folder):
    """Damage the line of the last picture, as a loss of power may."""
    path = folder.with_name("in_x2") / MANIFEST
    content = path.read_bytes()
    path.write_bytes(content[:-40] + bytes(40))


@pytest.mark.parametrize(
    ("change", "name", "facts"),
    [
        (change_input, "1.png", ["in/1.png"]),
        (change_output, "1.png", ["another", MANIFEST]),
        (forget, "1.png", ["already", MANIFEST]),
        (tear, "3.png", ["already", MANIFEST]),
    ],
)
def test_what_changed_is_refused_and_redone_only_if_told(folder, upscaled, change, name, facts):
    upscaled()
    change(folder)
    before = states(folder.with_name("in_x2"))
    code, found = upscaled("--resume")
    assert code == 3
    assert Counter(found.values()) == {"skipped": 3, "output-exists": 1}
    assert found[name] == "output-exists"
    assert states(folder.with_name("in_x2")) == before
    jobs = plan_jobs([folder], name_end="_x2")
    outcomes = upscale_many(jobs, settings=BICUBIC, resume=True)
    (error,) = (outcome.error for outcome in outcomes if outcome.error)
    with refused("output-exists", f"in_x2/{name}", *facts):
        raise error
    assert upscaled("--resume", "--skip-existing")[1] == dict.fromkeys(found, "skipped")
    code, found = upscaled("--resume", "--overwrite")
    assert (code, Counter(found.values())) == (0, {"skipped": 3, "done": 1})
    assert set(upscaled("--resume")[1].values()) == {"skipped"}


def test_other_settings_are_refused_and_redone_only_if_told(folder, capfd):
    words = ["upscale", str(folder), "-o", str(folder.with_name("out")), "-f", "jpg"]
    assert run([*words, "-n", "bicubic"]) == 0
    for other, facts in (
        (["-n", "bicubic", "-q", "80"], ["quality", 95, 80]),
        (["-n", "bicubic", "-s", "3"], ["size", "x2", "x3"]),
        (["-n", str(TINY)], ["model", "bicubic", "tiny-x2"]),
        (["-n", str(TINY), "-x"], ["model", "bicubic", "tiny-x2+"]),
    ):
        capfd.readouterr()
        assert run([*words, *other, "--resume"]) == 1
        lines = capfd.readouterr().err.splitlines()
        assert [names(line, "error[output-exists]", *facts) for line in lines] == [True] * 4
    assert run([*words, "-n", "bicubic", "-q", "80", "--resume", "--overwrite"]) == 0
    assert run([*words, "-n", "bicubic", "-q", "80", "--resume", "--json"]) == 0
    out = capfd.readouterr().out.splitlines()
    assert [json.loads(line)["status"] for line in out[-4:]] == ["skipped"] * 4


def test_another_network_of_the_same_name_is_other_settings(folder, tmp_path):
    jobs = plan_jobs([folder], name_end="_x2")
    upscaler = Upscaler.load(str(TINY), scale=2)
    assert not [each.error for each in upscale_many(jobs, upscaler=upscaler) if each.error]
    assert upscaler.card is not None
    upscaler.card = upscaler.card.model_copy(update={"weights_sha256": "0" * 64})
    errors = [each.error for each in upscale_many(jobs, upscaler=upscaler, resume=True)]
    assert [names(str(error), "tiny-x2", "network") for error in errors] == [True] * 4


def test_there_is_nothing_to_resume_without_a_folder(folder):
    jobs = plan_jobs([folder / "0.png"], name_end="_x2")
    with refused("usage") as caught:
        upscale_many(jobs, settings=BICUBIC, resume=True)
    assert caught.value.options == ("skip_existing",)


def test_an_output_that_comes_meanwhile_is_kept_and_not_taken_for_done(folder, monkeypatch):
    out, real = folder.with_name("in_x2"), Manifest.add

    def come_between(manifest, entry):
        real(manifest, entry)
        if entry.output == "1.png" and entry.status == "done":
            (out / "1.png").write_text("theirs")

    monkeypatch.setattr(Manifest, "add", come_between)
    jobs = plan_jobs([folder], name_end="_x2")
    upscaler = Upscaler.load("bicubic", scale=2)
    for resume in (False, True):
        outcomes = list(upscale_many(jobs, upscaler=upscaler, resume=resume))
        assert isinstance(outcomes[1].error, OutputExistsError)
        assert sum(outcome.error is not None for outcome in outcomes) == 1
    assert (out / "1.png").read_text() == "theirs"
    assert [line["status"] for line in lines(out) if line["output"] == "1.png"] == [
        "done", "failed",
    ]  # fmt: skip


# ---- overlap -------------------------------------------------------------------------------


def test_one_is_read_while_another_is_computed_and_a_third_is_written(folder, monkeypatch):
    import widesr.batch.stages

    events = {(what, n): threading.Event() for what in ("read", "computed") for n in range(5)}
    events["read", 4].set()
    events["computed", 4].set()
    real_read, real_write = widesr.batch.stages.read_picture, widesr.batch.stages.write_pictures

    def read(path, **options):
        events["read", int(path.stem)].set()
        return real_read(path, **options)

    def write(path, picture, **options):
        assert events["computed", int(path.stem) + 1].wait(250)  # or nothing overlaps
        real_write(path, picture, **options)

    def compute(fraction, _total):
        events["computed", int(fraction) - 1].set()
        assert events["read", int(fraction)].wait(250)

    monkeypatch.setattr(widesr.batch.stages, "read_picture", read)
    monkeypatch.setattr(widesr.batch.stages, "write_pictures", write)
    jobs = plan_jobs([folder], name_end="_x2")
    upscaler = Upscaler.load("bicubic", scale=2)
    outcomes = list(upscale_many(jobs, upscaler=upscaler, on_progress=compute))
    assert [(outcome.job, outcome.error) for outcome in outcomes] == [(job, None) for job in jobs]


# ---- memory --------------------------------------------------------------------------------


def ask_for_too_much(*args, **options):
    np.empty(2**60, np.uint8)


def test_too_little_memory_for_one_picture_is_its_error_alone(folder, monkeypatch, capfd):
    resizes = iter([resize_rows, ask_for_too_much, resize_rows, resize_rows])
    monkeypatch.setattr(
        "widesr.upscaling.interpolation.resize_rows", lambda *a, **b: next(resizes)(*a, **b)
    )
    assert run(["upscale", str(folder), "-n", "bicubic"]) == 3
    out, err = capfd.readouterr()
    refusal(err, "memory", folder / "1.png")
    assert names(out, "4 pictures", "3 done", "1 failed")
    made = lines(folder.with_name("in_x2_bicubic"))
    listed = [line["error"] and line["error"]["code"] for line in made]
    assert listed == [None, "memory", None, None]


def test_too_little_memory_elsewhere_is_one_line(folder, monkeypatch, capfd):
    monkeypatch.setattr("widesr.batch.jobs.plan_jobs", ask_for_too_much)
    assert run(["upscale", str(folder)]) == 1
    refusal(capfd.readouterr().err, "memory")


# ---- kills ---------------------------------------------------------------------------------

KILLED_AT = """
import os, signal, sys
from widesr.cli import run

at = int(sys.argv[1])
seen = 0

def count(event, args):
    global seen
    if event in ("open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.truncate"):
        name = args[0] if isinstance(args[0], (str, bytes, os.PathLike)) else ""
        if b"in_x2" in os.fsencode(name):
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
code = run(sys.argv[2:])
print("events:", seen)
sys.exit(code)
"""


def check_nothing_is_half_done(out: Path, expected: dict[str, bytes], before: dict) -> dict:
    """After a kill: what has its name is whole, and is not made again."""
    after = {name: state for name, state in states(out).items() if ".widesr-" not in name}
    assert {name: state[0] for name, state in after.items()}.items() <= expected.items()
    assert after.items() >= before.items()
    listed = (out / MANIFEST).read_bytes().split(b"\n")[:-1] if after else []
    assert set(after) <= {json.loads(line)["output"] for line in listed}
    return after


def test_a_kill_between_any_two_steps_is_made_good(folder, tmp_path):
    for n in (2, 3):
        (folder / f"{n}.png").unlink()
    out = folder.with_name("in_x2_bicubic")
    words = ["upscale", str(folder), "-n", "bicubic", "--resume", "--quiet"]
    assert run([*words, "-o", str(tmp_path / "undisturbed")]) == 0
    expected = {name: state[0] for name, state in states(tmp_path / "undisturbed").items()}
    before, kills = {}, 0
    for at in [*range(1, 40, 3), 0]:
        ran = subprocess.run(
            [sys.executable, "-c", KILLED_AT, str(at), *words], capture_output=True, timeout=250
        )
        if ran.returncode == 0:
            break
        assert ran.returncode == -signal.SIGKILL, ran.stderr
        kills += 1
        before = check_nothing_is_half_done(out, expected, before) if out.exists() else {}
        if len(before) == len(expected):  # begin anew, to come to later steps
            before = {}
            for path in out.iterdir():
                path.unlink()
    assert kills > 3
    assert run([*words]) == 0
    assert {name: state[0] for name, state in states(out).items()} == expected


def make_photographs(folder: Path) -> None:
    """Twelve pieces of photographs, in all formats, some in a folder below."""
    endings = ("png", "jpg", "webp", "tif")
    (folder / "deeper").mkdir(parents=True)
    for n in range(12):
        with Image.open(EXAMPLES[n % len(EXAMPLES)]) as image:
            piece = image.convert("RGB").crop((40 * n, 30, 40 * n + 120, 130))
            piece.save(folder / ("deeper" if n % 3 else "") / f"{n}.{endings[n % 4]}")


IN_MEMORY = """
import sys, widesr.batch.many
from widesr.cli import run

widesr.batch.many._UNDER_WAY = float(sys.argv[1])  # 0: every picture passes row by row
sys.exit(run(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("share", [0, 1 / 4], ids=["passing", "held"])
def test_a_run_that_is_killed_20_times_ends_as_one_that_was_left_alone(tmp_path, share):
    make_photographs(tmp_path / "in")
    rng = random.Random(4)  # noqa: S311
    words = [sys.executable, "-c", IN_MEMORY, str(share), "upscale", str(tmp_path / "in"), "-r"]
    words += ["-n", str(TINY), "--resume"]
    subprocess.run([*words, "-o", str(tmp_path / "undisturbed")], check=True, timeout=250)
    expected = {name: state[0] for name, state in states(tmp_path / "undisturbed").items()}
    assert len(expected) == 12
    out, before, kills = tmp_path / "out", {}, 0
    out.mkdir()
    while kills < 20:
        with subprocess.Popen([*words, "-o", str(out)], stdout=subprocess.PIPE) as running:
            assert running.stdout is not None
            for _ in range(len(before) + rng.choice([0, 0, 1])):  # those that it passes over first
                running.stdout.readline()
            try:
                running.wait(rng.uniform(0, 0.1))
            except subprocess.TimeoutExpired:
                running.kill()
                kills += 1
        before = check_nothing_is_half_done(out, expected, before)
        if len(before) == 12 and kills < 20:  # begin anew
            before = {}
            for path in out.rglob("*"):
                if path.is_file():
                    path.unlink()
    ran = subprocess.run([*words, "-o", str(out)], capture_output=True, text=True, timeout=250)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "12 pictures: " in ran.stdout
    assert {name: state[0] for name, state in states(out).items()} == expected
    assert states(out).items() >= before.items()
