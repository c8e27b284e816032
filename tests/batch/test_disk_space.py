"""A run that cannot fit on its disk is refused before it begins, and no other."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facts import refused
from widesr.batch.disk_space import check_space, decoded_bytes
from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_header, read_picture
from widesr.pictures.writing import write_picture
from widesr.pixels.resize import imresize

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.jpg"))


def twice(height, width):
    return 2 * height, 2 * width


def leave_free(monkeypatch, free, *, total=10**9):
    real = shutil.disk_usage("/")
    disk = real._replace(total=total, free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk)


def photo(path: Path) -> Path:
    with Image.open(EXAMPLES[0]) as image:
        image.crop((0, 0, 600, 400)).save(path)
    return path


def test_what_surely_does_not_fit_is_refused_with_both_sizes(tmp_path, monkeypatch):
    source = photo(tmp_path / "a.png")
    pairs = [(source, tmp_path / "new" / f"{n}.png") for n in range(9)]
    leave_free(monkeypatch, 600_000)
    with refused("image-write", tmp_path, "0.6 MB") as error:
        check_space(pairs, resize=twice)
    assert re.search(r"\b1\.\d MB", str(error.value))
    check_space(pairs[:2], resize=twice)
    check_space([(source, target.with_suffix(".jpg")) for _, target in pairs], resize=twice)


def test_outputs_that_are_there_and_files_that_are_no_pictures_take_nothing(tmp_path, monkeypatch):
    leave_free(monkeypatch, 0)
    source = photo(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no picture")
    check_space([(source, source), (tmp_path / "b.png", tmp_path / "c.png")], resize=twice)
    with refused("image-write"):
        check_space([(source, tmp_path / "c.png")], resize=twice)


def test_a_file_system_that_does_not_count_is_believed_to_have_room(tmp_path, monkeypatch):
    leave_free(monkeypatch, 0, total=0)
    check_space([(photo(tmp_path / "a.png"), tmp_path / "b.png")], resize=twice)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("kind", ["photo", "drawing", "flat"])
def test_no_output_is_smaller_than_the_least_that_is_asked_for(tmp_path, monkeypatch, ending, kind):
    size = (320, 240)
    if kind == "photo":
        with Image.open(EXAMPLES[1]) as image:
            pixels = np.asarray(image.convert("RGB"))[: size[1], : size[0]]
    else:
        pixels = np.full((size[1], size[0], 3), 255, np.uint8)
        if kind == "drawing":
            pixels[20:40, 30:200] = pixels[50:180, 99:104] = (200, 10, 10)
    for source in (tmp_path / "a.png", tmp_path / "a.jpg"):
        Image.fromarray(pixels).save(source)
        for quality in (1, 95) if ending in (".jpg", ".webp") else (95,):
            target = tmp_path / f"{source.suffix[1:]}{quality}{ending}"
            made = Picture(pixels=imresize(read_picture(source).pixels, scale=4))
            write_picture(target, made, quality=quality)
            leave_free(monkeypatch, target.stat().st_size)
            unmade = target.with_stem("other")
            check_space([(source, unmade)], resize=lambda h, w: (4 * h, 4 * w), quality=quality)


def test_decoded_bytes_are_those_of_the_input_and_the_output(tmp_path):
    Image.fromarray(np.zeros((4, 6, 4), np.uint8)).save(tmp_path / "a.png")
    assert decoded_bytes(tmp_path / "a.png", resize=twice) == 5 * 4 * 6 * 4
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(tmp_path / "b.png")
    assert decoded_bytes(tmp_path / "b.png", resize=twice) == 5 * 4 * 6 * 2
    assert decoded_bytes(tmp_path / "missing.png", resize=twice) == 0


def test_a_picture_on_its_side_is_measured_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg", exif=exif)
    assert read_header(tmp_path / "a.jpg") == (60, 40, 3, 1)
    picture = read_picture(tmp_path / "a.jpg")
    assert (picture.height, picture.width) == (60, 40)
