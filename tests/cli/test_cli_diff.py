"""`widesr diff`: what it says, what it draws, and how it ends."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from facts import names, refusal
from samples import profile, smooth
from widesr.cli import run


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def diff(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> Ran:
        capfd.readouterr()
        code = run(["diff", *(str(arg) for arg in args)])
        return Ran(code, *capfd.readouterr())

    return call


def save(name: str, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array).save(name, **options)
    return Path(name)


def pair() -> tuple[Path, Path]:
    changed = smooth()
    changed[30:34, 40:44] = 255 - changed[30:34, 40:44]
    return save("a.png", smooth()), save("b.png", changed)


def test_it_says_how_two_pictures_differ_and_draws_it(diff):
    a, b = pair()
    ran = diff(a, b)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].split() == ["A", "a.png", "56x40", "RGB", "8", "bit", "no", "profile", "png"]
    assert lines[1].startswith("B  b.png")
    assert names(ran.out, "metadata", "same")
    assert names(ran.out, "different", "0.714 %")
    assert names(ran.out, "dB PSNR-Y", "no border")
    assert names(lines[-1], "a_vs_b.png", "0,0,56x40", "4x")
    with Image.open("a_vs_b.png") as image:
        assert image.mode == "RGB"
        assert image.width == 3 * 480 + 2 * 8


def test_the_place_where_they_differ_most_is_what_is_enlarged(diff):
    a, b = pair()
    ran = diff(a, b, "--json", "--zoom", "64")
    crop = json.loads(ran.out)["crop"]
    assert crop["left"] <= 40 <= crop["left"] + crop["width"]
    assert (crop["width"], crop["height"]) == (7, 7)
    assert abs(crop["left"] + 3 - 42) <= 2
    assert abs(crop["top"] + 3 - 32) <= 2


def test_a_crop_can_be_chosen(diff):
    a, b = pair()
    diff(a, b, "--crop", "10,20,12x8", "--zoom", "3", "-o", "c.png")
    drawing = np.asarray(Image.open("c.png"))
    found = np.asarray(Image.open(a))[20:28, 10:22].repeat(3, axis=0).repeat(3, axis=1)
    assert np.array_equal(drawing[-24:, :36], found)


@pytest.mark.parametrize("name", ["a_vs_b.webp", "c.gif"])
def test_it_can_blink(diff, name):
    a, b = pair()
    ran = diff(a, b, "--blink", *(["-o", name] if name == "c.gif" else []))
    assert names(ran.out.splitlines()[-1], name)
    with Image.open(name) as image:
        assert image.n_frames == 2


def test_identical_pictures_are_said_to_be_and_nothing_is_drawn(diff, tmp_path):
    a, _ = pair()
    b = save("c.tiff", smooth())
    ran = diff(a, b, "--exit-code", "--fail-above", "0")
    assert ran.code == 0
    assert names(ran.out, "identical")
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png", "c.tiff"}


def test_metadata_that_differ_are_named_and_leave_pictures_identical(diff):
    exif = Image.Exif()
    exif[0x010E] = "a picture"
    a, b = save("a.png", smooth()), save("b.png", smooth(), exif=exif, dpi=(300, 300))
    ran = diff(a, b, "--exit-code")
    assert ran.code == 0
    assert names(ran.out, "metadata", "EXIF", "resolution", "B")
    assert names(ran.out, "identical")


def test_numbers_are_there_for_programs(diff, tmp_path):
    a, b = pair()
    found = json.loads(diff(a, b, "--json", "--numbers-only").out)
    gaps = np.abs(np.asarray(Image.open(a)).astype(int) - np.asarray(Image.open(b)))
    assert found["max_levels"] == gaps.max()
    assert found["mean_levels"] == pytest.approx(gaps.mean())
    assert found["share_different"] == pytest.approx((gaps > 0).mean())
    assert found["psnr_rgb"] == pytest.approx(10 * np.log10(255**2 / (gaps**2).mean()))
    assert (found["identical"], found["drawing"], found["metadata"]) == (False, None, {})
    assert found["a"]["mode"] == "RGB"
    assert len(list(tmp_path.iterdir())) == 2


def test_equal_pictures_have_no_infinity_in_json(diff):
    a, _ = pair()
    ran = diff(a, a, "--json")
    found = json.loads(ran.out, parse_constant=pytest.fail)
    assert found["identical"]
    assert found["psnr_y"] is found["psnr_rgb"] is None


def test_an_upscaled_picture_is_compared_with_its_input(diff):
    a = save("a.png", smooth())
    b = save("b.png", np.asarray(Image.open(a).resize((112, 80), Image.Resampling.LANCZOS)))
    ran = diff(a, b)
    assert ran.code == 0
    assert names(ran.out, "A", "2 times", "bicubic", "112x80")


def test_16_bits_are_compared_with_8(diff):
    deep = smooth(channels=1).astype(np.uint16)[..., 0] * 257
    deep[0, 0] += 1
    a, b = save("a.png", smooth(channels=1)[..., 0]), save("b.png", deep)
    ran = diff(a, b)
    assert names(ran.out, "A", "8 bits", 257)
    assert names(ran.out, "different", 0.003891)
    assert names(ran.out, "dB PSNR", "grey")


def test_equal_values_of_another_kind_are_the_same_but_not_identical(diff):
    a = save("a.png", smooth())
    b = save("b.png", np.dstack([smooth(), np.full((40, 56), 255, np.uint8)]))
    ran = diff(a, b, "--exit-code")
    assert names(ran.out, "value", "same")
    assert not names(ran.out, "identical")
    assert ran.code == 1
    assert diff(a, b, "--fail-above", "0").code == 0


def test_profiles_that_differ_are_said(diff):
    a, b = save("a.png", smooth()), save("b.png", smooth(), icc_profile=profile())
    ran = diff(a, b)
    assert names(ran.out, "profiles", "converted", "sRGB")
    assert names(ran.out, "profile", f"{len(profile())} bytes")


def test_the_exit_code_tells_only_where_it_is_asked_to(diff):
    a, b = pair()
    most = json.loads(diff(a, b, "--numbers-only", "--json").out)["max_levels"]
    assert diff(a, b, "--numbers-only").code == 0
    assert diff(a, b, "--numbers-only", "--exit-code").code == 1
    assert diff(a, b, "--numbers-only", "--fail-above", most).code == 0
    ran = diff(a, b, "--numbers-only", "--fail-above", most - 1, "--quiet")
    assert ran == (1, "", "")


def test_a_drawing_is_never_overwritten_unasked_and_an_input_never(diff):
    a, b = pair()
    Path("a_vs_b.png").write_bytes(b"mine")
    ran = diff(a, b)
    assert (ran.code, ran.out) == (1, "")
    refusal(ran.err, "output-exists", "a_vs_b.png")
    assert Path("a_vs_b.png").read_bytes() == b"mine"
    assert diff(a, b, "--overwrite").code == 0
    before = b.read_bytes()
    ran = diff(a, b, "-o", "./b.png", "--overwrite")
    refusal(ran.err, "output-exists", "b.png")
    assert b.read_bytes() == before


@pytest.mark.parametrize(
    ("args", "code", "fact"),
    [
        (["--crop", "1,2,3"], "usage", "crop 1,2,3"),
        (["--crop", "50,0,10x10"], "usage", "56x40"),
        (["--crop", "0,0,0x10"], "usage", "0,0,0x10"),
        (["--zoom", "0"], "usage", "zoom 0"),
        (["--zoom", "65"], "usage", "zoom 65"),
        (["--fail-above", "256"], "usage", "level 256"),
        (["--fail-above", "-1"], "usage", "level -1"),
        (["--numbers-only", "--blink"], "usage", "--numbers-only"),
        (["-o", "c.xyz"], "image-format", ".xyz"),
        (["-o", "c.png", "--blink"], "image-format", ".png"),
        (["-o", "none/c.png"], "image-write", "none"),
        (["--max-pixels", "100"], "image-too-large", "--max-pixels"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(diff, tmp_path, args, code, fact):
    a, b = pair()
    ran = diff(a, b, *args)
    assert ran.code == (2 if code == "usage" else 1)
    refusal(ran.err, code, fact)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_crop_too_large_to_show_is_refused(diff):
    a = save("a.png", np.zeros((1000, 1000), np.uint8))
    b = save("b.png", np.ones((1000, 1000), np.uint8))
    ran = diff(a, b, "--crop", "0,0,1000x1000", "--zoom", "8")
    assert ran.code == 2
    refusal(ran.err, "usage", "--zoom 1")


def test_other_aspects_and_missing_files_are_named_by_their_paths(diff):
    a, _ = pair()
    ran = diff(a, save("turned.png", smooth().transpose(1, 0, 2).copy()))
    assert ran.code == 1
    refusal(ran.err, "data", "a.png", "turned.png", "56x40", "40x56")
    refusal(diff(a, "none.png").err, "image-read", "none.png")


def test_a_link_that_leads_to_itself_is_one_line(diff):
    a, b = pair()
    Path("loop.png").symlink_to("loop.png")
    refusal(diff("loop.png", a).err, "image-read", "loop.png")
    refusal(diff(a, b, "-o", "loop.png").err, "output-exists", "loop.png")
