"""Converts FFmpeg's frames to RGB and back, with its swscale where that is exact to one level."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from widesr.video.colour import FULL, LIMITED, Colour, Layout, Plane
from widesr.video.library import load_av
from widesr.video.planes import make_frame, read_planes, views

Beyond = Any
"""A frame with the part of each plane that RGB cannot hold, around the middle level."""

_FAST = frozenset(("yuv420p", "yuv422p", "yuv444p"))
"""Formats whose limited range swscale converts as `Conversion` does, in a third of the time; one
value in a hundred differs by one level."""
_EXACT = "accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
_CUBIC = f"flags=bicubic+{_EXACT}:param0=0:param1=0.5"


class Converter:
    """Converts frames of one layout and colour to RGB and back."""

    def __init__(self, colour: Colour, layout: Layout, *, height: int) -> None:
        """Choose the conversion.

        Args:
            colour: The colours as the stream states them.
            layout: The planes of the frames.
            height: The rows of the clip, from which an unstated matrix is guessed.
        """
        self._layout = layout
        self._middle = (np.uint8 if layout.bits == 8 else np.uint16)(2 ** (layout.bits - 1))
        self._conversion = colour.conversion(layout, height)
        self._is_fast = layout.name in _FAST and colour.range != FULL
        matrix, siting = colour.matrix_or_guess(height), colour.siting_or_guess
        self._up = _Swscale(
            "gbrp",  # a third of the time of "rgb24", for which swscale has no vector code
            f"{_CUBIC}:in_chroma_loc={siting}",
            source=(matrix, LIMITED),
        )
        self._down = _Swscale(
            layout.name,
            f"flags=bilinear+{_EXACT}:out_chroma_loc={siting}:out_color_matrix={matrix}:"
            f"out_range={LIMITED}",
            source=(0, FULL),
        )
        self._enlarge = _Swscale(
            layout.name,
            f"{_CUBIC}:in_chroma_loc={siting}:out_chroma_loc={siting}",
            source=(matrix, colour.range or LIMITED),
        )
        self._rgb: Any = None

    def to_rgb(self, frame: Any) -> tuple[Plane, Beyond | None]:  # noqa: ANN401 (av's)
        """Convert a frame to RGB (H, W, 3) or grey (H, W, 1), and give what these cannot hold.

        Films have levels above white and below black, and colours outside RGB, which networks do
        not know. This excess is added back after the network.

        Returns:
            uint8 from 8 bits and uint16 from more; and the excess, None if there is none.
        """
        planes = read_planes(frame, self._layout)
        if self._is_fast and frame.format.name == self._layout.name:
            made = self._up(frame)
            held = views(self._down(made))
            gaps = _gaps(planes, held)
            # swscale overflows beyond 512, and full blue turns into none
            if all(gap.max() < self._middle for gap in gaps):
                green, blue, red = views(made)
                rgb = np.stack((red, green, blue)).transpose(1, 2, 0)
                return rgb, self._beyond(planes, held, gaps)
        rgb = self._conversion.to_rgb(planes)
        if self._layout.kind == "rgb":
            return rgb, None
        held = self._conversion.to_planes(rgb)
        return rgb, self._beyond(planes, held, _gaps(planes, held))

    def _beyond(
        self, planes: Sequence[Plane], held: Sequence[Plane], gaps: Sequence[Plane]
    ) -> Beyond | None:
        """Give the part of the planes that RGB does not hold, at most half of the levels."""
        are_far = [gap > 1 for gap in gaps]
        if not any(each.any() for each in are_far):
            return None
        rests = [
            np.where(is_far, plane - other + self._middle, self._middle)  # wraps around, and back
            for plane, other, is_far in zip(planes, held, are_far, strict=True)
        ]
        return make_frame(rests, self._layout, self._layout.name)

    def to_frame(self, rgb: Plane, beyond: Beyond | None, *, pixel_format: str) -> Any:  # noqa: ANN401
        """Make a frame from RGB or grey, and add `beyond`, resized to the frame.

        Args:
            rgb: (H, W, C), uint8 or uint16.
            beyond: The excess that `to_rgb` gave, of the same layout.
            pixel_format: A format that holds the values of the layout.
        """
        if self._is_fast and rgb.dtype == np.uint8 and rgb.shape[2] == 3:
            made = self._down(self._filled(rgb))
        else:
            made = make_frame(self._conversion.to_planes(rgb), self._layout, pixel_format)
        if beyond is not None:
            rests = views(self._enlarge(beyond, size=f"{made.width}:{made.height}:"))
            for plane, rest in zip(views(made), rests, strict=True):
                wide = np.int16 if plane.dtype == np.uint8 else np.int32
                values = np.add(plane, rest, dtype=wide)
                values -= self._middle
                plane[:] = np.clip(values, 0, self._layout.top, out=values)
        return made

    def _filled(self, rgb: Plane) -> Any:  # noqa: ANN401 (av's)
        """Copy RGB into a frame, which is used again for the next one."""
        height, width, _ = rgb.shape
        if self._rgb is None or (self._rgb.height, self._rgb.width) != (height, width):
            self._rgb = load_av().VideoFrame(width, height, "rgb24")
        (rows,) = views(self._rgb)
        rows.reshape(height, width, 3)[:] = rgb
        return self._rgb


class _Swscale:
    """Converts frames by FFmpeg's filter `scale`, which knows the siting of chroma."""

    def __init__(self, target: str, options: str, *, source: tuple[int, int]) -> None:
        """Convert to the pixel format `target`, from frames of `source`: a matrix and a range."""
        self._target, self._options, self._source = target, options, source
        self._graph: Any = None

    def __call__(self, frame: Any, *, size: str = "") -> Any:  # noqa: ANN401 (av's)
        """Convert a frame, as large as the first, and resize it to `size`, as "2560:1440:"."""
        frame.colorspace, frame.color_range = self._source
        if self._graph is None:
            self._graph = load_av().filter.Graph()
            matrix, levels = self._source
            told = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
            told += f":time_base=1/1:colorspace={matrix}:range={levels}"
            scale = f"{size}{self._options}"
            chain = (("buffer", told), ("scale", scale), ("format", self._target))
            steps = [self._graph.add(name, each) for name, each in chain]
            self._graph.link_nodes(*steps, self._graph.add("buffersink")).configure()
        self._graph.push(frame)
        return self._graph.pull()


def _gaps(planes: Sequence[Plane], held: Sequence[Plane]) -> list[Plane]:
    """Measure how far the levels of planes are from those that RGB holds."""
    return [np.maximum(a, b) - np.minimum(a, b) for a, b in zip(planes, held, strict=True)]
