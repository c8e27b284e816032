"""Writes the index of a mirror, `models.json`, from cards, and reads it from anywhere."""

import re
from collections import Counter
from os.path import lexists  # unlike Path.exists, False also for a name that is too long
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from widesr.errors import DownloadError, ModelFileError, OutputExistsError, UsageError
from widesr.models.catalog import ALIASES, BICUBIC, CARDS_SINCE, NEAREST, first_fault, read_card
from widesr.system.download import fetch_bytes
from widesr.system.files import sha256_of, whole_file
from widesr.system.folders import is_folder
from widesr.system.places import Place

INDEX = "models.json"
_MOST = 4 * 2**20
"""Largest index in bytes, enough for about ten thousand models."""
_NAME = r"[A-Za-z0-9][A-Za-z0-9_+-]*(?:\.[A-Za-z0-9_+-]+)*"
"""The pattern of a model's name: valid as a file name everywhere, and never a path."""


class Entry(BaseModel):
    """A model in an index; keys of later versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    name: Annotated[str, Field(pattern=f"^{_NAME}$", max_length=100)]
    scale: Annotated[int, Field(ge=1)]
    file: Annotated[str, Field(pattern=rf"^{_NAME}\.onnx$", max_length=105)]
    """The name of the file beside the index."""
    n_bytes: Annotated[int, Field(alias="bytes", ge=1, le=2**31)]
    """The size of the file; at most what ONNX can hold in one file."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    licence: Annotated[str, Field(pattern=r"^\P{C}*$", max_length=200)]
    """The licence as on the card; it has no characters that could move a terminal's cursor."""
    needs: Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9}){0,3}$")]
    """The first version of widesr that can use the model."""


class Index(BaseModel):
    """All models of a mirror."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal["widesr-models-1"]
    models: tuple[Entry, ...]

    @model_validator(mode="after")
    def _names_differ(self) -> "Index":
        for name, n in Counter(entry.name for entry in self.models).items():
            if n > 1:
                raise ValueError(f"{name} is there {n} times")
        return self


def is_reserved(name: str) -> bool:
    """Tell whether a name means something else: an alias, interpolation, a path."""
    return name in {*ALIASES, BICUBIC, NEAREST} or name.endswith(".onnx")


def read_index(base: Place) -> Index:
    """Read the index of a mirror.

    Args:
        base: The address or folder of the mirror.

    Raises:
        DownloadError: The index cannot be fetched, or is not an index of models.
    """
    if isinstance(base, Path) and not is_folder(base):
        raise DownloadError(f"{base}: no such folder; a mirror on the web begins with https://")
    place = beside(base, INDEX)
    if isinstance(place, Path) and not lexists(place):
        raise DownloadError(f"{place}: no such file; `widesr models index {base}` writes it")
    text = fetch_bytes(place, most=_MOST)
    try:
        return Index.model_validate_json(text)
    except ValidationError as error:
        raise DownloadError(f"{place}: is no index of models: {first_fault(error)}") from error


def beside(base: Place, file: str) -> Place:
    """Return the place of a file on a mirror; a key after "?" in the address stays at the end."""
    if isinstance(base, Path):
        return base / file
    parts = urlsplit(base)
    folder = parts.path.removesuffix(INDEX).rstrip("/")
    return urlunsplit(parts._replace(path=f"{folder}/{quote(file)}", fragment=""))


def write_index(folder: Path) -> Index:
    """Make a folder of model files a mirror: write `models.json` from their cards.

    Raises:
        UsageError: There is no such folder.
        ModelFileError: The folder holds no model file, or one that is damaged, foreign, or not
            named as its card says; or the index cannot be written.
        OutputExistsError: There is a `models.json` that is not an index of models.
    """
    if not is_folder(folder):
        raise UsageError(f"{folder}: no such folder, expected one with model files (.onnx)")
    paths = sorted(folder.glob("*.onnx"))
    if not paths:
        raise ModelFileError(f"{folder}: holds no model files (.onnx)")
    out = folder / INDEX
    if lexists(out):
        try:
            read_index(folder)
        except DownloadError as error:
            raise OutputExistsError(f"{error.message}; move it away") from error
    models = tuple(_entry_of(path) for path in paths)
    index = Index(format="widesr-models-1", models=models)
    try:
        with whole_file(out, overwrite=True) as file:
            file.write(index.model_dump_json(by_alias=True, indent=2).encode() + b"\n")
    except OSError as error:
        raise ModelFileError(f"{out}: cannot be written ({error.strerror})") from error
    return index


def _entry_of(path: Path) -> Entry:
    """Make the index entry of a model file."""
    card = read_card(path)
    if card.name != path.stem:
        raise ModelFileError(
            f"{path}: is {card.name} by its card; name the file {card.name}.onnx, or export it "
            "again under its new name"
        )
    if is_reserved(card.name) or not re.fullmatch(_NAME, card.name):
        raise ModelFileError(
            f"{path}: has no name for a model to be pulled by; expected letters and digits with "
            f"- _ + . between them, and not {', '.join([*ALIASES, BICUBIC, NEAREST])}"
        )
    try:
        return Entry(
            name=card.name,
            scale=card.scale,
            file=path.name,
            n_bytes=path.stat().st_size,
            sha256=sha256_of(path),
            licence=card.licence,
            needs=CARDS_SINCE,
        )
    except ValidationError as error:
        raise ModelFileError(f"{path}: cannot be in an index: {first_fault(error)}") from error
