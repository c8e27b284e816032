"""Curves can be drawn of a run, of one that was killed and resumed too."""

import json
import sys

import numpy as np
import pytest

from facts import refused
from widesr.train import logs
from widesr.train.logs import open_logs
from widesr.train.loop import train
from widesr.train.recipe import load_recipe

pytestmark = pytest.mark.train

SHEET = np.zeros((5, 9, 3), np.uint8)


def steps_of(folder):
    return [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_log_goes_on_where_the_state_stands(tmp_path):
    with open_logs(tmp_path, step=0, tensorboard=False) as write:
        for step in (4, 8, 12):
            write({"step": step}, SHEET)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 16, "lo')  # killed while it wrote
    with open_logs(tmp_path, step=8, tensorboard=False) as write:
        write({"step": 12}, SHEET)
    assert steps_of(tmp_path) == [4, 8, 12]


@pytest.mark.parametrize(
    "line", [b"\0" * 9, b'{"step": 5\xff}', b"[1]", b"{}", b"", b"[" * 100_000]
)
def test_a_damaged_line_of_a_log_is_named_and_nothing_is_lost(tmp_path, line):
    log = tmp_path / "log.jsonl"
    log.write_bytes(b'{"step": 4}\n' + line + b'\n{"step": 12}\n')
    before = log.read_bytes()
    with refused("checkpoint", log, "line 2"), open_logs(tmp_path, step=8, tensorboard=False):
        pass
    assert log.read_bytes() == before


def test_a_file_in_place_of_tensorboards_folder_is_one_line(tmp_path):
    pytest.importorskip("tensorboard", reason="needs the `tensorboard` extra")
    (tmp_path / "tensorboard").touch()
    with (
        refused("checkpoint", tmp_path / "tensorboard"),
        open_logs(tmp_path, step=0, tensorboard=True),
    ):
        pass


def test_a_log_that_takes_nothing_more_is_one_line(tmp_path, monkeypatch):
    def full(path, lines):
        raise OSError(28, "No space left")

    with open_logs(tmp_path, step=0, tensorboard=False) as write:
        monkeypatch.setattr(logs, "append_whole", full)
        with refused("checkpoint", tmp_path / "log.jsonl", "No space left"):
            write({"step": 4}, SHEET)


def test_without_tensorboard_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with (
        refused("missing-extra", "'widesr[tensorboard]'"),
        open_logs(tmp_path, step=0, tensorboard=True),
    ):
        pass


def test_tensorboard_shows_each_step_once_also_of_a_run_that_was_resumed(
    photographs, recipe_file, tmp_path
):
    pytest.importorskip("tensorboard", reason="needs the `tensorboard` extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tensorboard = ("validate_every = 4", "validate_every = 4\ntensorboard = true")
    recipe = load_recipe(recipe_file(tensorboard))

    class KilledError(Exception):
        pass

    def kill(progress):
        if progress.step == 12:
            raise KilledError

    out = tmp_path / "run"
    with pytest.raises(KilledError):
        train(recipe, data=photographs, out=out, threads=1, on_progress=kill)
    train(recipe, data=photographs, out=out, threads=1, resume=True)
    found = EventAccumulator(str(out / "tensorboard"), size_guidance={"images": 0}).Reload()
    assert {"loss", "psnr", "learning_rate", "gradient_norm", "data_wait"} <= set(
        found.Tags()["scalars"]
    )
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    for name in ("loss", "psnr"):
        drawn = [(event.step, event.value) for event in found.Scalars(name)]
        assert drawn == [(line["step"], pytest.approx(line[name], rel=1e-6)) for line in log]
    assert [event.step for event in found.Images("validation")] == [4, 8, 12]
