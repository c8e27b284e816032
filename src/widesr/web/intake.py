"""Looks at what was sent, before it is worked on: its kind, its size, and what it will take."""

import os
from dataclasses import dataclass
from pathlib import Path

from widesr.batch.disk_space import bytes_to_come
from widesr.batch.jobs import plan_jobs
from widesr.errors import WidesrError
from widesr.pictures.decoding import check_size
from widesr.pictures.reading import Header, read_header
from widesr.pictures.several import check_several, holds_several, open_several
from widesr.pictures.sniff import kind_of
from widesr.pictures.sources import opened
from widesr.pictures.writing import FORMATS, check_lossless, output_format
from widesr.system.text import readable_size
from widesr.upscaling.consistent import check_whole_scale
from widesr.web.memory import Shares, bytes_held
from widesr.web.networks import Networks, check_model
from widesr.web.problems import ProblemError, problem_of, raised
from widesr.web.settings import ServeSettings
from widesr.web.wishes import NAMES, Wishes

EARLY = 2**16
"""Bytes after which a picture's header is looked at for the first time."""
_RESERVE = 2**26
"""Bytes of the disk that are left free."""
_SUFFIXES = {kind: suffix for suffix, kind in reversed(FORMATS.items())}


@dataclass(frozen=True, kw_only=True)
class Intake:
    """The facts about a picture that may be worked on."""

    source: Path
    """Its file, now with the suffix of its kind."""
    header: Header
    size: tuple[int, int]
    """(height, width) of the result."""
    seconds: float
    """The forecast of the computing time."""
    memory: int
    """Bytes, as forecast."""


def look_early(path: Path, *, name: str, max_pixels: int) -> None:
    """Refuse a picture of which only the beginning is there, as far as that tells.

    Raises:
        ProblemError: It is of no kind that is read, or its header claims too many pixels.
    """
    try:
        kind = _kind(path)
    except WidesrError as error:
        if path.stat().st_size and _head(path)[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            raise _refused(error, path, name, status=415) from error
        return  # TIFF, whose directory may be still to come
    if kind in ("tiff", "avif", "heic"):
        return  # what says their size may be still to come
    try:
        header = read_header(path)
    except WidesrError:
        return  # it is said when all of it is there
    try:
        check_size(path, header.width, header.height, max_pixels=max_pixels)
    except WidesrError as error:
        raise _refused(error, path, name) from error


def take_in(
    path: Path, *, name: str, wishes: Wishes, settings: ServeSettings, networks: Networks
) -> Intake:
    """Look at a whole picture; nothing is decoded.

    Args:
        path: Its file, which gets the suffix of its kind.
        name: What the client calls it.
        wishes: What is asked for.
        settings: The limits.
        networks: Tell how long it takes.

    Raises:
        ProblemError: It cannot be worked on, and why; its file is gone.
    """
    try:
        kind = _kind(path)
    except WidesrError as error:
        raise _refused(error, path, name, status=415) from error
    source = path.rename(path.with_suffix(_SUFFIXES.get(kind, f".{kind}")))
    try:
        return _looked_at(source, kind, name, wishes, settings, networks)
    except BaseException as error:
        source.unlink(missing_ok=True)
        if isinstance(error, WidesrError):
            raise _refused(error, source, name) from error
        raise


def _looked_at(
    source: Path,
    kind: str,
    name: str,
    wishes: Wishes,
    settings: ServeSettings,
    networks: Networks,
) -> Intake:
    check_model(wishes.model)
    target, header = wishes.target, read_header(source)
    if wishes.consistent:
        check_whole_scale(target)
    check_size(source, header.width, header.height, max_pixels=settings.max_pixels)
    size = target.size(header.height, header.width)
    made = size[0] * size[1] * header.pages
    if made > settings.max_output:
        raise ProblemError(
            "image-too-large",
            f"{name}: the result would be {size[1]}x{size[0]}"
            + (f" and {header.pages} frames" if header.pages > 1 else "")
            + f" = {made:,} pixels, the limit is {settings.max_output:,}; ask for a smaller size",
            status=413,
            options=["scale"],
        )
    (job,) = plan_jobs(
        [source], output=source.parent, into_folder=True, name_end="", format=wishes.format
    )
    if holds_several(source):
        with open_several(source, max_pixels=settings.max_pixels) as pictures:
            check_several(job.target, pictures, lossless=wishes.lossless)
    else:
        output_format(job.target)
        if wishes.lossless:
            check_lossless(job.target)
    output = output_format(job.target, animated=True)
    memory = bytes_held(header, kind=kind, output=output, size=size)
    most = Shares.of(settings.max_memory).pictures
    if memory > most:
        raise ProblemError(
            "memory",
            f"{name}: is forecast to take {readable_size(memory)} of memory as {kind} to {output}, "
            f"the server has {readable_size(most)} for pictures; ask for a smaller size, or for "
            "PNG or TIFF, which are written row by row",
            status=413,
            options=["scale", "format=png"],
        )
    _, bytes_most = bytes_to_come(source, job.target, header, size=size, quality=wishes.quality)
    check_disk(settings.data, bytes_most * header.pages)
    seconds = header.pages * networks.seconds(
        wishes.model, target, height=header.height, width=header.width
    )
    return Intake(source=source, header=header, size=size, seconds=seconds, memory=memory)


def check_disk(folder: Path, n_bytes: int) -> None:
    """Refuse what the disk has no room for.

    Raises:
        ProblemError: Fewer bytes are free.
    """
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize - _RESERVE
    if disk.f_blocks and n_bytes > free:  # some file systems do not count
        raise ProblemError(
            "disk-full",
            f"{readable_size(n_bytes)} may be needed on the server's disk, "
            f"{readable_size(max(free, 0))} are free; try again later, or ask for less",
            status=507,
        )


def _kind(path: Path) -> str:
    with opened(path) as file:
        return kind_of(file)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _refused(
    error: WidesrError, path: Path, name: str, *, status: int | None = None
) -> ProblemError:
    problem = problem_of(error, known=NAMES, folder=path.parent, name=name)
    if status is not None:
        problem = problem.model_copy(update={"status": status})
    return raised(problem)
