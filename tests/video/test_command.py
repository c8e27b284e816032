"""Clips on the command line, as pictures and without the extra."""

import json
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image, ImageCms

from clips import ffmpeg, frame_times, make_clip, streams, video
from disk import left_in
from facts import names, refusal, refused
from samples import noise, profile, smooth
from widesr import Upscaler, upscale_frames, upscale_video
from widesr.cli import run
from widesr.pictures.adapt import adapted
from widesr.pictures.picture import Picture
from widesr.pictures.writing import write_picture
from widesr.video.frames import SingleFrames
from widesr.video.scenes import CutDetector
from widesr.video.upscale import plan_work

WITHOUT = """
import sys
sys.modules["av"] = None
from widesr.cli import run
sys.exit(run(sys.argv[1:]))
"""


def test_a_clip_becomes_a_larger_one_beside_it(tmp_path, capfd):
    clip = make_clip(tmp_path / "clip.mp4", sound="aac")
    assert run(["upscale", str(clip), "-n", "nearest", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["status"], told["frames"], told["codec"]) == ("done", 12, "h264")
    assert told["output"] == str(tmp_path / "clip_x2_nearest.mp4")
    assert video(tmp_path / "clip_x2_nearest.mp4")["width"] == 128
    assert run(["upscale", str(clip), "-n", "nearest"]) == 1
    refusal(capfd.readouterr().err, "output-exists", tmp_path / "clip_x2_nearest.mp4")
    assert run(["upscale", str(clip), "-n", "nearest", "--skip-existing", "--quiet"]) == 0


@pytest.mark.parametrize("scale", [4, 2])
def test_the_model_of_clips_upscales_them_and_refuses_pictures(tmp_path, capfd, scale):
    clip = make_clip(tmp_path / "clip.mp4")
    Image.fromarray(noise(20, 30)).save(tmp_path / "one.png")
    words = ["-n", "video", "-s", str(scale), "--json"]
    assert run(["upscale", str(clip), *words]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["status"] == "done"
    assert video(told["output"])["width"] == 64 * scale
    assert frame_times(told["output"]) == frame_times(clip)
    assert run(["upscale", str(tmp_path / "one.png"), *words]) == 2
    refusal(capfd.readouterr().err, "usage", "clips")
    assert not list(tmp_path.glob("one_*"))


def test_a_folder_of_clips_and_pictures(tmp_path, capfd):
    folder = tmp_path / "in"
    folder.mkdir()
    make_clip(folder / "a.avi", frames=3, options="-c:v mjpeg -pix_fmt yuvj420p")
    (folder / "b.mp4").write_text("no clip")
    Image.new("RGB", (8, 6)).save(folder / "c.png")
    assert run(["upscale", str(folder), "-n", "nearest"]) == 3
    assert {path.name for path in (tmp_path / "in_x2_nearest").iterdir()} >= {"a.mkv", "c.png"}
    assert not list((tmp_path / "in_x2_nearest").glob("*b.mp4*"))
    assert capfd.readouterr().err.count("error[video-read]") == 1


def test_a_clip_that_is_done_beside_a_picture_that_failed_is_told_apart(tmp_path, capfd):
    clip, photo = make_clip(tmp_path / "clip.mp4", frames=2), tmp_path / "photo.png"
    photo.write_text("no picture")
    assert run(["upscale", str(clip), str(photo), "-n", "nearest"]) == 3
    assert video(tmp_path / "clip_x2_nearest.mp4")["width"] == 128
    refusal(capfd.readouterr().err, "image-read", photo)


def test_clips_that_would_share_an_output_do_not_stop_the_others(tmp_path, capfd):
    folder = tmp_path / "in"
    folder.mkdir()
    motion = "-c:v mjpeg -pix_fmt yuvj420p"
    for name in ("a.avi", "a.mkv", "b.avi"):
        make_clip(folder / name, frames=3, options=motion)
    assert run(["upscale", str(folder), "-n", "nearest"]) == 3
    assert [path.name for path in (tmp_path / "in_x2_nearest").iterdir()] == ["b.mkv"]
    error = capfd.readouterr().err
    assert error.count("error[usage]") == 2
    assert names(error, "a.avi", "a.mkv")


def test_a_clip_that_is_an_input_too_is_never_overwritten(tmp_path, capfd):
    clip = make_clip(tmp_path / "clip.mkv", frames=2)
    earlier = make_clip(tmp_path / "clip_x2_nearest.mkv", frames=2)
    before = earlier.read_bytes()
    words = ["upscale", str(clip), str(earlier), "-n", "nearest", "--overwrite"]
    assert run(words) == 3
    refusal(capfd.readouterr().err, "output-exists", earlier)
    assert earlier.read_bytes() == before
    assert (tmp_path / "clip_x2_nearest_x2_nearest.mkv").is_file()


@pytest.mark.parametrize("into", ["dir/", "out.mp4", None])
def test_a_clip_that_is_named_twice_is_one_job(tmp_path, capfd, into):
    clip = str(make_clip(tmp_path / "clip.mp4", frames=2))
    output = [] if into is None else ["-o", f"{tmp_path}/{into}"]
    assert run(["upscale", clip, clip, *output, "-n", "nearest", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["status"] == "done"


@pytest.mark.parametrize("name", ["a\0b.mp4", "x" * 300 + ".mp4", "."])
def test_what_is_no_name_of_a_clip_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with refused("usage" if name == "." else "video-read"):
        upscale_video(name, model="nearest")
    with refused("usage", "path"):
        upscale_video(b"clip.mp4", model="nearest")


def test_the_folder_one_is_in_is_a_clip_of_pictures_too(tmp_path, monkeypatch):
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(2):
        Image.new("RGB", (32, 32), (90 * i, 9, 9)).save(folder / f"{i}.png")
    monkeypatch.chdir(folder)
    upscale_video(".", fps=24, model="nearest")
    assert video(tmp_path / "frames_x2.mkv")["width"] == 64


@pytest.mark.parametrize("name", ["clip.mp4", "photo.png"])
def test_without_the_extra_clips_say_what_to_install(tmp_path, name):
    (tmp_path / "clip.mp4").write_bytes(b"any")
    Image.new("RGB", (8, 6)).save(tmp_path / "photo.png")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "upscale", name, "-n", "nearest"],
        cwd=tmp_path, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    if name == "photo.png":
        assert done.returncode == 0
    else:
        assert done.returncode == 1
        refusal(done.stderr, "missing-extra", "'widesr[video]'")


def test_frames_become_pictures_and_pictures_a_clip(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", frames=5)
    frames = tmp_path / "frames"
    frames.mkdir()
    assert run(["upscale", str(clip), "-n", "nearest", "-o", str(frames / "%03d.png")]) == 0
    assert sorted(path.name for path in frames.glob("*.png")) == [f"00{n}.png" for n in range(1, 6)]
    times = (frames / "timestamps.txt").read_text().splitlines()[1:]
    assert [round(float(time)) for time in times] == frame_times(clip)
    out = tmp_path / "again.mp4"
    assert run(["upscale", str(frames), "-n", "nearest", "-o", str(out)]) == 2
    assert run(["upscale", str(frames), "-n", "nearest", "-o", str(out), "--fps", "24"]) == 0
    (stream,) = streams(out)
    assert (stream["nb_frames"], stream["r_frame_rate"], stream["width"]) == ("5", "24/1", 256)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_pictures_of_another_clip_or_run_are_not_taken_for_those_of_this_one(tmp_path, capfd):
    clip = make_clip(tmp_path / "clip.mkv", frames=3)
    other = make_clip(tmp_path / "other.mkv", frames=5, source="testsrc")
    frames = tmp_path / "frames"
    frames.mkdir()
    pattern = str(frames / "%03d.png")
    assert run(["upscale", str(clip), "-n", "nearest", "-o", pattern]) == 0
    before = contents(frames)
    capfd.readouterr()
    for source, model in ((other, "nearest"), (clip, "bicubic")):
        assert run(["upscale", str(source), "-n", model, "-o", pattern]) == 1
        refusal(capfd.readouterr().err, "output-exists", "frames")
    assert run(["upscale", str(other), "-n", "nearest", "-o", pattern, "--skip-existing"]) == 0
    assert contents(frames) == before
    assert run(["upscale", str(other), "-n", "nearest", "-o", pattern, "--overwrite"]) == 0
    after = contents(frames)
    assert sorted(after) == [*(f"00{n}.png" for n in range(1, 6)), "timestamps.txt"]
    assert all(after[name] != data for name, data in before.items())


def test_times_that_are_there_are_not_replaced_unasked(tmp_path, capfd):
    clip = make_clip(tmp_path / "clip.mkv", frames=2)
    (tmp_path / "timestamps.txt").write_text("mine")
    words = ["upscale", str(clip), "-n", "nearest", "-o", str(tmp_path / "%03d.png")]
    assert run(words) == 1
    refusal(capfd.readouterr().err, "output-exists")
    assert (tmp_path / "timestamps.txt").read_text() == "mine"
    assert set(contents(tmp_path)) == {"clip.mkv", "timestamps.txt"}
    assert run([*words, "--overwrite"]) == 0
    assert (tmp_path / "timestamps.txt").read_text() != "mine"


def test_pictures_of_frames_have_the_quality_that_was_asked_for(tmp_path, capfd):
    clip = make_clip(tmp_path / "clip.mkv", frames=1)
    sizes = []
    for quality in ("20", "95"):
        out = str(tmp_path / f"q{quality}_%d.jpg")
        words = ["upscale", str(clip), "-n", "nearest", "-o", out, "--quality", quality]
        assert run(words) == 0
        sizes.append((tmp_path / f"q{quality}_1.jpg").stat().st_size)
        (tmp_path / "timestamps.txt").unlink()
    assert sizes[0] < sizes[1] / 2
    capfd.readouterr()
    for options, code in ((["--lossless"], "image-format"), (["--crf", "9"], "usage")):
        out = str(tmp_path / "other_%d.jpg")
        assert run(["upscale", str(clip), "-n", "nearest", "-o", out, *options]) != 0
        refusal(capfd.readouterr().err, code)
    assert not list(tmp_path.glob("*other*"))


def test_a_clip_with_a_name_from_the_web_is_no_pattern(tmp_path):
    clip = make_clip(tmp_path / "summer%20day.mp4", frames=2)
    assert run(["upscale", str(clip), "-n", "nearest"]) == 0
    assert video(tmp_path / "summer%20day_x2_nearest.mp4")["nb_frames"] == "2"


@pytest.mark.parametrize(
    ("output", "more", "code", "fact"),
    [
        ("out.mp4", ["--metadata", "strip"], "video-format", "metadata"),
        ("out.mp4", ["--icc", "srgb"], "video-format", "colours"),
        ("out.mp4", ["--fps", "24"], "usage", "fps"),
        ("%d.png", ["--crf", "20"], "usage", "--crf"),
        ("out.mp4", ["-n", "video", "--consistent"], "usage", "--consistent"),
    ],
)
def test_what_a_clip_cannot_do_is_refused(tmp_path, capfd, output, more, code, fact):
    clip = make_clip(tmp_path / "clip.mp4", frames=2)
    told = ["upscale", str(clip), "-n", "nearest", "-o", str(tmp_path / output)]
    assert run([*told, *more]) == (2 if code == "usage" else 1)
    refusal(capfd.readouterr().err, code, fact)
    assert left_in(tmp_path) == ["clip.mp4"]


def test_no_clip_goes_to_standard_output(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    clip = make_clip(tmp_path / "clip.mp4", frames=2)
    assert run(["upscale", str(clip), "-n", "nearest", "-o", "-"]) == 2
    refusal(capfd.readouterr().err, "usage", "standard output")
    assert left_in(tmp_path) == ["clip.mp4"]
    (tmp_path / "-").mkdir()
    clip.rename(tmp_path / "-" / "clip.mp4")
    assert run(["upscale", "-", "-n", "nearest"]) == 2  # never the folder


def test_a_slash_makes_a_folder_of_a_name_that_looks_like_a_clip(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    Image.new("RGB", (32, 32)).save(frames / "1.png")
    assert run(["upscale", str(frames), "-n", "nearest", "-o", f"{tmp_path}/out.mkv/"]) == 0
    assert (tmp_path / "out.mkv" / "1.png").is_file()


def test_frames_go_by_their_numbers(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for n in range(12):
        Image.new("RGB", (32, 32), (20 * n, 20 * n, 20 * n)).save(frames / f"shot {n}.png")
    out = tmp_path / "out.mkv"
    upscale_video(frames, out, fps=24, model="nearest", lossless=True)
    (tmp_path / "back").mkdir()
    ffmpeg("-i {} {}", out, tmp_path / "back/%02d.png")
    back = sorted((tmp_path / "back").iterdir())
    assert [np.asarray(Image.open(each))[0, 0, 0] // 20 for each in back] == list(range(12))


def test_a_gap_in_the_numbers_of_frames_is_said(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for n in (10, 20, 30, 50):
        Image.new("RGB", (32, 32)).save(frames / f"shot2 {n}.png")
    result = upscale_video(frames, tmp_path / "out.mkv", fps=24, model="nearest")
    assert any(names(notice, "shot2 30.png", "shot2 50.png") for notice in result.notices)
    (frames / "shot2 50.png").rename(frames / "shot2 40.png")
    result = upscale_video(frames, tmp_path / "whole.mkv", fps=24, model="nearest")
    assert not any(names(notice, "missing") for notice in result.notices)


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        *((text, (24000, 1001)) for text in ("23.976", "23.98", "23.97", "23.976024")),
        ("29.97", (30000, 1001)),
        ("47.952", (48000, 1001)),
        ("59.94", (60000, 1001)),
        ("119.88", (120000, 1001)),
        ("24", (24, 1)),
        ("12.5", (25, 2)),
        ("23.9", (239, 10)),
        (30000 / 1001, (30000, 1001)),
        (Fraction(24000, 1001), (24000, 1001)),
    ],
)
def test_rates_of_ntsc_are_those_that_people_mean(tmp_path, fps, rate):
    Image.new("RGB", (32, 32)).save(tmp_path / "1.png")
    out, upscaler = tmp_path / "out.mkv", SingleFrames(Upscaler.load("bicubic", scale=2))
    fps = float(fps) if isinstance(fps, str) else fps
    work = plan_work(tmp_path, out, upscaler=upscaler, fps=fps)
    assert work.clip.rate.as_integer_ratio() == rate


@pytest.mark.parametrize("fps", ["nan", "inf", "0", "-24"])
def test_a_rate_that_no_clip_has_is_refused(tmp_path, capfd, fps):
    Image.new("RGB", (32, 32)).save(tmp_path / "1.png")
    with refused("usage", "fps"):
        upscale_video(tmp_path, tmp_path / "out.mkv", fps=float(fps), model="nearest")
    given = [str(tmp_path), "-o", str(tmp_path / "out.mkv"), "-n", "nearest", "--fps", fps]
    assert run(["upscale", *given]) == 2
    refusal(capfd.readouterr().err, "usage")


def test_frames_that_are_partly_transparent_are_refused(tmp_path):
    for n in range(2):
        Image.new("RGBA", (32, 32), (9, 9, 9, 255 - n)).save(tmp_path / f"{n}.png")
    with refused("video-format", tmp_path / "1.png"):
        upscale_video(tmp_path, tmp_path / "out.mkv", fps=24, model="nearest")
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_frames_of_another_colour_space_become_srgb(tmp_path, dtype, lossless):
    picture = Picture(pixels=smooth(dtype=dtype), icc=profile())  # Adobe RGB
    expected = adapted(picture, icc="srgb").pixels
    exact = {"codec": "ffv1"} if lossless else {}
    made = []
    for name, each in [("adobe", picture), ("srgb", Picture(pixels=expected))]:
        (tmp_path / name).mkdir()
        write_picture(tmp_path / name / "1.png", each)
        out = tmp_path / f"{name}.mkv"
        result = upscale_video(tmp_path / name, out, fps=24, model="nearest", **exact)
        assert any(names(each, "sRGB") for each in result.notices) == (name == "adobe")
        ffmpeg("-i {} -pix_fmt rgb24 {}", out, tmp_path / f"{name}.png")
        made.append(np.asarray(Image.open(tmp_path / f"{name}.png")))
    assert np.array_equal(*made)
    assert np.abs(expected.astype(int) - picture.pixels).max() > 8 * (np.iinfo(dtype).max // 255)


def test_frames_that_say_srgb_stay_exact(tmp_path):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = noise(32, 40)
    for n, icc in enumerate((srgb, None)):
        write_picture(tmp_path / f"{n}.png", Picture(pixels=pixels, icc=icc))
    out = tmp_path / "out.mkv"
    assert not upscale_video(tmp_path, out, fps=24, model="nearest", lossless=True).notices
    (tmp_path / "back").mkdir()
    ffmpeg("-i {} {}", out, tmp_path / "back/%d.png")
    back = list((tmp_path / "back").iterdir())
    assert len(back) == 2
    for each in back:
        assert np.array_equal(np.asarray(Image.open(each))[::2, ::2], pixels)


@pytest.mark.parametrize("turn", ["90", "180", "270"])
def test_pictures_of_a_turned_clip_are_upright(tmp_path, turn):
    make_clip(tmp_path / "v.mp4", frames=1, options="-c:v libx264 -qp 0 -pix_fmt yuv444p")
    clip = tmp_path / "clip.mp4"
    ffmpeg(f"-i {{}} -c copy -metadata:s:v:0 rotate={turn} {{}}", tmp_path / "v.mp4", clip)
    ffmpeg("-i {} -vf scale=iw*2:ih*2:flags=neighbor {}", clip, tmp_path / "shown.png")
    assert run(["upscale", str(clip), "-n", "nearest", "-o", str(tmp_path / "%d.png")]) == 0
    made, shown = (
        np.asarray(Image.open(tmp_path / name).convert("RGB"), float)
        for name in ("1.png", "shown.png")
    )
    assert made.shape == shown.shape
    assert np.abs(made - shown).mean() < 4


def test_frames_of_ones_own_go_in_and_out_one_by_one():
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (20, 30, 3), np.uint8) for _ in range(3)]
    upscaler = Upscaler.load("bicubic", scale=2)
    made = list(upscale_frames(iter(frames), model=upscaler))
    assert all(np.array_equal(a, upscaler(b)) for a, b in zip(made, frames, strict=True))


@pytest.mark.parametrize("shape", [(20, 30, 4), (20, 30, 5), (20, 30), (0, 30, 3)])
def test_frames_that_are_neither_grey_nor_rgb_are_refused(shape):
    frames = [np.zeros(shape, np.uint8)] * 2
    with refused("shape", shape):
        list(upscale_frames(frames, model=Upscaler.load("bicubic", scale=2)))


def test_frames_may_be_decoded_into_one_array_and_drawn_on():
    upscaler = Upscaler.load("fast", scale=2)
    buffer = np.zeros((40, 40, 3), np.uint8)

    def frames():
        for level in (0, 90, 90, 200):
            buffer[:] = level
            buffer[0, 0] = 100  # not of one colour
            yield buffer

    levels = []
    for sr in upscale_frames(frames(), model=upscaler):
        levels.append(round(int(sr[70, 70, 0]), -1))
        sr[:] = 255
    assert levels == [0, 90, 90, 200]


@pytest.mark.parametrize(
    "options",
    [
        {"damaged": "ignore"},
        {"overwrite": "no"},
        {"lossless": "no"},
        {"deinterlace": "no"},
        {"fps": 24},
        {"out": 7},
    ],
)
def test_what_no_option_means_is_refused(tmp_path, options):
    clip = make_clip(tmp_path / "clip.mkv", frames=2)
    with refused("usage"):
        upscale_video(**{"path": clip, "scale": 2, "model": "nearest"} | options)
    assert list(tmp_path.iterdir()) == [clip]


def test_frames_need_a_model_that_is_loaded_and_arrays():
    with refused("usage", "Upscaler.load"):
        list(upscale_frames([np.zeros((2, 2, 3), np.uint8)], model="fast"))
    with refused("usage", "list"):
        list(upscale_frames([[[1]]], model=Upscaler.load("bicubic", scale=2)))


class Counting:
    """An upscaler with a state: the number of the frame in its scene."""

    model, weights_sha256, has_state = "counting", None, True

    def output_size(self, height, width):
        return height, width

    def seconds_for(self, height, width):
        return 0.0

    def upscale_scene(self, frames):
        for number, frame in enumerate(frames):
            yield np.full_like(frame, number)


def test_a_state_begins_anew_where_a_scene_does():
    dark, light = np.full((40, 60, 3), 10, np.uint8), np.full((40, 60, 3), 200, np.uint8)
    made = upscale_frames([dark, dark, dark, light, light, dark], model=Counting())
    assert [int(frame[0, 0, 0]) for frame in made] == [0, 1, 2, 0, 1, 0]


def test_motion_is_no_cut():
    cuts = CutDetector()
    wide = np.random.default_rng(0).integers(0, 256, (48, 200, 1), np.uint8).repeat(4, axis=1)
    marks = [cuts.begins(wide[:, 4 * n : 4 * n + 300]) for n in range(12)]
    assert marks[0]
    assert not any(marks[2:])
