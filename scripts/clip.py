"""Make the example clip: a slow pan over one of the example photographs, then a still of another.

    python scripts/clip.py examples/clips/pan.mp4

It needs the extra `video`. The same photographs give the same clip.
"""

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

SIZE = 192, 108
"""Width and height of the clip."""
RATE = 24
FRAMES = 24
"""Frames of each half."""
EXAMPLES = Path(__file__).parents[1] / "examples"


def pan(photograph: Image.Image, share: float) -> np.ndarray:
    """Cut a part of the photograph out, (H, W, 3), that moves with the share of the way."""
    width, height = SIZE
    zoom = 2.4 - 0.5 * share
    box_width, box_height = width * zoom, height * zoom
    left = (photograph.width - box_width) * share
    top = (photograph.height - box_height) * (0.3 + 0.2 * share)
    box = (left, top, left + box_width, top + box_height)
    return np.asarray(photograph.resize(SIZE, Image.Resampling.BICUBIC, box=box))


def main(out: str) -> None:
    """Write the clip."""
    with (
        Image.open(EXAMPLES / "chapel.jpg") as moving,
        Image.open(EXAMPLES / "kitten.jpg") as still,
    ):
        frames = [pan(moving.convert("RGB"), i / (FRAMES - 1)) for i in range(FRAMES)]
        frames += [pan(still.convert("RGB"), 0.5)] * FRAMES
    with av.open(out, "w", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.options = {"crf": "20", "preset": "slow", "threads": "1"}
        for name, value in (("colorspace", 1), ("color_range", 1), ("color_primaries", 1)):
            setattr(stream.codec_context, name, value)
        stream.codec_context.color_trc = 1
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main(*sys.argv[1:])
