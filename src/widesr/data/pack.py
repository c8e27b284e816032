"""Reads packs: photographs decoded once, with their LR, in files that are mapped and not read.

A pack is a folder with `index.json`, `hr.bin`, and `lr_x2.bin` and so on: raw uint8 RGB, one
picture after another. A crop touches the pages that it lies on, and no others.
"""

import hashlib
import json
import mmap
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from widesr.data.layout import but
from widesr.data.patches import Pair
from widesr.data.photographs import pair_of
from widesr.data.source import Licence
from widesr.errors import DataError

INDEX = "index.json"
FORMAT: Literal["widesr-pack-1"] = "widesr-pack-1"
_Count = Annotated[int, Field(ge=0)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Stored(_Record):
    """One picture in a file of the pack."""

    offset: _Count
    """Place of the first byte."""
    height: _Count
    width: _Count
    sha256: str
    """Hash of the picture's bytes."""

    @property
    def n_bytes(self) -> int:
        """The picture's length in bytes."""
        return self.height * self.width * 3


class PackedPhotograph(_Record):
    """One photograph, uncropped, and its LR pictures by scale."""

    name: str
    hr: Stored
    lr: dict[int, tuple[Stored, ...]]
    licence: str | None = None
    origin: str | None = None


class Index(_Record):
    """The index of a pack: the content of `index.json`."""

    format: Literal["widesr-pack-1"]
    widesr: str
    """The version of widesr that made the pack."""
    title: str
    """Name of the folder that the pack was made from."""
    what: str
    """The layout that was recognised there."""
    degradation: str
    protocol: str
    """The steps of the degradation, or the place where LR was found."""
    scales: tuple[int, ...]
    n_bytes: dict[str, _Count]
    """Length of each file, by its name."""
    photographs: tuple[PackedPhotograph, ...]
    sha256: str = ""
    """Hash of the rest of this index, with the hashes of all pictures: the pack's identity."""

    def digest(self) -> str:
        """Compute the value of `sha256`."""
        text = self.model_dump_json(exclude={"sha256"})
        return hashlib.sha256(text.encode()).hexdigest()


def is_pack(folder: Path) -> bool:
    """Say whether a folder is a pack, complete or not, rather than a folder of pictures."""
    try:
        with (folder / INDEX).open("rb") as file:
            start = file.read(2**12)
    except OSError:
        start = b""
    is_begun = os.path.isfile(folder / HR)  # noqa: PTH113 (False, not an error, if it is closed)
    return b'"widesr-pack-' in start or is_begun


HR = "hr.bin"


def lr_file(scale: int) -> str:
    """Return the name of the file with the LR pictures of a scale."""
    return f"lr_x{scale}.bin"


def read_index(pack: Path) -> Index:
    """Read a pack's index, and check that the files have the sizes that it states.

    Raises:
        DataError: The folder is not a pack, or the pack is damaged or made by a newer widesr.
    """
    path = pack / INDEX
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{pack}: is no pack ({INDEX}: {error.strerror}); make one by widesr data pack"
        ) from error
    again = "pack the photographs again"
    try:
        index = Index.model_validate_json(text)
    except ValidationError as error:
        newer = _format_of(text)
        if newer and newer != FORMAT:
            raise DataError(
                f"{path}: is of the format {newer}, and this widesr reads {FORMAT}; {again}"
            ) from error
        raise DataError(f"{path}: is damaged; {again}") from error
    if index.digest() != index.sha256:
        raise DataError(f"{path}: is damaged, its hash is not its own; {again}")
    for name, n_bytes in index.n_bytes.items():
        try:
            found = (pack / name).stat().st_size
        except OSError as error:
            raise DataError(f"{pack / name}: is missing ({error.strerror}); {again}") from error
        if found != n_bytes:
            raise DataError(f"{pack / name}: has {found:,} bytes, not {n_bytes:,}; {again}")
    for photograph in index.photographs:
        if not _is_sound(photograph, index):
            raise DataError(f"{path}: is damaged at {photograph.name}; {again}")
    return index


