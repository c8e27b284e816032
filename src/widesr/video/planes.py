"""Reads and fills the planes of FFmpeg's frames as arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from widesr.errors import VideoFormatError
from widesr.video.colour import Layout, Plane
from widesr.video.library import load_av

_PACKED = {
    "nv12": "yuv420p", "nv21": "yuv420p", "nv16": "yuv422p", "nv24": "yuv444p",
    "yuyv422": "yuv422p", "uyvy422": "yuv422p", "yvyu422": "yuv422p",
    "uyyvyy411": "yuv411p", "p010le": "yuv420p10le", "p210le": "yuv422p10le",
    "p410le": "yuv444p10le", "p012le": "yuv420p12le", "p016le": "yuv420p16le",
    "nv20le": "yuv422p10le", "y210le": "yuv422p10le",
    "rgb24": "gbrp", "bgr24": "gbrp", "bgr0": "gbrp", "rgb0": "gbrp", "0rgb": "gbrp",
    "0bgr": "gbrp", "pal8": "gbrp", "rgb8": "gbrp", "bgr8": "gbrp", "rgb555le": "gbrp",
    "rgb565le": "gbrp", "rgb48le": "gbrp16le", "rgb48be": "gbrp16le", "bgr48le": "gbrp16le",
    "x2rgb10le": "gbrp10le", "monow": "gray", "monob": "gray",
    "yuvj420p": "yuv420p", "yuvj422p": "yuv422p", "yuvj444p": "yuv444p", "yuvj440p": "yuv440p",
    "yuvj411p": "yuv411p",
}  # fmt: skip
"""The planar format that holds the same values, for each format that is not read directly."""
_SAME = frozenset(name for name in _PACKED if name.startswith("yuvj"))
"""Formats with the same planes as a format of another name."""
HAS_ALPHA = "has transparency, which is not kept; lay it over a background first"
"""The reason to refuse a clip whose picture would change where it is transparent."""


def layout_of(pixel_format: Any, *, found: str) -> Layout:  # noqa: ANN401 (av's VideoFormat)
    """Describe the planes that frames of a format are read as; `found` names the stream.

    Raises:
        VideoFormatError: The format has transparency, or is not supported.
    """
    av = load_av()
    name = pixel_format.name
    planar = av.VideoFormat(_PACKED.get(name, name.replace("be", "le")))
    components = planar.components
    if any(each.is_alpha for each in pixel_format.components) and name != "pal8":
        raise VideoFormatError(f"{found}: {HAS_ALPHA}")
    bits = components[0].bits
    is_planar = len({each.plane for each in components}) == len(components)
    kind = "rgb" if planar.is_rgb else "yuv" if len(components) == 3 else "gray"
    if not is_planar or bits < 8 or bits > 16 or planar.is_bayer or "f" in name.split("p")[-1]:
        raise VideoFormatError(f"{found}: has the pixel format {name}, which is not read")
    subsampled = kind == "yuv"
    return Layout(
        name=planar.name,
        kind=kind,  # type: ignore[arg-type]
        bits=bits,
        across=64 // planar.chroma_width(64) if subsampled else 1,
        down=64 // planar.chroma_height(64) if subsampled else 1,
    )


def read_planes(frame: Any, layout: Layout) -> list[Plane]:  # noqa: ANN401 (av's VideoFrame)
    """Give the planes of a frame as arrays, which are valid for as long as the frame is."""
    if frame.format.name != layout.name and frame.format.name not in _SAME:
        frame = frame.reformat(format=layout.name)
    return views(frame)


def views(frame: Any) -> list[Plane]:  # noqa: ANN401 (av's VideoFrame)
    """View the memory of a frame's planes as arrays: (H, W), or (H, 3 W) for packed RGB."""
    components = frame.format.components
    dtype = np.uint8 if components[0].bits == 8 else np.dtype("<u2")
    values = len(components) // len(frame.planes)
    return [
        np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width * values]
        for plane in frame.planes
    ]


def make_frame(planes: Sequence[Plane], layout: Layout, pixel_format: str) -> Any:  # noqa: ANN401
    """Make a frame from planes, in a format that holds the values of the layout."""
    av = load_av()
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, layout.name)
    for rows, values in zip(views(frame), planes, strict=True):
        rows[:] = values
    return frame if pixel_format == layout.name else frame.reformat(format=pixel_format)
