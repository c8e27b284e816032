"""A run that was stopped or killed goes on, to the same bytes; and nothing else is on the disk."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from clips import frame_times, make_clip
from facts import names, refused
from peak import peak_mib
from widesr import upscale_video
from widesr.video import upscale as upscaling
from widesr.video.unfinished import Unfinished, folder_of

STEP = 8
"""Frames of a segment in these tests."""
RUN = """
import sys
from pathlib import Path
import widesr
from widesr.video import upscale
upscale.SEGMENT = int(sys.argv[3])
def told(done, total):
    print(done, flush=True)
    sys.stdin.readline()  # goes on when it is told to
result = widesr.upscale_video(
    sys.argv[1], sys.argv[2], scale=2, model="nearest", codec=sys.argv[4] or None, on_progress=told
)
print("resumed", result.resumed, flush=True)
"""


def run_until(clip: Path, out: Path, frame: int | None, *, codec: str, how: int) -> int:
    """Run in another process up to a frame, end it there, and give the frame it began behind."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(clip), str(out), str(STEP), codec],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        first = None
        for line in process.stdout:
            if line.startswith("resumed"):
                return int(line.split()[1])
            first = int(line) - 1 if first is None else first
            if int(line) == frame:
                process.send_signal(how)
                process.wait()
                break
            process.stdin.write("\n")
            process.stdin.flush()
    return first or 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "codec"), [("mp4", ""), ("mkv", ""), ("mkv", "prores"), ("mp4", "hevc")]
)
def test_a_run_killed_ten_times_ends_as_one_that_was_not(tmp_path, monkeypatch, ending, codec):
    monkeypatch.setattr(upscaling, "SEGMENT", STEP)
    clip = make_clip(
        tmp_path / f"clip.{ending}", frames=90, sound="aac", options="-c:v libx264 -bf 2"
    )
    whole = upscale_video(
        clip, tmp_path / f"whole.{ending}", scale=2, model="nearest", codec=codec or None
    ).target
    out = tmp_path / f"out.{ending}"
    stops = sorted(np.random.default_rng(len(ending + codec)).choice(range(2, 90), 10, False))
    for number, stop in enumerate(stops):
        began = run_until(clip, out, int(stop), codec=codec, how=signal.SIGKILL)
        before = stops[number - 1] if number else 0
        assert not out.exists()
        assert before - 2 * STEP < began <= before
    assert run_until(clip, out, None, codec=codec, how=0) > 0
    assert out.read_bytes() == whole.read_bytes()
    assert not folder_of(out).exists()


