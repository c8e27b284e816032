"""Inspects what was sent before any work on it: its kind, its size, and what it will cost."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from widesr.batch.disk_space import bytes_to_come
from widesr.batch.jobs import plan_jobs
from widesr.errors import ImageReadError, WidesrError
from widesr.pictures.decoding import check_size
from widesr.pictures.reading import Header, read_header
from widesr.pictures.several import check_several, holds_several, open_several
from widesr.pictures.sniff import kind_of
from widesr.pictures.sources import opened
from widesr.pictures.tiff import MARKS
from widesr.pictures.writing import FORMATS, check_lossless, output_format
from widesr.system.text import readable_size
from widesr.upscaling.consistent import check_whole_scale
from widesr.web.clips import (
    CLIPS,
    check_extra,
    clip_bytes,
    clip_memory,
    kind_of_clip,
    look_at_clip,
)
from widesr.web.memory import Shares, bytes_held
from widesr.web.networks import Networks, check_model
from widesr.web.problems import ProblemError, disk_full, refusal
from widesr.web.settings import ServeSettings
from widesr.web.wishes import NAMES, Wishes

if TYPE_CHECKING:
    from widesr.video.clip import Glance

EARLY = 2**16
"""Bytes after which a picture's header is first checked."""
_RESERVE = 2**26
"""Bytes that are left free on the disk."""
_SUFFIXES = {kind: suffix for suffix, kind in reversed(FORMATS.items())}


@dataclass(frozen=True, kw_only=True)
class Intake:
    """The facts about a picture that was accepted."""

    source: Path
    """The picture's file, renamed to the suffix of its kind."""
    height: int
    """The height of the picture in pixels, or of the first of several frames or pages."""
    width: int
    pages: int
    """The number of frames or pages."""
    size: tuple[int, int]
    """(height, width) of the result."""
    seconds: float
    """The forecast of the computing time."""
    memory: int
    """The forecast of the memory, in bytes."""


def look_early(path: Path, *, name: str, max_pixels: int) -> None:
    """Refuse a picture by its first bytes, if they already show that it cannot be accepted.

    Raises:
        ProblemError: The picture's kind is not one that is read, or its header claims too many
            pixels.
    """
    try:
        kind = _kind(path)
    except WidesrError as error:
        if path.stat().st_size and _head(path)[:4] not in MARKS:
            raise _refused(error, path, name, status=415) from error
        return  # TIFF, whose directory may not have arrived yet
    if kind in ("tiff", "avif", "heic", *CLIPS):
        return  # the part that states the size may not have arrived yet
    try:
        header = read_header(path)
    except WidesrError:
        return  # `take_in` reports the error once the whole file is there
    try:
        check_size(path, header.width, header.height, max_pixels=max_pixels)
    except WidesrError as error:
        raise _refused(error, path, name) from error


def take_in(
    path: Path, *, name: str, wishes: Wishes, settings: ServeSettings, networks: Networks
) -> Intake:
    """Inspect a whole picture without decoding it.

    Args:
        path: The picture's file, which gets the suffix of its kind.
        name: The client's name for the picture.
        wishes: The options that the client asked for.
        settings: The limits.
        networks: The networks, which forecast the time.

    Raises:
        ProblemError: The picture cannot be worked on; its file is removed.
    """
    try:
        kind = _kind(path)
    except WidesrError as error:
        raise _refused(error, path, name, status=415) from error
    source = path.rename(path.with_suffix(_SUFFIXES.get(kind, f".{kind}")))
    try:
        return _Look(name, wishes, settings, networks).at(source, kind)
    except BaseException as error:
        source.unlink(missing_ok=True)
        if isinstance(error, WidesrError):
            raise _refused(error, source, name) from error
        raise


