"""Batches of pictures from a listing as it streams past: each is what one worker does at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple
from uuid import uuid4

from widesr.bulk.manifest import FOLDER, Keys, key_of
from widesr.bulk.store import Found, Store
from widesr.system.folders import PICTURE_SUFFIXES

PICTURES, BYTES = 64, 64 * 2**20
"""The most of each in one batch, which is done again if its worker is lost."""


class Item(NamedTuple):
    """One picture to do."""

    number: int
    """Its number in the order of the listing, from 0."""
    key: bytes
    found: Found


def _new_id() -> str:
    return uuid4().hex[:16]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Pictures that one worker does in one step."""

    items: tuple[Item, ...]
    id: str = field(default_factory=_new_id)
    """The name of the batch's claim and part; each try has a new one."""
    losses: int = 0
    """The number of workers that were lost with these pictures."""

    def again(self, settled: frozenset[int]) -> "Batch":
        """Give a batch of what is left to do after the worker was lost.

        Args:
            settled: Numbers of the pictures that need no more work.
        """
        items = tuple(item for item in self.items if item.number not in settled)
        return Batch(items=items, losses=self.losses + 1)

    def apart(self) -> "list[Batch]":
        """Give each picture a batch of its own, to find the one that makes workers end."""
        return [Batch(items=(item,)) for item in self.items]


class Listing:
    """Lists pictures in batches, and counts what it passes over."""

    def __init__(self, inputs: Store, outputs: Store) -> None:
        """List pictures; nothing is read yet.

        Args:
            inputs: The place of the files to list, including those in its folders.
            outputs: The place for outputs; if it lies within the inputs, its files are left out.
        """
        self._inputs = inputs
        inside = outputs.root.removeprefix(f"{inputs.root}/")
        self._outputs = "" if inside == outputs.root else f"{inside}/"
        self.others = 0
        """The number of files that are not pictures, by their names."""
        self.settled = 0
        """The number of pictures that were settled before."""

    def pictures(self) -> Iterator[Found]:
        """Give the pictures, except hidden ones and those in the outputs."""
        for found in self._inputs.list():
            if self._outputs and found.name.startswith(self._outputs):
                continue
            path = PurePosixPath(found.name)
            if any(part.startswith(".") or part == FOLDER for part in path.parts):
                continue
            if path.suffix.lower() in PICTURE_SUFFIXES:
                yield found
            else:
                self.others += 1

    def batches(self, settled: Keys, *, most: int = PICTURES) -> Iterator[Batch]:
        """Group the pictures that are still to be done, making each batch when it is asked for.

        Args:
            settled: The keys of pictures to pass over, as they were settled before.
            most: The most pictures in one batch.
        """
        return in_batches(self._unsettled(settled), most=most)

    def _unsettled(self, settled: Keys) -> Iterator[Item]:
        for number, found in enumerate(self.pictures()):
            item = Item(number, key_of(found), found)
            if item.key in settled:
                self.settled += 1
            else:
                yield item


def in_batches(items: Iterable[Item], *, most: int) -> Iterator[Batch]:
    """Group pictures by at most `most`, and by at most `BYTES` unless one alone is larger."""
    group: list[Item] = []
    n_bytes = 0
    for item in items:
        if group and (len(group) == most or n_bytes + item.found.size > BYTES):
            yield Batch(items=tuple(group))
            group, n_bytes = [], 0
        group.append(item)
        n_bytes += item.found.size
    if group:
        yield Batch(items=tuple(group))
