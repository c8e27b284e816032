"""Clips made by ffmpeg while the tests run, and what ffprobe and ffmpeg find in them."""

import json
import shlex
import subprocess
from pathlib import Path

import numpy as np

from others import execute, program

FONT_BYTES = bytes(range(256)) * 3
"""Stand-in for a font: nobody looks into it."""
INTERLACED = "-c:v libx264 -x264-params tff=1 -pix_fmt yuv420p"
"""Options of clips that say that each frame is two fields."""
_FFMPEG = ("-v", "error", "-y", "-nostdin", "-fflags", "+bitexact")


def ffmpeg(arguments: str, *paths: Path) -> None:
    """Run ffmpeg; {} in the arguments is the next path."""
    execute([program("ffmpeg"), *_FFMPEG, *shlex.split(arguments.format(*paths))])


def make_clip(
    path: Path,
    *,
    size: str = "64x48",
    frames: int = 12,
    rate: str = "25",
    source: str = "testsrc2",
    sound: str = "",
    options: str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p",
) -> Path:
    """Make a clip of a moving test pattern, with a tone where `sound` names a codec."""
    seconds = frames / eval_rate(rate)
    inputs = f"-f lavfi -i {source}{':' if '=' in source else '='}s={size}:r={rate}"
    audio = f"-f lavfi -i sine=r=48000:d={seconds:.3f}" if sound else ""
    with_sound = f"-c:a {sound}" if sound else ""
    ffmpeg(f"{inputs} {audio} -frames:v {frames} {options} {with_sound} {{}}", path)
    return path


def eval_rate(rate: str) -> float:
    over, _, under = rate.partition("/")
    return float(over) / float(under or 1)


def _ffprobe(*arguments: str) -> dict:
    command = [program("ffprobe"), "-v", "error", "-of", "json", *arguments]
    return json.loads(execute(command))


def packets(path: Path, *, of: str) -> list[tuple]:
    """Return time, duration, size and hash of every packet of the streams, by their index."""
    found = _ffprobe("-show_packets", "-show_data_hash", "md5", "-select_streams", of, str(path))
    wanted = ("stream_index", "pts", "dts", "duration", "size", "data_hash")
    return [tuple(each.get(name) for name in wanted) for each in found["packets"]]


def other_packets(path: Path) -> dict[int, list[tuple]]:
    """Return the packets of all streams but the first video, by the stream's index."""
    found = _ffprobe("-show_packets", "-show_data_hash", "md5", str(path))
    video = next(each["index"] for each in streams(path) if each["codec_type"] == "video")
    by_index: dict[int, list[tuple]] = {}
    for each in found["packets"]:
        if each["stream_index"] != video:
            said = tuple(each.get(name) for name in ("pts", "duration", "size", "data_hash"))
            by_index.setdefault(each["stream_index"], []).append(said)
    return by_index


def frame_times(path: Path) -> list[int]:
    """Return the time of every frame of the video, in ticks."""
    found = _ffprobe(
        "-show_frames", "-show_entries", "frame=pts", "-select_streams", "v:0", str(path)
    )
    return [each["pts"] for each in found["frames"]]


def side_data(path: Path) -> dict[str, dict]:
    """Return the side data of the first frame of the video, by kind."""
    first = ("-read_intervals", "%+#1", "-select_streams", "v:0")
    (frame,) = _ffprobe("-show_frames", *first, str(path))["frames"]
    return {each["side_data_type"]: each for each in frame.get("side_data_list", ())}


def streams(path: Path) -> list[dict]:
    """Return ffprobe's description of each stream."""
    return list(_ffprobe("-show_streams", str(path))["streams"])


def video(path: Path) -> dict:
    """Return ffprobe's description of the video."""
    return next(each for each in streams(path) if each["codec_type"] == "video")


def whole(path: Path) -> dict:
    """Return ffprobe's description of the file and its chapters."""
    return _ffprobe("-show_format", "-show_chapters", str(path))


def decoded(path: Path, *, pixel_format: str, size: tuple[int, int]) -> np.ndarray:
    """Return all frames as ffmpeg decodes them: (frames, values)."""
    height, width = size
    raw = execute(
        [program("ffmpeg"), *_FFMPEG, "-i", str(path), "-map", "0:v:0", "-vsync", "0", "-f",
         "rawvideo", "-pix_fmt", pixel_format, "-"]
    )  # fmt: skip
    dtype = np.dtype("<u2") if pixel_format.endswith("le") else np.dtype(np.uint8)
    values = np.frombuffer(raw, dtype)
    per_frame = {"420": 1.5, "422": 2, "444": 3, "gray": 1, "rgb24": 3, "gbrp": 3}
    share = next(share for name, share in per_frame.items() if name in pixel_format)
    chroma = -(-height // 2) * -(-width // 2) * 2 if "420" in pixel_format else None
    n = height * width + chroma if chroma is not None else int(height * width * share)
    assert len(values) % n == 0
    return values.reshape(-1, n)


def run_widesr(*arguments: object, cwd: Path, **options) -> subprocess.Popen:
    """Start the command in a process of its own."""
    import sys

    return subprocess.Popen(
        [sys.executable, "-m", "widesr", *map(str, arguments)],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip
