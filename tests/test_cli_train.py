"""From photographs to a sharper picture by four commands, and what they say on the way."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from widesr.cli import run

pytestmark = pytest.mark.train

RECIPE = """
name = "shop-x3"
source = "made for a test"
seed = 0
family = "wdsr"
net = { scale = 3, block = "b", n_resblocks = 1, n_feats = 8, expansion = 3 }
[data]
degradation = "bicubic"
lr_patch = 12
batch = 4
validation = 1
exclude = []
[optim]
loss = "l1"
steps = 30
learning_rate = 3e-3
warmup = 5
schedule = "cosine"
betas = [0.9, 0.999]
ema_decay = 0.9
precision = "bf16"
[log]
validate_every = 10
"""


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
    assert "step 10/30" in out
    assert "dB PSNR-Y, benchmark-y" in out
    weights = "runs/shop-x3/shop-x3.safetensors"
    assert f"widesr export {weights}" in out

    assert run(["export", weights, "-o", "shop-x3.onnx", "--licence", "CC0-1.0"]) == 0
    assert "wdsr x3" in capsys.readouterr().out

    assert run(["upscale", "photos/0.png", "-n", "./shop-x3.onnx", "-s", "3"]) == 0
    with Image.open(shop / "photos" / "0_x3.png") as picture:
        assert picture.size == (180, 180)


def test_a_run_that_exists_is_resumed_only_when_asked(shop, capsys):
    command = ["train", "shop.toml", "--data", "photos", "-o", "run", "--threads", "1", "--json"]
    assert run(command) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["step"] == 30
    assert run(command) == 1
    assert "error[checkpoint]: run: holds a run already; add --resume" in capsys.readouterr().err
    assert run([*command, "--resume"]) == 0
    assert capsys.readouterr().out == ""  # nothing was left to do


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "no-such", "--data", "photos"], 1, "error[recipe]: no-such: no such recipe"),
        (["train", "shop.toml", "--data", "none"], 1, "error[data]: none: no such folder"),
        (["train", "shop.toml"], 2, "error[usage]: Missing option '--data'"),
        (["export", "none.safetensors"], 1, "error[checkpoint]: none.safetensors: no such file"),
        (["export", "x.safetensors", "--stored", "int4"], 2, "error[usage]: stored 'int4'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(shop, capsys, arguments, code, message):
    assert run(arguments) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(p.name for p in shop.iterdir()) == ["photos", "shop.toml"]


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
    assert done.stderr.startswith("widesr: error[missing-extra]: ")
    assert "pip install 'widesr[train]'" in done.stderr
    assert done.stderr.count("\n") == 1
