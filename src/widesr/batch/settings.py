"""Holds all that decides the output for a picture, as plain values that any process can receive."""

from dataclasses import dataclass, field

from widesr.engine import EngineOptions
from widesr.pictures.adapt import Icc, Kept
from widesr.pictures.picture import MAX_PIXELS
from widesr.upscaling.base import AnyUpscaler
from widesr.upscaling.resize_to import load_upscaler
from widesr.upscaling.target import Target


@dataclass(frozen=True, kw_only=True)
class FileSettings:
    """The settings for reading and writing pictures."""

    quality: int = 95
    """The quality of JPEG, WebP and AVIF, 1 to 100."""
    lossless: bool = False
    """Keep every value, or refuse the picture."""
    max_pixels: int = MAX_PIXELS
    """The largest picture that is read."""


@dataclass(frozen=True, kw_only=True)
class UpscaleSettings(FileSettings):
    """The settings for upscaling pictures; each worker loads its own networks from them."""

    target: Target = field(default_factory=lambda: Target(scale=2))
    model: str = "default"
    engine: EngineOptions = field(default_factory=EngineOptions)
    format: str | None = None
    """The format of outputs, such as "webp"; by default each picture keeps its own."""
    icc: Icc = "keep"
    metadata: Kept = "keep"

    def load(self) -> AnyUpscaler:
        """Load the networks.

        Raises:
            WidesrError: The errors of `load_upscaler`.
        """
        return load_upscaler(self.model, target=self.target, options=self.engine)
