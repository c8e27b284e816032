"""Defines what every upscaler takes: arrays, pictures with alpha, and streamed rows."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from widesr.models.catalog import ModelCard
from widesr.pictures.picture import Picture, PictureStream, check_picture
from widesr.pixels.alpha import bled
from widesr.pixels.resize import resize_rows
from widesr.pixels.rows import Rows
from widesr.upscaling.conversion import Value, check_pixels

Progress = Callable[[float, float], None]
"""Callback after each tile, with the work done and the total work, in tiles or shares of them."""


CONSISTENT = " (consistent)"
"""Suffix to the name of an upscaler whose outputs are made consistent."""


class AnyUpscaler(ABC):
    """Upscales arrays, pictures, and rows as they arrive."""

    model: str
    """The name for reports; a "+" at its end stands for the self-ensemble."""

    @abstractmethod
    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) of the output for a picture of this size."""

    @abstractmethod
    def rows(self, lr: Rows, *, progress: Progress | None = None) -> Rows:
        """Upscale grey or RGB rows as they arrive, to the same values as a whole picture."""

    @abstractmethod
    def seconds_for(self, height: int, width: int) -> float:
        """Estimate the seconds that a picture of this size takes, by timing a small one once."""

    @abstractmethod
    def made_by(self, height: int, width: int) -> str:
        """Name the steps that a picture of this size goes through, for reports."""

    @property
    @abstractmethod
    def weights_sha256(self) -> str | None:
        """The SHA-256 of the network, as on its card; None without a card."""

    def __call__(
        self, pixels: NDArray[Value], *, progress: Progress | None = None
    ) -> NDArray[Value]:
        """Upscale a picture.

        Apart from the result, only one row of tiles is held in memory.

        Args:
            pixels: uint8 or uint16; RGB (H, W, 3), or grey (H, W, 1) or (H, W).
            progress: Called after each tile.

        Returns:
            A new array of the same type and channels, of `output_size`, rounded half up.

        Raises:
            ShapeError: `pixels` is not such an array.
            UsageError: The picture is too small for the size that was asked for.
        """
        check_pixels(pixels)
        if pixels.ndim == 2:
            pixels = np.asarray(pixels)  # np.matrix takes no third axis
            return self(pixels[..., np.newaxis], progress=progress)[..., 0]
        return self.rows(Rows.of(pixels), progress=progress).whole()

    def upscale_picture(self, picture: Picture, *, progress: Progress | None = None) -> Picture:
        """Upscale a picture with its alpha; profile and metadata are kept unchanged.

        Alpha does not go through the network: `imresize` takes it to the final size in one step.
        Colours that are hardly seen, or not at all, are first replaced by those beside them, so
        that they do not shine through at the edges. An extra band that is not alpha goes through
        the network as grey does.

        Raises:
            UsageError: `picture` is no `Picture`, or is too small for the size that was asked for.
        """
        check_picture(picture)
        return self.upscale_stream(picture.stream(), progress=progress).whole()

    def upscale_stream(
        self, stream: PictureStream, *, progress: Progress | None = None
    ) -> PictureStream:
        """Upscale a picture as its rows arrive, to the same values as `upscale_picture`."""
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
    """Upscales every picture by the same whole number."""

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
        """The largest side of a tile's core, LR pixels; None means the whole picture at once."""
        return None

    @property
    def weights_sha256(self) -> str | None:
        """The SHA-256 of the network, as on its card; None without a card."""
        return self.card.weights_sha256 if self.card else None

    def made_by(self, _height: int, _width: int) -> str:
        """Name the model: it is the same for all sizes."""
        return self.model

    def seconds_for(self, height: int, width: int) -> float:
        """Estimate the seconds for a picture, at the same time per pixel as for a small one."""
        return height * width * self._seconds_per_pixel

    @cached_property
    def _seconds_per_pixel(self) -> float:
        side = 256
        noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        self(noise)  # the first run takes longer
        start = time.perf_counter()
        self(noise)
        return (time.perf_counter() - start) / side**2
