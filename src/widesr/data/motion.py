"""Makes clips from photographs: the camera and objects before it move, and the light changes.

Free video is scarce and mostly compressed; a photograph has all its detail, and the motion made
from it is known. Each frame is drawn at twice its size and then shrunk, so that it is as sharp at
every sub-pixel position as a picture from a camera.
"""

from dataclasses import dataclass, replace
from math import cos, log, pi, sin

import numpy as np
import pyvips
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_FINE = 2
"""Drawn pixels per pixel of a frame, along each axis."""
_SPEEDS = (0.2, 8.0)
"""Least and greatest speed of a motion, in pixels of a frame per frame."""


@dataclass(frozen=True)
class _Path:
    """The motion of a plane before the camera: linear in time, and shaken by the hand."""

    place: NDArray[np.float64]
    """(y, x) in the photograph of the first frame's middle, without shake."""
    speed: NDArray[np.float64]
    """(y, x) in pixels of the photograph per frame."""
    shake: NDArray[np.float64]
    """(frames, 2): offset (y, x) of each frame, in pixels of the photograph."""
    angle: float
    turn: float
    """Radians per frame."""
    size: float
    """Pixels of the photograph per drawn pixel, in the first frame."""
    zoom: float
    """Logarithm of the factor by which `size` changes per frame."""
    tilt: NDArray[np.float64]
    """The perspective in the first frame, along y and x, per half of a frame's side."""
    tilting: NDArray[np.float64]
    """The change of `tilt` per frame."""

    def looks_at(self, side: int, time: int) -> tuple[Floats, Floats]:
        """Return the rows and columns of the photograph that (side, side) drawn pixels show."""
        half = side / 2
        at = (np.arange(side) - half + 0.5).astype(np.float32)
        y, x = at[:, np.newaxis], at[np.newaxis]
        tilt = (self.tilt + self.tilting * time).astype(np.float32) / np.float32(half)
        depth = 1 + tilt[0] * y + tilt[1] * x
        angle, size = self.angle + self.turn * time, self.size * np.exp(self.zoom * time)
        along, across = np.float32(cos(angle) * size), np.float32(sin(angle) * size)
        row, column = self.place + self.speed * time + self.shake[time]
        rows = (along * y - across * x) / depth + np.float32(row)
        columns = (across * y + along * x) / depth + np.float32(column)
        return rows, columns


@dataclass(frozen=True)
class _Occluder:
    """An object with a wavy outline that moves on its own in front of the rest."""

    path: _Path
    middle: NDArray[np.float64]
    """(y, x) in the first frame, in pixels from that frame's middle."""
    speed: NDArray[np.float64]
    """(y, x) in pixels per frame."""
    radius: float
    waves: NDArray[np.float64]
    """(3, 2): the outline's waves, each by its size as a share of the radius and its phase."""

    def covers(self, side: int, time: int) -> Floats:
        """Return the share of each pixel of a frame that is covered, (side, side, 1)."""
        at = np.arange(side, dtype=np.float32) - np.float32(side / 2 - 0.5)
        y, x = at[:, np.newaxis], at[np.newaxis]
        row, column = (self.middle + self.speed * time).astype(np.float32)
        y, x = y - row, x - column
        angle = np.arctan2(y, x)
        edge = np.ones_like(angle)
        for n, (size, phase) in enumerate(self.waves.astype(np.float32), start=1):
            edge += size * np.sin(n * angle + phase)
        share: Floats = np.clip(np.float32(self.radius) * edge - np.hypot(y, x) + 0.5, 0, 1)
        return share[..., np.newaxis]


