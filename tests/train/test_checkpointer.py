"""Files that a run leaves in its folder: the last and the best, whole whatever happens."""

import errno
import json
import os
import signal

import numpy as np
import pytest
from PIL import Image

from facts import refused
from widesr.pixels.metrics import PROTOCOLS, psnr
from widesr.pixels.resize import imresize
from widesr.train import checkpointer, writing
from widesr.train.checkpoint import list_states, load_newest_state, load_weights
from widesr.train.loop import prepare, train
from widesr.train.photographs import load_photographs
from widesr.train.recipe import load_recipe
from widesr.train.validation import Validated, bicubic_psnr, draw_sheet, validate

pytestmark = pytest.mark.train


@pytest.fixture
def recipe(recipe_file):
    return load_recipe(recipe_file())


def validating_as(monkeypatch, scores):
    """Let validations find given scores, one after the other."""
    left = iter(scores)
    real = checkpointer.validate

    def found(*arguments, **options):
        made = real(*arguments, **options)
        return made._replace(scores=made.scores._replace(psnr=next(left)))

    monkeypatch.setattr(checkpointer, "validate", found)


def test_the_best_weights_and_the_last_are_kept(recipe, photographs, tmp_path, monkeypatch):
    validating_as(monkeypatch, [20.0, 30.0, 25.0])
    out = tmp_path / "run"
    assert train(recipe, data=photographs, out=out, threads=1) == out / "tiny-x2.safetensors"
    last, best = (load_weights(out / f"tiny-x2{end}.safetensors")[1] for end in ("", ".best"))
    assert (last.steps, last.validation_psnr) == (12, 25.0)
    assert (best.steps, best.validation_psnr) == (8, 30.0)
    assert (out / "tiny-x2.png").read_bytes() != (out / "tiny-x2.best.png").read_bytes()
    assert sorted(path.name for path in out.iterdir()) == [
        "log.jsonl", "state-000000004.safetensors", "state-000000008.safetensors",
        "state-000000012.safetensors", "tiny-x2.best.png", "tiny-x2.best.safetensors",
        "tiny-x2.png", "tiny-x2.safetensors",
    ]  # fmt: skip


def test_what_was_best_is_remembered_by_a_resumed_run(recipe, photographs, tmp_path, monkeypatch):
    validating_as(monkeypatch, [30.0, 20.0, 25.0, 26.0])
    out = tmp_path / "run"
    train(recipe, data=photographs, out=out, threads=1)
    list_states(out)[-1].unlink()
    train(recipe, data=photographs, out=out, threads=1, resume=True)
    assert load_weights(out / "tiny-x2.best.safetensors")[1].steps == 4
    assert load_weights(out / "tiny-x2.safetensors")[1].validation_psnr == 26.0


def test_a_log_line_says_how_the_run_does(recipe, photographs, tmp_path):
    train(recipe, data=photographs, out=tmp_path / "run", threads=1)
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert len(lines) == 3
    for line in map(json.loads, lines):
        assert line["gradient_norm"] > 0
        assert 0 <= line["data_wait"] <= 1
        assert line["rewinds"] == 0
        assert line["learning_rate"] >= 0


@pytest.mark.parametrize("ends", [".safetensors", "state-000000008.safetensors", ".png"])
def test_a_disk_that_fills_leaves_what_was_there_and_the_run_goes_on_later(
    recipe, photographs, tmp_path, monkeypatch, ends
):
    out = tmp_path / "run"
    train(recipe, data=photographs, out=tmp_path / "whole", threads=1)
    real = writing.whole_file

    def full(path, *, overwrite):
        if path.name.endswith(ends) and any(out.glob("state-*")):
            raise OSError(28, "No space left")
        return real(path, overwrite=overwrite)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "whole_file", full)
        patch.setattr("widesr.pictures.sources.whole_file", full)
        with refused("checkpoint", "No space left"):
            train(recipe, data=photographs, out=out, threads=1)
    assert load_newest_state(out)[1]["step"] == 4
    assert not list(out.glob(".widesr-*"))
    train(recipe, data=photographs, out=out, threads=1, resume=True)
    whole, parts = (tmp_path / name / "tiny-x2.safetensors" for name in ("whole", "run"))
    ours, theirs = (load_newest_state(path.parent)[0] for path in (whole, parts))
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_a_folder_that_cannot_be_made_is_one_line(recipe, photographs, tmp_path):
    (tmp_path / "file").write_text("mine")
    with refused("checkpoint", tmp_path / "file" / "run", os.strerror(errno.ENOTDIR)):
        train(recipe, data=photographs, out=tmp_path / "file" / "run", threads=1)


