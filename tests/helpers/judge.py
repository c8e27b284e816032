"""Judge an enlarged picture by what other programs see in its file and in its input.

A network may draw sharper edges than bicubic interpolation, but it changes neither what a few
pixels are on average, nor gives a pixel a colour that no pixel near it has.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter

from seen import Seen, converted

_BLOCK = 6
"""Side of the squares that are compared on average, in input pixels."""
_REACH = 5
"""Side of the neighbourhood that gives a pixel its range, in input pixels."""
_OVERSHOOT = 0.25
"""Overshoot that networks and lossy formats add at an edge, in [0, 1]."""
_DEEPEST = {".png": 16, ".tif": 16, ".tiff": 16, ".avif": 12, ".apng": 16}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Errors that still pass; levels in [0, 1]."""

    mean: float = 0.04
    """Mean absolute difference from bicubic."""
    block: float = 0.05
    """Error of the mean of any square, and of any edge."""
    outside: float = 0.004
    """Share of pixels whose colour no pixel near them has."""


def faults(lr: Seen, sr: Seen, *, scale: int, suffix: str, limits: Limits) -> list[str]:
    """Say all that is wrong with an output, nothing where it is right."""
    if len(lr.frames) != len(sr.frames) or len(lr.times or ()) != len(sr.times or ()):
        count = [len(each.times or each.frames) for each in (lr, sr)]
        return [f"{count[0]} frames or pages became {count[1]}"]
    found = [*_of_labels(lr, sr, scale=scale, suffix=suffix)]
    for number, (before, after) in enumerate(zip(lr.frames, sr.frames, strict=True)):
        height, width = before.shape[:2]
        if after.shape[:2] != (height * scale, width * scale):
            found.append(f"{width}x{height} became {after.shape[1]}x{after.shape[0]}")
            continue
        if lr.in_srgb:
            after = converted(after, sr.icc)
        elif lr.icc and lr.icc != sr.icc:
            before, after = converted(before, lr.icc), converted(after, sr.icc)
        wrong = _of_pixels(before, after, limits=limits, uncertain=lr.uncertain is not None)
        found += [f"frame {number}: {each}" if len(lr.frames) > 1 else each for each in wrong]
    if sr.alpha and not lr.alpha and lr.times is None and suffix != ".gif":
        found.append("an alpha channel came from nowhere")
    if lr.extra and not sr.extra:
        found.append("a band that is neither colour nor alpha is lost")
    elif sr.extra and not lr.extra:
        found.append("a band that is neither colour nor alpha came from nowhere")
    return found[:6]


def _of_labels(lr: Seen, sr: Seen, *, scale: int, suffix: str) -> list[str]:
    found = []
    if lr.times and any(abs(a - b) > 1 for a, b in zip(lr.times, sr.times or (), strict=True)):
        found.append(f"times {lr.times[:5]}... became {sr.times[:5]}...")
    if lr.plays != sr.plays:
        found.append(f"played {lr.plays} times, became {sr.plays}")
    if lr.icc and not sr.icc:
        found.append("the profile is lost")
    elif sr.icc and not lr.icc and not lr.tagged:
        found.append("a profile came from nowhere")
    if sr.turned:
        found.append("the output asks to be turned")
    expected = min(max(lr.bits, 8), _DEEPEST.get(suffix, 8))
    if sr.bits < expected or (lr.bits <= 8 and sr.bits > 8):
        found.append(f"{lr.bits} bits became {sr.bits}")
    if lr.geo and sr.geo and abs(sr.geo[0] * scale / lr.geo[0] - 1) > 0.01:
        found.append(f"{lr.geo[0]:g} of ground a pixel became {sr.geo[0]:g}")
    return found + _of_resolution(lr, sr, scale=scale)


def _of_resolution(lr: Seen, sr: Seen, *, scale: int) -> list[str]:
    if any(max(dots) < 2 for dots in lr.dots):  # some programs write 1 for no answer
        return []
    found = []
    allowed = [tuple(n * k for n in dots) for dots in lr.dots for k in (1, scale)]
    if not lr.dots and sr.dots:
        found.append(f"a resolution of {_dpi(sr.dots[0])} came from nowhere")
    elif lr.dots and not sr.dots:
        found.append(f"the resolution of {_dpi(lr.dots[0])} is lost")
    elif any(not any(_near(dots, each) for each in allowed) for dots in sr.dots):
        found.append(f"{', '.join(map(_dpi, lr.dots))} became {', '.join(map(_dpi, sr.dots))}")
    before, after = _stretched(lr), _stretched(sr)
    if not any(abs(a / b - 1) < 0.03 for a in before for b in after):
        found.append(f"pixels of aspect {before[0]:.3g} became {after[0]:.3g}")
    return found


def _stretched(seen: Seen) -> list[float]:
    """Return density across divided by density down, for each place that states both."""
    return [across / down for across, down in seen.dots] or [seen.aspect]


