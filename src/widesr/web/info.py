"""Tells clients what a server offers, before they ask for it."""

from pydantic import BaseModel, ConfigDict

from widesr.engine import native_scales
from widesr.models.catalog import ALIASES, BICUBIC, NEAREST, list_models
from widesr.system.version import __version__
from widesr.upscaling.target import MAX_SCALE
from widesr.web.clips import are_clips_taken
from widesr.web.settings import ServeSettings
from widesr.web.wishes import CLIP_FORMATS, FORMATS

_ABOUT = {
    "fast": "The quickest, for clean pictures.",
    "default": "The usual one, for clean pictures.",
    "best": "The sharpest, for clean pictures; about twice the time.",
    "realistic": "For JPEG files and noise.",
    "crisp": "Invents detail that looks real; crisp:0.5 goes half the way, crisp:0 invents none.",
    "samples": "At x4, one of the many pictures that the input may have been.",
    "video": "For clips: looks at several frames for each.",
    BICUBIC: "Plain interpolation, to compare with.",
    NEAREST: "Repeats pixels, for pixel art.",
}


class ModelInfo(BaseModel):
    """A model that a request may name."""

    model_config = ConfigDict(extra="forbid")

    name: str
    about: str
    scales: list[int]
    """The scales of its networks, from which other sizes are made; empty if it takes any scale."""


class Limits(BaseModel):
    """The limits of a request."""

    model_config = ConfigDict(extra="forbid")

    body_bytes: int
    pixels: int
    output_pixels: int
    clip_pixels: int
    scale: float
    wait_seconds: float
    keep_seconds: float


class Info(BaseModel):
    """The models, formats and limits of a server."""

    model_config = ConfigDict(extra="forbid")

    version: str
    models: list[ModelInfo]
    formats: list[str]
    """The formats of results."""
    clip_formats: list[str]
    """The formats of clips; empty if the server does not accept clips."""
    limits: Limits


def info_of(settings: ServeSettings) -> Info:
    """Collect what a server with these settings offers."""
    named = [
        ModelInfo(name=name, about=about, scales=_scales(name)) for name, about in _ABOUT.items()
    ]
    others = [
        ModelInfo(name=card.name, about=f"{card.family}, {card.licence}", scales=[card.scale])
        for card in (model.card for model in list_models())
    ]
    return Info(
        version=__version__,
        models=[*named, *others],
        formats=list(FORMATS),
        clip_formats=list(CLIP_FORMATS) if are_clips_taken() else [],
        limits=Limits(
            body_bytes=settings.max_body,
            pixels=settings.max_pixels,
            output_pixels=settings.max_output,
            clip_pixels=settings.max_clip,
            scale=MAX_SCALE,
            wait_seconds=settings.longest_wait,
            keep_seconds=settings.keep,
        ),
    )


def _scales(name: str) -> list[int]:
    return list(native_scales(name)) if name in ALIASES else []
