"""Sizes on the command line: what people type, and the pictures, names and lines that they get."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from disk import decoded
from facts import refusal
from widesr.cli import run
from widesr.pixels.resize import imresize

TINY = Path(__file__).parents[1] / "assets" / "tiny-x2.onnx"


@pytest.fixture
def upscale(capfd, monkeypatch, tmp_path):
    """Run `widesr upscale` in an empty folder; gives the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*args):
        capfd.readouterr()
        return (run(["upscale", *map(str, args)]), *capfd.readouterr())

    return call


def save(path, *, width=30, height=20, mode="RGB"):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width, len(mode)) if len(mode) > 1 else (height, width)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.mark.parametrize(
    ("words", "name", "size"),
    [
        (["-s", "1.5"], "a_x1.5_bicubic.png", (30, 45)),
        (["-s", "1.50"], "a_x1.5_bicubic.png", (30, 45)),
        (["-s", "2.0"], "a_x2_bicubic.png", (40, 60)),
        (["-s", "5"], "a_x5_bicubic.png", (100, 150)),
        (["-s", "4.01"], "a_x4.01_bicubic.png", (80, 120)),
        (["-s", "8"], "a_x8_bicubic.png", (160, 240)),
        (["-s", "0.5"], "a_x0.5_bicubic.png", (10, 15)),
        (["--outscale", "3.3"], "a_x3.3_bicubic.png", (66, 99)),
        (["--width", "100"], "a_100w_bicubic.png", (67, 100)),
        (["--height", "33"], "a_33h_bicubic.png", (33, 50)),
        (["--longest", "64"], "a_64px_bicubic.png", (43, 64)),
        (["--fit", "64x40"], "a_64x40_bicubic.png", (40, 60)),
        (["--fit", "44X400"], "a_44x400_bicubic.png", (29, 44)),
        (["--width", "100", "--suffix", "_web"], "a_web.png", (67, 100)),
    ],
)
def test_bicubic_gives_every_size_to_the_pixel_and_the_name_says_it(upscale, words, name, size):
    pixels = save("a.png")
    code, out, err = upscale("a.png", "-n", "bicubic", *words)
    assert (code, err) == (0, "")
    sizes = f"30x20 -> {size[1]}x{size[0]}"
    assert re.fullmatch(rf"a\.png -> {re.escape(name)}  {sizes}  bicubic  \d+\.\d s\n", out)
    np.testing.assert_array_equal(decoded(name), imresize(pixels, size=size))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
def test_a_network_is_run_and_then_shrunk_in_every_mode(upscale, mode):
    save("a.png", mode=mode)
    code, out, err = upscale("a.png", "-n", TINY, "-s", 1.5)
    assert (code, err) == (0, "")
    assert "  30x20 -> 45x30  tiny-x2 then bicubic  " in out
    made = decoded("a_x1.5_tiny-x2.png")
    assert made.shape == (30, 45, len(mode))[: 2 if mode == "L" else 3]
    if mode in ("RGB", "L"):
        upscale("a.png", "-n", TINY, "-o", "twice.png")
        np.testing.assert_array_equal(made, imresize(decoded("twice.png"), size=(30, 45)))


def test_a_16_bit_picture_keeps_its_depth_at_any_size(upscale):
    deep = np.random.default_rng(1).integers(0, 200, (20, 30)).astype(np.uint16)
    Image.fromarray(deep).save("deep.png")
    assert upscale("deep.png", "-n", "bicubic", "--width", 41)[0] == 0
    made = decoded("deep_41w_bicubic.png")
    np.testing.assert_array_equal(made, imresize(deep, size=(27, 41)))


def test_a_size_that_the_network_gives_is_the_native_picture_to_the_byte(upscale):
    save("a.png")
    assert upscale("a.png", "-n", TINY)[0] == 0
    for words in (["-s", "2"], ["--width", "60"], ["--fit", "60x99"]):
        code, out, _ = upscale("a.png", "-n", TINY, *words, "-o", "b.png", "--overwrite")
        assert code == 0
        assert "  tiny-x2  " in out
        assert Path("b.png").read_bytes() == Path("a_x2_tiny-x2.png").read_bytes()


def test_in_a_folder_each_picture_takes_what_its_own_size_needs(upscale):
    save("in/small.png", width=25)
    save("in/wide.png", width=100)
    save("in/exact.png", width=20)
    save("in/tiny.png", width=4)
    code, out, err = upscale("in", "-n", TINY, "--width", 40, "--json")
    rows = {row["output"]: row for row in map(json.loads, out.splitlines())}
    assert {name: (row["model"], row["output_width"]) for name, row in rows.items()} == {
        "in_40w_tiny-x2/exact.png": ("tiny-x2", 40),
        "in_40w_tiny-x2/small.png": ("tiny-x2 then bicubic", 40),
        "in_40w_tiny-x2/wide.png": ("bicubic", 40),
        "in_40w_tiny-x2/tiny.png": ("tiny-x2", None),
    }
    assert code == 3
    refusal(err, "usage", "in/tiny.png", "10 times", "4x20")
    assert sorted(path.name for path in Path("in_40w_tiny-x2").iterdir()) == [
        "exact.png", "manifest.jsonl", "small.png", "wide.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["-s", "9"], "scale 9"),
        (["-s", "8.01"], "scale 8.01"),
        (["-s", "0"], "scale 0"),
        (["-s", "-2"], "scale -2"),
        (["-s", "1,5"], "scale 1,5"),
        (["-s", "nan"], "scale nan"),
        (["-s", "1e1"], "scale 1e1"),
        (["-s", "9" * 5000], "scale 999"),
        (["--width", "0"], "width 0"),
        (["--height", "12.5"], "height 12.5"),
        (["--longest", "big"], "longest big"),
        (["--fit", "1920"], "fit 1920"),
        (["--fit", "0x9"], "fit 0x9"),
        (["--fit", "1x2x3"], "fit 1x2x3"),
        (["--fit", ""], "fit "),
        (["--width", "9", "-s", "2"], "-s and --width"),
        (["--height", "9", "--fit", "9x9"], "--height and --fit"),
        (["-n", TINY, "-s", "2.5"], "x2.5"),
    ],
)
def test_sizes_that_are_not_valid_are_one_line_with_exit_code_2(upscale, words, found):
    save("a.png")
    code, out, err = upscale("a.png", "-n", "bicubic", *words)
    assert (code, out) == (2, "")
    assert found in refusal(err, "usage")
    assert [path.name for path in Path().iterdir()] == ["a.png"]
