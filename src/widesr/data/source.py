"""Defines photographs as a run sees them, from a folder or from a pack of it."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from widesr.data.layout import named
from widesr.data.patches import Pair
from widesr.errors import DataError
from widesr.models.catalog import TrainingData


class Licence(NamedTuple):
    """The row of a MANIFEST.csv for one photograph."""

    licence: str
    origin: str


class Source(Protocol):
    """Photographs with their LR at one scale; a pack gives the same as the folder that it packs."""

    @property
    def data(self) -> Path:
        """The path that the user named."""

    @property
    def title(self) -> str:
        """The folder's own name, for cards."""

    @property
    def what(self) -> str:
        """The layout that was recognised, for people."""

    @property
    def names(self) -> Sequence[str]:
        """Paths of the HR files relative to the folder, with "/" between their parts."""

    @property
    def licences(self) -> Mapping[str, Licence] | None:
        """The licences by file name, without folders; None where nothing is stated."""

    def sizes(self) -> Mapping[str, tuple[int, int]]:
        """Return the (height, width) of each HR picture, by its name.

        Raises:
            DataError: A file is not a picture.
        """

    def load(self, names: Sequence[str]) -> list[Pair]:
        """Return pairs of some photographs, in order, one pair for each LR of a photograph.

        Raises:
            DataError: A photograph cannot be used.
        """


def large_enough(
    source: Source, *, scale: int, lr_patch: int, on_notice: Callable[[str], None]
) -> list[str]:
    """List the photographs that a patch fits into, and report how many are left out.

    Raises:
        DataError: No photograph is left, or a file is not a picture.
    """
    side, sizes = lr_patch * scale, source.sizes()
    small = [name for name in source.names if min(sizes[name]) < side]
    if not small:
        return list(source.names)
    height, width = sizes[small[0]]
    found = f"{small[0]} is {width}x{height}"
    if len(small) == len(source.names):
        raise DataError(
            f"{source.data}: all photographs are smaller than a patch of {side}x{side} ({found}); "
            "take larger ones, or a smaller data.lr_patch"
        )
    on_notice(
        f"{source.data}: {len(small):,} of {len(source.names):,} photographs are smaller than a "
        f"patch of {side}x{side} and left out ({found})"
    )
    left_out = set(small)
    return [name for name in source.names if name not in left_out]


def hold_out(names: Sequence[str], n: int) -> tuple[list[str], list[str]]:
    """Split names into (for training, for validation), by the hashes of the file names.

    The `n` names with the least SHA-256 are held out, so a photograph keeps its side when others
    are added to the folder, as far as `n` allows. If `n` is more than half of the names, a fifth is
    held out instead, so that a recipe made for many photographs can be run with few.

    Raises:
        DataError: There are fewer than two names.
    """
    if len(names) < 2:
        raise DataError(
            f"{len(names)} photographs; expected at least two, one of which is held out to "
            "validate on"
        )
    if n > len(names) / 2:
        n = max(1, len(names) // 5)

    def rank(name: str) -> bytes:
        return hashlib.sha256(_file(name).encode(errors="surrogateescape")).digest()

    held = set(sorted(names, key=rank)[:n])
    return [name for name in names if name not in held], sorted(held, key=PurePosixPath)


def require_licences(source: Source, names: Sequence[str]) -> None:
    """Check that MANIFEST.csv, if there is one, has a row for every photograph.

    Raises:
        DataError: MANIFEST.csv leaves some photographs out.
    """
    known = source.licences
    if known is not None and (unlisted := [name for name in names if _file(name) not in known]):
        raise DataError(f"{source.data}: MANIFEST.csv has no row for {named(unlisted)}")


def training_data(source: Source, names: Sequence[str]) -> tuple[TrainingData, ...]:
    """Count photographs by origin and licence, for the cards of models that learn from them.

    Raises:
        DataError: MANIFEST.csv leaves some of the photographs out.
    """
    known = source.licences
    if known is None:
        return (TrainingData(name=source.title, licence="not stated", n=len(names)),)
    require_licences(source, names)
    counts = Counter((known[_file(name)].origin, known[_file(name)].licence) for name in names)
    return tuple(
        TrainingData(name=origin, licence=licence, n=n)
        for (origin, licence), n in sorted(counts.items())
    )


def _file(name: str) -> str:
    return PurePosixPath(name).name
