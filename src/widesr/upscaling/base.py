"""Define what every upscaler can do: arrays, pictures with alpha, rows that pass."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from widesr.models.catalog import ModelCard
from widesr.pictures.picture import Picture, PictureStream
from widesr.pixels.alpha import bled
from widesr.pixels.resize import resize_rows
from widesr.pixels.rows import Rows
from widesr.upscaling.conversion import Value, check_pixels

Progress = Callable[[float, float], None]
"""Called after each tile with the work done and the work in all, in tiles or shares of them."""


CONSISTENT = " (consistent)"
"""The end of the name of what makes its outputs consistent."""


class AnyUpscaler(ABC):
    """Makes larger pictures of arrays, of pictures, and of rows as they pass."""

    model: str
    """The name for reports; a "+" at its end is the self-ensemble."""

    @abstractmethod
    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) that a picture of this size gets."""

    @abstractmethod
    def rows(self, lr: Rows, *, progress: Progress | None = None) -> Rows:
        """Upscale grey or RGB rows as they come, to the same values as a whole picture."""

    @abstractmethod
    def seconds_for(self, height: int, width: int) -> float:
        """Estimate how long a picture of this size takes, by measuring a small one once."""

    @abstractmethod
    def made_by(self, height: int, width: int) -> str:
        """Name what a picture of this size goes through, for reports."""

    @property
    @abstractmethod
    def weights_sha256(self) -> str | None:
        """The SHA-256 of the network, as on its card; None without a card."""

    def __call__(
        self, pixels: NDArray[Value], *, progress: Progress | None = None
    ) -> NDArray[Value]:
        """Upscale a picture.

        Beside the result, only a row of tiles is held in memory.

        Args:
            pixels: uint8 or uint16; RGB (H, W, 3), or grey (H, W, 1) or (H, W).
            progress: Called after each tile.

        Returns:
            A new array of the same type and channels, of `output_size`, rounded half up.

        Raises:
            ShapeError: `pixels` is not such an array.
            UsageError: This picture is too small for the size that was asked for.
        """
        check_pixels(pixels)
        if pixels.ndim == 2:
            return self(pixels[..., np.newaxis], progress=progress)[..., 0]
        return self.rows(Rows.of(pixels), progress=progress).whole()

    def upscale_picture(self, picture: Picture, *, progress: Progress | None = None) -> Picture:
        """Upscale a picture with its alpha; profile and metadata go along unchanged.

        Alpha goes by `imresize`, at once to the last size, not through the network. Colours that
        no one sees (alpha 0) are first replaced by those beside them, so that they do not shine
        through at the edges. A band that is no alpha goes through the network as grey does.
        """
        return self.upscale_stream(picture.stream(), progress=progress).whole()

    def upscale_stream(
        self, stream: PictureStream, *, progress: Progress | None = None
    ) -> PictureStream:
        """Upscale a picture as it passes, to the same values as `upscale_picture`."""
        if not stream.has_alpha:
            return replace(stream, rows=self.rows(stream.rows, progress=progress))
        first, second = stream.rows.twice()
        if stream.has_band:
            n = stream.colours
            colours = first.map(lambda band: band[..., :n], channels=n)
            band = second.map(lambda band: band[..., n:], channels=1)
            rows = self.rows(colours, progress=progress).beside(self.rows(band))
            return replace(stream, rows=rows)
        colours = self.rows(bled(first), progress=progress)
        alpha = second.map(lambda band: band[..., -1:], channels=1)
        alpha = resize_rows(alpha, size=colours.shape[:2])
        return replace(stream, rows=colours.beside(alpha))


class ScaleUpscaler(AnyUpscaler):
    """Makes every picture the same whole number of times as large."""

    scale: int
    card: ModelCard | None = None
    """The card of the network; None without a card."""

    @abstractmethod
    def float_rows(self, lr: Rows, *, progress: Progress | None = None) -> Rows:
        """Upscale rows to float32 levels in the range of `lr`, neither clipped nor corrected."""

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width), each `scale` times larger."""
        return height * self.scale, width * self.scale

    @property
    def tile(self) -> int | None:
        """The largest side of a tile's core, LR pixels; None is the whole picture at once."""
        return None

    @property
    def weights_sha256(self) -> str | None:
        """The SHA-256 of the network, as on its card; None without a card."""
        return self.card.weights_sha256 if self.card else None

    def made_by(self, _height: int, _width: int) -> str:
        """Name the model: it is the same for all sizes."""
        return self.model

    def seconds_for(self, height: int, width: int) -> float:
        """Estimate how long a picture takes: each of its pixels as long as those of a small one."""
        return height * width * self._seconds_per_pixel

    @cached_property
    def _seconds_per_pixel(self) -> float:
        side = 256
        noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        self(noise)  # the first takes longer
        start = time.perf_counter()
        self(noise)
        return (time.perf_counter() - start) / side**2