def stop_at(frame):
    """Stop a run as Ctrl-C does, at a frame."""

    def told(done, _total):
        if done == frame:
            raise KeyboardInterrupt

    return told


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A clip and its output, of which 30 of 40 frames were made when it was stopped."""
    monkeypatch.setattr(upscaling, "SEGMENT", STEP)
    clip = make_clip(tmp_path / "clip.mkv", frames=40, sound="aac")
    out = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt):
        upscale_video(clip, out, scale=2, model="nearest", on_progress=stop_at(30))
    return clip, out


def test_ctrl_c_leaves_what_is_needed_to_go_on_and_no_output(stopped):
    clip, out = stopped
    assert {path.name for path in out.parent.iterdir()} == {"clip.mkv", ".out.mkv.widesr"}
    result = upscale_video(clip, out, scale=2, model="nearest")
    assert result.resumed == 24
    assert result.frames == 40
    assert frame_times(out) == frame_times(clip)
    whole = upscale_video(clip, out.with_name("whole.mkv"), scale=2, model="nearest").target
    assert out.read_bytes() == whole.read_bytes()


def test_what_was_begun_otherwise_is_begun_anew(stopped):
    clip, out = stopped
    result = upscale_video(clip, out, scale=2, model="nearest", crf=30)
    assert (result.resumed, result.frames) == (0, 40)


def test_a_clip_whose_first_frame_is_damaged_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(upscaling, "SEGMENT", STEP)
    clip = make_clip(tmp_path / "clip.mkv", frames=20, options="-c:v mpeg2video -g 1 -q:v 3")
    import av

    with av.open(str(clip)) as container:
        first = bytes(next(container.demux(video=0)))
    data = bytearray(clip.read_bytes())
    at = data.find(first) + len(first) // 2
    data[at : at + 200] = bytes(255 - value for value in data[at : at + 200])
    clip.write_bytes(data)

    def stop(done, _):
        if done == STEP + 2:
            raise KeyboardInterrupt

    options = {"scale": 2, "model": "nearest", "codec": "ffv1", "damaged": "repeat"}
    whole = upscale_video(clip, tmp_path / "whole.mkv", **options)
    with pytest.raises(KeyboardInterrupt):
        upscale_video(clip, tmp_path / "out.mkv", **options, on_progress=stop)
    result = upscale_video(clip, tmp_path / "out.mkv", **options)
    assert (whole.frames, result.frames, result.resumed) == (20, 20, STEP)
    assert (tmp_path / "out.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()


def test_a_journal_that_ends_in_half_a_line_counts_to_the_line_before(stopped):
    clip, out = stopped
    journal = folder_of(out) / "journal"
    journal.write_bytes(journal.read_bytes()[:-5])
    assert upscale_video(clip, out, scale=2, model="nearest").resumed == 16


def test_a_run_that_was_killed_while_its_folder_was_removed_is_no_obstacle(stopped):
    clip, out = stopped
    (folder_of(out) / "part").rename(out)
    result = upscale_video(clip, out, scale=2, model="nearest", overwrite=True)
    assert (result.resumed, result.frames) == (0, 40)
    assert frame_times(out) == frame_times(clip)
    assert not folder_of(out).exists()


def damage(out, what):
    """Damage what a run has left of its second segment, as a failing disk might."""
    part, journal = (folder_of(out) / name for name in ("part", "journal"))
    lines = journal.read_bytes().splitlines(keepends=True)
    if what == "packet":
        placed = [json.loads(line.partition(b" ")[2])["placed"] for line in lines[1:]]
        second = {str(number) for number in range(STEP, 2 * STEP)}
        data = bytearray(part.read_bytes())
        data[next(at for each in placed for number, at in each.items() if number in second)] ^= 255
        part.write_bytes(data)
    elif what == "number":  # of a time or a place, which is a number still
        digit = re.search(rb"\[\[([0-9])", lines[2])
        lines[2] = lines[2][: digit.start(1)] + b"9" + lines[2][digit.end(1) :]
        journal.write_bytes(b"".join(lines))
    elif what == "line":
        journal.write_bytes(b"".join([*lines[:2], bytes(len(lines[2]) - 1), b"\n", *lines[3:]]))
    else:
        part.write_bytes(part.read_bytes()[: part.stat().st_size // 3])


@pytest.mark.parametrize("what", ["packet", "number", "line", "end"])
def test_segments_that_the_disk_damaged_are_made_again(stopped, what):
    clip, out = stopped
    damage(out, what)
    with pytest.raises(KeyboardInterrupt):
        upscale_video(clip, out, scale=2, model="nearest", on_progress=stop_at(20))
    result = upscale_video(clip, out, scale=2, model="nearest")
    assert result.resumed == 2 * STEP
    assert not any(names(notice, "damaged") for notice in result.notices)
    whole = upscale_video(clip, out.with_name("whole.mkv"), scale=2, model="nearest").target
    assert out.read_bytes() == whole.read_bytes()


def test_what_the_disk_damaged_is_said(stopped):
    clip, out = stopped
    damage(out, "packet")
    result = upscale_video(clip, out, scale=2, model="nearest")
    assert (result.resumed, result.frames) == (STEP, 40)
    assert any(names(notice, "damaged", STEP) for notice in result.notices)


def test_a_file_that_another_process_has_just_finished_is_not_touched(tmp_path, monkeypatch):
    out = tmp_path / "out.mkv"
    folder_of(out).mkdir()
    (folder_of(out) / "part").write_bytes(b"whole")

    def late(*_, **__):  # the other process gives the file its name before this one has the lock
        if not out.exists():
            (folder_of(out) / "part").rename(out)

    monkeypatch.setattr("widesr.system.locks.lock", late)
    Unfinished(out, made_by={}).remove()
    assert out.read_bytes() == b"whole"


def test_a_folder_is_no_output_and_is_refused_before_the_work(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", frames=2)
    out = tmp_path / "out.mkv"
    out.mkdir()
    frames = []
    with refused("image-write", out):
        upscale_video(
            clip,
            out,
            scale=2,
            model="nearest",
            overwrite=True,
            on_progress=lambda n, _: frames.append(n),
        )
    assert frames == []
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mkv", "out.mkv"}


def test_nothing_but_the_growing_output_is_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(upscaling, "SEGMENT", STEP)
    clip = make_clip(tmp_path / "clip.mkv", size="320x240", frames=40)
    out = tmp_path / "out" / "out.mkv"
    out.parent.mkdir()
    sizes = []

    def look(_done, _total):
        sizes.append(sum(path.stat().st_size for path in out.parent.rglob("*") if path.is_file()))

    upscale_video(clip, out, scale=2, model="nearest", lossless=True, on_progress=look)
    assert max(sizes) <= out.stat().st_size * 1.3
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs getrusage")
def test_memory_does_not_grow_with_the_length(tmp_path):
    peaks = []
    for frames in (60, 300):
        clip = make_clip(tmp_path / f"{frames}.mkv", size="96x64", frames=frames)
        words = ("upscale", clip, "-n", "fast", "-s", "2", "-o", tmp_path / f"{frames}_x2.mkv")
        peaks.append(peak_mib(*words))
    assert peaks[1] < peaks[0] + 40  # MiB; 240 frames decoded are 18, and 72 enlarged


def test_an_output_that_is_there_is_not_replaced_unasked(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", frames=2)
    out = tmp_path / "out.mkv"
    out.write_bytes(b"mine")
    with refused("output-exists"):
        upscale_video(clip, out, scale=2, model="nearest")
    with refused("output-exists"):
        upscale_video(clip, clip, scale=2, model="nearest", overwrite=True)
    assert out.read_bytes() == b"mine"
    assert upscale_video(clip, out, scale=2, model="nearest", overwrite=True).frames == 2


@pytest.mark.parametrize(
    "options",
    [
        {"codec": "prores", "lossless": True},
        {"codec": "h265"},
        {"codec": "h264", "crf": 99},
        {"codec": "ffv1", "crf": 3},
        {"lossless": True, "crf": 3},
    ],
)
def test_what_cannot_be_meant_of_a_codec_is_refused(tmp_path, options):
    clip = make_clip(tmp_path / "clip.mkv", frames=2)
    with refused("usage"):
        upscale_video(clip, scale=2, model="nearest", **options)
    assert os.listdir(tmp_path) == ["clip.mkv"]  # noqa: PTH208


def test_a_still_scene_is_computed_once(tmp_path, monkeypatch):
    from widesr.engine import guard

    calls = []
    run = guard.Guarded.run_all
    monkeypatch.setattr(
        guard.Guarded, "run_all", lambda self, *lr: calls.append(lr[0].shape) or run(self, *lr)
    )
    clip = make_clip(
        tmp_path / "clip.mkv", frames=6, options="-vf loop=6:1:0 -c:v ffv1 -pix_fmt yuv420p"
    )
    upscale_video(clip, tmp_path / "out.mkv", scale=2, model="fast")
    assert len(calls) == 1


def test_tiles_that_change_are_computed_and_the_others_recalled():
    from widesr import Upscaler, upscale_frames

    upscaler = Upscaler.load("fast", scale=2, tile=64)
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (48, 300, 3), np.uint8)
    second = first.copy()
    second[10:14, 280:284] = 0
    third = second.copy()
    third[11, 281:283] = 255  # not all values are looked at first
    frames = (first, second, third)
    expected = [upscaler(frame) for frame in frames]
    made = list(upscale_frames(frames, model=upscaler))
    assert all(np.array_equal(a, b) for a, b in zip(made, expected, strict=True))
    assert upscaler.engine.reused > 0


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_no_encoder_takes_the_machine_for_itself(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", frames=4)
    policies = set()

    def look(*_):
        for thread in (int(each.name) for each in Path("/proc/self/task").iterdir()):
            with suppress(ProcessLookupError):  # it has ended meanwhile
                policies.add(os.sched_getscheduler(thread))

    upscale_video(
        clip, tmp_path / "out.mp4", scale=2, model="nearest", codec="av1", on_progress=look
    )
    look()
    assert policies == {os.SCHED_OTHER}