def _dpi(dots: tuple[float, float]) -> str:
    return f"{dots[0]:.4g}x{dots[1]:.4g} dpi"


def _near(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(abs(x - y) <= max(0.51, 0.01 * y) for x, y in zip(a, b, strict=True))


def _of_pixels(
    before: np.ndarray, after: np.ndarray, *, limits: Limits, uncertain: bool
) -> list[str]:
    """Compare RGBA of an input and its output, both straight, float32, in [0, 1]."""
    size = after.shape[1::-1]
    expected, found = bicubic(multiplied(before), size), multiplied(after)
    if uncertain:  # the same picture, in other colours
        likeness = _likeness(expected[..., :3], found[..., :3])
        return [f"the pixels are others: likeness {likeness:.2f}"] if likeness < 0.85 else []
    wrong = []
    mean = float(np.abs(expected - found).mean())
    if mean > limits.mean:
        wrong.append(f"{mean:.3f} off on average")
    side = _BLOCK * size[0] // before.shape[1]
    apart = np.abs(_block_means(expected, side) - _block_means(found, side))
    if apart.max() > limits.block:
        y, x, channel = np.unravel_index(apart.argmax(), apart.shape)
        share = float((apart.max(axis=2) > limits.block).mean())
        wrong.append(
            f"{'RGBA'[channel]} is {apart.max():.3f} off around {x * side},{y * side}, "
            f"{share:.0%} of the squares are"
        )
    scale = size[0] // before.shape[1]
    for name, rim in _rims(scale).items():
        off = np.abs(expected[rim].mean(axis=(0, 1)) - found[rim].mean(axis=(0, 1))).max()
        if off > limits.block and min(before.shape[:2]) >= 16:
            wrong.append(f"the {name} is {off:.3f} off")
    outside = _outside(before, after)
    share = float((outside > 0).mean())
    if share > limits.outside:
        y, x = np.unravel_index(outside.argmax(), outside.shape)
        wrong.append(
            f"{share:.1%} of the pixels have a colour that none near them has, such as {x},{y}"
        )
    return wrong


def _rims(scale: int) -> dict[str, tuple[slice, slice]]:
    """The rows and columns that decoders get wrong alone: of one input pixel."""
    whole, first, last = slice(None), slice(scale), slice(-scale, None)
    return {
        "upper edge": (first, whole),
        "lower edge": (last, whole),
        "left edge": (whole, first),
        "right edge": (whole, last),
    }


def multiplied(frame: np.ndarray) -> np.ndarray:
    return np.concatenate([frame[..., :3] * frame[..., 3:], frame[..., 3:]], axis=2)


def bicubic(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W, C) to (width, height) by Pillow, whose kernel is MATLAB's."""
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling.BICUBIC)
        )
        for plane in np.moveaxis(array.astype(np.float32), 2, 0)
    ]
    return np.clip(np.stack(planes, axis=2), 0, 1)


def _block_means(array: np.ndarray, side: int) -> np.ndarray:
    """Return the mean of each square; those at the right and lower edge are cut."""
    for axis in (0, 1):
        starts = np.arange(0, array.shape[axis], side)
        if len(starts) > 1 and array.shape[axis] - starts[-1] < side / 2:
            starts = starts[:-1]
        sums = np.add.reduceat(array, starts, axis=axis, dtype=np.float64)
        counts = np.diff([*starts, array.shape[axis]])
        array = sums / counts.reshape([-1 if n == axis else 1 for n in range(array.ndim)])
    return array


def _outside(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return how far each pixel lies outside the range of its visible neighbours, by its alpha."""
    alpha = before[..., 3]
    strongest = maximum_filter(alpha, 2 * _REACH - 1)  # of all that share a window with it
    seen = (alpha >= 0.1 * strongest)[..., None] & (alpha > 0)[..., None]
    colours = before[..., :3]
    window = (_REACH, _REACH, 1)
    low = minimum_filter(np.where(seen, colours, 2.0), window)
    high = maximum_filter(np.where(seen, colours, -1.0), window)
    times = (after.shape[0] // before.shape[0], after.shape[1] // before.shape[1])
    low, high = (each.repeat(times[0], 0).repeat(times[1], 1) for each in (low, high))
    beyond = np.maximum(low - after[..., :3], after[..., :3] - high).max(axis=2)
    beyond[(high < 0).any(axis=2)] = 0  # nothing is seen there
    return np.maximum(beyond * after[..., 3] - _OVERSHOOT * np.maximum(after[..., 3], 0.5), 0)


def _likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Return the correlation; that of two flat pictures is 1."""
    a, b = a - a.mean(), b - b.mean()
    if a.std() < 0.01 and b.std() < 0.03:
        return 1.0
    return float((a * b).sum() / max(np.sqrt((a * a).sum() * (b * b).sum()), 1e-9))
