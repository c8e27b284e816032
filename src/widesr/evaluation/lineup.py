"""Upscales one place of a picture by several models."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from widesr.engine import EngineOptions, native_scales
from widesr.errors import UsageError
from widesr.evaluation.diff.difference import Window
from widesr.models.catalog import BICUBIC, FOR_PICTURES
from widesr.pictures.picture import Picture
from widesr.upscaling.resize_to import load_upscaler
from widesr.upscaling.target import Target, plan_scales

_AROUND = 64
"""LR pixels that are upscaled beyond each side of the window: more than any of our models sees."""


class Candidate(NamedTuple):
    """A model, and its picture of the window."""

    model: str
    """The name that was asked for."""
    made_by: str
    """The networks, and the steps that follow them."""
    seconds: float
    """The approximate time for the whole picture on this machine."""
    picture: Picture
    """The window, upscaled."""


def choose_models(names: Sequence[str] | None, *, scale: int) -> list[str]:
    """Choose the models to compare: those that are named, or bicubic and each alias at this scale.

    Raises:
        WidesrError: A named model does not exist, or does not reach the scale.
    """
    if names:
        for name in names:
            plan_scales(scale, native=native_scales(name))
        return list(dict.fromkeys(names))
    chosen = [BICUBIC]
    for alias in FOR_PICTURES:
        with suppress(UsageError):  # there are no samples at x8
            plan_scales(scale, native=native_scales(alias))
            chosen.append(alias)
    return chosen


def line_up(
    picture: Picture,
    *,
    scale: int,
    window: Window,
    models: Sequence[str],
    options: EngineOptions | None = None,
) -> Iterator[Candidate]:
    """Upscale a window of a picture by one model after another.

    Args:
        picture: The input.
        scale: Output pixels per input pixel.
        window: The place, in pixels of the input.
        models: Names or files, as for `Upscaler.load`.
        options: The settings by which the networks are run.

    Raises:
        WidesrError: The errors of `load_upscaler`.
    """
    left, top = max(window.left - _AROUND, 0), max(window.top - _AROUND, 0)
    bottom, right = window.top + window.height + _AROUND, window.left + window.width + _AROUND
    around = picture.with_planes(lambda plane: plane[top:bottom, left:right])
    rows = slice((window.top - top) * scale, (window.top - top + window.height) * scale)
    columns = slice((window.left - left) * scale, (window.left - left + window.width) * scale)
    size = picture.height, picture.width
    for model in models:
        upscaler = load_upscaler(model, target=Target(scale=scale), options=options)
        yield Candidate(
            model=model,
            made_by=upscaler.made_by(*size),
            seconds=upscaler.seconds_for(*size),
            picture=upscaler.upscale_picture(around).with_planes(lambda sr: sr[rows, columns]),
        )
