"""Pairs the files and folders that a user names with their outputs.

Invalid inputs and outputs are refused here, before any picture is computed.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os.path import lexists  # unlike Path.exists, False also for a name that is too long
from pathlib import Path
from typing import Literal

from widesr.errors import ImageReadError, ImageWriteError, UsageError, WidesrError
from widesr.pictures.animation import is_animation
from widesr.pictures.reading import closest_ending
from widesr.pictures.writing import FORMATS, output_format
from widesr.system.files import remove_leftovers
from widesr.system.folders import is_folder, nearest_there, pictures_in, web_address


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture to make."""

    source: Path
    """A picture; or a folder that cannot be listed or holds no picture, as `refused` says."""
    target: Path
    makes_folder: bool = False
    """True if the target's folder is created where it is missing."""
    root: Path | None = None
    """The output folder, whose manifest lists the target; None if no input was a folder."""
    becomes_png: bool = False
    """True if the output is PNG because the source's format is not written."""
    refused: WidesrError | None = None
    """The reason why this job cannot be done, though the others can."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of a job: done, skipped or failed."""

    job: Job
    status: Literal["done", "skipped", "failed"]
    seconds: float = 0.0
    """The time for reading, computing and writing together."""
    input_size: tuple[int, int] | None = None
    """The (height, width) of the input; None unless done. The same holds for `output_size`."""
    output_size: tuple[int, int] | None = None
    count: int = 1
    """The number of frames or pages; if there are several, the sizes are those of the first."""
    error: WidesrError | None = None
    """The error; its `code` is for programs, its text for people."""


def plan_jobs(
    inputs: Sequence[Path],
    *,
    name_end: str,
    output: Path | None = None,
    into_folder: bool = False,
    suffix: str | None = None,
    format: str | None = None,  # noqa: A002 (users' word)
    recursive: bool = False,
) -> list[Job]:
    """Pair each input picture with its output file; nothing is written yet.

    The output of a file is `output` if that is a file name, goes into `output` if that is a folder,
    and is otherwise made beside the input. The pictures of a folder go, with their tree, into the
    folder `output`, which is created. Inputs that cannot be done, while others can, become refused
    jobs: two inputs for one output, or a folder that cannot be listed or holds no picture.

    Args:
        inputs: Files and folders.
        name_end: The end, such as "_x2", of the names of files made beside their inputs, and of a
            folder made beside an input folder. In an `output` folder the names stay.
        output: A file for one file, a folder for more.
        into_folder: True if `output` is meant as a folder, even if it does not exist yet.
        suffix: The end of every output's file name, wherever it goes; None leaves it to `name_end`.
        format: One of `FORMATS`, by its suffix, or "gif". By default each picture keeps its format,
            or becomes PNG if that cannot be written, such as GIF for a still picture; HEIC becomes
            JPEG, or AVIF if it has alpha or more than 8 bits.
        recursive: Include the folders in a folder.

    Raises:
        UsageError: Several inputs have one output file, or `format` is unknown.
        ImageFormatError: The name `output` has no format that can be written.
        ImageWriteError: The output's folder is missing, or no file can be written to it.
    """
    ending = _ending(format)
    if (
        output is not None
        and not into_folder
        and not is_folder(output)
        and len(inputs) == 1
        and not is_folder(inputs[0])
    ):
        return [Job(source=inputs[0], target=_checked_file(output, format=format))]
    if output is not None:
        _check_folder(output, inputs, into_folder=into_folder)

    some_folder = any(map(is_folder, inputs))

    def job(source: Path, folder: Path, end: str, *, root: Path | None) -> Job:
        kept = ending or _kept_ending(source) or closest_ending(source)
        return Job(
            source=source,
            target=folder / f"{source.stem}{end}{kept or '.png'}",
            becomes_png=kept is None,
            makes_folder=root is not None,
            root=root if some_folder else None,
        )

    jobs: list[Job] = []
    for given in inputs:
        if is_folder(given):
            root = output or folder_beside(given, name_end)
            pictures, refused = _pictures_in(given, recursive=recursive, but=root)
            jobs += [
                job(source, root / source.parent.relative_to(given), suffix or "", root=root)
                for source in pictures
            ]
            jobs += [
                Job(source=folder, target=root / folder.relative_to(given), refused=why)
                for folder, why in refused.items()
            ]
        elif output is not None:
            jobs.append(job(given, output, suffix or "", root=output))
        else:
            end = name_end if suffix is None else suffix
            jobs.append(job(given, given.parent, end, root=None))
    jobs = list(dict.fromkeys(jobs))  # a file that was named twice is one job
    return _without_shared_targets(jobs)


