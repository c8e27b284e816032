"""Samples of files: names, what goes along, what is refused, and nothing half done."""

import json

import numpy as np
import pytest
from PIL import Image, ImageCms

from facts import refusal
from widesr.cli import run
from widesr.pictures.reading import read_picture
from widesr.pixels.consistency import lr_psnr
from widesr.upscaling.sampling import variance_map


@pytest.fixture
def photo(tmp_path):
    """A small picture with alpha and a profile."""
    pixels = np.random.default_rng(0).integers(60, 200, (20, 24, 4), np.uint8)
    path = tmp_path / "photo.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels).save(path, icc_profile=profile)
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_samples_lie_beside_the_picture_with_a_map(photo, capsys):
    assert run(["samples", str(photo), "--count", "3", "--seed", "1", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["seeds"] == [1, 2, 3]
    assert (found["status"], found["output_width"], found["output_height"]) == ("done", 96, 80)
    made = [f"photo_x4_{i}.png" for i in (1, 2, 3)]
    assert names(photo.parent) == sorted(["photo.png", *made, "photo_x4_variance.png"])
    before = read_picture(photo)
    pictures = [read_picture(photo.with_name(name)) for name in made]
    for each in pictures:
        assert each.icc == before.icc
        assert each.alpha is not None
    assert np.array_equal(
        read_picture(photo.with_name("photo_x4_variance.png")).pixels[..., 0],
        variance_map(pictures),
    )
    # One of them again, alone: by its seed, in two threads and tiles.
    alone = ["--count", "1", "--seed", "2", "--threads", "2", "--tile", "16"]
    assert run(["samples", str(photo), *alone, "-o", str(photo.with_name("again.png"))]) == 0
    again = read_picture(photo.with_name("again_1.png"))
    assert np.array_equal(again.pixels, pictures[1].pixels)
    assert not photo.with_name("again_variance.png").exists()


def test_16_bits_stay_and_shrink_back(tmp_path):
    pixels = np.random.default_rng(0).integers(2**14, 2**15, (20, 20), np.uint16)
    Image.fromarray(pixels).save(tmp_path / "deep.png")
    assert run(["samples", str(tmp_path / "deep.png"), "--count", "2", "--quiet"]) == 0
    made = read_picture(tmp_path / "deep_x4_2.png").pixels
    assert made.dtype == np.uint16
    assert lr_psnr(made[..., 0], pixels) > 60


def test_a_folder_goes_into_a_folder_by_the_names_of_the_challenge_too(photo, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    photo.rename(folder / "photo.png")
    assert run(["samples", str(folder), "--count", "2", "--quiet"]) == 0
    assert names(tmp_path / "in_x4") == ["photo_1.png", "photo_2.png", "photo_variance.png"]
    out = tmp_path / "out"
    told = ["--count", "2", "--quiet", "--challenge", "-o", f"{out}/"]
    assert run(["samples", str(folder), *told]) == 0
    assert set(names(out)) > {"000000_sample00000.png", "000000_sample00001.png"}


def test_nothing_is_overwritten_and_nothing_half_done(photo, capsys):
    kept = photo.with_name("photo_x4_variance.png")
    kept.write_bytes(b"mine")
    assert run(["samples", str(photo), "--count", "2"]) == 1
    refusal(capsys.readouterr().err, "output-exists", kept)
    assert names(photo.parent) == ["photo.png", "photo_x4_variance.png"]
    assert run(["samples", str(photo), "--count", "2", "--overwrite", "--quiet"]) == 0
    assert kept.read_bytes() != b"mine"
    photo.rename(photo.with_name("a.png"))
    for name in ("a_x4_1.png", "photo_x4_1.png", "photo_x4_2.png"):
        Image.new("RGB", (20, 20)).save(photo.with_name(name))
    inputs = [str(photo.with_name(name)) for name in ("a.png", "a_x4_1.png")]
    before = photo.with_name("a_x4_1.png").read_bytes()
    assert run(["samples", *inputs, "--count", "1", "--overwrite", "--quiet"]) == 3
    assert "error[output-exists]" in capsys.readouterr().err
    assert photo.with_name("a_x4_1.png").read_bytes() == before


def test_two_pictures_do_not_share_a_map(photo, tmp_path, capsys):
    other = photo.with_suffix(".tif")
    Image.new("RGB", (20, 20)).save(other)
    single = tmp_path / "single.png"
    Image.new("RGB", (20, 20)).save(single)
    told = ["--count", "2", "--overwrite", "--quiet", "-o", f"{tmp_path / 'out'}/"]
    assert run(["samples", str(photo), str(other), str(single), *told]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1] for line in lines] == [" error[usage]"] * 2
    assert all("photo_variance.png" in line for line in lines)
    assert names(tmp_path / "out") == ["single_1.png", "single_2.png", "single_variance.png"]


def test_what_is_no_single_picture_is_one_line_each(photo, capsys):
    frames = [Image.new("RGB", (20, 20), (i, 0, 0)) for i in (0, 99)]
    clip = photo.with_name("clip.gif")
    frames[0].save(clip, save_all=True, append_images=frames[1:])
    empty = photo.with_name("empty.png")
    empty.touch()
    assert run(["samples", str(clip), str(empty), "--json"]) == 1
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 2
    assert [json.loads(line)["error"]["code"] for line in out.splitlines()] == [
        "image-format",
        "image-read",
    ]
    assert names(photo.parent) == ["clip.gif", "empty.png", "photo.png"]


@pytest.mark.parametrize(
    ("wrong", "fact"),
    [(["-n", "best"], "best"), (["--count", "0"], "count 0"),
     (["--temperature", "-1"], "--temperature")],
)  # fmt: skip
def test_what_means_nothing_is_refused_before_any_work(photo, capsys, wrong, fact):
    assert run(["samples", str(photo), *wrong]) == 2
    refusal(capsys.readouterr().err, "usage", fact)
    assert names(photo.parent) == ["photo.png"]
