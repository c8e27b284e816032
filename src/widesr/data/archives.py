"""Unpacks archives into folders: nothing is written outside, and only whole files get names."""

import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from widesr.errors import DataError
from widesr.system.files import is_full
from widesr.system.progress import ignore
from widesr.system.text import readable_size

_NOT_WHOLE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    NotImplementedError,
    UnicodeDecodeError,
)
_ENCRYPTED = 1
"""Bit of a zip file's flags for a member that needs a password."""
_JUNK = ("__MACOSX", ".DS_Store")


class _Member(NamedTuple):
    """A file in an archive."""

    name: PurePosixPath
    n_bytes: int
    open: Callable[[], IO[bytes] | None]


def unpack(
    archive: Path,
    folder: Path,
    *,
    holds: Sequence[str] = (),
    on_progress: Callable[[int, int], None] = ignore,
) -> list[str]:
    """Unpack a zip or tar file into a folder; existing files of the same names are replaced.

    Args:
        archive: The zip or tar file.
        folder: An existing folder.
        holds: Folders in the archive to unpack; if empty, everything is unpacked.
        on_progress: Told of the bytes that are unpacked, and of all bytes.

    Returns:
        The paths of the unpacked files, relative to `folder`.

    Raises:
        DataError: The archive is not whole, contains a link or a name that leads out of the folder,
            or holds none of the wanted files; or the disk is full. The folder is as it was.
    """
    part = folder / f".{archive.name}.widesr-part"
    try:
        with _opened(archive) as members:
            wanted = [each for each in members if _is_in(each.name, holds)]
            if not wanted:
                raise DataError(f"{archive}: holds no {' or '.join(holds) or 'files'}")
            n_bytes = sum(each.n_bytes for each in wanted)
            require_space(folder, n_bytes, what=f"{archive.name} unpacked")
            shutil.rmtree(part, ignore_errors=True)  # left by a killed process
            part.mkdir()
            try:
                _write(wanted, part, on_progress)
                _merge(part, folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except (*_NOT_WHOLE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # that of damaged bz2 has none
            way_out = "make room" if is_full(error) else "name another folder"
            raise DataError(
                f"{folder}: {archive.name} cannot be unpacked ({error.strerror}); {way_out}"
            ) from error
        why = str(error).partition(":\n")[0]  # tarfile adds a line for each compression it tried
        raise DataError(f"{archive}: is not a whole zip or tar file ({why}); remove it") from error
    return [each.name.as_posix() for each in wanted]


@contextmanager
def _opened(archive: Path) -> Iterator[list[_Member]]:
    """Open an archive and list its files, after a check of all names."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            zip_infos = [info for info in zipped.infolist() if not info.is_dir()]
            for info in zip_infos:
                if stat.S_ISLNK(info.external_attr >> 16):
                    raise DataError(f"{archive}: {info.filename} is a link; not unpacked")
                if info.flag_bits & _ENCRYPTED:
                    raise DataError(f"{archive}: {info.filename} is encrypted; not unpacked")
            yield [
                _Member(_safe(archive, info.filename), info.file_size, partial(zipped.open, info))
                for info in zip_infos
            ]
    else:
        with tarfile.open(archive) as tarred:
            tar_infos = [info for info in tarred.getmembers() if not info.isdir()]
            for member in tar_infos:
                if not member.isreg():
                    raise DataError(f"{archive}: {member.name} is a link or a device; not unpacked")
            yield [
                _Member(_safe(archive, each.name), each.size, partial(tarred.extractfile, each))
                for each in tar_infos
            ]


def _safe(archive: Path, name: str) -> PurePosixPath:
    """Convert a name to a path; refuse names that lead out of the folder on any system."""
    path = PurePosixPath(name)
    parts = name.replace("\\", "/").split("/")
    if path.is_absolute() or ".." in parts or ":" in parts[0] or "\0" in name:
        raise DataError(f"{archive}: {name!r} leads out of the folder; nothing was unpacked")
    return path


def _is_in(name: PurePosixPath, holds: Sequence[str]) -> bool:
    if set(name.parts) & set(_JUNK):
        return False
    return not holds or any(name.is_relative_to(each) for each in holds)


def require_space(folder: Path, needed: int, *, what: str) -> None:
    """Check before the work that the disk of a folder has `needed` free bytes.

    Raises:
        DataError: Fewer bytes are free.
        OSError: The folder does not exist.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{folder}: {what} takes {readable_size(needed)}, {readable_size(free)} is free; make "
            "room, or name another place",
            options=["out"],
        )


def _write(wanted: Sequence[_Member], part: Path, on_progress: Callable[[int, int], None]) -> None:
    total, done = sum(each.n_bytes for each in wanted), 0
    for member in wanted:
        target = part / member.name
        target.parent.mkdir(parents=True, exist_ok=True)
        source = member.open()
        assert source is not None  # regular files always have one
        with source, target.open("xb") as file:
            shutil.copyfileobj(source, file, 2**20)
        done += member.n_bytes
        on_progress(done, total)


def _merge(source: Path, target: Path) -> None:
    """Move the content of a folder into another; folders that exist in both are merged."""
    for path in sorted(source.iterdir()):
        there = target / path.name
        if path.is_dir() and there.is_dir():
            _merge(path, there)
        else:
            os.replace(path, there)  # noqa: PTH105 (of folders too)