def make_clip(
    photograph: NDArray[np.uint8], *, frames: int, side: int, seed: int | tuple[int, ...]
) -> list[NDArray[np.uint8]]:
    """Make a clip from a photograph, with pan, zoom, turn, perspective, occluders and exposure.

    The photograph is mirrored beyond its border.

    Args:
        photograph: uint8 (H, W, 3).
        frames: The number of frames.
        side: The side of the square frames, in pixels.
        seed: The same seed makes the same clip.

    Returns:
        The frames, uint8 (side, side, 3).
    """
    random = np.random.default_rng(seed)
    drawn, shape = side * _FINE, photograph.shape[:2]
    camera = _draw_path(random, shape, frames=frames, drawn=drawn)
    occluders = [
        _draw_occluder(random, shape, frames=frames, drawn=drawn)
        for _ in range(random.choice(3, p=(0.4, 0.4, 0.2)))
    ]
    is_lit = random.random() < 0.3
    gain, offset = random.normal(0, (0.02, 2.0)) * is_lit
    plane = pyvips.Image.new_from_array(photograph).cast("float")
    clip = []
    for time in range(frames):
        picture = _seen(plane, *camera.looks_at(drawn, time))
        for each in occluders:
            thing = _seen(plane, *each.path.looks_at(drawn, time))
            picture = picture + each.covers(side, time) * (thing - picture)
        lit = picture * (1 + gain * time) + offset * time
        clip.append(np.clip(np.floor(lit + 0.5), 0, 255).astype(np.uint8))
    return clip


def _draw_speed(random: np.random.Generator) -> NDArray[np.float64]:
    """Draw a speed (y, x) in pixels of a frame per frame, log-uniform and in any direction."""
    size = np.exp(random.uniform(log(_SPEEDS[0]), log(_SPEEDS[1])))
    angle = random.uniform(0, 2 * pi)
    speed: NDArray[np.float64] = size * np.array([sin(angle), cos(angle)])
    return speed


def _draw_path(
    random: np.random.Generator, shape: tuple[int, ...], *, frames: int, drawn: int
) -> _Path:
    size = random.uniform(0.7, 1.3)
    is_still = random.random() < 0.1
    moves = 0.0 if is_still else 1.0
    speed = _draw_speed(random) * _FINE * size * moves
    shakes = random.random() < 0.4
    shake = random.normal(0, random.uniform(0.1, 0.7) * _FINE * size, (frames, 2)) * shakes * moves
    room = [max(side - drawn * size, 0) / 2 for side in shape]
    place = [side / 2 + random.uniform(-free, free) for side, free in zip(shape, room, strict=True)]
    return _Path(
        place=np.array(place) - speed * (frames - 1) / 2,
        speed=speed,
        shake=shake,
        angle=random.normal(0, 0.1),
        turn=random.normal(0, 0.006) * moves,
        size=size,
        zoom=random.normal(0, 0.006) * moves,
        tilt=random.normal(0, 0.05, 2),
        tilting=random.normal(0, 0.003, 2) * moves,
    )


def _draw_occluder(
    random: np.random.Generator, shape: tuple[int, ...], *, frames: int, drawn: int
) -> _Occluder:
    path = _draw_path(random, shape, frames=frames, drawn=drawn)
    speed = _draw_speed(random)
    # Its texture moves with it, so the place read in the photograph moves back the same distance.
    carried = replace(path, speed=path.speed * 0.1 - speed * _FINE * path.size)
    return _Occluder(
        path=carried,
        middle=random.uniform(-0.25, 0.25, 2) * drawn - speed * (frames - 1) / 2,
        speed=speed,
        radius=random.uniform(0.04, 0.12) * drawn,
        waves=np.stack([random.uniform(0, 0.2, 3), random.uniform(0, 2 * pi, 3)], axis=1),
    )


def _seen(photograph: pyvips.Image, rows: Floats, columns: Floats) -> Floats:
    """Sample a photograph, mirrored beyond its border, and shrink the samples to a frame."""
    columns, rows = _folded(columns, photograph.width), _folded(rows, photograph.height)
    where = pyvips.Image.new_from_array(np.dstack([columns, rows]))
    cubic = pyvips.Interpolate.new("bicubic")
    drawn = photograph.mapim(where, interpolate=cubic, extend="copy")
    seen: Floats = drawn.resize(1 / _FINE, kernel="cubic").numpy()
    return seen


def _folded(at: Floats, length: int) -> Floats:
    """Mirror positions beyond 0 .. length - 1 back into this range."""
    last = np.float32(length - 1)
    folded: Floats = last - np.abs(at % (2 * last) - last)
    return folded
