"""Many pictures: which file becomes which, and what became of each.

`plan_jobs` turns what the user named into pairs of files, and refuses what cannot be meant before
any picture is computed. `upscale_many` does the jobs one after another; a job that fails is
reported as such and does not stop the others.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from os.path import lexists  # unlike Path.exists, False also for a name that is too long
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from widesr.adapt import Icc, Kept, adapted
from widesr.errors import (
    ImageReadError,
    ImageWriteError,
    InternalError,
    OutputExistsError,
    UsageError,
    WidesrError,
)
from widesr.folder import is_folder, pictures_in
from widesr.picture import (
    FORMATS,
    MAX_PIXELS,
    Picture,
    check_lossless,
    output_format,
    read_picture,
    write_picture,
)
from widesr.sizing import Target
from widesr.upscaler import Progress, SizedUpscaler, Upscaler, load_upscaler

Pixels = TypeVar("Pixels", bound=np.uint8 | np.uint16)
Existing = Literal["refuse", "overwrite", "skip"]
"""What to do with an output that is there already."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture to make."""

    source: Path
    target: Path
    makes_folder: bool = False
    """Whether the target's folder is made where it is missing."""

    @property
    def becomes_png(self) -> bool:
        """Whether the format changes because that of the source is not written."""
        return self.source.suffix.lower() not in FORMATS and self.target.suffix == ".png"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job."""

    job: Job
    status: Literal["done", "skipped", "failed"]
    seconds: float = 0.0
    """Reading, computing and writing together."""
    input_size: tuple[int, int] | None = None
    """(height, width) of what was read; None unless done, as `output_size`."""
    output_size: tuple[int, int] | None = None
    error: WidesrError | None = None
    """Why it failed: its `code` is for programs, its text for people."""


def plan_jobs(
    inputs: Sequence[Path],
    *,
    name_end: str,
    output: Path | None = None,
    suffix: str | None = None,
    format: str | None = None,  # noqa: A002 (users' word)
    recursive: bool = False,
) -> list[Job]:
    """Pair each input picture with its output file; nothing is read or written yet.

    A file goes to `output` if that is a file name, into it if it is a folder, else beside the
    input. The pictures of a folder go, with their tree, into the folder `output`, which is made.

    Args:
        inputs: Files and folders.
        name_end: As "_x2": ends the names of files made beside their inputs, and the name of the
            folder made beside an input folder. In an `output` folder the names stay.
        output: A file for one file, a folder for more.
        suffix: Ends every file name, wherever it goes; None is the rule of `name_end`.
        format: One of `FORMATS`, by its suffix; by default each format stays, and becomes PNG
            where it cannot be written.
        recursive: Take the folders in a folder too.

    Raises:
        UsageError: Several inputs for one output file, two inputs that would share an output, or
            an unknown `format`.
        ImageReadError: A folder that cannot be listed or holds no picture.
        ImageFormatError: The name `output` is of no format that can be written.
        ImageWriteError: The output's folder is missing or takes no file.
    """
    ending = _ending(format)
    if (
        output is not None
        and not is_folder(output)
        and len(inputs) == 1
        and not is_folder(inputs[0])
    ):
        return [Job(source=inputs[0], target=_checked_file(output, format=format))]
    if output is not None:
        _check_folder(output, inputs)

    def job(source: Path, folder: Path, end: str, *, made: bool) -> Job:
        kept = source.suffix if source.suffix.lower() in FORMATS else ".png"
        return Job(
            source=source,
            target=folder / f"{source.stem}{end}{ending or kept}",
            makes_folder=made,
        )

    jobs = []
    for given in inputs:
        if is_folder(given):
            root = output or _folder_beside(given, name_end)
            jobs += [
                job(source, root / source.parent.relative_to(given), suffix or "", made=True)
                for source in _pictures_in(given, recursive=recursive, but=root)
            ]
        elif output is not None:
            jobs.append(job(given, output, suffix or "", made=True))
        else:
            end = name_end if suffix is None else suffix
            jobs.append(job(given, given.parent, end, made=False))
    jobs = list(dict.fromkeys(jobs))  # a file that was named twice is one job
    _check_no_shared_target(jobs)
    return jobs


def _ending(format: str | None) -> str | None:  # noqa: A002
    if format is None:
        return None
    ending = f".{format.lower().removeprefix('.')}"
    if ending not in FORMATS:
        known = ", ".join(name.removeprefix(".") for name in FORMATS)
        raise UsageError(f"format {format!r} cannot be written; expected one of {known}")
    return ending


def _checked_file(output: Path, *, format: str | None) -> Path:  # noqa: A002
    """Refuse a file name before the work and not after it."""
    if not output.suffix:
        raise ImageWriteError(
            f"{output}: no such folder, and no file name that says a format; make the folder "
            "first, or name a file as photo.png"
        )
    written = output_format(output)
    if format is not None and written != output_format(output, format=format):
        raise UsageError(f"-o {output} and -f {format} are two formats; give one of them")
    if not lexists(output.parent):
        raise ImageWriteError(
            f"{output}: the folder {output.parent} does not exist; make it first, or name another"
        )
    _check_takes_files(output.parent, output=output)
    return output


def _check_folder(output: Path, inputs: Sequence[Path]) -> None:
    if not lexists(output) and output.suffix.lower() in FORMATS:
        found = f"the folder {inputs[0]}" if len(inputs) == 1 else f"{len(inputs)} inputs"
        raise UsageError(f"{found} cannot go into the one file {output}; give a folder with -o")
    ancestor = output
    while not lexists(ancestor) and ancestor != ancestor.parent:
        ancestor = ancestor.parent
    _check_takes_files(ancestor, output=output)


def _check_takes_files(folder: Path, *, output: Path) -> None:
    if not is_folder(folder):
        raise ImageWriteError(f"{output}: {folder} is a file, expected a folder; name another -o")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ImageWriteError(
            f"{output}: no file may be written in the folder {folder}; name another with -o"
        )


def _folder_beside(folder: Path, name_end: str) -> Path:
    named = folder if folder.name not in ("", "..") else folder.resolve()
    if not named.name:
        raise UsageError(f"{folder}: say with -o where the pictures of this folder go")
    return named.with_name(f"{named.name}{name_end}")


def _pictures_in(folder: Path, *, recursive: bool, but: Path) -> list[Path]:
    pictures = pictures_in(folder, recursive=recursive, but=but)
    if not pictures:
        raise ImageReadError(
            f"{folder}: no pictures in this folder; expected files ending in {', '.join(FORMATS)}"
            + ("" if recursive else " (-r also looks into the folders in it)")
        )
    return pictures


def _check_no_shared_target(jobs: Iterable[Job]) -> None:
    taken: dict[Path, Path] = {}
    for job in jobs:
        other = taken.setdefault(job.target.absolute(), job.source)
        if other != job.source:
            raise UsageError(
                f"{other} and {job.source} would both be written to {job.target}; "
                "give them in two calls with two outputs, or rename one"
            )


def upscale_many(
    jobs: Sequence[Job],
    *,
    upscaler: Upscaler | SizedUpscaler,
    existing: Existing = "refuse",
    quality: int = 95,
    lossless: bool = False,
    icc: Icc = "keep",
    metadata: Kept = "keep",
    max_pixels: int = MAX_PIXELS,
    progress: Progress | None = None,
) -> Iterator[Outcome]:
    """Upscale in order, as `transform_many`.

    `progress` is told of the tiles of each picture; `icc` and `metadata` are those of `adapted`.
    """

    def transform(picture: Picture) -> Picture:
        picture = adapted(picture, icc=icc, metadata=metadata)
        return upscaler.upscale_picture(picture, progress=progress)

    return transform_many(
        jobs,
        transform=transform,
        existing=existing,
        quality=quality,
        lossless=lossless,
        max_pixels=max_pixels,
    )


def transform_many(
    jobs: Sequence[Job],
    *,
    transform: Callable[[Picture], Picture],
    existing: Existing = "refuse",
    quality: int = 95,
    lossless: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Outcome]:
    """Read, transform and write each picture; yield what became of it when it is over.

    No input of any job is ever written over, not even with `existing="overwrite"`.

    Args:
        jobs: From `plan_jobs`.
        transform: Makes the output from the input.
        existing: What to do with an output that is there already.
        quality: 1 to 100, of JPEG, WebP and AVIF.
        lossless: Every value is kept, or the picture refused.
        max_pixels: The largest picture that is read.
    """
    sources = {job.source.resolve() for job in jobs}

    def work(job: Job) -> Outcome:
        if existing == "skip" and lexists(job.target):
            return Outcome(job=job, status="skipped")
        if job.target.resolve() in sources:
            raise OutputExistsError(f"{job.target}: is an input too; name another output with -o")
        if existing == "refuse" and lexists(job.target):  # before the work and not after it
            raise OutputExistsError(
                f"{job.target}: exists already; name another output, or say --overwrite or "
                "--skip-existing"
            )
        if lossless:
            check_lossless(job.target)
        picture = read_picture(job.source, max_pixels=max_pixels)
        try:
            made = transform(picture)
        except UsageError as error:  # one picture may be too small for what suits the others
            raise UsageError(f"{job.source}: {error}") from error
        if job.makes_folder:
            _make_folder(job.target.parent)
        write_picture(
            job.target,
            made,
            quality=quality,
            lossless=lossless,
            overwrite=existing == "overwrite",
        )
        return Outcome(
            job=job,
            status="done",
            input_size=(picture.height, picture.width),
            output_size=(made.height, made.width),
        )

    for job in jobs:
        start = time.perf_counter()
        try:
            outcome = work(job)
        except WidesrError as error:
            outcome = Outcome(job=job, status="failed", error=error)
        except Exception as error:  # a defect met on one picture must not cost the others theirs
            if os.environ.get("WIDESR_DEBUG"):
                raise
            outcome = Outcome(job=job, status="failed", error=InternalError(error, at=job.source))
        yield replace(outcome, seconds=time.perf_counter() - start)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageWriteError(f"{folder}: the folder cannot be made: {error.strerror}") from error


@overload
def upscale(
    picture: Picture | Path | str,
    *,
    scale: float | None = ...,
    width: int | None = ...,
    height: int | None = ...,
    longest: int | None = ...,
    fit: tuple[int, int] | None = ...,
    model: str = ...,
    tile: int | Literal["auto"] | None = ...,
    self_ensemble: bool = ...,
) -> Picture: ...


@overload
def upscale(
    picture: NDArray[Pixels],
    *,
    scale: float | None = ...,
    width: int | None = ...,
    height: int | None = ...,
    longest: int | None = ...,
    fit: tuple[int, int] | None = ...,
    model: str = ...,
    tile: int | Literal["auto"] | None = ...,
    self_ensemble: bool = ...,
) -> NDArray[Pixels]: ...


def upscale(
    picture: Picture | Path | str | NDArray[Any],
    *,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    longest: int | None = None,
    fit: tuple[int, int] | None = None,
    model: str = "default",
    tile: int | Literal["auto"] | None = "auto",
    self_ensemble: bool = False,
) -> Picture | NDArray[Any]:
    """Upscale one picture; for several, `Upscaler.load` once and call it.

    At x2, x3 and x4 the picture goes through one network. Any other size takes the nearest network
    at or above it, above x4 that of x4 and then that of x2, and is shrunk to the pixel by
    `imresize`, which alone does what is x1 or less.

    Args:
        picture: A file, a `Picture`, or an array as `Upscaler` takes it.
        scale: Output pixels per input pixel, along each axis, at most 8; 2 if no size is given.
        width: Of the output, in pixels, instead of a scale; the aspect is kept.
        height: The same for the height.
        longest: The same for the longer side.
        fit: (height, width) of a box that the output fills as far as its aspect allows.
        model: As for `Upscaler.load`, with `tile` and `self_ensemble`.
        tile: Side of the tiles, LR pixels; None is the whole picture at once.
        self_ensemble: Mean over eight flips and turns.

    Returns:
        An array for an array, else a `Picture`; nothing is written.

    Raises:
        WidesrError: As `Upscaler.load`, `read_picture` and `Upscaler` say.
    """
    if (scale, width, height, longest, fit) == (None,) * 5:
        scale = 2
    target = Target(scale=scale, width=width, height=height, longest=longest, fit=fit)
    upscaler = load_upscaler(model, target=target, tile=tile, self_ensemble=self_ensemble)
    if isinstance(picture, np.ndarray):
        return upscaler(picture)
    if not isinstance(picture, Picture):
        picture = read_picture(Path(picture))
    return upscaler.upscale_picture(picture)
