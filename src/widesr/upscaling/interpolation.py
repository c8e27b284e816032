"""Upscales without a network: by `imresize`, every table's baseline, or by repeating pixels."""

from dataclasses import replace

import numpy as np

from widesr.models.catalog import BICUBIC, NEAREST
from widesr.pictures.picture import PictureStream
from widesr.pixels.resize import nearest_rows, resize_rows
from widesr.pixels.rows import Band, Rows
from widesr.system.arguments import whole_number
from widesr.upscaling.base import CONSISTENT, AnyUpscaler, Progress, ScaleUpscaler
from widesr.upscaling.consistent import correct_rows
from widesr.upscaling.target import Target


class Bicubic(ScaleUpscaler):
    """Upscales by MATLAB's bicubic, with the interface of a model."""

    def __init__(self, scale: int, *, consistent: bool = False) -> None:
        """Take a scale.

        Raises:
            UsageError: The scale is below 1, or not a whole number.
        """
        self.scale = whole_number(scale, "a whole number of at least 1 as the scale", least=1)
        self._consistent = consistent
        self.model = BICUBIC + (CONSISTENT if consistent else "")

    def rows(self, lr: Rows, *, progress: Progress | None = None) -> Rows:
        """Upscale rows as they arrive."""
        if self._consistent:
            return correct_rows(lr, lambda each: self.float_rows(each, progress=progress))
        sr = resize_rows(lr, size=self.output_size(lr.height, lr.width))
        return count_rows(sr, progress)

    def float_rows(self, lr: Rows, *, progress: Progress | None = None) -> Rows:
        """Upscale rows to float32 levels, not clipped."""
        sr = resize_rows(as_floats(lr), size=self.output_size(lr.height, lr.width))
        return count_rows(sr, progress)


class Nearest(AnyUpscaler):
    """Repeats pixels, including alpha, so that no new colours appear."""

    model, weights_sha256 = NEAREST, None

    def __init__(self, target: Target) -> None:
        """Take the size to reach."""
        self._target = target

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) of the target, or raise the errors of `Target.size`."""
        return self._target.size(height, width)

    def rows(self, lr: Rows, *, progress: Progress | None = None) -> Rows:
        """Upscale rows as they arrive."""
        return count_rows(nearest_rows(lr, size=self.output_size(lr.height, lr.width)), progress)

    def upscale_stream(
        self, stream: PictureStream, *, progress: Progress | None = None
    ) -> PictureStream:
        """Upscale a picture as its rows arrive, alpha in the same way as colours."""
        return replace(stream, rows=self.rows(stream.rows, progress=progress))

    def seconds_for(self, _height: int, _width: int) -> float:
        """Return 0: repeating pixels takes next to no time."""
        return 0.0

    def made_by(self, _height: int, _width: int) -> str:
        """Name the model: it is the same for all sizes."""
        return self.model


def as_floats(rows: Rows) -> Rows:
    """Convert integers to float32 levels."""
    return rows.map(lambda band: band.astype(np.float32), channels=rows.channels, dtype=np.float32)


def count_rows(rows: Rows, progress: Progress | None) -> Rows:
    """Report the progress of rows that are made without a network."""
    if progress is None:
        return rows
    done = 0

    def counted(band: Band) -> Band:
        nonlocal done
        done += len(band)
        progress(done, rows.height)
        return band

    return rows.map(counted, channels=rows.channels)
