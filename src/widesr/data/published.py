"""Fetches, checks and unpacks a published set, and remembers that it is there."""

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from widesr.data.archives import require_space, unpack
from widesr.data.sets import Archive
from widesr.errors import DataError
from widesr.system.download import fetch, record_hash, recorded_hash, size_of_part
from widesr.system.progress import ignore

Report = Callable[[int, int | None, str], None]
"""A callback with the bytes done, the bytes in all if known, and a description of the work."""


class Got(NamedTuple):
    """The result of getting an archive."""

    archive: Archive
    folder: Path
    pictures: int
    """Number of files that were unpacked; 0 if they existed already."""
    sha256: str
    checked: str

    def __str__(self) -> str:
        if not self.pictures:
            return f"there already, in {self.folder}"
        return (
            f"{self.pictures:,} files in {self.folder} ({self.checked}; terms of use: "
            f"{self.archive.terms})"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "archive": self.archive.name,
            "folder": str(self.folder),
            "files": self.pictures,
            "sha256": self.sha256,
            "checked": self.checked,
            "terms": self.archive.terms,
        }


def get(archive: Archive, out: Path, *, keep: bool = False, on_progress: Report = ignore) -> Got:
    """Fetch and unpack an archive, unless its content is in the folder already.

    The archive's hash is kept beside the pictures, in `{archive}.sha256`; while both exist, nothing
    is fetched.

    Args:
        archive: The archive to fetch.
        out: The folder that the user named; made if it is missing.
        keep: True to leave the archive beside the pictures.
        on_progress: Told of the bytes that are fetched, and of those that are unpacked.

    Raises:
        DownloadError: The archive cannot be fetched, or differs from the published one.
        DataError: The archive cannot be unpacked safely, or the disk is full.
    """
    folder = out / archive.folder
    known = recorded_hash(folder, archive.name)
    if known and archive.gives and all((folder / each).is_dir() for each in archive.gives):
        return Got(archive, folder / archive.gives[0], 0, known, "there already")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error.strerror})") from error
    _check_space(archive, folder)
    fetched = fetch(
        archive,
        folder,
        option="url",
        on_progress=lambda n, total: on_progress(n, total, f"getting {archive.name}"),
    )
    if not zipfile.is_zipfile(fetched.path) and not tarfile.is_tarfile(fetched.path):
        fetched.path.unlink()
        raise DataError(f"{archive.urls[0]}: gives no zip or tar file; check the address")
    files = unpack(
        fetched.path,
        folder,
        holds=archive.holds,
        on_progress=lambda n, total: on_progress(n, total, f"unpacking {archive.name}"),
    )
    record_hash(folder, archive.name, fetched.sha256)
    if not keep:
        fetched.path.unlink()
    where = folder / archive.gives[0] if len(archive.gives) == 1 else folder
    return Got(archive, where, len(files), fetched.sha256, fetched.checked)


def _check_space(archive: Archive, folder: Path) -> None:
    """Check that there is space for an archive together with its pictures, which are as large."""
    path = folder / archive.name
    if archive.n_bytes is not None and not path.exists():
        needed = 2 * archive.n_bytes - size_of_part(path)
        require_space(folder, needed, what=f"{archive.name} with its pictures")
