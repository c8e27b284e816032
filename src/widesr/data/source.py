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
    """The row of a MANIFEST.csv on one photograph."""

    licence: str
    origin: str


class Source(Protocol):
    """Photographs with their LR at one scale; a pack gives what its folder would."""

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
        """Names of the HR files below the folder, with "/" between their parts."""

    @property
    def licences(self) -> Mapping[str, Licence] | None:
        """The licences by file name, without folders; None where nothing is stated."""

    def sizes(self) -> Mapping[str, tuple[int, int]]:
        """Return the (height, width) of each HR picture, by its name.

        Raises:
            DataError: A file that is no picture.
        """

    def load(self, names: Sequence[str]) -> list[Pair]:
        """Give the pairs of some photographs, in their order, with each LR that they have.

        Raises:
            DataError: A photograph that cannot be used.
        """


def large_enough(
    source: Source, *, scale: int, lr_patch: int, on_notice: Callable[[str], None]
) -> list[str]:
    """Leave out photographs that no patch fits into, and say how many.

    Raises:
        DataError: None is left, or a file is no picture.
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
    """Split into (for training, for validation): the `n` whose file names have the least SHA-256.

    A photograph keeps its side when others are added to the folder, as far as `n` allows. Where `n`
    is more than half of them, a fifth is held out, so that a recipe made for many photographs can
    be run with few.

    Raises:
        DataError: Fewer than two.
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
    """Hold a folder with a MANIFEST.csv to stating all its photographs.

    Raises:
        DataError: It leaves some out.
    """
    known = source.licences
    if known is not None and (unlisted := [name for name in names if _file(name) not in known]):
        raise DataError(f"{source.data}: MANIFEST.csv has no row for {named(unlisted)}")


def training_data(source: Source, names: Sequence[str]) -> tuple[TrainingData, ...]:
    """Count photographs by origin and licence, for the cards of what learns from them.

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
