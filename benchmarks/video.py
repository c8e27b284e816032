"""Frames per second of a clip as a file, against the network alone; and what a still scene saves.

    python benchmarks/video.py [--size 1280x720] [--frames 48] [--model fast]

The clips are made from an example photograph: one pans, so every tile changes; in one only a small
part moves; in one every frame is shown twice. "network alone" upscales the same frames in a loop,
without a file. Peak memory is that of the whole process.
"""

import argparse
import resource
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

import widesr

PHOTOGRAPH = Path(__file__).parents[1] / "examples" / "chapel.jpg"
RATE = 24


def frames_of(kind: str, size: tuple[int, int], count: int) -> list[np.ndarray]:
    width, height = size
    with Image.open(PHOTOGRAPH) as picture:
        wide = np.asarray(picture.convert("RGB").resize((width + count, height)))
    if kind == "pan":
        return [np.ascontiguousarray(wide[:, i : i + width]) for i in range(count)]
    if kind == "doubled":
        return [np.ascontiguousarray(wide[:, i // 2 : i // 2 + width]) for i in range(count)]
    still = np.ascontiguousarray(wide[:, :width])
    frames = []
    for i in range(count):
        frame = still.copy()
        frame[20 : 20 + height // 8, 20 + i : 20 + i + width // 8] = 255 - 4 * (i % 50)
        frames.append(frame)
    return frames


def write(path: Path, frames: list[np.ndarray]) -> None:
    """Encode without loss: what does not move must not change, as in a screen recording."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--model", default="fast")
    asked = parser.parse_args()
    size = tuple(int(side) for side in asked.size.split("x"))
    print(f"{asked.size} x2 by {asked.model}, {asked.frames} frames")
    upscaler = widesr.Upscaler.load(asked.model, scale=2, max_memory=2**29)
    frames = frames_of("pan", size, asked.frames)
    upscaler(frames[0])
    start, cpu = time.perf_counter(), time.process_time()
    for frame in frames:
        upscaler(frame)
    alone = asked.frames / (time.perf_counter() - start)
    alone_cpu = (time.process_time() - cpu) / asked.frames
    print(f"{'network alone':<22}{alone:7.2f} frames/s   {alone_cpu:6.2f} CPU s a frame")
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("pan", "doubled", "one part moves"):
            clip = Path(folder) / "clip.mkv"
            write(clip, frames_of(kind, size, asked.frames))
            out = Path(folder) / "out.mkv"
            cpu = time.process_time()
            result = widesr.upscale_video(clip, out, scale=2, model=asked.model, overwrite=True)
            rate = result.frames / result.seconds
            cpu = (time.process_time() - cpu) / result.frames
            print(
                f"{'file, ' + kind:<22}{rate:7.2f} frames/s   {cpu:6.2f} CPU s a frame   "
                f"{alone / rate:5.2f} of its time, {cpu / alone_cpu:5.2f} of its CPU time"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"peak memory {peak:,.0f} MiB, with the frames of the benchmark itself")


if __name__ == "__main__":
    main()
