"""Hold all that decides what becomes of a picture: plain values, which any process can be sent."""

from dataclasses import dataclass, field
from typing import Literal

from widesr.engine import Backend, Device, Precision
from widesr.pictures.adapt import Icc, Kept
from widesr.pictures.picture import MAX_PIXELS
from widesr.upscaling.resize_to import load_upscaler
from widesr.upscaling.target import Target
from widesr.upscaling.upscaler import MAX_MEMORY, AnyUpscaler


@dataclass(frozen=True, kw_only=True)
class FileSettings:
    """The settings of reading and writing pictures."""

    quality: int = 95
    """The quality of JPEG, WebP and AVIF, 1 to 100."""
    lossless: bool = False
    """Keep every value, or refuse the picture."""
    max_pixels: int = MAX_PIXELS
    """The largest picture that is read."""
    max_memory: int = MAX_MEMORY
    """Bytes that the process takes at most, about, the networks among them."""


@dataclass(frozen=True, kw_only=True)
class UpscaleSettings(FileSettings):
    """The settings of making pictures larger; each worker loads networks of its own by them."""

    target: Target = field(default_factory=lambda: Target(scale=2))
    model: str = "default"
    tile: int | Literal["auto"] | None = "auto"
    self_ensemble: bool = False
    threads: int | None = None
    backend: Backend = "auto"
    precision: Precision = "auto"
    device: Device = "auto"
    format: str | None = None
    """The format of outputs, such as "webp"; by default each picture keeps its own."""
    icc: Icc = "keep"
    metadata: Kept = "keep"

    def load(self) -> AnyUpscaler:
        """Load the networks.

        Raises:
            WidesrError: As `load_upscaler` says.
        """
        return load_upscaler(
            self.model,
            target=self.target,
            tile=self.tile,
            self_ensemble=self.self_ensemble,
            threads=self.threads,
            backend=self.backend,
            precision=self.precision,
            device=self.device,
            max_memory=self.max_memory,
        )
