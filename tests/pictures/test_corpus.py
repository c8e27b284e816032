"""The corpus run: that its judge sees every kind of silent damage, and what it says of us."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from generated import Generated, all_generated, gif, image, nearly_clear, picture
from generated_damaged import all_damaged
from generated_tiff import all_generated_tiffs
from generated_tools import all_generated_by_tools
from judge import Limits, bicubic, faults, multiplied
from oracle import see
from samples import by_pillow, png, profile, put
from seen import DamagedError, Seen, rgba, straight

CORPUS = Path(__file__).parents[1] / "helpers" / "corpus.py"
SHARED = Path(__file__).parents[3] / "shared" / "pictures"


def enlarged(lr: Seen) -> Seen:
    """Return the right output: frames by bicubic interpolation, colours weighted by their alpha."""
    frames = []
    for frame in lr.frames:
        size = (2 * frame.shape[1], 2 * frame.shape[0])
        frames.append(straight(bicubic(multiplied(frame), size)))
    return replace(lr, frames=frames)


def a_picture(**said) -> Seen:
    return Seen(frames=[rgba(picture(96, 96) / 255)], bits=8, **said)


def found(lr: Seen, sr: Seen, suffix: str = ".png") -> list[str]:
    return faults(lr, sr, scale=2, suffix=suffix, limits=Limits())


def changed(sr: Seen, change) -> Seen:
    return replace(sr, frames=[change(frame.copy()) for frame in sr.frames])


def blank_tile(frame):
    frame[64:96, 96:128] = 0
    return frame


def ycbcr_taken_for_rgb(frame):
    levels = Image.fromarray((frame[..., :3] * 255).astype(np.uint8)).convert("YCbCr")
    frame[..., :3] = np.asarray(levels) / 255
    return frame


def washed(frame):
    frame[..., :3] = (16 + frame[..., :3] * 219) / 255
    return frame


def other_matrix(frame):
    y = frame[..., :3] @ (0.299, 0.587, 0.114)
    other = frame[..., :3] @ (0.2126, 0.7152, 0.0722)
    frame[..., :3] = np.clip(frame[..., :3] + (y - other)[..., None], 0, 1)
    return frame


def band_taken_for_alpha(frame):
    frame[..., 3] = frame[..., 0]
    return frame


DAMAGE = {
    "a tile of zeros": blank_tile,
    "the wrong range": washed,
    "the wrong matrix": other_matrix,
    "YCbCr taken for RGB": ycbcr_taken_for_rgb,
    "a band taken for alpha": band_taken_for_alpha,
    "red and blue swapped": lambda frame: frame[..., [2, 1, 0, 3]],
    "upside down": lambda frame: frame[::-1],
    "two pixels off": lambda frame: np.roll(frame, 4, axis=1),
    "another size": lambda frame: frame[:-1],
    "inverted": lambda frame: np.abs(frame - (1, 1, 1, 0)),
}


def test_the_judge_finds_nothing_wrong_with_a_right_output():
    for lr in (a_picture(), Seen(frames=[rgba(nearly_clear() / 255)], bits=8, alpha=True)):
        assert found(lr, enlarged(lr)) == []


@pytest.mark.parametrize("name", DAMAGE)
def test_the_judge_sees_damaged_pixels(name):
    lr = a_picture()
    assert found(lr, changed(enlarged(lr), DAMAGE[name]))


def test_the_judge_sees_hidden_colour_that_bleeds():
    lr = Seen(frames=[rgba(nearly_clear() / 255)], bits=8, alpha=True)
    size = (96, 96)
    sr = replace(lr, frames=[bicubic(lr.frames[0], size)])  # colours and alpha apart
    assert any("none near" in each for each in found(lr, sr))


def test_the_judge_sees_lost_frames_times_and_labels():
    lr = a_picture(dots=((300.0, 300.0),))
    several = replace(lr, frames=lr.frames * 3, times=(100, 50, 40), plays=0)
    wrong = {
        "frame": (several, replace(enlarged(several), frames=enlarged(lr).frames * 2)),
        "times": (several, replace(enlarged(several), times=(100, 100, 40))),
        "played": (several, replace(enlarged(several), plays=1)),
        "bits": (replace(lr, bits=16), replace(enlarged(lr), bits=8)),
        "nowhere": (replace(lr, dots=()), enlarged(lr)),
        "lost": (lr, replace(enlarged(lr), dots=())),
        "became": (lr, replace(enlarged(lr), dots=((72.0, 72.0),))),
        "turned": (lr, replace(enlarged(lr), turned=True)),
        "alpha": (lr, replace(enlarged(lr), alpha=True)),
        "aspect": (replace(lr, dots=(), aspect=0.5), replace(enlarged(lr), dots=())),
        "profile": (replace(lr, icc=profile()), enlarged(lr)),
        "ground": (replace(lr, geo=(10.0,)), replace(enlarged(lr), geo=(10.0,))),
        "band": (replace(lr, extra=[np.zeros((96, 96, 1), np.float32)]), enlarged(lr)),
    }
    for word, (before, after) in wrong.items():
        said = found(before, after)
        assert any(word in each for each in said), (word, said)
    assert found(lr, replace(enlarged(lr), dots=((600.0, 600.0),))) == []


def test_the_oracle_sees_sixteen_bits(tmp_path):
    array = picture(channels=3, bits=16)
    path = put(tmp_path, png(array, bits=16, colour_type=2))
    assert (np.round(see(path).frames[0][..., :3] * 65535) == array).all()


def test_the_oracle_draws_a_gif_on_a_clear_canvas(tmp_path):
    index = np.full((10, 12), 3, np.int64)
    frames = [(index, (5, 6), 2, None), (index, (20, 6), 0, None)]
    seen = see(put(tmp_path, gif(frames)))
    assert [frame[..., 3].sum() for frame in seen.frames] == [120, 120]
    assert seen.frames[1][6, 20, 3] == 1
    assert seen.times == (120, 120)


def test_the_oracle_tells_a_missing_end_mark_from_missing_pixels(tmp_path):
    data = by_pillow(image(), "JPEG", quality=90)
    whole = see(put(tmp_path, data)).frames[0]
    assert (see(put(tmp_path, data[:-2])).frames[0] == whole).all()
    with pytest.raises(DamagedError):
        see(put(tmp_path, data[: len(data) * 2 // 3]))


def judged(folder: Path, *words: str) -> list[dict[str, str]]:
    """Verdicts of the corpus run on a folder; in a process of its own, as it forks."""
    command = [sys.executable, str(CORPUS), str(folder), "--json", *words]
    ran = subprocess.run(command, capture_output=True, text=True)
    verdicts = [json.loads(line) for line in ran.stdout.splitlines()]
    wrong = any(each["said"] == "WRONG" for each in verdicts)
    assert ran.returncode == int(wrong), ran.stderr
    return verdicts


def test_the_run_says_right_refused_and_wrong(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    put(folder, by_pillow(image(), "PNG", dpi=(300, 300)), "a.png")
    put(folder, b"no picture at all", "b.jpg")
    verdicts = judged(folder, "-n", "bicubic")
    assert [each["said"] for each in verdicts] == ["right", "refused"]
    assert "(image-read)" in verdicts[1]["why"]
    (tmp_path / "defect.py").write_text(
        "import sys, widesr.batch.stages\n"
        f"sys.path.insert(0, {str(CORPUS.parent)!r})\n"
        "import corpus\n"
        "from dataclasses import replace\n"
        "read = widesr.batch.stages.read_picture\n"
        "def dark(*words, **more):\n"
        "    found = read(*words, **more)\n"
        "    return replace(found, pixels=found.pixels // 2)\n"
        "widesr.batch.stages.read_picture = dark\n"
        "sys.exit(corpus.main())\n"
    )
    command = [sys.executable, str(tmp_path / "defect.py"), str(folder), "-n", "bicubic"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 1, ran.stderr
    assert "WRONG" in ran.stdout


def all_right(folder: Path, kinds: Iterable[Generated], *words: str) -> None:
    """Whole pictures come out right, and damaged ones right or not at all."""
    whole = {}
    for kind in kinds:
        put(folder, kind.make(), kind.name)
        whole[kind.name] = kind.whole
    assert len(whole) > 20
    verdicts = judged(folder, *words)
    assert len(verdicts) == len(whole)
    failed = []
    for each in verdicts:
        name = Path(each["path"]).name
        if each["said"] == "WRONG" or (whole[name] and each["said"] == "refused"):
            failed.append(f"{name}: {each['said']}: {each['why']}")
    assert not failed, "\n".join(failed)
    # Most of them have an oracle.
    assert sum(each["said"] == "no oracle" for each in verdicts) < len(verdicts) / 10


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_generated_pictures_of_every_kind_come_out_right(tmp_path):
    all_right(tmp_path, all_generated(), "-n", "bicubic")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_generated_tiff_of_every_kind_comes_out_right(tmp_path):
    all_right(tmp_path, all_generated_tiffs(), "-n", "bicubic")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_damaged_pictures_come_out_right_or_not_at_all(tmp_path):
    all_right(tmp_path, all_damaged(), "-n", "bicubic")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_avif_and_jpeg_of_other_encoders_come_out_right(tmp_path):
    all_right(tmp_path, all_generated_by_tools(), "-n", "bicubic")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_network_makes_them_right_too(tmp_path):
    kinds = [*all_generated(), *all_generated_tiffs()]
    # From black and white alone, bicubic interpolation and a network make different greys.
    kinds = [kind for kind in kinds if not kind.name.startswith("mode-1.")]
    all_right(tmp_path, kinds[::9], "-n", "default")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/pictures")
def test_the_pictures_that_once_came_out_wrong_come_out_right(tmp_path):
    verdicts = judged(SHARED)
    assert len(verdicts) > 10
    assert [each for each in verdicts if each["said"] == "WRONG"] == []
