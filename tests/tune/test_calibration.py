"""`widesr calibrate`: right figures on the card, pictures apart, and a graph that stays."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facts import refusal, refused
from widesr.cli import run
from widesr.degrade.named import DEGRADATIONS, photograph_seed
from widesr.engine import find_model, load_engine
from widesr.engine.protocol import Port
from widesr.models.catalog import Loss, ModelFile, read_card, write_card
from widesr.pixels.metrics import psnr
from widesr.tune import calibration as module
from widesr.tune.calibration import PROTOCOL, calibrate, split_photographs
from widesr.upscaling.upscaler import Upscaler

TINY = find_model(str(Path(__file__).parents[1] / "assets" / "tiny-x2.onnx"), scale=2)


@pytest.fixture
def folder(tmp_path):
    """Eight pictures, two of them in a folder in it."""
    random = np.random.default_rng(0)
    for i in range(8):
        path = tmp_path / "data" / ("more" if i > 5 else "") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (41, 60, 3), np.uint8)).save(path)
    return tmp_path / "data"


def test_pictures_are_held_out_by_a_list_or_by_their_names_and_never_on_both_sides(
    folder, tmp_path
):
    listed = tmp_path / "held_out.txt"
    listed.write_text("hr/3.png\n\n# not this\n7.png\n", encoding="utf-8-sig")
    rest, held = split_photographs(folder, listed=listed)
    assert [path.name for path in held] == ["3.png", "7.png"]
    assert [path.name for path in rest] == ["0.png", "1.png", "2.png", "4.png", "5.png", "6.png"]
    rest, held = split_photographs(folder)
    assert (len(rest), len(held)) == (6, 2)
    assert not set(rest) & set(held)


@pytest.mark.parametrize(
    ("lines", "facts"),
    [
        ("gone.png", ["gone.png"]),
        ("# none\n", ["8 photographs", 0]),
        ("\n".join(f"{i}.png" for i in range(8)), ["0 photographs", 8]),
        (None, ["held.txt"]),
    ],
)
def test_a_list_that_is_not_valid_is_refused(folder, tmp_path, lines, facts):
    if lines is not None:
        (tmp_path / "held.txt").write_text(lines)
    with refused("data", *facts):
        split_photographs(folder, listed=tmp_path / "held.txt")


def test_no_folder_and_too_few_pictures_are_refused(tmp_path):
    with refused("data", "none"):
        split_photographs(tmp_path / "none")
    with refused("data", "0"):
        split_photographs(tmp_path)


@pytest.mark.parametrize("degradation", ["bicubic", "realistic"])
def test_losses_are_decibels_of_whole_pictures_against_fp32(folder, degradation):
    pytest.importorskip("openvino")
    trained = TINY.card.model_copy(update={"recipe": "any", "degradation": degradation})
    rest, held = split_photographs(folder)
    card = calibrate(ModelFile(TINY.path, trained), photographs=rest, held_out=held, threads=1)
    assert card.losses
    assert card.ranges
    assert card.model_copy(update={"losses": (), "ranges": {}}) == trained
    for loss in card.losses:
        lost = []
        for path in held:
            hr = np.asarray(Image.open(path))[:40]
            lr = DEGRADATIONS[degradation].shrink(hr, scale=2, seed=photograph_seed(path.name))
            exact, low = (
                Upscaler(load_engine(ModelFile(TINY.path, card), precision=p, threads=1))
                for p in ("fp32", loss.precision)
            )
            qualities = [
                psnr(upscaler(lr), hr, protocol=PROTOCOL, scale=2) for upscaler in (exact, low)
            ]
            lost.append(qualities[0] - qualities[1])
        assert loss.mean == pytest.approx(np.mean(lost), abs=1e-4)
        assert loss.worst == pytest.approx(max(lost), abs=1e-4)
        assert loss.n == 2


def test_what_this_cpu_cannot_compute_in_stays_as_it_was_but_for_int8(folder, monkeypatch):
    pytest.importorskip("openvino")
    old = [Loss(precision=p, mean=1, worst=2, n=3) for p in ("bf16", "fp16", "int8")]
    known = ModelFile(TINY.path, TINY.card.model_copy(update={"losses": tuple(old)}))
    settings = module._settings("auto", "auto", has_ranges=True, threads=1)
    monkeypatch.setattr(module, "_settings", lambda *_, **__: {"fp32": settings["fp32"]})
    rest, held = split_photographs(folder)
    card = calibrate(known, photographs=rest, held_out=held, threads=1)
    assert list(card.losses) == old[:2]


def test_one_precision_is_measured_anew_and_the_others_stay(folder):
    pytest.importorskip("openvino")
    old = [Loss(precision=p, mean=1, worst=2, n=3) for p in ("bf16", "fp16", "int8")]
    facts = {"losses": tuple(old), "ranges": {"x": (1.0, 2.0)}}
    known = ModelFile(TINY.path, TINY.card.model_copy(update=facts))
    rest, held = split_photographs(folder)
    settings = module._settings("auto", "auto", has_ranges=False, threads=1)
    precision = "bf16" if "bf16" in settings else "fp16"
    card = calibrate(known, photographs=rest, held_out=held, threads=1, precision=precision)
    assert card.ranges == known.card.ranges
    assert [each for each in card.losses if each.n == 3] == [
        each for each in old if each.precision != precision
    ]


def test_a_network_for_clips_is_refused_before_its_ranges_are_sought(folder, monkeypatch):
    engine = load_engine(TINY, precision="fp32", threads=1)
    engine.inputs = (Port("lr", 9),)
    monkeypatch.setattr(module, "load_engine", lambda *_, **__: engine)
    # OpenVINO would read nine channels where only three are.
    monkeypatch.setattr(module, "find_ranges", lambda *_, **__: pytest.fail("ranges were sought"))
    with refused("model-file", 9):
        photographs = sorted(folder.glob("*.png"))
        calibrate(TINY, photographs=photographs[:2], held_out=photographs[2:], threads=1)


def test_the_middle_of_a_photograph_does_not_hold_the_rest_in_memory():
    for part in module._middle(
        np.zeros((300, 300, 3), np.uint8), np.zeros((600, 600, 3), np.uint8)
    ):
        assert part.base is None


def test_a_model_of_clips_is_judged_on_clips_of_the_photographs_and_has_no_int8():
    pytest.importorskip("openvino")
    photographs = sorted((Path(__file__).parents[2] / "examples").glob("*.jpg"))
    video = find_model("video", scale=4)
    bare = ModelFile(video.path, video.card.model_copy(update={"losses": ()}))
    card = calibrate(bare, photographs=photographs[1:], held_out=photographs[:1], threads=1)
    assert card.losses
    assert {loss.precision for loss in card.losses} <= {"bf16", "fp16"}
    assert all(loss.n == 1 and abs(loss.mean) < 0.05 for loss in card.losses)
    assert not card.ranges
    with refused("usage", "int8"):
        calibrate(bare, photographs=photographs, held_out=photographs, precision="int8")


def test_the_loss_in_fp32_is_not_measured(folder):
    rest, held = split_photographs(folder)
    with refused("usage"):
        calibrate(TINY, photographs=rest, held_out=held, precision="fp32")


def test_a_card_is_written_and_all_else_stays_byte_for_byte(tmp_path):
    onnx = pytest.importorskip("onnx")
    card = TINY.card.model_copy(update={"notes": "ä" * 300, "ranges": {"x": (1.5, 2.0)}})
    out = tmp_path / "out.onnx"
    write_card(TINY, card, out=out)
    assert read_card(out) == card
    before, after = onnx.load(TINY.path), onnx.load(out)
    assert len(after.metadata_props) == len(before.metadata_props)
    del before.metadata_props[:], after.metadata_props[:]
    assert before.SerializeToString(deterministic=True) == after.SerializeToString(
        deterministic=True
    )
    write_card(ModelFile(out, card), TINY.card, out=out)
    assert read_card(out) == TINY.card
    assert out.stat().st_size < TINY.path.stat().st_size + 300  # defaults are spelt out


def test_entries_of_others_in_the_metadata_stay(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(TINY.path)
    for key in ("author", "widesr2"):
        model.metadata_props.add(key=key, value="someone")
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    write_card(ModelFile(path, TINY.card), TINY.card, out=path)
    keys = [prop.key for prop in onnx.load(path).metadata_props]
    assert sorted(keys) == ["author", "widesr", "widesr2"]


def test_the_command_writes_the_card_and_says_what_is_lost(folder, tmp_path, capsys):
    pytest.importorskip("openvino")
    out = tmp_path / "out.onnx"
    command = ["calibrate", str(TINY.path), "--data", str(folder), "-o", str(out)]
    assert run([*command, "--threads", "1"]) == 0
    said, err = capsys.readouterr()
    assert err == ""
    card = read_card(out)
    assert f"{TINY.path} -> {out}  {len(card.ranges)} ranges" in said
    assert [line.split()[0] for line in said.splitlines()[2:]] == [x.precision for x in card.losses]
    assert run(command) == 1
    refusal(capsys.readouterr().err, "output-exists", out)
    assert run(["models", "show", str(out)]) == 0
    said = capsys.readouterr().out
    assert "loss" in said
    assert f"int8              {len(card.ranges)} convolutions" in said
    assert run(["calibrate", str(out), "--data", str(folder), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "code", "fact"),
    [
        (["none.onnx", "--data", "."], "model-file", "none.onnx"),
        ([str(TINY.path), "--data", "no-folder"], "data", "no-folder"),
        ([str(TINY.path), "--data", ".", "-o", "no/x.onnx"], "usage", "no/x.onnx"),
        ([str(TINY.path)], "usage", "--data"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path, monkeypatch, capsys, options, code, fact):
    monkeypatch.chdir(tmp_path)
    assert run(["calibrate", *options]) == (2 if code == "usage" else 1)
    out, err = capsys.readouterr()
    assert out == ""
    refusal(err, code, fact)
    assert list(tmp_path.iterdir()) == []


def test_without_openvino_it_says_what_to_install(folder, monkeypatch):
    monkeypatch.setattr("widesr.engine.graph.start_openvino", _no_openvino)
    rest, held = split_photographs(folder)
    with refused("missing-extra", "'widesr[openvino]'"):
        calibrate(TINY, photographs=rest, held_out=held)


def _no_openvino():
    raise ImportError


def test_the_list_of_models_says_what_each_precision_costs(capsys):
    assert run(["models", "--verbose"]) == 0
    _, costs = capsys.readouterr().out.split("fp32, dB")
    head, *lines = costs.split("\n\n")[0].splitlines()
    assert head.split() == ["bf16", "fp16", "int8"]
    assert len(lines) > 2
    for line in lines:
        cost = r" +-?0\.\d{3} / -?0\.\d{3}"  # fp16 is measured on CPUs that compute in it alone
        # int8 is for models of pictures alone.
        assert re.search(rf"x\d{cost}({cost}| +not measured)({cost}| +not measured)$", line)
    assert run(["models"]) == 0
    assert "fp32" not in capsys.readouterr().out


def test_a_picture_that_comes_out_without_any_error_is_refused_by_name(folder, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setattr(module, "psnr", lambda *_, **__: float("inf"))
    rest, held = split_photographs(folder)
    with refused("data", ".png"):
        calibrate(TINY, photographs=rest, held_out=held)


def test_pictures_of_16_bits_and_too_small_ones_are_refused_by_name(folder, tmp_path):
    pytest.importorskip("openvino")
    deep, small = tmp_path / "deep.png", tmp_path / "small.png"
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(deep)
    Image.fromarray(np.zeros((1, 40), np.uint8)).save(small)
    tiny = tmp_path / "tiny.png"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tiny)
    rest, held = split_photographs(folder)
    with refused("data", deep, "16-bit"):
        calibrate(TINY, photographs=[deep], held_out=held)
    for path in (small, tiny):
        with refused("data", path):
            calibrate(TINY, photographs=rest, held_out=[path])
