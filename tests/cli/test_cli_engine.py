"""`widesr upscale` and what computes: engines, precisions, devices, models of other makers."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facts import refusal
from widesr.cli import run
from widesr.cli.terminal import print_note
from widesr.engine import choice
from widesr.system.machine import Cpu, cpu

TINY = Path(__file__).parents[1] / "assets" / "tiny-x2.onnx"


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def upscaled(picture, *options, suffix="_x2"):
    """The pixels that a run makes; they are gone from the disk after it."""
    assert run(["upscale", str(picture), "--quiet", *options]) == 0
    out = picture.with_name(f"{picture.stem}{suffix}.png")
    pixels = np.asarray(Image.open(out)).astype(int)
    out.unlink()
    return pixels


def test_every_engine_and_precision_gives_almost_the_same_picture(picture):
    pytest.importorskip("openvino")
    exact = upscaled(picture, "--backend", "onnxruntime")
    assert exact.shape == (80, 120, 3)
    other = upscaled(picture, "--backend", "openvino", "--precision", "fp32")
    assert (other != exact).mean() <= 2e-4
    assert abs(other - exact).max() <= 1
    assert abs(upscaled(picture) - exact).max() <= 4
    if "amx_bf16" in cpu().flags:
        np.testing.assert_array_equal(upscaled(picture, "--precision", "bf16"), upscaled(picture))


def test_fast_is_int8_and_refused_where_the_cpu_has_none(picture, monkeypatch, capfd):
    pytest.importorskip("openvino")
    if cpu().flags & {"amx_int8", "avx512_vnni", "avx_vnni"}:
        in_int8 = upscaled(picture, "--precision", "int8")
        exact = upscaled(picture, "--precision", "fp32")
        assert (in_int8 != exact).any()
        assert abs(in_int8 - exact).mean() < 3  # it is noise, which no photograph is
        monkeypatch.setattr(choice, "cpu", lambda: cpu()._replace(flags={"avx512_vnni"}))
        np.testing.assert_array_equal(upscaled(picture, "--fast"), in_int8)
    monkeypatch.setattr(choice, "cpu", lambda: Cpu("GenuineIntel", frozenset({"avx2"})))
    assert run(["upscale", str(picture), "--fast"]) == 2
    refusal(capfd.readouterr().err, "usage", "CPU", "int8", "avx_vnni")


def test_fast_is_bf16_where_that_is_faster(picture):
    pytest.importorskip("openvino")
    if "amx_bf16" not in cpu().flags:
        pytest.skip("needs a CPU with AMX")
    np.testing.assert_array_equal(
        upscaled(picture, "--fast"), upscaled(picture, "--precision", "bf16")
    )


def test_fast_is_refused_for_a_model_that_was_not_calibrated(picture, monkeypatch, capfd):
    pytest.importorskip("openvino")
    monkeypatch.setattr(choice, "cpu", lambda: Cpu("GenuineIntel", frozenset({"avx_vnni"})))
    assert run(["upscale", str(picture), "--fast", "-n", str(TINY)]) == 2
    refusal(capfd.readouterr().err, "usage", "tiny-x2", "int8")


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        (["--backend", "tensorflow"], "'tensorflow'"),
        (["--precision", "int3"], "'int3'"),
        (["--fast", "--precision", "bf16"], "--fast and --precision bf16"),
        (["--precision", "int8", "--backend", "onnxruntime"], "openvino"),
        (["--device", "tpu"], "'tpu'"),
        (["--backend", "onnxruntime", "--precision", "bf16"], "openvino"),
        (["--device", "cuda", "--backend", "openvino"], "cuda"),
    ],
)
def test_what_is_not_valid_is_one_line_and_nothing_is_written(picture, capfd, options, fact):
    assert run(["upscale", str(picture), *options]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    refusal(err, "usage", fact)
    assert list(picture.parent.iterdir()) == [picture]


def test_a_model_of_another_maker_needs_no_card(picture, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(TINY)
    del model.metadata_props[:]
    foreign = tmp_path / "foreign.onnx"
    onnx.save(model, foreign)
    options = ("--precision", "fp32", "-t", "16")
    mine, other = (
        upscaled(picture, "-n", str(path), *options, suffix=f"_x2_{path.stem}")
        for path in (TINY, foreign)
    )
    np.testing.assert_array_equal(mine, other)


def test_a_note_is_for_eyes_only(monkeypatch, capsys):
    print_note("be fast")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    print_note("")
    assert capsys.readouterr() == ("", "")
    print_note("be fast")
    assert capsys.readouterr() == ("", "widesr: note: be fast\n")