@pytest.mark.parametrize("phase", ["validate", "draw_sheet", "save_weights", "save_state"])
def test_ctrl_c_at_a_validation_ends_the_run_after_it(
    recipe, photographs, tmp_path, monkeypatch, phase
):
    real = getattr(checkpointer, phase)

    def interrupted(*arguments, **options):
        signal.raise_signal(signal.SIGINT)
        monkeypatch.setattr(checkpointer, phase, real)
        return real(*arguments, **options)

    monkeypatch.setattr(checkpointer, phase, interrupted)
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(recipe, data=photographs, out=out, threads=1)
    assert load_newest_state(out)[1]["step"] == 4
    assert load_weights(out / "tiny-x2.safetensors")[1].steps == 4


@pytest.mark.parametrize(
    "phase", ["loop.prepare", "photographs.load_photographs", "loop.list_states"]
)
def test_ctrl_c_before_the_first_step_leaves_nothing(
    recipe, photographs, tmp_path, monkeypatch, phase
):
    def interrupted(*arguments, **options):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(f"widesr.train.{phase}", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, data=photographs, out=tmp_path / "run", threads=1)
    assert not (tmp_path / "run").exists()


def test_a_run_begins_where_there_is_none_to_go_on_with(recipe, photographs, tmp_path):
    out = tmp_path / "run"
    train(recipe, data=photographs, out=out, threads=1, resume="auto")
    state = list_states(out)[-1].read_bytes()
    train(recipe, data=photographs, out=out, threads=1, resume="auto")
    assert list_states(out)[-1].read_bytes() == state


def test_a_process_that_torchrun_started_anew_goes_on(recipe, photographs, tmp_path, monkeypatch):
    out = tmp_path / "run"
    train(recipe, data=photographs, out=out, threads=1)
    with refused("checkpoint") as caught:
        train(recipe, data=photographs, out=out, threads=1)
    assert caught.value.options == ("resume=True", "out")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    train(recipe, data=photographs, out=out, threads=1)


# ---- validation --------------------------------------------------------------------------------


def test_a_sheet_shows_bicubic_the_network_and_the_truth(recipe, photographs, tmp_path):
    run = prepare(recipe, init=None, threads=1, device="cpu")
    held_out = load_photographs(photographs, recipe).held_out
    found = validate(run.ema, held_out, device=run.device)
    sheet = draw_sheet(run.ema, held_out, found.pictures)
    assert sheet.dtype == np.uint8
    assert sheet.shape[2] == 3
    (pair,) = held_out
    side = min(192, *pair.hr.shape[:2])
    parts = [sheet[32 : 32 + side, left : left + side] for left in (0, 200, 400)]
    whole = [imresize(pair.lr, scale=2), found.pictures[0], pair.hr]
    for part, picture in zip(parts, whole, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(picture, (side, side, 3))
        assert (windows == part).all(axis=(3, 4, 5)).any()


def test_validation_is_the_mean_over_the_photographs(recipe, photographs):
    run = prepare(recipe, init=None, threads=1, device="cpu")
    loaded = load_photographs(photographs, recipe)
    pairs = [*loaded.held_out, *(pair for pair in loaded.training)]
    found = validate(run.ema, pairs, device=run.device)
    assert isinstance(found, Validated)
    scores = [
        psnr(picture, pair.hr, protocol=PROTOCOLS["benchmark-y"], scale=2)
        for picture, pair in zip(found.pictures, pairs, strict=True)
    ]
    assert found.scores.psnr == pytest.approx(np.mean(scores))


def test_a_picture_that_is_met_exactly_has_100_db(recipe, photographs):
    (pair,) = load_photographs(photographs, recipe).held_out
    white = pair._replace(lr=np.full_like(pair.lr, 255), hr=np.full_like(pair.hr, 255))
    one, both = (bicubic_psnr(pairs, scale=2) for pairs in ([pair], [pair, white]))
    assert both == pytest.approx((one + 100) / 2)


def test_a_sheet_is_a_picture_file(recipe, photographs, tmp_path):
    train(recipe, data=photographs, out=tmp_path / "run", threads=1)
    with Image.open(tmp_path / "run" / "tiny-x2.png") as sheet:
        assert sheet.mode == "RGB"
        assert sheet.width == 3 * 192 + 2 * 8
