"""Makes LR from HR by named degradations, which give the same LR to everyone."""

import hashlib
from dataclasses import dataclass
from math import pi
from pathlib import PurePath
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from widesr.degrade.bicubic import cropped_to_multiple, degrade
from widesr.degrade.steps import (
    Floats,
    Resampling,
    blurred,
    gaussian,
    gaussian_noise,
    resized,
    rounded,
    shot_noise,
    through_jpeg,
)

Range = tuple[float, float]
"""The least and the greatest value, between which numbers are drawn uniformly."""
_RESAMPLINGS: tuple[Resampling, ...] = ("bicubic", "bilinear", "area")


class Shrink(Protocol):
    """Make LR uint8 (H // scale, W // scale, C) from HR uint8 (H, W, C), both sides >= scale.

    C is 3, or 1 for grey.
    """

    def __call__(self, hr: NDArray[np.uint8], *, scale: int, seed: int) -> NDArray[np.uint8]:
        """Make LR that depends on nothing but the arguments."""


class Degradation(NamedTuple):
    """One way to lose detail."""

    protocol: str
    """A description from which others can reproduce it."""
    shrink: Shrink
    variants: int = 1
    """Number of LR pictures of each photograph in training, each with its own seed."""


def _bicubic(hr: NDArray[np.uint8], *, scale: int, seed: int) -> NDArray[np.uint8]:
    del seed  # nothing in it is random
    return degrade(hr, scale=scale)


_BD_SIGMA, _BD_RADIUS = 1.6, 6
"""The sigma of BD's Gaussian and the radius of its square kernel, in HR pixels at any scale."""


def blur_down(hr: NDArray[np.uint8], *, scale: int, seed: int = 0) -> NDArray[np.uint8]:
    """Make LR, as `Shrink`, by video's BD: a Gaussian of sigma 1.6, then each `scale`-th pixel.

    The picture is mirrored at the border without repeating its edge, and the first pixel is kept,
    as in BasicSR's `duf_downsample` at x4.
    """
    del seed  # nothing in it is random
    image = cropped_to_multiple(hr, scale).astype(np.float32)
    line = np.exp(-((np.arange(-_BD_RADIUS, _BD_RADIUS + 1) / _BD_SIGMA) ** 2) / 2)
    kernel = (np.outer(line, line) / line.sum() ** 2).astype(np.float32)
    edge = 2 * _BD_RADIUS
    padded = np.pad(image, ((edge, edge), (edge, edge), (0, 0)), mode="reflect")
    return rounded(blurred(padded, kernel)[edge:-edge:scale, edge:-edge:scale])


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A photograph through a lens onto a coarser sensor: blur, shift, decimation, shot noise."""

    sigma: Range
    """The sigma of the blur along each axis of its ellipse, in LR pixels."""
    shift: float
    """The largest shift of the picture along each axis, in LR pixels."""
    noise: Range
    """The standard deviation of the noise at white, in levels."""

    def __call__(self, hr: NDArray[np.uint8], *, scale: int, seed: int) -> NDArray[np.uint8]:
        """Make LR, as `Shrink`."""
        return self.photograph(hr, scale=scale, random=np.random.default_rng(seed))

    def photograph(
        self, hr: NDArray[np.uint8], *, scale: int, random: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Make LR, as `Shrink`, with numbers that are drawn from `random`."""
        image = cropped_to_multiple(hr, scale).astype(np.float32)
        along, across = random.uniform(*self.sigma, 2) * scale
        angle = random.uniform(0, pi)
        # LR pixel i is centred on HR's scale * i + (scale - 1) / 2: the middles of both coincide.
        y, x = (scale - 1) / 2 + scale * random.uniform(-self.shift, self.shift, 2)
        kernel = gaussian((along, across), angle=angle, centre=(y, x))
        lr = blurred(image, kernel)[::scale, ::scale]
        return rounded(shot_noise(lr, random, sigma=random.uniform(*self.noise), grey=False))

    def towards(self, other: "Camera", share: float) -> "Camera":
        """Interpolate between this camera (`share` 0) and another (`share` 1)."""

        def between(a: float, b: float) -> float:
            return a + (b - a) * share

        return Camera(
            sigma=(between(self.sigma[0], other.sigma[0]), between(self.sigma[1], other.sigma[1])),
            shift=between(self.shift, other.shift),
            noise=(between(self.noise[0], other.noise[0]), between(self.noise[1], other.noise[1])),
        )


_UNKNOWN = Camera(sigma=(0.4, 1.0), shift=0.25, noise=(0, 0))
_MILD = Camera(sigma=(0.35, 0.7), shift=0.25, noise=(1, 5))
_DIFFICULT = Camera(sigma=(0.6, 1.2), shift=0.5, noise=(5, 15))


