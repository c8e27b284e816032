"""Files that a coarse JPEG or noise has spoilt are told from clean ones, cheaply."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from examples import EXAMPLES
from facts import names
from samples import smooth
from widesr.cli import run
from widesr.evaluation.faults import COARSE_QUALITY, NOISE, find_faults, jpeg_quality, noise_of


def saved(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("quality", [20, 30, 50, 75, 80, 85, 90, 95, 100])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}])
def test_the_quality_of_a_jpeg_file_is_that_of_its_writer(tmp_path, quality, options):
    # Pillow writes by libjpeg-turbo, which defines this scale of quality.
    path = saved(tmp_path / "a.jpg", smooth(40, 40), quality=quality, **options)
    assert abs(jpeg_quality(path) - quality) <= 1
    assert (find_faults(path).quality is not None) is (quality <= COARSE_QUALITY)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".gif"])
def test_other_files_have_no_quality(tmp_path, suffix):
    assert jpeg_quality(saved(tmp_path / f"a{suffix}", smooth(20, 20))) is None


@given(st.data())
def test_a_damaged_header_is_no_fault_of_the_picture(tmp_path_factory, data):
    file = io.BytesIO()
    Image.fromarray(smooth(16, 16)).save(file, "jpeg", quality=50)
    whole = file.getvalue()
    size = data.draw(st.integers(0, len(whole)))
    at = data.draw(st.integers(0, max(size - 1, 0)))
    damaged = bytearray(whole[:size])
    if damaged:
        damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.jpg"
    path.write_bytes(damaged)
    quality = jpeg_quality(path)
    assert quality is None or 1 <= quality <= 100


@pytest.mark.parametrize("depth", [1, 2, 15])
def test_tables_of_an_odd_depth_are_read_as_by_libjpeg(tmp_path, depth):
    path = saved(tmp_path / "a.jpg", smooth(16, 16), quality=50)
    content = path.read_bytes()
    start, end = content.index(b"\xff\xdb"), content.index(b"\xff\xc0")
    steps = content[start + 5 : start + 69]
    tables = bytes([depth << 4]) + b"".join(step.to_bytes(2) for step in steps) + b"\1" + steps
    begun = content[:start] + b"\xff\xdb" + (len(tables) + 2).to_bytes(2) + tables
    path.write_bytes(begun + content[end:])
    assert find_faults(path).quality == 50
    find_faults(path)


@pytest.mark.parametrize("sigma", [8, 12, 20])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_noise_is_found_and_measured(tmp_path, sigma, dtype):
    top = np.iinfo(dtype).max
    noise = np.random.default_rng(0).normal(0, sigma, (200, 300))
    levels = smooth(200, 300, 1)[..., 0] * 0.6 + 50 + noise
    path = saved(tmp_path / "a.png", np.round(np.clip(levels, 0, 255) * (top / 255)).astype(dtype))
    assert find_faults(path).noise == pytest.approx(sigma, rel=0.15)


def test_weak_noise_and_slopes_and_flat_areas_are_none(tmp_path):
    random = np.random.default_rng(0)
    weak = smooth(200, 300, 1)[..., 0] * 0.6 + 50 + random.normal(0, 3, (200, 300))
    for pixels in (np.round(weak).astype(np.uint8), smooth(100, 100), np.full((9, 9), 7, np.uint8)):
        assert find_faults(saved(tmp_path / "a.png", pixels)) == (None, None)
    assert noise_of(np.zeros((0, 5), np.float32)) == 0


def test_the_example_photographs_are_clean():
    assert EXAMPLES
    for path in EXAMPLES:
        assert str(find_faults(path)) == "", path.name


def test_what_is_no_still_picture_has_no_faults(tmp_path):
    assert find_faults(tmp_path / "none.png") == (None, None)
    (tmp_path / "a.png").write_bytes(b"no picture")
    assert find_faults(tmp_path / "a.png") == (None, None)
    frames = [Image.fromarray(smooth(20, 20)), Image.fromarray(smooth(20, 20)[::-1])]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert find_faults(tmp_path / "a.gif") == (None, None)


# ---- the line that users see ---------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "coarse.jpg", smooth(40, 40), quality=60)
    saved(tmp_path / "clean.png", smooth(40, 40))
    noise = np.random.default_rng(0).normal(128, 2 * NOISE, (64, 64, 3))
    saved(tmp_path / "noisy.png", np.clip(noise, 0, 255).astype(np.uint8))
    return tmp_path


def hints(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if "realistic" in line]


def test_realistic_is_recommended_for_a_spoilt_picture_in_one_line(folder, capsys):
    assert run(["upscale", "coarse.jpg"]) == 0
    (line,) = hints(capsys)
    assert names(line, "coarse.jpg", "JPEG", 60, "-n realistic")
    assert run(["upscale", "noisy.png", "-n", "fast"]) == 0
    (line,) = hints(capsys)
    assert any(names(line, "noisy.png", f"{levels} levels") for levels in (11, 12, 13))
    assert run(["upscale", "coarse.jpg", "clean.png", "noisy.png", "--overwrite"]) == 0
    (line,) = hints(capsys)
    assert names(line, "coarse.jpg", "JPEG", 60, "1 of 2")


@pytest.mark.parametrize(
    "words",
    [
        ["clean.png"],
        ["coarse.jpg", "-n", "realistic"],
        ["coarse.jpg", "-n", "wdsr-a8-realistic-x2"],
        ["coarse.jpg", "-n", "bicubic"],
        ["coarse.jpg", "-n", "nearest"],
        ["coarse.jpg", "--quiet"],
        ["coarse.jpg", "--json"],
    ],
)
def test_nothing_is_recommended_to_who_needs_or_wants_none(folder, capsys, words):
    assert run(["upscale", *words]) == 0
    assert hints(capsys) == []


def test_pictures_that_are_passed_over_are_not_looked_at(folder, capsys):
    assert run(["upscale", "coarse.jpg", "--quiet"]) == 0
    assert run(["upscale", "coarse.jpg", "--skip-existing"]) == 0
    assert hints(capsys) == []
