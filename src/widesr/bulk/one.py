"""One picture from bytes to bytes, with all that decides what becomes of it."""

from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import PurePosixPath
from typing import NamedTuple

from widesr.batch.manifest import MadeBy
from widesr.engine import EngineOptions
from widesr.errors import UsageError, WidesrError
from widesr.pictures.adapt import Icc, Kept, adapted_stream
from widesr.pictures.animation import is_animation
from widesr.pictures.heic import closest_suffix
from widesr.pictures.picture import MAX_PIXELS, PictureStream
from widesr.pictures.reading import open_picture
from widesr.pictures.sequence import PictureSequence
from widesr.pictures.several import holds_several, open_several, write_pictures
from widesr.pictures.sniff import kind_of
from widesr.pictures.sources import opened
from widesr.pictures.writing import FORMATS
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

    def __post_init__(self) -> None:
        known = {suffix.removeprefix(".") for suffix in FORMATS} | {"gif"}
        if self.format and self.format.lower().removeprefix(".") not in known:
            raise UsageError(
                f"the format is {self.format!r}, expected one of {', '.join(sorted(known))}"
            )

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

        The output is whole before it is given. What is decoded passes row by row.

        Args:
            data: A file of any format that is read.
            name: Its name, whose ending says which format it stays in.

        Raises:
            WidesrError: What is wrong with this picture.
        """
        output = BytesIO()
        try:
            opening = open_several if holds_several(data) else open_picture
            ending = _ending(data, name, self._making.format)
            with opening(data, max_pixels=self._making.max_pixels) as lr:
                sr = self._larger(lr)
                write_pictures(
                    output,
                    sr,
                    format=ending.lower(),
                    quality=self._making.quality,
                    lossless=self._making.lossless,
                )
                return Made(output.getvalue(), ending, lr.size, sr.size)
        except WidesrError as error:
            error.message = f"{name}: {error.message.removeprefix('<bytes>: ')}"
            raise

    def _larger(self, lr: PictureStream | PictureSequence) -> PictureStream | PictureSequence:
        def larger(each: PictureStream) -> PictureStream:
            each = adapted_stream(each, icc=self._making.icc, metadata=self._making.metadata)
            return self.upscaler.upscale_stream(each)

        if isinstance(lr, PictureStream):
            return larger(lr)
        return lr.map(lambda each, _: larger(each))


def _ending(data: bytes, name: str, format: str | None) -> str:  # noqa: A002 (users' word)
    """Give the end of an output's name: its format stays if it can be written."""
    kept = PurePosixPath(name).suffix
    if format is not None:
        wanted = f".{format.lower().removeprefix('.')}"
        return kept if FORMATS.get(kept.lower()) == FORMATS.get(wanted, wanted) else wanted
    if kept.lower() in FORMATS or (kept.lower() == ".gif" and is_animation(data)):
        return kept
    with opened(data) as file:
        return closest_suffix(file.heif) if kind_of(file) == "heic" else ".png"


def output_name(source: str, ending: str) -> str:
    """Name an output: as its input, with the new ending behind it where the format changed.

    So no two inputs of different names have one output: `scan.bmp` becomes `scan.bmp.png`.
    """
    same = PurePosixPath(source).suffix.lower() == ending.lower()
    return source if same else source + ending