def make_folder(folder: Path) -> None:
    """Make a target's folder, and its parents if they are missing.

    Raises:
        ImageWriteError: The folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageWriteError(f"{folder}: the folder cannot be made: {error.strerror}") from error


def clean_folders(jobs: Sequence[Job]) -> None:
    """Remove what killed runs have left in the folders of the outputs."""
    for folder in dict.fromkeys(job.target.parent for job in jobs):
        remove_leftovers(folder)


def _kept_ending(source: Path) -> str | None:
    """Return a picture's ending if its format can be written; GIF can be for animations only."""
    ending = source.suffix.lower()
    stays = ending in FORMATS or (ending == ".gif" and is_animation(source))
    return source.suffix if stays else None


def _ending(format: str | None) -> str | None:  # noqa: A002
    if format is None:
        return None
    ending = f".{format.lower().removeprefix('.')}"
    if ending not in (*FORMATS, ".gif"):
        known = ", ".join(name.removeprefix(".") for name in (*FORMATS, ".gif"))
        raise UsageError(f"format {format!r} cannot be written; expected one of {known}")
    return ending


def _checked_file(output: Path, *, format: str | None) -> Path:  # noqa: A002
    """Return a valid file name; refuse any other before the work and not after it."""
    _check_no_address(output)
    if not output.suffix:
        raise ImageWriteError(
            f"{output}: there is no such folder, and a file needs a name that says its format, "
            f"such as photo.png; a folder that is named {output}{os.sep} is made"
        )
    written = output_format(output, animated=True)
    if format is not None and written != output_format(output, format=format, animated=True):
        raise UsageError(
            f"the output {output} and the format {format} exclude each other; leave one of them out"
        )
    if not lexists(output.parent):
        raise ImageWriteError(
            f"{output}: the folder {output.parent} does not exist; make it first, or name another"
        )
    _check_takes_files(output.parent, output=output)
    return output


def _check_folder(output: Path, inputs: Sequence[Path], *, into_folder: bool) -> None:
    _check_no_address(output)
    if not into_folder and not lexists(output) and output.suffix.lower() in FORMATS:
        found = f"the folder {inputs[0]}" if len(inputs) == 1 else f"{len(inputs)} inputs"
        raise UsageError(f"{found} cannot go into the one file {output}; name a folder for it")
    _check_takes_files(nearest_there(output), output=output)


def _check_no_address(output: Path) -> None:
    if address := web_address(output):
        raise ImageWriteError(
            f"{address}: is a web address, and widesr sends nothing; name a file or a folder"
        )


def _check_takes_files(folder: Path, *, output: Path) -> None:
    if not is_folder(folder):
        raise ImageWriteError(
            f"{output}: {folder} is a file, expected a folder; name another output"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ImageWriteError(
            f"{output}: no file may be written in the folder {folder}; name another output"
        )


def folder_beside(folder: Path, name_end: str) -> Path:
    """Name the folder for the outputs of a folder; `.` and `..` count by their real names.

    Raises:
        UsageError: The folder is the root, which has no name.
    """
    named = folder if folder.name not in ("", "..") else Path(os.path.realpath(folder))
    if not named.name:
        raise UsageError(
            f"{folder}: this folder has no name to derive that of its outputs from; name a folder "
            "for them",
            options=["output"],
        )
    return named.with_name(f"{named.name}{name_end}")


def _pictures_in(
    folder: Path, *, recursive: bool, but: Path
) -> tuple[list[Path], dict[Path, WidesrError]]:
    """Return the pictures of a folder, and an error for each folder that cannot be listed.

    A folder with neither gets an error of its own.
    """
    refused: dict[Path, WidesrError] = {}
    pictures = pictures_in(folder, recursive=recursive, but=but, unlisted=refused.__setitem__)
    if not pictures and not refused:
        refused[folder] = ImageReadError(
            f"{folder}: no pictures in this folder; expected files ending in {', '.join(FORMATS)}"
            + ("" if recursive else ", or a look into the folders in it too"),
            options=[] if recursive else ["recursive=True"],
        )
    return pictures, refused


def _without_shared_targets(jobs: Sequence[Job]) -> list[Job]:
    """Refuse all jobs that would write to the same file: none has more right to the name."""
    sharing: defaultdict[Path, list[Job]] = defaultdict(list)
    for job in jobs:
        if not job.refused:
            sharing[job.target.absolute()].append(job)
    return [_checked(job, sharing[job.target.absolute()]) for job in jobs]


def _checked(job: Job, sharing: Sequence[Job]) -> Job:
    others = [str(other.source) for other in sharing if other.source != job.source]
    if job.refused or not others:
        return job
    would = UsageError(
        f"{job.source}: would be written to {job.target}, and so would {' and '.join(others)}; "
        "rename one, or give each an output of its own"
    )
    return replace(job, refused=would)
