"""Estimates, before the work, how long it will take and how large the output will be."""

from typing import NamedTuple

from widesr.video.upscale import Work

_LOSSLESS = 0.4
"""The approximate share of a film's raw bytes that lossless coding takes."""
_BITS = {"h264": 0.16, "hevc": 0.11, "av1": 0.09, "vp9": 0.11, "prores": 3.6}
"""Approximate bits per pixel at the default quality; smooth upscaled pictures take less."""


class Forecast(NamedTuple):
    """The forecast of a clip."""

    frames: int
    seconds: float
    bytes: int
    """The bytes of the output."""


def forecast(work: Work) -> Forecast:
    """Measure the network's speed on a small sample, and extrapolate to the clip."""
    clip, encoding = work.clip, work.encoding
    pixels = encoding.width * encoding.height
    seconds = work.upscaler.seconds_for(clip.height, clip.width) * clip.frames
    layout = encoding.layout
    chroma = {"gray": 0.0, "rgb": 2.0}.get(layout.kind, 2 / (layout.across * layout.down))
    raw = pixels * (1 + chroma) * layout.bits / 8
    if encoding.lossless or encoding.codec == "ffv1":
        frame_bytes = raw * _LOSSLESS
    else:
        frame_bytes = pixels * _BITS[encoding.codec] / 8
    return Forecast(clip.frames, seconds, int(frame_bytes * clip.frames))