def _is_sound(photograph: PackedPhotograph, index: Index) -> bool:
    """Return whether a photograph lies within the files, and its LR has the size of the scale."""

    def is_within(stored: Stored, file: str) -> bool:
        return stored.offset + stored.n_bytes <= index.n_bytes.get(file, -1)

    hr = photograph.hr
    return (
        is_within(hr, HR)
        and photograph.lr.keys() == {*index.scales}
        and all(photograph.lr.values())
        and all(
            is_within(lr, lr_file(scale))
            and (lr.height, lr.width) == (hr.height // scale, hr.width // scale)
            for scale, pictures in photograph.lr.items()
            for lr in pictures
        )
    )


def _format_of(text: bytes) -> str | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    name = found.get("format") if isinstance(found, dict) else None
    return name if isinstance(name, str) and name.startswith("widesr-pack-") else None


class Maps:
    """The files of a pack, mapped into memory: pixels are read when they are first accessed."""

    def __init__(self, pack: Path, names: Sequence[str]) -> None:
        """Map existing files.

        Raises:
            DataError: A file cannot be opened.
        """
        self._bytes = {name: _mapped(pack / name) for name in names}

    def picture(self, name: str, stored: Stored) -> NDArray[np.uint8]:
        """Return a picture, uint8 (H, W, 3), as a read-only view of the file."""
        flat = self._bytes[name][stored.offset : stored.offset + stored.n_bytes]
        return flat.reshape(stored.height, stored.width, 3)


def _mapped(path: Path) -> NDArray[np.uint8]:
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                return np.empty(0, np.uint8)  # an empty file cannot be mapped
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror})") from error


class Pack:
    """A pack, as a `Source` at one of its scales."""

    def __init__(
        self, pack: Path, *, scale: int, degradation: str, exclude: Sequence[str] = ()
    ) -> None:
        """Read the index.

        Raises:
            DataError: The index cannot be read, the pack has no LR of this scale and degradation,
                or no photograph is left.
        """
        index = read_index(pack)
        if degradation != index.degradation or scale not in index.scales:
            held = " and ".join(f"x{each}" for each in index.scales)
            raise DataError(
                f"{pack}: holds LR of {index.degradation} at {held}, {degradation} at x{scale} was "
                "wanted; pack the photographs for these",
                options=[f"scale={scale}", f"degradation={degradation}"],
            )
        self.data, self.title, self._scale, self._index = pack, index.title, scale, index
        left_out = set(exclude)
        self._photographs = {
            each.name: each
            for each in index.photographs
            if each.name.rpartition("/")[2] not in left_out
        }
        if not self._photographs:
            raise DataError(f"{pack}: no photograph in it that is not left out by the recipe")
        self.names: Sequence[str] = list(self._photographs)
        self._excluded = [
            each.name for each in index.photographs if each.name not in self._photographs
        ]

    @property
    def what(self) -> str:
        """The layout that was recognised, for people."""
        found = f"a pack of {len(self.names):,} photographs, LR of {self._index.degradation}"
        return found + but(self._excluded)

    @cached_property
    def licences(self) -> Mapping[str, Licence] | None:
        """The licences that MANIFEST.csv stated when the photographs were packed."""
        stated = {
            each.name.rpartition("/")[2]: Licence(each.licence, each.origin)
            for each in self._index.photographs
            if each.licence is not None and each.origin is not None
        }
        return stated or None

    def sizes(self) -> Mapping[str, tuple[int, int]]:
        """Return the (height, width) of each HR picture, by its name."""
        return {name: (each.hr.height, each.hr.width) for name, each in self._photographs.items()}

    def load(self, names: Sequence[str]) -> list[Pair]:
        """Return views of the files as pairs, without reading a pixel."""
        file = lr_file(self._scale)
        return [
            pair_of(
                name,
                self._maps.picture(HR, self._photographs[name].hr),
                self._maps.picture(file, lr),
                scale=self._scale,
            )
            for name in names
            for lr in self._photographs[name].lr[self._scale]
        ]

    @cached_property
    def _maps(self) -> Maps:
        return Maps(self.data, [HR, lr_file(self._scale)])
