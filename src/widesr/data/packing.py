"""Makes packs, whole or not at all, and checks whether their pictures are unchanged."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BufferedWriter
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from widesr.data.archives import require_space
from widesr.data.pack import (
    FORMAT,
    HR,
    INDEX,
    Index,
    Maps,
    PackedPhotograph,
    Stored,
    lr_file,
    read_index,
)
from widesr.data.photographs import Folder
from widesr.data.source import Licence, require_licences
from widesr.errors import DataError, OutputExistsError
from widesr.system.files import is_full, sync_folder
from widesr.system.locks import locked_folder
from widesr.system.machine import usable_cpus
from widesr.system.progress import ignore
from widesr.system.threads import in_threads
from widesr.system.version import __version__

_TOLD = 5
"""Largest number of unusable photographs that one error lists."""


def write_pack(
    photographs: Folder, out: Path, *, on_progress: Callable[[int, str], None] = ignore
) -> Index:
    """Decode photographs on all cores, and write them and their LR into a new folder.

    The folder is made under a hidden name beside `out`, and renamed when everything is on the disk.
    If a process is killed, the next one that makes the same pack removes its files.

    Args:
        photographs: The photographs to pack, with their scales.
        out: The folder to make.
        on_progress: Called with the number of photographs done, and the name of the last.

    Raises:
        OutputExistsError: `out` exists already.
        DataError: Some photographs cannot be used, of which the first five are named; another
            process makes this pack; or the disk is full. Nothing is left behind.
    """
    if os.path.lexists(out):
        raise OutputExistsError(
            f"{out}: exists already; remove it, or name another", options=["out"]
        )
    _check_space(photographs, out)
    try:
        with _folder_to_be(out) as part:
            index = _filled(photographs, part, on_progress)
            _write_whole(part / INDEX, index.model_dump_json(indent=1).encode())
    except OSError as error:
        raise DataError(
            f"{out}: cannot be written ({error.strerror or error}); nothing was kept; "
            f"{'make room, or ' if is_full(error) else ''}name another place",
            options=["out"],
        ) from error
    return index


def verify_pack(
    pack: Path, *, on_progress: Callable[[int, str], None] = ignore
) -> tuple[Index, list[str]]:
    """Read a whole pack, and list the pictures that differ from those that were packed.

    Args:
        pack: The pack's folder.
        on_progress: Called with the number of photographs done, and the name of the last.

    Returns:
        The index, and the damaged pictures, each as "name (HR)" or "name (LR x2)".

    Raises:
        DataError: The folder is not a pack, or its index or the size of a file is wrong.
    """
    index = read_index(pack)
    maps = Maps(pack, list(index.n_bytes))

    def damaged(photograph: PackedPhotograph) -> list[str]:
        stored = [("HR", HR, photograph.hr)]
        for scale, pictures in photograph.lr.items():
            stored += [(f"LR x{scale}", lr_file(scale), each) for each in pictures]
        return [
            f"{photograph.name} ({what})"
            for what, file, each in stored
            if _digest(maps.picture(file, each)) != each.sha256
        ]

    found: list[str] = []
    checked = in_threads(index.photographs, damaged, threads=usable_cpus())
    for n, (photograph, its) in enumerate(zip(index.photographs, checked, strict=True), 1):
        found += its
        on_progress(n, photograph.name)
    return index, found


def _filled(photographs: Folder, part: Path, on_progress: Callable[[int, str], None]) -> Index:
    """Write all pictures into the files of a pack, and return its index."""
    stated = _stated(photographs)
    packed: list[PackedPhotograph] = []
    failed: list[DataError] = []
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(_Growing.create(part / name))
            for name in (HR, *map(lr_file, photographs.scales))
        }
        prepare = partial(_prepared, photographs)
        ready = in_threads(photographs.names, prepare, threads=usable_cpus())
        stack.callback(ready.close)  # before the files are closed
        for n, (name, one) in enumerate(zip(photographs.names, ready, strict=True), 1):
            if isinstance(one, DataError):
                failed.append(one)
            elif not failed:
                packed.append(_appended(name, one, files, stated.get(name)))
            on_progress(n, name)
        if failed:
            more = f"; and {len(failed) - _TOLD} more" if failed[_TOLD:] else ""
            raise DataError("; ".join(str(error) for error in failed[:_TOLD]) + more)
        n_bytes = {name: file.end for name, file in files.items()}
    index = Index(
        format=FORMAT,
        widesr=__version__,
        title=photographs.title,
        what=photographs.what,
        degradation=photographs.degradation,
        protocol=photographs.protocol,
        scales=photographs.scales,
        n_bytes=n_bytes,
        photographs=tuple(packed),
    )
    return index.model_copy(update={"sha256": index.digest()})


def _stated(photographs: Folder) -> dict[str, Licence]:
    """Return each photograph's row of MANIFEST.csv, by its path relative to the folder."""
    for name in photographs.names:
        if not name.isprintable():
            raise DataError(f"{photographs.data / name}: no name for an index; rename the file")
    if photographs.licences is None:
        return {}
    require_licences(photographs, photographs.names)
    return {name: photographs.licences[PurePosixPath(name).name] for name in photographs.names}


