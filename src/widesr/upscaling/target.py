"""Computes the size of the output, and the networks that lead there, in exact arithmetic.

One rule rounds all sizes: each side is the input's times one exact factor, rounded half up, and at
least 1. A requested side thus comes out exactly, the other side keeps the aspect ratio to within
half a pixel, and a picture turned on its side gets the same size, turned.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields
from fractions import Fraction
from math import floor
from numbers import Real

from widesr.errors import UsageError
from widesr.system.arguments import shown, whole_number

MAX_SCALE = 8
"""Largest scale: beyond it only interpolation is left, and a typing error would fill the memory."""

_TWICE = (4, 2)
"""Scales that are run in turn where the largest network alone does not reach the size."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The size that was asked for, given in exactly one of these ways.

    Raises:
        UsageError: None or several of them are given, or a value is not valid.
    """

    scale: float | Fraction | None = None
    """Output pixels per input pixel, above 0; a float counts as the decimal that it prints as."""
    width: int | None = None
    height: int | None = None
    longest: int | None = None
    """The longer side."""
    fit: tuple[int, int] | None = None
    """The (width, height) of a box to fill as far as the aspect ratio allows."""

    def __post_init__(self) -> None:
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        given = {name: value for name, value in given.items() if value is not None}
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise UsageError(f"expected one of scale, width, height, longest and fit, got {found}")
        if self.scale is not None:
            if isinstance(self.scale, bool) or not isinstance(self.scale, Real):
                raise UsageError(f"expected a number as the scale, got {shown(self.scale)}")
            if not 0 < self.scale <= MAX_SCALE:
                found = f"{float(self.scale):.15g}"
                raise UsageError(f"expected a scale above 0 and at most {MAX_SCALE}, got {found}")
            return
        ((name, value),) = given.items()
        sides = value if name == "fit" else (value,)
        if name == "fit" and not (isinstance(sides, tuple | list) and len(sides) == 2):
            raise UsageError(f"expected fit as (width, height), got {shown(value)}")
        for side in sides:
            whole_number(side, f"{name} in whole pixels, of at least 1 pixel", least=1)

    def factor(self, height: int, width: int) -> Fraction:
        """Compute output pixels per input pixel, before rounding, for a picture of this size.

        Raises:
            UsageError: The factor is above `MAX_SCALE`.
        """
        factor = self._factor(height, width)
        if factor > MAX_SCALE:
            raise UsageError(
                f"the size asked for is {float(factor):.4g} times that of a picture of "
                f"{width}x{height} pixels, expected at most {MAX_SCALE} times; ask for less"
            )
        return factor

    def _factor(self, height: int, width: int) -> Fraction:
        if self.scale is not None:
            return Fraction(str(self.scale))
        if self.width is not None:
            return Fraction(int(self.width), width)  # NumPy's small integers would overflow
        if self.height is not None:
            return Fraction(int(self.height), height)
        if self.longest is not None:
            return Fraction(int(self.longest), max(height, width))
        assert self.fit is not None
        return min(Fraction(int(self.fit[0]), width), Fraction(int(self.fit[1]), height))

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Compute the (height, width) of the output, or raise the errors of `factor`."""
        factor = self.factor(height, width)
        return _rounded(height * factor), _rounded(width * factor)

    @property
    def name_end(self) -> str:
        """The end of the names of outputs: "_x1.5", "_1920w", "_1080h", "_2048px", "_1920x1080"."""
        if self.scale is not None:
            return f"_x{float(self.scale):.15g}"
        if self.fit is not None:
            return f"_{self.fit[0]}x{self.fit[1]}"
        if self.width is not None:
            return f"_{self.width}w"
        return f"_{self.height}h" if self.height is not None else f"_{self.longest}px"


def plan_scales(factor: Fraction | float, *, native: Collection[int]) -> tuple[int, ...]:
    """Choose the networks to run in turn, so that their output has the target size or is larger.

    The choice is the nearest network at or above the factor, or x4 and then x2 if the factor is
    above the largest network. If nothing is enlarged, no network is chosen.

    Args:
        factor: Output pixels per input pixel.
        native: Scales of the available networks; if empty, only interpolation is left.

    Raises:
        UsageError: These networks do not reach the factor.
    """
    if factor <= 1 or not native:
        return ()
    enough = [scale for scale in sorted(native) if scale >= factor]
    if enough:
        return (enough[0],)
    if factor <= _TWICE[0] * _TWICE[1] and set(_TWICE) <= set(native):
        return _TWICE
    there_is = " and ".join(f"x{scale}" for scale in sorted(native))
    raise UsageError(
        f"x{float(factor):.4g} is more than this model gives, which is {there_is}; ask for less, "
        "or take the default models or bicubic"
    )


def _rounded(side: Fraction) -> int:
    return max(1, floor(side + Fraction(1, 2)))
