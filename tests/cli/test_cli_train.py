"""Four commands lead from photographs to a sharper picture, and report on the way."""

import json
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facts import names, refusal
from recipes import TINY_RECIPE, rewritten
from widesr.cli import run
from widesr.data.layout import find_files
from widesr.data.loader import Loader
from widesr.models.catalog import list_models
from widesr.nets.wdsr import WDSR, WDSRConfig
from widesr.train.checkpoint import load_weights, save_weights
from widesr.train.dry_run import plan as plan_of
from widesr.train.recipe import list_recipes, load_recipe

pytestmark = pytest.mark.train

RECIPE = rewritten(
    TINY_RECIPE,
    ('"tiny-x2"', '"shop-x3"'),
    ("scale = 2", "scale = 3"),
    ('block = "a"', 'block = "b"'),
    ("n_feats = 4", "n_feats = 8"),
    ("expansion = 2", "expansion = 3"),
    ("steps = 12", "steps = 30"),
    ("learning_rate = 1e-2", "learning_rate = 3e-3"),
    ('"fp32"', '"bf16"'),
    ("validate_every = 4", "validate_every = 10"),
)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A folder of someone's photographs, with a recipe beside it; the current folder."""
    (tmp_path / "photos").mkdir()
    ramp = np.linspace(0, 255, 60)
    for i in range(3):
        across = np.tile(ramp, (60, 1))
        planes = [(across + across.T[::-1]) / 2, across, across.T]
        picture = np.stack(planes, axis=2)
        picture[::7] = 255 - 60 * i
        Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "photos" / f"{i}.png")
    (tmp_path / "shop.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_four_commands_lead_from_photographs_to_a_larger_picture(shop, capsys):
    assert run(["train", "shop.toml", "--data", "photos", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert names(out, "step 10/30", "PSNR-Y, benchmark-y")
    weights = "runs/shop-x3/shop-x3.safetensors"
    assert f"widesr export {weights}" in out

    assert run(["export", weights, "-o", "shop-x3.onnx", "--licence", "CC0-1.0"]) == 0
    assert "wdsr x3" in capsys.readouterr().out

    assert run(["upscale", "photos/0.png", "-n", "./shop-x3.onnx", "-s", "3"]) == 0
    with Image.open(shop / "photos" / "0_x3_shop-x3.png") as picture:
        assert picture.size == (180, 180)


def test_a_run_that_exists_is_resumed_only_when_asked(shop, capsys):
    command = ["train", "shop.toml", "--data", "photos", "-o", "run", "--threads", "1", "--json"]
    assert run(command) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["step"] == 30
    assert run(command) == 1
    refusal(capsys.readouterr().err, "checkpoint", "run", "--resume")
    assert run([*command, "--resume"]) == 0
    assert capsys.readouterr().out == ""  # nothing was left to do


def test_a_dry_run_counts_stages_and_the_teacher(shop, capsys):
    lesson = '[teacher]\nmodel = "fast"\nshare = 1.0\n[[stage]]\nsteps = 2\nbatch = 8\n[log]'
    text = (shop / "shop.toml").read_text()
    (shop / "taught.toml").write_text(rewritten(text, ("[log]", lesson)))
    command = ["train", "taught.toml", "--data", "photos", "--threads", "1", "--dry-run", "--json"]
    assert run(command) == 0
    plan = json.loads(capsys.readouterr().out)
    first, last = plan["parts"]
    assert (first["batch"], last["batch"]) == (4, 8)
    assert (first["steps"], last["steps"]) == (plan["steps"] - 2, 2)
    assert last["gflop_per_step"] == pytest.approx(2 * first["gflop_per_step"])
    assert plan["teacher_seconds"] > 0


def test_a_key_of_the_recipe_is_set_on_the_command_line(shop, capsys):
    command = ["train", "shop.toml", "--data", "photos", "--threads", "1", "-o", "run"]
    changes = ["--set", "optim.steps=5", "--set", 'data.exclude=["0.png", "no.png"]']
    assert run([*command, *changes, "--set", "optim.schedule=one-cycle"]) == 0
    assert names(capsys.readouterr().out, "photos", "2 HR", "bicubic", "data.exclude: 0.png")
    recipe = load_weights(shop / "run" / "shop-x3.safetensors")[1].recipe
    assert (recipe.optim.steps, recipe.optim.schedule) == (5, "one-cycle")
    weights = "run/shop-x3.safetensors"
    tune = ["train", "--from", weights, "--data", "photos", "--threads", "1", "-o", "tuned"]
    assert run([*tune, "--set", 'data.exclude=["1.png"]', "--steps", "2"]) == 0
    assert names(capsys.readouterr().out, "2 HR")
    assert run([*command, "--set", "optim.stesp=5"]) == 1
    refusal(capsys.readouterr().err, "recipe", "shop-x3", "optim.stesp=5")


def test_the_first_validation_stands_beside_bicubic(shop, capsys):
    command = ["train", "shop.toml", "--data", "photos", "--threads", "1"]
    assert run(command) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    validated = [line for line in lines if "not validated" not in line]
    assert [("(bicubic" in line) for line in validated] == [True, False, False]
    log = (shop / "runs/shop-x3/log.jsonl").read_text().splitlines()
    (held_out,) = {json.loads(line)["psnr_bicubic"] for line in log}
    assert f"(bicubic {held_out:.2f} dB)" in validated[0]


def test_without_a_terminal_a_line_says_now_and_then_where_the_run_is(shop, capsys, monkeypatch):
    monkeypatch.setattr("widesr.train.checkpointer._REPORT_S", -1.0)  # a report after every step
    monkeypatch.setattr("widesr.cli.train._NOW_AND_THEN", -1.0)
    command = ["train", "shop.toml", "--data", "photos", "--threads", "1", "--steps", "9"]
    assert run(command) == 0
    steps = re.findall(r"^step (\d+)/9 ", capsys.readouterr().out, re.MULTILINE)
    assert steps == [str(step) for step in range(1, 10)]
    monkeypatch.setattr("widesr.cli.train._NOW_AND_THEN", 60.0)
    assert run([*command, "-o", "other"]) == 0
    steps = re.findall(r"^step (\d+)/9 ", capsys.readouterr().out, re.MULTILINE)
    assert steps == ["1", "9"]  # that it runs, and its validation


def test_a_run_whose_schedule_allows_it_is_extended(shop, capsys):
    constant = ["--set", "optim.schedule=step", "--set", "optim.decay_at=[10]"]
    command = ["train", "shop.toml", "--data", "photos", "--threads", "1", *constant]
    command += ["--set", "optim.decay=0.5", "--quiet"]
    assert run([*command, "-o", "whole", "--steps", "30"]) == 0
    assert run([*command, "-o", "run", "--steps", "20"]) == 0
    capsys.readouterr()
    assert run([*command[:-1], "-o", "run", "--steps", "20", "--resume"]) == 0
    assert "optim.steps" in capsys.readouterr().err
    assert run([*command, "-o", "run", "--steps", "30", "--resume"]) == 0
    whole, _ = load_weights(shop / "whole" / "shop-x3.safetensors")
    extended, provenance = load_weights(shop / "run" / "shop-x3.safetensors")
    assert provenance.steps == 30
    for ours, theirs in zip(extended.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert run([*command, "-o", "run", "--steps", "25", "--resume"]) == 1
    assert "optim.steps 30, now 25" in capsys.readouterr().err


def test_a_run_that_came_to_the_end_of_its_schedule_says_what_else_to_do(shop, capsys):
    command = ["train", "shop.toml", "--data", "photos", "--threads", "1", "-o", "run"]
    assert run([*command, "--steps", "5"]) == 0
    capsys.readouterr()
    assert run([*command, "--steps", "5", "--resume"]) == 0
    said = capsys.readouterr().err
    assert names(said, 'schedule = "cosine"', "run/shop-x3.safetensors")
    assert run([*command, "--steps", "10", "--resume"]) == 1
    refusal(capsys.readouterr().err, "checkpoint", "optim.steps 5", "now 10")


def test_a_recipe_is_listed_shown_and_made_ones_own(shop, capsys):
    assert run(["recipe", "list"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert re.search(r"^wdsr-a8-x2 +x2 +[\d,]+  \w", out, re.MULTILINE)
    assert run(["recipe", "list", "--json"]) == 0
    assert {each["name"] for each in json.loads(capsys.readouterr().out)} == set(list_recipes())
    for name in ("wdsr-a8-x2", "wdsr-a12w16-x2-polish"):  # the second has a base
        assert run(["recipe", "show", name]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith("# ")
        assert "base" not in tomllib.loads(shown)
        (shop / "my.toml").write_text(shown.replace(f'name = "{name}"\n', ""))
        assert load_recipe("my.toml") == load_recipe(name).model_copy(update={"name": "my"})
    assert run(["recipe", "show", "wdsr-a8-x22"]) == 1
    assert "wdsr-a8-x2" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["my.txt", "my", "my.TOML", "{}/my.txt"])
def test_a_recipe_of_another_ending_is_told_from_none(shop, capsys, name):
    path = Path(name.format(shop))
    (shop / path.name).write_bytes((shop / "shop.toml").read_bytes())
    assert run(["recipe", "show", str(path)]) == 1
    assert "no such" not in refusal(capsys.readouterr().err, "recipe", path, ".toml", "rename")


def test_a_dry_run_says_what_a_run_would_take_and_writes_nothing(shop, capsys):
    command = ["train", "shop.toml", "--data", "photos", "--threads", "1", "--dry-run"]
    assert run(command) == 0
    out = capsys.readouterr().out
    assert names(out, "parameters")
    assert names(out, "2 to learn", "1 held out")
    assert re.search(r"^memory +[\d,]+ MiB", out, re.MULTILINE)
    assert run([*command, "--json", "--steps", "7"]) == 0
    plan = json.loads(capsys.readouterr().out)
    # Golden by hand: 4 patches of 12x12; each weight counts 2 forward, 2 for its gradient, and 2
    # for that of its input, which the two convolutions that read the picture do not need.
    reads_picture = 3 * 8 * 9 + 3 * 27 * 25
    inside = 8 * 24 + 24 * 6 + 6 * 8 * 9 + 8 * 27 * 9
    gflop = 4 * 144 * (4 * reads_picture + 6 * inside) / 1e9
    (part,) = plan["parts"]
    assert part["gflop_per_step"] == pytest.approx(gflop)
    assert plan["steps"] == part["steps"] == 7
    assert plan["seconds"] == pytest.approx(7 * part["seconds_per_step"])
    assert plan["teacher_seconds"] is None
    assert 2**20 < plan["memory"] < 2**40
    assert sorted(p.name for p in shop.iterdir()) == ["photos", "shop.toml"]


def test_a_dry_run_offers_fp32_where_the_cpu_is_slow_in_bf16(shop, capsys, monkeypatch):
    command = ["train", "shop.toml", "--data", "photos", "--threads", "1", "--dry-run", "--json"]
    assert run([*command, "--set", "optim.precision=fp32", "--device", "cpu"]) == 0
    assert json.loads(capsys.readouterr().out)["fp32_seconds"] is None
    bf16 = ["--set", "optim.precision=bf16", "--device", "cpu"]
    assert run([*command, *bf16]) == 0
    assert json.loads(capsys.readouterr().out)["fp32_seconds"] > 0
    for quicker in (True, False):  # as on CPUs of either kind
        monkeypatch.setattr(
            "widesr.train.dry_run.plan",
            lambda *given, **named: plan_of(*given, **named)._replace(seconds=60.0),
        )
        monkeypatch.setattr(
            "widesr.train.dry_run.seconds_in_fp32",
            lambda *_, quicker=quicker, **__: 40.0 if quicker else 59.0,
        )
        assert run([word for word in [*command, *bf16] if word != "--json"]) == 0
        assert names(capsys.readouterr().out, "0:00:40", "optim.precision=fp32") == quicker


def test_a_job_that_is_started_again_goes_on_by_itself(shop, capsys):
    command = ["train", "shop.toml", "--data", "photos", "-o", "run", "--threads", "1"]
    assert run([*command, "--auto-resume", "--quiet"]) == 0
    state = (shop / "run" / "state-000000030.safetensors").read_bytes()
    assert run([*command, "--auto-resume", "--quiet"]) == 0
    assert (shop / "run" / "state-000000030.safetensors").read_bytes() == state
    capsys.readouterr()
    assert run([*command, "--auto-resume", "--resume"]) == 2
    refusal(capsys.readouterr().err, "usage", "--resume and --auto-resume")


def test_a_dry_run_is_of_one_process(shop, capsys, monkeypatch):
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "a")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", "1")
    assert run(["train", "shop.toml", "--data", "photos", "--dry-run"]) == 2
    assert "--dry-run" in capsys.readouterr().err


def test_a_network_is_adapted_to_photographs_without_a_recipe(shop, capsys):
    assert run(["train", "shop.toml", "--data", "photos", "--threads", "1", "--quiet"]) == 0
    weights = "runs/shop-x3/shop-x3.safetensors"
    command = ["train", "--from", weights, "--data", "photos", "--threads", "1", "--steps", "20"]
    assert run(command) == 0
    tuned = "runs/shop-x3-tuned/shop-x3-tuned.safetensors"
    out = capsys.readouterr().out
    assert re.search(r"step 20/20 .* \d+\.\d\d dB PSNR-Y, benchmark-y \(\d+\.\d\d ", out)
    assert f"widesr export {tuned}" in out
    _, provenance = load_weights(shop / tuned)
    assert provenance.steps == 20
    assert provenance.started_from.startswith("shop-x3.safetensors sha256:")
    assert provenance.recipe.optim.learning_rate == pytest.approx(3e-4)
    assert provenance.recipe.net == load_weights(shop / weights)[1].recipe.net


def test_photographs_are_listed_once(shop, monkeypatch):
    listed = []

    def find(data, **options):
        listed.append(data)
        return find_files(data, **options)

    monkeypatch.setattr("widesr.data.photographs.find_files", find)
    weights = "runs/shop-x3/shop-x3.safetensors"
    options = ["--data", "photos", "--threads", "1"]
    for words in (["shop.toml", "--dry-run"], ["shop.toml"], ["--from", weights, "--steps", "1"]):
        assert run(["train", *words, *options]) == 0
        assert listed == [Path("photos")]
        listed.clear()


@pytest.mark.skipif(not list_models(), reason="needs the models of the package")
def test_a_shipped_model_is_adapted_by_its_name(shop, capsys):
    Image.new("RGB", (64, 64)).save(shop / "photos" / "large.png")
    for file in (shop / "photos").glob("?.png"):
        with Image.open(file) as picture:
            picture.resize((64, 64)).save(file)
    command = ["train", "--from", "wdsr-a8-x2", "--data", "photos", "--threads", "1"]
    assert run([*command, "--dry-run"]) == 0
    assert "wdsr-a8-x2-tuned" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "fact"),
    [
        (["train", "--data", "photos"], "usage", "RECIPE"),
        (["train", "--from", "default", "--data", "photos"], "model-not-found", "'default'"),
        (["train", "shop.toml", "--data", "photos", "--device", "tpu"], "usage", "'tpu'"),
        (["train", "no-such", "--data", "photos"], "recipe", "no-such"),
        (["train", "shop.toml", "--data", "none"], "data", "none"),
        (["train", "shop.toml"], "usage", "'--data'"),
        (["train", "shop.toml", "--data", "photos", "--steps", "0"], "usage", "steps 0"),
        (["export", "none.safetensors"], "checkpoint", "none.safetensors"),
        (["export", "x.safetensors", "--stored", "int4"], "usage", "'int4'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(shop, capsys, arguments, code, fact):
    assert run(arguments) == (2 if code == "usage" else 1)
    refusal(capsys.readouterr().err, code, fact)
    assert sorted(p.name for p in shop.iterdir()) == ["photos", "shop.toml"]


def test_export_keeps_a_name_with_control_characters_in_its_line(shop, capsys):
    net = WDSR(WDSRConfig(scale=2, block="a", expansion=2, n_resblocks=1, n_feats=4))
    save_weights(shop / "a\nb\x1b.safetensors", net, None)
    assert run(["export", "a\nb\x1b.safetensors", "-o", "c\n.onnx"]) == 0
    assert capsys.readouterr().out.rstrip("\n").isprintable()


def test_a_gpu_that_is_not_there_is_one_line(shop, capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert run(["train", "shop.toml", "--data", "photos", "--device", "cuda"]) == 1
    refusal(capsys.readouterr().err, "training", "device cuda")


def test_ctrl_c_keeps_the_run_and_a_damaged_state_is_one_line(shop, capsys, monkeypatch):
    command = ["train", "shop.toml", "--data", "photos", "-o", "run", "--threads", "1", "--quiet"]
    following = Loader.next

    def interrupted(self):
        signal.raise_signal(signal.SIGINT)
        return following(self)

    assert run([*command, "--steps", "10"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Loader, "next", interrupted)
        assert run([*command[:4], "-o", "other", *command[6:]]) == 130
    assert [p.name for p in (shop / "other").glob("state-*")] == ["state-000000001.safetensors"]
    assert run([*command[:4], "-o", "other", *command[6:], "--resume"]) == 0
    newest = max((shop / "other").glob("state-*"))
    newest.write_bytes(b"")
    capsys.readouterr()
    assert run([*command[:4], "-o", "other", *command[6:], "--resume"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert names(line, f"other/{newest.name}", "before")


@pytest.mark.parametrize("command", [["train", "x", "--data", "."], ["export", "x.safetensors"]])
def test_without_torch_the_message_says_what_to_install(command):
    blocked = (
        "import sys; sys.modules['torch'] = None; "
        "from widesr.cli import run; sys.exit(run(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", blocked, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    refusal(done.stderr, "missing-extra", "'widesr[train]'")
