"""Two frames for ever, as another decoder sees them."""

import numpy as np
import pytest
from PIL import Image

from facts import refused
from samples import smooth
from widesr.evaluation.diff.blink import write_blinking

FRAMES = [smooth(), 255 - smooth()]


@pytest.mark.parametrize(("name", "off"), [("a.webp", 0), ("a.GIF", 40)])
def test_frames_are_shown_in_turn_for_ever(tmp_path, name, off):
    write_blinking(tmp_path / name, FRAMES)
    with Image.open(tmp_path / name) as image:
        assert image.n_frames == 2
        assert image.info["loop"] == 0
        for number, frame in enumerate(FRAMES):
            image.seek(number)
            shown = np.asarray(image.convert("RGB")).astype(int)
            assert image.info["duration"] == 700
            assert np.abs(shown - frame).max() <= off
            assert abs(shown.mean() - frame.mean()) <= off / 20


def test_other_formats_are_refused(tmp_path):
    with refused("image-format", ".png", ".webp"):
        write_blinking(tmp_path / "a.png", FRAMES)
    with refused("image-format"):
        write_blinking(tmp_path / "a", FRAMES)


def test_frames_that_the_format_cannot_hold_are_refused_and_leave_nothing(tmp_path):
    with refused("image-format", "17000x2"):
        write_blinking(tmp_path / "a.webp", [np.zeros((2, 17000, 3), np.uint8)] * 2)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unasked(tmp_path):
    path = tmp_path / "a.webp"
    path.write_bytes(b"mine")
    with refused("output-exists"):
        write_blinking(path, FRAMES)
    assert path.read_bytes() == b"mine"
    write_blinking(path, FRAMES, overwrite=True)
    assert path.read_bytes()[:4] == b"RIFF"


def test_a_missing_folder_is_named(tmp_path):
    with refused("image-write"):
        write_blinking(tmp_path / "none" / "a.webp", FRAMES)
