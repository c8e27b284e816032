"""Takes one picture from its file to the file of its result, as `widesr upscale` does."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from widesr.batch.jobs import plan_jobs
from widesr.batch.many import upscale_many
from widesr.batch.settings import UpscaleSettings
from widesr.engine import EngineOptions
from widesr.errors import WidesrError
from widesr.pictures.picture import PictureStream
from widesr.pixels.rows import Rows
from widesr.upscaling.base import AnyUpscaler, Progress
from widesr.web.wishes import Wishes

Watch = Callable[[float, float], None]
"""Called after each tile with the number of tiles done and in total; an error raised by it ends the
work."""


class StopError(WidesrError):
    """Raised by a `Watch` to end the work; no file is left behind."""

    code = "usage"


class PauseError(Exception):
    """Raised by a `Watch` to end the work on a clip, and keep the part that is made."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """The facts about a result."""

    path: Path
    size: tuple[int, int]
    """(height, width)"""
    made_by: str
    """The models that the picture went through."""
    n_bytes: int
    sha256: str
    notices: tuple[str, ...] = ()
    """Sentences on what was guessed, and on what is not as in the input."""

    @classmethod
    def of(
        cls, path: Path, *, size: tuple[int, int], made_by: str, notices: tuple[str, ...] = ()
    ) -> Self:
        """Describe the whole file of a result; remove the file if it cannot be read."""
        try:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            n_bytes = path.stat().st_size
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise
        return cls(
            path=path,
            size=size,
            made_by=made_by,
            n_bytes=n_bytes,
            sha256=sha256,
            notices=notices,
        )


class _Watched(AnyUpscaler):
    """Reports each tile to a `Watch`, counted over all pages, before the work goes on."""

    def __init__(self, upscaler: AnyUpscaler, watch: Watch, *, pages: int) -> None:
        self._upscaler, self._watch, self._pages = upscaler, watch, pages
        self._before = 0
        self.model = upscaler.model

    @property
    def weights_sha256(self) -> str | None:
        return self._upscaler.weights_sha256

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        return self._upscaler.output_size(height, width)

    def seconds_for(self, height: int, width: int) -> float:
        return self._upscaler.seconds_for(height, width)

    def made_by(self, height: int, width: int) -> str:
        return self._upscaler.made_by(height, width)

    def rows(self, lr: Rows, *, progress: Progress | None = None) -> Rows:
        return self._upscaler.rows(lr, progress=progress)

    def upscale_stream(
        self, stream: PictureStream, *, progress: Progress | None = None
    ) -> PictureStream:
        def on_tile(done: float, tiles: float) -> None:
            self._watch(self._before * tiles + done, self._pages * tiles)
            if done >= tiles:
                self._before += 1
            if progress is not None:
                progress(done, tiles)

        return self._upscaler.upscale_stream(stream, progress=on_tile)


def upscale_file(
    source: Path,
    folder: Path,
    *,
    upscaler: AnyUpscaler,
    wishes: Wishes,
    pages: int,
    watch: Watch,
    max_pixels: int,
    max_memory: int,
) -> Made:
    """Upscale a picture to a whole file or none.

    Args:
        source: The picture's file, whose suffix is that of its kind.
        folder: The folder for the result, which gets the name of the picture's file.
        upscaler: The upscaler that makes the result.
        wishes: The other options.
        pages: The number of frames or pages in the picture.
        watch: Called after each tile.
        max_pixels: The largest picture that is read, in pixels.
        max_memory: Bytes that the program may take, as in `EngineOptions`.

    Raises:
        WidesrError: A fault of the picture, or an error that `watch` raised.
    """
    jobs = plan_jobs([source], output=folder, into_folder=True, name_end="", format=wishes.format)
    outcomes = upscale_many(
        jobs,
        settings=UpscaleSettings(
            target=wishes.target,
            model=wishes.model,
            engine=EngineOptions(max_memory=max_memory, consistent=wishes.consistent),
            format=wishes.format,
            quality=wishes.quality,
            lossless=wishes.lossless,
            icc=wishes.icc,
            metadata=wishes.metadata,
            max_pixels=max_pixels,
        ),
        upscaler=_Watched(upscaler, watch, pages=pages),
        existing="overwrite",  # a killed server may have left a file
    )
    (outcome,) = list(outcomes)
    if outcome.error:
        raise outcome.error
    assert outcome.input_size is not None
    assert outcome.output_size is not None
    made_by = upscaler.made_by(*outcome.input_size)
    return Made.of(outcome.job.target, size=outcome.output_size, made_by=made_by)
