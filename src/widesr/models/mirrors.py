"""From a mirror into the user's folder of models, and out of it again."""

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
from widesr.models.index import INDEX, Entry, beside, is_reserved, read_index, sha256_of
from widesr.system.download import OnBytes, Place, fetch, remove_part
from widesr.system.paths import models_folder
from widesr.system.progress import ignore
from widesr.system.text import readable_size
from widesr.system.version import __version__


class Offer(NamedTuple):
    """A model that may be pulled."""

    entry: Entry
    places: tuple[Place, ...]
    """Where its file lies; the first is asked first."""


class Pulled(NamedTuple):
    """What became of an offer."""

    model: ModelFile
    was_there: bool
    """Whether nothing had to be fetched."""


@dataclass(frozen=True)
class Mirrors:
    """What some mirrors have, in the order in which the user named them."""

    offers: dict[str, Offer]
    """By the names of the models; of two under one name, the first mirror's."""
    silent: tuple[str, ...]
    """Why some gave no index."""

    def find(self, name: str) -> Offer:
        """Give the offer of a name.

        Raises:
            ModelNotFoundError: No mirror that answered has it.
        """
        if name in self.offers:
            return self.offers[name]
        near = difflib.get_close_matches(name, self.offers, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        there = ", ".join(self.offers) or "none"
        unread = "".join(f"; {why}" for why in self.silent)
        raise ModelNotFoundError(f"no model {name!r} on the mirror; {hint}it has {there}{unread}")


def open_mirrors(mirror: str | Path | None) -> Mirrors:
    """Read the indices of mirrors.

    Args:
        mirror: Addresses (https:// or http://) or folders with commas between them, or the path of
            one folder; None: those in the environment variable WIDESR_MIRROR.

    Raises:
        UsageError: There is none, or one that cannot be meant.
        DownloadError: None of them gives an index.
    """
    offers: dict[str, Offer] = {}
    silent: list[str] = []
    bases = _bases(mirror)
    for base in bases:
        try:
            index = read_index(base)
        except DownloadError as error:
            silent.append(str(error))
            continue
        for entry in index.models:
            known = offers.setdefault(entry.name, Offer(entry, ()))
            if (known.entry.sha256, known.entry.n_bytes) == (entry.sha256, entry.n_bytes):
                places = (*known.places, beside(base, entry.file))
                offers[entry.name] = known._replace(places=places)
    if len(silent) == len(bases):
        raise DownloadError("; ".join(silent))
    return Mirrors(offers, tuple(silent))


def pull_model(
    name: str, *, mirror: str | Path | None = None, overwrite: bool = False
) -> ModelFile:
    """Fetch a model from a mirror into the user's folder, where its name finds it from then on.

    What is there already is not fetched again, and a download that was cut goes on where it
    stopped. The file is held to the size and the hash in the mirror's index and to its own card.

    Args:
        name: As the mirror's index has it.
        mirror: Its address (https:// or http://) or its folder, several with commas between them;
            None: what the environment variable WIDESR_MIRROR names.
        overwrite: Replace another model of this name that was pulled before.

    Raises:
        UsageError: There is no mirror, or one that cannot be meant.
        ModelNotFoundError: No mirror has the model.
        DownloadError: The model cannot be had, or is not the one that the index means.
        ModelFileError: The file is no widesr model, another one than the index says, or of a newer
            version of widesr.
        OutputExistsError: Another model has the name, in the user's folder or in the package.
    """
    return pull(open_mirrors(mirror).find(name), overwrite=overwrite).model


def pull(offer: Offer, *, overwrite: bool = False, on_progress: OnBytes = ignore) -> Pulled:
    """Fetch what a mirror offers; see `pull_model`.

    Args:
        offer: From `open_mirrors`.
        overwrite: Replace another model of this name that was pulled before.
        on_progress: Told of the bytes.
    """
    entry = offer.entry
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
    fetch(
        _Wanted(path.name, offer.places, entry.n_bytes, f"sha256:{entry.sha256}"),
        path.parent,
        option="mirror",
        overwrite=overwrite,
        accept=lambda part: _check_card(entry, part),
        on_progress=on_progress,
    )
    return Pulled(ModelFile(path, read_card(path)), was_there=False)


def standing(entry: Entry) -> str:
    """Say of a model on a mirror whether it is here, or why it cannot be; "" if it may come."""
    try:
        there = _there_already(entry, overwrite=False)
    except OutputExistsError:
        return "another of this name is here"
    if there is not None:
        return "pulled" if there.parent == models_folder() else "in the package"
    return f"needs widesr {entry.needs}" if _is_too_new(entry) else ""


def remove_model(name: str) -> Path:
    """Remove a model that was pulled, and what is left of one that was not fetched whole.

    Returns:
        The file that is gone.

    Raises:
        ModelNotFoundError: None of that name was pulled.
        ModelFileError: The folder does not let it go.
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


def _bases(mirror: str | Path | None) -> list[Place]:
    if isinstance(mirror, Path):
        return [_base(str(mirror))]
    words = (mirror or os.environ.get("WIDESR_MIRROR", "")).split(",")
    bases = [_base(word.strip()) for word in words if word.strip()]
    if not bases:
        raise UsageError(
            "no mirror is known; name one, or set it in the environment variable "
            "WIDESR_MIRROR: an address or a folder with what `widesr models index` wrote",
            options=["mirror"],
        )
    return bases


def _base(word: str) -> Place:
    """Where a mirror lies, as a user names it."""
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
    """The file of this model on this machine; None if it is to be fetched."""
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
            f"{pulled}: exists already, and the mirror's is another; say --overwrite "
            "(API: overwrite=True) to replace it"
        )
    return None


def _is_too_new(entry: Entry) -> bool:
    return _numbers(entry.needs) > _numbers(__version__)


def _numbers(version: str) -> list[int]:
    """Of a version, without what follows them: "0.1.0.dev0" is a 0.1."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(number) for number in found[0].split(".")] if found else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers


def _make_room(entry: Entry, path: Path) -> None:
    """Have the folder, with enough free space, before anything is fetched."""
    other = "or name another folder for models in the environment variable WIDESR_MODELS"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(
            f"{path.parent}: cannot be made ({error.strerror}); make it, {other}"
        ) from error
    part = path.with_name(f"{path.name}.part")
    needed = entry.n_bytes - (part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise DownloadError(
            f"{path.parent}: {entry.name} takes {readable_size(needed)}, {readable_size(free)} is "
            f"free there; make room, {other}"
        )


def _check_card(entry: Entry, part: Path) -> None:
    """Hold a file to what the index says of the model."""
    try:
        card = read_card(part)
    except ModelFileError as error:
        why = str(error).removeprefix(f"{part}: ")
        raise ModelFileError(f"{entry.file}: the mirror's file is refused: {why}") from error
    for what in ("name", "scale", "licence"):
        found, expected = getattr(card, what), getattr(entry, what)
        if found != expected:
            raise ModelFileError(
                f"{entry.file}: the mirror's file is refused: its {what} is {found}, and not "
                f"{expected} as the index says; the mirror needs a new index"
            )