_Hashed = tuple[NDArray[np.uint8], str]


class _Prepared(NamedTuple):
    """A photograph with the hashes of its pictures."""

    hr: _Hashed
    lr: dict[int, list[_Hashed]]


def _prepared(photographs: Folder, name: str) -> _Prepared | DataError:
    """Decode and hash a photograph; return an error, to be reported with those of the others."""
    try:
        photograph = photographs.decode(name)
    except DataError as error:
        return error
    lr = {
        scale: [(np.ascontiguousarray(each), _digest(each)) for each in pictures]
        for scale, pictures in photograph.lr.items()
    }
    return _Prepared((photograph.hr, _digest(photograph.hr)), lr)


def _digest(pixels: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()


class _Growing:
    """A file of a pack that is being written."""

    def __init__(self, file: BufferedWriter) -> None:
        self._file = file
        self.end = 0

    @classmethod
    @contextmanager
    def create(cls, path: Path) -> Iterator[Self]:
        """Create the file, and flush it to the disk at the end."""
        with path.open("xb") as file:
            yield cls(file)
            file.flush()
            os.fsync(file.fileno())

    def add(self, pixels: NDArray[np.uint8], sha256: str) -> Stored:
        """Append a picture, and return its place."""
        height, width = pixels.shape[:2]
        stored = Stored(offset=self.end, height=height, width=width, sha256=sha256)
        self._file.write(pixels.data)
        self.end += stored.n_bytes
        return stored


def _appended(
    name: str, prepared: _Prepared, files: Mapping[str, _Growing], stated: Licence | None
) -> PackedPhotograph:
    """Append a photograph to the files, and return its record for the index."""
    licence, origin = stated or (None, None)
    return PackedPhotograph(
        name=name,
        hr=files[HR].add(*prepared.hr),
        lr={
            scale: tuple(files[lr_file(scale)].add(*each) for each in pictures)
            for scale, pictures in prepared.lr.items()
        },
        licence=licence,
        origin=origin,
    )


def _check_space(photographs: Folder, out: Path) -> None:
    """Check the free space before hours of decoding.

    Raises:
        DataError: The space is not enough, or there is no folder to make the pack in.
    """
    pixels = sum(height * width for height, width in photographs.sizes().values())
    lr = sum(3 * pixels * photographs.variants(scale) // scale**2 for scale in photographs.scales)
    try:
        require_space(out.parent, 3 * pixels + lr, what=f"the pack {out}")
    except OSError as error:
        raise DataError(f"{out.parent}: no folder to write to ({error.strerror})") from error


@contextmanager
def _folder_to_be(out: Path) -> Iterator[Path]:
    """Make a hidden folder beside `out`; rename it to `out` on success, and remove it on an error.

    Only one process at a time holds the lock on this folder. The lock ends with the process,
    however that ends, so an existing folder without a lock was left by a killed process.
    """
    part = out.parent / f".{out.name}.widesr-part"
    part.mkdir(exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(locked_folder(part))
        except BlockingIOError as error:
            raise DataError(f"{out}: another process is packing it; wait for its end") from error
        try:
            for left in part.iterdir():
                left.unlink()
            yield part
            sync_folder(part)
            part.rename(out)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


def _write_whole(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
