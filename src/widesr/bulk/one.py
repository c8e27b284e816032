"""One picture from bytes to bytes, with all that decides what becomes of it."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple

from widesr.batch.jobs import plan_jobs
from widesr.batch.manifest import MadeBy
from widesr.batch.many import upscale_many
from widesr.engine import EngineOptions
from widesr.pictures.adapt import Icc, Kept
from widesr.pictures.picture import MAX_PIXELS
from widesr.upscaling.base import AnyUpscaler
from widesr.upscaling.resize_to import load_upscaler
from widesr.upscaling.target import Target


@dataclass(frozen=True, kw_only=True)
class Making:
    """What decides the outputs beside their inputs; can be pickled."""

    target: Target
    model: str = "default"
    format: str | None = None
    """As "webp"; by default each format stays, and becomes PNG where it cannot be written."""
    quality: int = 95
    lossless: bool = False
    icc: Icc = "keep"
    metadata: Kept = "keep"
    engine: EngineOptions = field(default_factory=lambda: EngineOptions(threads=1))
    max_pixels: int = MAX_PIXELS

    def load(self) -> AnyUpscaler:
        """Load the networks; raises as `load_upscaler`."""
        return load_upscaler(self.model, target=self.target, options=self.engine)

    def made_by(self, upscaler: AnyUpscaler) -> MadeBy:
        """Say what decides the outputs, for the manifest."""
        names = ("format", "quality", "lossless", "icc", "metadata")
        settings = {name: getattr(self, name) for name in names}
        settings |= {"size": self.target.name_end.removeprefix("_")}
        settings |= {"precision": self.engine.precision}
        return MadeBy(upscaler.model, upscaler.weights_sha256, settings)


class Made(NamedTuple):
    """An output, whole."""

    data: bytes
    ending: str
    """Of its name, with the dot."""
    input_size: tuple[int, int]
    """(height, width)"""
    output_size: tuple[int, int]


class Maker:
    """Upscales pictures one by one, with networks that are loaded at the first."""

    def __init__(self, making: Making) -> None:
        self._making = making

    @cached_property
    def upscaler(self) -> AnyUpscaler:
        """The networks."""
        return self._making.load()

    def make(self, data: bytes, name: str) -> Made:
        """Upscale the bytes of a picture file; animations and files of several pages too.

        Args:
            data: A file of any format that is read.
            name: Its name, whose ending says which format it stays in.

        Raises:
            WidesrError: What is wrong with this picture.
        """
        making = self._making
        with TemporaryDirectory(prefix="widesr-") as folder:
            source = Path(folder) / PurePosixPath(name).name
            source.write_bytes(data)
            jobs = plan_jobs([source], name_end="_out", format=making.format)
            (outcome,) = upscale_many(
                jobs,
                upscaler=self.upscaler,
                quality=making.quality,
                lossless=making.lossless,
                icc=making.icc,
                metadata=making.metadata,
                max_pixels=making.max_pixels,
                max_memory=making.engine.max_memory,
            )
            if error := outcome.error:
                error.message = error.message.replace(str(source), name)
                raise error
            assert outcome.input_size is not None
            assert outcome.output_size is not None
            target = outcome.job.target
            return Made(target.read_bytes(), target.suffix, outcome.input_size, outcome.output_size)


def output_name(source: str, ending: str) -> str:
    """Name an output: as its input, with the new ending behind it where the format changed.

    So no two inputs of different names have one output: `scan.bmp` becomes `scan.bmp.png`.
    """
    same = PurePosixPath(source).suffix.lower() == ending.lower()
    return source if same else source + ending
