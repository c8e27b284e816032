"""Fetches models from a mirror into the user's folder, and removes them again."""

import difflib
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from widesr.errors import (
    DownloadError,
    ModelFileError,
    ModelNotFoundError,
    OutputExistsError,
    UsageError,
)
from widesr.models.catalog import MODELS_DIR, ModelFile, model_paths, models_in, read_card
from widesr.models.index import INDEX, Entry, beside, is_reserved, read_index
from widesr.system.download import OnBytes, fetch, remove_part, size_of_part
from widesr.system.files import sha256_of
from widesr.system.paths import models_folder
from widesr.system.places import Place
from widesr.system.progress import ignore
from widesr.system.text import readable_size
from widesr.system.version import __version__


class Pulled(NamedTuple):
    """A model in the user's folder or in the package."""

    model: ModelFile
    was_there: bool
    """True if nothing had to be fetched."""


@dataclass(frozen=True)
class Mirror:
    """A folder, on the web or on a disk, from which models can be pulled."""

    base: Place
    """The address or the path of the folder."""
    entries: dict[str, Entry]
    """The models on the mirror, by name."""

    def find(self, name: str) -> Entry:
        """Return the index entry of a model.

        Raises:
            ModelNotFoundError: The mirror does not have the model.
        """
        if name in self.entries:
            return self.entries[name]
        near = difflib.get_close_matches(name, self.entries, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        there = ", ".join(self.entries) or "none"
        raise ModelNotFoundError(f"no model {name!r} on the mirror; {hint}it has {there}")

    def pull(
        self, entry: Entry, *, overwrite: bool = False, on_progress: OnBytes = ignore
    ) -> Pulled:
        """Fetch a model; see `pull_model`.

        Args:
            entry: The model, from `find`.
            overwrite: Replace another model of this name that was pulled before.
            on_progress: Called with the number of bytes so far and in total.
        """
        there = _there_already(entry, overwrite=overwrite)
        if there is not None:
            return Pulled(ModelFile(there, read_card(there)), was_there=True)
        if _is_too_new(entry):
            raise ModelFileError(
                f"{entry.name}: is for widesr {entry.needs} or newer, this is {__version__}; "
                "install a newer widesr, as you installed this one"
            )
        path = _file_of(entry.name)
        _make_room(entry, path)
        place = beside(self.base, entry.file)
        fetch(
            _Wanted(path.name, (place,), entry.n_bytes, f"sha256:{entry.sha256}"),
            path.parent,
            option="mirror",
            overwrite=overwrite,
            accept=lambda part: _check_card(entry, part),
            on_progress=on_progress,
        )
        return Pulled(ModelFile(path, read_card(path)), was_there=False)


def open_mirror(mirror: str | Path | None) -> Mirror:
    """Read the index of a mirror.

    Args:
        mirror: The mirror's address (https:// or http://) or folder; with None, the environment
            variable WIDESR_MIRROR names it.

    Raises:
        UsageError: No mirror is given, or it is not valid.
        DownloadError: The mirror gives no index.
    """
    named = str(mirror or os.environ.get("WIDESR_MIRROR", ""))
    if not named.strip():
        raise UsageError(
            "no mirror is known; name an address or a folder with what `widesr models index` "
            "wrote, also in the environment variable WIDESR_MIRROR",
            options=["mirror"],
        )
    base = _base(named.strip())
    return Mirror(base, {entry.name: entry for entry in read_index(base).models})


def pull_model(
    name: str, *, mirror: str | Path | None = None, overwrite: bool = False
) -> ModelFile:
    """Fetch a model from a mirror into the user's folder, where its name finds it from then on.

    A model that is already there is not fetched again, and an interrupted download resumes where it
    stopped. The file is checked against the size and hash in the mirror's index, and against its
    own card.

    Args:
        name: The name in the mirror's index.
        mirror: The mirror's address (https:// or http://) or folder; with None, the environment
            variable WIDESR_MIRROR names it.
        overwrite: Replace another model of this name that was pulled before.

    Raises:
        UsageError: No mirror is given, or it is not valid.
        ModelNotFoundError: The mirror does not have the model.
        DownloadError: The model cannot be fetched, or is not the one in the index.
        ModelFileError: The file is not a widesr model, is not the model that the index describes,
            or needs a newer version of widesr.
        OutputExistsError: Another model has the name, in the user's folder or in the package.
    """
    opened = open_mirror(mirror)
    return opened.pull(opened.find(name), overwrite=overwrite).model


def standing(entry: Entry) -> str:
    """Say whether a mirror's model is already here or cannot be pulled; "" if it can be."""
    try:
        there = _there_already(entry, overwrite=False)
    except OutputExistsError:
        return "another of this name is here"
    if there is not None:
        return "pulled" if there.parent == models_folder() else "in the package"
    return f"needs widesr {entry.needs}" if _is_too_new(entry) else ""


def remove_model(name: str) -> Path:
    """Remove a pulled model, or the part of one that was not fetched whole.

    Returns:
        The path of the removed file.

    Raises:
        ModelNotFoundError: No model of that name was pulled.
        ModelFileError: The file cannot be removed.
    """
    pulled = models_in(models_folder())
    parts = {path.name.removesuffix(".onnx.part") for path in models_folder().glob("*.onnx.part")}
    if name not in {*pulled, *parts}:
        if name in model_paths():
            raise ModelNotFoundError(f"{name} is a model of the package, and goes with it")
        there = ", ".join(pulled) or "none"
        raise ModelNotFoundError(f"no model {name!r} was pulled; there is {there}")
    path = _file_of(name)
    try:
        remove_part(path)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be removed ({error.strerror})") from error
    return path


class _Wanted(NamedTuple):
    name: str
    urls: Sequence[Place]
    n_bytes: int
    digest: str


def _base(word: str) -> Place:
    """Parse the address or the folder of a mirror, as a user names it."""
    if "://" not in word:
        folder = Path(os.path.expanduser(word))  # noqa: PTH111 (no error where there is no home)
        return folder.parent if folder.name == INDEX else folder
    try:
        host = urlsplit(word).netloc
    except ValueError:
        host = ""
    if not host or not re.match("https?://", word):
        raise UsageError(f"{word}: is no mirror; expected https://, http:// or a folder")
    if "@" in host:
        raise UsageError(
            "a mirror with a name or a password in its address is not supported; fetch its files "
            "by other means, and name their folder"
        )
    return word


def _file_of(name: str) -> Path:
    return models_folder() / f"{name}.onnx"


def _there_already(entry: Entry, *, overwrite: bool) -> Path | None:
    """Return the file of this model on this machine; None if it must be fetched."""
    if is_reserved(entry.name):
        raise OutputExistsError(
            f"{entry.name} means something else everywhere; the mirror must give the model "
            "another name"
        )
    shipped, pulled = MODELS_DIR / f"{entry.name}.onnx", _file_of(entry.name)
    for path in (shipped, pulled):
        if path.is_file() and sha256_of(path) == entry.sha256:
            return path
    if shipped.is_file():
        raise OutputExistsError(
            f"{entry.name} is a model of the package, and the mirror's is another; the mirror must "
            "give it another name"
        )
    if pulled.exists() and not overwrite:
        raise OutputExistsError(
            f"{pulled}: exists already, and the mirror's is another; allow it to be replaced",
            options=["overwrite=True"],
        )
    return None


def _is_too_new(entry: Entry) -> bool:
    return _numbers(entry.needs) > _numbers(__version__)


def _numbers(version: str) -> list[int]:
    """Read the numbers of a version without its suffix: "0.1.0.dev0" counts as 0.1."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(number) for number in found[0].split(".")] if found else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers


def _make_room(entry: Entry, path: Path) -> None:
    """Make the folder and check that there is enough free space, before anything is fetched."""
    other = "or name another folder for models in the environment variable WIDESR_MODELS"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(
            f"{path.parent}: cannot be made ({error.strerror}); make it, {other}"
        ) from error
    needed = entry.n_bytes - size_of_part(path)
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise DownloadError(
            f"{path.parent}: {entry.name} takes {readable_size(needed)}, {readable_size(free)} is "
            f"free there; make room, {other}"
        )


def _check_card(entry: Entry, part: Path) -> None:
    """Check a file's card against the index entry of the model."""
    try:
        card = read_card(part)
    except ModelFileError as error:
        why = error.message.removeprefix(f"{part}: ")
        raise ModelFileError(f"{entry.file}: the mirror's file is refused: {why}") from error
    for what in ("name", "scale", "licence"):
        found, expected = getattr(card, what), getattr(entry, what)
        if found != expected:
            raise ModelFileError(
                f"{entry.file}: the mirror's file is refused: its {what} is {found}, and not "
                f"{expected} as the index says; the mirror needs a new index"
            )
