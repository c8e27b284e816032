"""Convert FFmpeg's frames to RGB and back, by its swscale where that is exact to a level."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from widesr.pixels.resize import imresize
from widesr.video.colour import FULL, LIMITED, Colour, Layout, Plane
from widesr.video.library import load_av
from widesr.video.planes import make_frame, read_planes, views

Beyond = Sequence[NDArray[np.float32] | None]
"""The part of each plane that RGB cannot hold, in levels; None if that is nothing."""

_FAST = frozenset(("yuv420p", "yuv422p", "yuv444p"))
"""Formats of which swscale converts limited range as `Conversion` does, but for one level in one
value of a hundred, in a third of the time."""
_EXACT = "accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"


class Converter:
    """Converts frames of one layout and colour to RGB and back."""

    def __init__(self, colour: Colour, layout: Layout, *, height: int) -> None:
        """Settle the way.

        Args:
            colour: The colours as the stream states them.
            layout: The planes of the frames.
            height: The rows of the clip, by which a matrix that is not stated is guessed.
        """
        self._layout = layout
        self._conversion = colour.conversion(layout, height)
        self._is_fast = layout.name in _FAST and colour.range != FULL
        matrix, siting = colour.matrix_or_guess(height), colour.siting_or_guess
        self._up = _Swscale(
            "rgb24",
            f"flags=bicubic+{_EXACT}:param0=0:param1=0.5:in_chroma_loc={siting}",
            source=(matrix, LIMITED),
        )
        self._down = _Swscale(
            layout.name,
            f"flags=bilinear+{_EXACT}:out_chroma_loc={siting}:out_color_matrix={matrix}:"
            f"out_range={LIMITED}",
            source=(0, FULL),
        )
        self._rgb: Any = None

    def to_rgb(self, frame: Any) -> tuple[Plane, Beyond | None]:  # noqa: ANN401 (av's)
        """Convert a frame to RGB (H, W, 3), or grey (H, W, 1); give what these cannot hold too.

        Films have levels above white and below black, and colours outside of RGB, which networks
        do not know. What they hold beyond it is added again after the network.

        Returns:
            uint8 from 8 bits and uint16 from more; and what lies beyond, None if nothing does.
        """
        planes = read_planes(frame, self._layout)
        if self._is_fast and frame.format.name == self._layout.name:
            made = self._up(frame)
            (rgb,) = views(made)
            rgb = rgb.reshape(frame.height, frame.width, 3)
            held = views(self._down(made))
        else:
            rgb = self._conversion.to_rgb(planes)
            if self._layout.kind == "rgb":
                return rgb, None
            held = self._conversion.to_planes(rgb)
        beyond = [_beyond(plane, other) for plane, other in zip(planes, held, strict=True)]
        return rgb, None if all(each is None for each in beyond) else beyond

    def to_frame(self, rgb: Plane, beyond: Beyond | None, *, pixel_format: str) -> Any:  # noqa: ANN401
        """Make a frame of RGB or grey, and add what lies beyond, of whatever size that is.

        Args:
            rgb: (H, W, C), uint8 or uint16.
            beyond: From `to_rgb`, of the same layout.
            pixel_format: One that holds the values of the layout.
        """
        if self._is_fast and rgb.dtype == np.uint8 and rgb.shape[2] == 3:
            made = self._down(self._filled(rgb))
        else:
            made = make_frame(self._conversion.to_planes(rgb), self._layout, pixel_format)
        for plane, rest in zip(views(made), beyond or (), strict=False):
            if rest is not None:
                _add(plane, rest, top=self._layout.top)
        return made

    def _filled(self, rgb: Plane) -> Any:  # noqa: ANN401 (av's)
        """A frame of RGB; it is used again for the next one."""
        height, width, _ = rgb.shape
        if self._rgb is None or (self._rgb.height, self._rgb.width) != (height, width):
            self._rgb = load_av().VideoFrame(width, height, "rgb24")
        (rows,) = views(self._rgb)
        rows.reshape(height, width, 3)[:] = rgb
        return self._rgb


class _Swscale:
    """Converts frames by FFmpeg's filter `scale`, which knows the siting of chroma."""

    def __init__(self, target: str, options: str, *, source: tuple[int, int]) -> None:
        """Convert to the pixel format `target`, from frames of a matrix and a range."""
        self._target, self._options, self._source = target, options, source
        self._graph: Any = None

    def __call__(self, frame: Any) -> Any:  # noqa: ANN401 (av's)
        frame.colorspace, frame.color_range = self._source
        if self._graph is None:
            self._graph = load_av().filter.Graph()
            matrix, levels = self._source
            told = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
            told += f":time_base=1/1:colorspace={matrix}:range={levels}"
            chain = (("buffer", told), ("scale", self._options), ("format", self._target))
            steps = [self._graph.add(name, each) for name, each in chain]
            self._graph.link_nodes(*steps, self._graph.add("buffersink")).configure()
        self._graph.push(frame)
        return self._graph.pull()


def _beyond(plane: Plane, held: Plane) -> NDArray[np.float32] | None:
    """Take what a plane has and RGB does not hold, (H, W); None if that is nothing."""
    is_far = np.maximum(plane, held) - np.minimum(plane, held) > 1
    if not is_far.any():
        return None
    return np.where(is_far, plane.astype(np.float32) - held, np.float32(0))


def _add(plane: Plane, rest: NDArray[np.float32], *, top: int) -> None:
    """Add what lies beyond to a plane of any size, in place."""
    values = imresize(rest, size=plane.shape)
    values += plane
    values += np.float32(0.5)
    plane[:] = np.clip(values, 0, top, out=values)