@dataclass(frozen=True)
class _Look:
    """Inspects what one client sent, and the options that it asked for."""

    name: str
    wishes: Wishes
    settings: ServeSettings
    networks: Networks

    def at(self, source: Path, kind: str) -> Intake:
        check_model(self.wishes.model)
        if self.wishes.consistent:
            check_whole_scale(self.wishes.target)
        intake = self._clip(source) if kind in CLIPS else self._picture(source, kind)
        most = Shares.of(self.settings.max_memory).pictures
        if intake.memory > most:
            rows = "" if kind in CLIPS else ", or for PNG or TIFF, which are written row by row"
            raise ProblemError(
                "memory",
                f"{self.name}: is forecast to take {readable_size(intake.memory)} of memory, the "
                f"server has {readable_size(most)} for pictures; ask for a smaller size{rows}",
                status=413,
                options=["scale", "format=png"] if rows else ["scale"],
            )
        return intake

    def _clip(self, source: Path) -> Intake:
        clip = look_at_clip(source, self.wishes, max_pixels=self.settings.max_pixels)
        size = self._output_size(clip, clip.frames, most=self.settings.max_clip)
        n_bytes = clip_bytes(frames=clip.frames, size=size, wishes=self.wishes)
        check_disk(self.settings.data, n_bytes)
        memory = clip_memory(source, clip, size, wishes=self.wishes)
        memory += self.networks.options.max_memory
        return self._intake(source, clip, clip.frames, size=size, memory=memory)

    def _picture(self, source: Path, kind: str) -> Intake:
        wishes, header = self.wishes, read_header(source)
        most = self.settings.max_pixels
        check_size(source, header.width, header.height, max_pixels=most)
        size = self._output_size(header, header.pages, most=self.settings.max_output)
        (job,) = plan_jobs(
            [source], output=source.parent, into_folder=True, name_end="", format=wishes.format
        )
        if holds_several(source):
            with open_several(source, max_pixels=most) as pictures:
                check_several(job.target, pictures, lossless=wishes.lossless)
        else:
            output_format(job.target)
            if wishes.lossless:
                check_lossless(job.target)
        _, bytes_most = bytes_to_come(source, job.target, header, size=size, quality=wishes.quality)
        check_disk(self.settings.data, bytes_most * header.pages)
        output = output_format(job.target, animated=True)
        memory = bytes_held(header, kind=kind, output=output, size=size)
        return self._intake(source, header, header.pages, size=size, memory=memory)

    def _output_size(self, sent: "Glance | Header", pages: int, *, most: int) -> tuple[int, int]:
        """Return (height, width) of the result; refuse one of more than `most` pixels."""
        height, width = self.wishes.target.size(sent.height, sent.width)
        if (made := height * width * pages) > most:
            frames = f" and {pages} frames" if pages > 1 else ""
            raise ProblemError(
                "image-too-large",
                f"{self.name}: the result would be {width}x{height}{frames} = {made:,} pixels, the "
                f"limit is {most:,}; ask for a smaller size",
                status=413,
                options=["scale"],
            )
        return height, width

    def _intake(
        self,
        source: Path,
        sent: "Glance | Header",
        pages: int,
        *,
        size: tuple[int, int],
        memory: int,
    ) -> Intake:
        one = self.networks.seconds(
            self.wishes.model, self.wishes.target, height=sent.height, width=sent.width
        )
        return Intake(
            source=source,
            height=sent.height,
            width=sent.width,
            pages=pages,
            size=size,
            seconds=pages * one,
            memory=memory,
        )


def check_disk(folder: Path, n_bytes: int) -> None:
    """Refuse work for which the disk has no room.

    Raises:
        ProblemError: Fewer than `n_bytes` are free beside the reserve.
    """
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize - _RESERVE
    if disk.f_blocks and n_bytes > free:  # some file systems report no blocks at all
        raise disk_full(
            f"{readable_size(n_bytes)} may be needed on the server's disk, "
            f"{readable_size(max(free, 0))} are free; try again later, or ask for less"
        )


def _kind(path: Path) -> str:
    """Tell the kind of a picture, or which of `CLIPS` a clip is."""
    try:
        with opened(path) as file:
            return kind_of(file)
    except ImageReadError:
        kind = kind_of_clip(_head(path))
        if kind is None:
            raise
    check_extra()
    return kind


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1024)


def _refused(
    error: WidesrError, path: Path, name: str, *, status: int | None = None
) -> ProblemError:
    return refusal(error, known=NAMES, folder=path.parent, name=name, status=status)
