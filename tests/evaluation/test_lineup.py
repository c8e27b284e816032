"""One picture by several models: each panel is what that model makes of the whole picture."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facts import names, refusal
from widesr.cli import run
from widesr.evaluation.diff.contact import contact_sheet, most_detailed
from widesr.evaluation.diff.difference import Window
from widesr.evaluation.lineup import choose_models, line_up
from widesr.models.catalog import FOR_PICTURES, list_models
from widesr.pictures.picture import Picture
from widesr.upscaling.resize_to import load_upscaler
from widesr.upscaling.target import Target

TINY = str(Path(__file__).parents[1] / "assets" / "tiny-x2.onnx")
NEEDS_MODELS = pytest.mark.skipif(not list_models(), reason="needs the models of the package")


def noise(height, width, channels=3, dtype=np.uint8):
    top = np.iinfo(dtype).max
    shape = (height, width, channels)
    return np.random.default_rng(0).integers(0, top, shape, dtype, endpoint=True)


@pytest.mark.parametrize("model", ["bicubic", TINY])
@pytest.mark.parametrize(
    "window", [Window(150, 90, 20, 30), Window(0, 0, 9, 7), Window(281, 190, 19, 10)]
)
def test_a_window_comes_out_as_in_the_whole_picture(model, window):
    picture = Picture(pixels=noise(200, 300), alpha=noise(200, 300)[..., 0])
    (candidate,) = line_up(picture, scale=2, window=window, models=[model])
    upscaler = load_upscaler(model, target=Target(scale=2))
    whole = upscaler.upscale_picture(picture)
    at = tuple(slice(2 * span.start, 2 * span.stop) for span in window.slices)
    np.testing.assert_array_equal(candidate.picture.pixels, whole.pixels[at])
    np.testing.assert_array_equal(candidate.picture.alpha, whole.alpha[at])
    assert candidate.made_by == upscaler.made_by(200, 300)


def test_the_place_with_most_detail_is_found():
    pixels = np.full((200, 300, 3), 128, np.uint8)
    pixels[120:160, 200:250] = noise(40, 50)
    window = most_detailed(Picture(pixels=pixels), scale=2, side=40)
    assert 190 <= window.left <= 220
    assert 110 <= window.top <= 130
    small = most_detailed(Picture(pixels=pixels[:5, :7, :1]), scale=4, side=40)
    assert small == Window(0, 0, 7, 5)


def test_a_sheet_shows_each_panel_to_the_pixel():
    picture, window = Picture(pixels=noise(60, 90)), Window(10, 20, 30, 25)
    panels = [(f"m{n}", Picture(pixels=noise(50, 60) // (n + 1))) for n in range(4)]
    sheet = contact_sheet(picture, panels, window=window, zoom=3, name="a.png")
    for _, panel in panels:
        shown = panel.pixels.repeat(3, axis=0).repeat(3, axis=1)
        corner = (sheet[:, :, None] == shown[0, 0]).all(axis=-1)[..., 0]
        parts = [sheet[y : y + 150, x : x + 180] for y, x in np.argwhere(corner)]
        assert sum(np.array_equal(part, shown) for part in parts) == 1


@pytest.fixture
def compare(capfd, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise(60, 80)).save("a.png")

    def call(*words):
        capfd.readouterr()
        return run(["compare-models", *map(str, words)]), *capfd.readouterr()

    return call


@NEEDS_MODELS
@pytest.mark.parametrize("scale", [2, 3])
def test_all_models_are_on_one_sheet(compare, scale):
    code, out, err = compare("a.png", "-s", scale, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert [each["model"] for each in told["models"]] == ["bicubic", *FOR_PICTURES]
    assert all(each["seconds"] >= 0 for each in told["models"])
    assert told["sheet"] == f"a_x{scale}_models.png"
    with Image.open(told["sheet"]) as sheet:
        assert sheet.width >= 3 * 480


def test_models_that_do_not_reach_the_scale_are_left_out_or_refused_before_the_work(compare):
    assert choose_models(None, scale=8) == [
        "bicubic", *(each for each in FOR_PICTURES if each != "samples"),
    ]  # fmt: skip
    code, out, err = compare("a.png", "-s", 8, "-n", "bicubic", "-n", "samples")
    assert (code, out) == (2, "")
    refusal(err, "usage", "x8", "x4")


def test_the_models_and_the_place_can_be_chosen(compare):
    words = ["-n", TINY, "-n", "bicubic", "--crop", "5,6,20x10", "--zoom", "1", "-o", "b.webp"]
    code, out, _ = compare("a.png", *words)
    assert code == 0
    assert "tiny-x2" in out
    assert names(out, "b.webp", "5,6,20x10", "a.png", "x2")
    assert Path("b.webp").is_file()
    assert compare("a.png", *words, "--quiet", "--overwrite") == (0, "", "")


@pytest.mark.parametrize(
    ("words", "code", "found"),
    [
        (["no.png"], "image-read", "no.png"),
        (["a.png", "-n", "nosuch"], "model-not-found", "nosuch"),
        (["a.png", "-o", "a.png"], "output-exists", "a.png"),
        (["a.png", "-o", "b.bmp"], "image-format", ".bmp"),
        (["a.png", "--crop", "70,0,20x10"], "usage", "crop 70,0,20x10"),
        (["a.png", "--crop", "0,0,80x60", "--zoom", "64"], "usage", "crop 0,0,80x60"),
        (["a.png", "-s", "5"], "usage", 5),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(compare, words, code, found):
    status, out, err = compare(*words)
    assert (status, out) == (2 if code == "usage" else 1, "")
    refusal(err, code, found)
    assert [path.name for path in Path().iterdir()] == ["a.png"]
