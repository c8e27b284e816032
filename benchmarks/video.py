"""Frames per second of a clip as a file against the network alone, what still scenes save, memory.

    python benchmarks/video.py [--size 1280x720] [--frames 48] [--model fast]
    python benchmarks/video.py --memory [--model nearest]

The clips are made from an example photograph: one pans, so every tile changes, and is H.264 as most
clips are; in one only a small part moves, and in one every frame is shown twice, both without loss,
as in a screen recording. "network alone" upscales the same frames in a loop, without a file, before
and after each clip; where the machine has other work, look at the CPU time.

`--memory` gives the largest resident set of a fresh process for 60 and for 300 frames of 320x180,
and for 12 of 1920x1080.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from PIL import Image

import widesr

PHOTOGRAPH = Path(__file__).parents[1] / "examples" / "chapel.jpg"
RATE = 24
MAX_MEMORY = 3 * 2**27
UPSCALE = """
import resource, sys, widesr
widesr.upscale_video(sys.argv[1], sys.argv[2], scale=2, model=sys.argv[3])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


class Took(NamedTuple):
    """The time of some work, in seconds: of the clock, and of all CPUs."""

    wall: float
    cpu: float


def frames_of(kind: str, size: tuple[int, int], count: int) -> Iterator[np.ndarray]:
    width, height = size
    with Image.open(PHOTOGRAPH) as picture:
        wide = np.asarray(picture.convert("RGB").resize((width + count, height)))
    for i in range(count):
        if kind == "one part moves":
            frame = wide[:, :width].copy()
            frame[20 : 20 + height // 8, 20 + i : 20 + i + width // 8] = 255 - 4 * (i % 50)
            yield frame
        else:
            left = i // 2 if kind == "every frame twice" else i
            yield np.ascontiguousarray(wide[:, left : left + width])


def write(path: Path, frames: Iterator[np.ndarray], *, codec: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.pix_fmt = "yuv420p"
        for number, pixels in enumerate(frames):
            if not number:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def timed(work) -> Took:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def speed(size: tuple[int, int], count: int, model: str, folder: Path) -> None:
    pan = list(frames_of("pan", size, count))
    alone, in_file = (widesr.Upscaler.load(model, scale=2, max_memory=MAX_MEMORY) for _ in range(2))
    for each in (alone, in_file):
        each(pan[0])  # the first one takes longer

    def network() -> None:
        for frame in pan:
            alone(frame)

    before = timed(network)
    for kind, codec in (
        ("pan", "libx264"),
        ("every frame twice", "ffv1"),
        ("one part moves", "ffv1"),
    ):
        clip = write(folder / "clip.mkv", frames_of(kind, size, count), codec=codec)
        out = folder / "out.mkv"
        took = timed(lambda: widesr.upscale_video(clip, out, model=in_file, overwrite=True))  # noqa: B023
        after = timed(network)
        of_network = Took(*((one + other) / 2 for one, other in zip(before, after, strict=True)))
        before = after
        print(
            f"{kind:<18}{count / took.wall:7.2f} frames/s, network alone "
            f"{count / of_network.wall:6.2f}; CPU {took.cpu / count:5.2f} s a frame, network alone "
            f"{of_network.cpu / count:5.2f}; {took.wall / of_network.wall:5.2f} of its time, "
            f"{took.cpu / of_network.cpu:5.2f} of its CPU time"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"peak memory {peak:,.0f} MiB, with the frames of the benchmark itself")


def memory(model: str, folder: Path) -> None:
    for size, count in (((320, 180), 60), ((320, 180), 300), ((1920, 1080), 12)):
        clip = write(folder / "clip.mkv", frames_of("pan", size, count), codec="libx264")
        out = folder / f"{size[0]}-{count}.mkv"
        command = [sys.executable, "-c", UPSCALE, clip, out, model]
        peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        print(f"{size[0]}x{size[1]} x2, {count} frames: peak memory {int(peak):,} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--memory", action="store_true")
    asked = parser.parse_args()
    width, height = (int(side) for side in asked.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        if asked.memory:
            print(f"by {asked.model}")
            memory(asked.model, Path(folder))
        else:
            print(f"{asked.size} x2 by {asked.model}, {asked.frames} frames")
            speed((width, height), asked.frames, asked.model, Path(folder))


if __name__ == "__main__":
    main()