def _wild(hr: NDArray[np.uint8], *, scale: int, seed: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    return _MILD.towards(_DIFFICULT, random.random()).photograph(hr, scale=scale, random=random)


def _realistic(hr: NDArray[np.uint8], *, scale: int, seed: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    if random.random() < 0.1:  # so that a network learns to leave clean pictures clean
        return degrade(hr, scale=scale)
    image = cropped_to_multiple(hr, scale).astype(np.float32)
    height, width, _ = image.shape
    if random.random() < 0.2:  # saved before it was shrunk, as by a camera
        image = _as_jpeg(image, random, quality=(60, 95)).astype(np.float32)
    if random.random() < 0.6:
        image = _blurred_at_random(image, random, sigma=(0.1 * scale, 0.6 * scale))
    by = _any_of(("bicubic", "area"), random)
    image = resized(image, (height // scale, width // scale), by=by)
    if random.random() < 0.5:
        image = _noisy(image, random, gaussian=(0.5, 8), shot=(0.5, 12))
    if random.random() < 0.85:
        return _as_jpeg(image, random, quality=(30, 95))
    return rounded(image)


def _realistic_light(hr: NDArray[np.uint8], *, scale: int, seed: int) -> NDArray[np.uint8]:
    random = np.random.default_rng((1, seed))  # other numbers than _realistic draws
    if random.random() < 0.5:
        return _realistic(hr, scale=scale, seed=seed)
    lr = degrade(hr, scale=scale)
    if random.random() < 0.3:
        return lr
    if random.random() < 0.4:
        lr = rounded(_noisy(lr.astype(np.float32), random, gaussian=(0.3, 2), shot=(0.3, 3)))
    return _as_jpeg(lr.astype(np.float32), random, quality=(88, 98))


@dataclass(frozen=True, kw_only=True)
class _Round:
    """One of two rounds of degradation, with the probabilities and ranges of Real-ESRGAN."""

    blurs: float
    sigma: Range
    """The sigma of the blur, in pixels of the picture at that time."""
    grows: float
    shrinks: float
    factor: Range
    gaussian: Range
    shot: Range
    """The shot noise at white, in levels: 16 times Real-ESRGAN's `poisson_scale_range`."""


_FIRST = _Round(
    blurs=1,
    sigma=(0.2, 3),
    grows=0.2,
    shrinks=0.7,
    factor=(0.15, 1.5),
    gaussian=(1, 30),
    shot=(0.8, 48),
)
_SECOND = _Round(
    blurs=0.8,
    sigma=(0.2, 1.5),
    grows=0.3,
    shrinks=0.4,
    factor=(0.3, 1.2),
    gaussian=(1, 25),
    shot=(0.8, 40),
)


@dataclass(frozen=True)
class SecondOrder:
    """Degrade twice, like pictures that were edited, saved and sent on: Real-ESRGAN's chain.

    Blur, resizing, noise and JPEG are applied, and then all of them again. Of Real-ESRGAN's
    kernels, only the Gaussian ones are used, and there is no sinc filter at the end.

    Source: Wang et al., "Real-ESRGAN", 2021, and its published options for x4.
    """

    strength: float = 1.0
    """Strength of blur, noise, resizing and JPEG: 0 leaves JPEG of quality 95, 1 is Real-ESRGAN."""

    def __call__(self, hr: NDArray[np.uint8], *, scale: int, seed: int) -> NDArray[np.uint8]:
        """Make LR, as `Shrink`."""
        random = np.random.default_rng(seed)
        image = cropped_to_multiple(hr, scale).astype(np.float32)
        height, width, _ = image.shape
        image = self._spoilt(image, random, _FIRST, size=(height, width))
        image = self._compressed(image, random)
        size = height // scale, width // scale
        image = self._spoilt(image, random, _SECOND, size=size)
        if random.random() < 0.5:  # saved before it was shrunk, or after
            image = self._compressed(image, random)
            return rounded(resized(image, size, by=_any_of(_RESAMPLINGS, random)))
        image = resized(image, size, by=_any_of(_RESAMPLINGS, random))
        return rounded(self._compressed(image, random))

    def _spoilt(
        self, image: Floats, random: np.random.Generator, how: _Round, *, size: tuple[int, int]
    ) -> Floats:
        """Blur, resize to a random multiple of `size`, and add noise."""
        if random.random() < how.blurs:
            image = _blurred_at_random(image, random, sigma=self._weaker(how.sigma))
        way, factor = random.random(), 1.0
        if way < how.grows:
            factor = random.uniform(1, how.factor[1])
        elif way < how.grows + how.shrinks:
            factor = random.uniform(how.factor[0], 1)
        height, width = (max(1, round(side * factor**self.strength)) for side in size)
        image = resized(image, (height, width), by=_any_of(_RESAMPLINGS, random))
        noise = self._weaker(how.gaussian), self._weaker(how.shot)
        return _noisy(image, random, gaussian=noise[0], shot=noise[1])

    def _compressed(self, image: Floats, random: np.random.Generator) -> Floats:
        worst = 95 - round(65 * self.strength)
        return _as_jpeg(image, random, quality=(worst, 95)).astype(np.float32)

    def _weaker(self, span: Range) -> Range:
        return span[0] * self.strength, span[1] * self.strength


def _any_of(names: tuple[Resampling, ...], random: np.random.Generator) -> Resampling:
    return names[int(random.integers(len(names)))]


def _blurred_at_random(image: Floats, random: np.random.Generator, *, sigma: Range) -> Floats:
    along, across = random.uniform(*sigma, 2)
    return blurred(image, gaussian((along, across), angle=random.uniform(0, pi)))


def _noisy(image: Floats, random: np.random.Generator, *, gaussian: Range, shot: Range) -> Floats:
    """Add Gaussian or shot noise, half of the time each; 40 % of all noise is grey."""
    grey = bool(random.random() < 0.4)
    if random.random() < 0.5:
        return gaussian_noise(image, random, sigma=random.uniform(*gaussian), grey=grey)
    return shot_noise(image, random, sigma=random.uniform(*shot), grey=grey)


def _as_jpeg(
    image: Floats, random: np.random.Generator, *, quality: tuple[int, int]
) -> NDArray[np.uint8]:
    """Pass through JPEG of a random quality in a range, half of the time with coarser colour."""
    chosen, subsampled = int(random.integers(*quality, endpoint=True)), bool(random.random() < 0.5)
    return through_jpeg(rounded(image), quality=chosen, subsampled=subsampled)


_VARIANTS = 4
"""Number of variants in the wild track of DIV2K; with fewer, a network learns them by heart."""

DEGRADATIONS: dict[str, Degradation] = {
    "bicubic": Degradation(
        "MATLAB imresize, bicubic, uint8 between the passes, mirrored edges, "
        "cropped to a multiple of the scale below and at the right",
        _bicubic,
    ),
    "bd": Degradation(
        "widesr-bd-1: Gaussian blur of sigma 1.6 HR pixels on 13x13, mirrored without the edge, "
        "every scale-th pixel from the first on; BD of video super-resolution at x4",
        blur_down,
    ),
    "unknown": Degradation(
        "widesr-unknown-1: anisotropic Gaussian blur of 0.4 to 1 LR pixels, shift of up to 0.25 LR "
        "pixels, decimation",
        _UNKNOWN,
        _VARIANTS,
    ),
    "mild": Degradation(
        "widesr-mild-1: anisotropic Gaussian blur of 0.35 to 0.7 LR pixels, shift of up to 0.25 LR "
        "pixels, decimation, shot noise of 1 to 5 levels at white",
        _MILD,
        _VARIANTS,
    ),
    "difficult": Degradation(
        "widesr-difficult-1: anisotropic Gaussian blur of 0.6 to 1.2 LR pixels, shift of up to 0.5 "
        "LR pixels, decimation, shot noise of 5 to 15 levels at white",
        _DIFFICULT,
        _VARIANTS,
    ),
    "wild": Degradation(
        "widesr-wild-1: between widesr-mild-1 and widesr-difficult-1, evenly drawn",
        _wild,
        _VARIANTS,
    ),
    "realistic": Degradation(
        "widesr-realistic-2: bicubic in 10 % of all cases; else JPEG of quality 60 to 95 in 20 %, "
        "anisotropic Gaussian blur of 0.1 to 0.6 LR pixels in 60 %, imresize or means of areas, "
        "noise in 50 % (Gaussian of 0.5 to 8 levels or shot of 0.5 to 12), JPEG of quality 30 to "
        "95 in 85 % (all JPEG half of the time 4:2:0)",
        _realistic,
        _VARIANTS,
    ),
    "realistic-light": Degradation(
        "widesr-realistic-light-1: widesr-realistic-2 in 50 % of all cases; else bicubic, with "
        "nothing more in 30 %, with noise in 28 % (Gaussian of 0.3 to 2 levels or shot of 0.3 to "
        "3), JPEG of quality 88 to 98 in 70 % (half of the time 4:2:0)",
        _realistic_light,
        _VARIANTS,
    ),
    "second-order-light": Degradation(
        "widesr-second-order-1, strength 0.5", SecondOrder(0.5), _VARIANTS
    ),
    "second-order": Degradation(
        "widesr-second-order-1, strength 1: Gaussian blur, resizing, noise and JPEG, twice, with "
        "Real-ESRGAN's probabilities and ranges; no sinc",
        SecondOrder(),
        _VARIANTS,
    ),
}
"""The degradations, by their names in recipes and packs."""


def photograph_seed(name: str, *, variant: int = 0) -> int:
    """Derive the seed of a photograph from its file name, independently of other photographs."""
    file = PurePath(name).name.encode(errors="surrogateescape")
    digest = hashlib.sha256(file + (b"/%d" % variant if variant else b"")).digest()
    return int.from_bytes(digest[:8], "big")
