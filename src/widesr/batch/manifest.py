"""Records what a run over a folder has done: a line for each picture, which survives any kill.

The line of an output is on the disk before the output gets its name. An output that exists but is
not listed is therefore not ours, and one that is listed but does not exist must still be made.
"""

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from widesr.errors import ImageReadError, ImageWriteError, OutputExistsError
from widesr.system.files import append_whole
from widesr.system.version import __version__

MANIFEST = "manifest.jsonl"
_BEGINS = b'{"widesr":"'
"""The beginning of every line of ours."""

Settings = dict[str, str | int | float | bool | None]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileState(_Record):
    """The content of a file, which a copy shares."""

    bytes: int
    modified_ns: int
    """The time of the last change, in nanoseconds since 1970; a new time alone is no change."""
    sha256: str

    @classmethod
    def of(cls, fd: int) -> "FileState":
        """Read a whole open file.

        Raises:
            OSError: The file cannot be read.
        """
        with open(fd, "rb", closefd=False) as file:
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            info = os.fstat(fd)
        return cls(bytes=info.st_size, modified_ns=info.st_mtime_ns, sha256=digest)

    @classmethod
    def of_path(cls, path: Path) -> "FileState":
        """Read a whole file.

        Raises:
            ImageReadError: The file cannot be read.
        """
        try:
            with path.open("rb") as file:
                return cls.of(file.fileno())
        except OSError as error:
            raise ImageReadError(f"{path}: cannot be read ({error.strerror})") from error

    def is_of(self, path: Path) -> bool:
        """Tell whether a file has this content; it is read only if its time differs.

        Raises:
            ImageReadError: The file cannot be read.
        """
        try:
            info = path.stat()
        except OSError as error:
            raise ImageReadError(f"{path}: cannot be read ({error.strerror})") from error
        if (info.st_size, info.st_mtime_ns) == (self.bytes, self.modified_ns):
            return True
        return info.st_size == self.bytes and FileState.of_path(path).sha256 == self.sha256


class MadeBy(NamedTuple):
    """All that decides an output, apart from its input."""

    model: str
    model_sha256: str | None
    """The hash of the model's network, as on its card; None for bicubic."""
    settings: Settings

    def difference(self, then: "MadeBy") -> str:
        """Say how this differs from `then`, in the user's words; "" if it does not."""
        old, new = (each.settings | {"model": each.model} for each in (then, self))
        differences = [
            f"{name} was {old.get(name)} and is {new.get(name)}"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        if not differences and self.model_sha256 != then.model_sha256:
            differences = [f"{self.model} is another network"]
        return ", ".join(differences)


class Failure(_Record):
    """The reason why there is no output."""

    code: str
    message: str


class Entry(_Record):
    """A line of the manifest: one picture, done or failed; its sizes are known if it is done."""

    widesr: str = __version__
    input: str
    """The input's path, in the user's words."""
    output: str
    """The output's path in the folder of the manifest."""
    status: Literal["done", "failed"]
    input_file: FileState | None = None
    input_width: int | None = None
    input_height: int | None = None
    output_file: FileState | None = None
    output_width: int | None = None
    output_height: int | None = None
    model: str
    model_sha256: str | None
    settings: Settings
    seconds: float
    """The time of work on this picture, during which others are worked on too."""
    error: Failure | None = None

    @property
    def made_by(self) -> MadeBy:
        """Return `model`, `model_sha256` and `settings` together."""
        return MadeBy(self.model, self.model_sha256, self.settings)


class Manifest:
    """The record in an output folder; several runs may write to it at once."""

    def __init__(self, folder: Path) -> None:
        """Open the record of a folder, whether or not it exists yet.

        Raises:
            OutputExistsError: A file of that name exists and is not such a record.
            ImageWriteError: The record cannot be read or extended.
        """
        self.path = folder / MANIFEST
        self._waiting: list[bytes] = []
        if not os.path.lexists(self.path):
            return
        try:
            with self.path.open("r+b") as file:
                begins = file.read(len(_BEGINS))
        except OSError as error:
            raise self._refused(error) from error
        if not _BEGINS.startswith(begins):
            raise OutputExistsError(
                f"{self.path}: exists already and is no record of widesr; move it away, or name "
                "another folder",
                options=["output"],
            )

    def name_of(self, target: Path) -> str:
        """Return the name of an output in the lines of the manifest."""
        return as_text(target.relative_to(self.path.parent).as_posix())

    def difference(self, source: Path, target: Path, *, made_by: MadeBy) -> str | None:
        """Say why an existing output is not what would be made now; None if it is.

        Raises:
            ImageReadError: A file cannot be read.
            ImageWriteError: The manifest cannot be read.
        """
        entry = self._done.get(self.name_of(target))
        if entry is None or entry.input_file is None or entry.output_file is None:
            return f"exists already, and {MANIFEST} does not list it"
        if not entry.output_file.is_of(target):
            return f"is another file than {MANIFEST} lists"
        if not entry.input_file.is_of(source):
            return f"was made when {source} was another file"
        difference = made_by.difference(entry.made_by)
        return f"was made otherwise ({difference})" if difference else None

    def add(self, entry: Entry) -> None:
        """Write a line to the disk; the line of a failure waits until its folder exists.

        Raises:
            ImageWriteError: The line cannot be written; no part of it is left.
        """
        self._waiting.append(entry.model_dump_json().encode() + b"\n")
        if entry.status == "failed" and not self.path.parent.is_dir():
            return
        lines, self._waiting = b"".join(self._waiting), []
        try:
            append_whole(self.path, lines)
        except OSError as error:
            raise self._refused(error) from error

    @cached_property
    def _done(self) -> dict[str, Entry]:
        """Read the entries of pictures done before this run, by output; the last of each counts."""
        try:
            lines = self.path.read_bytes().splitlines() if os.path.lexists(self.path) else []
        except OSError as error:
            raise self._refused(error) from error
        entries = (_parsed(line) for line in lines)
        return {each.output: each for each in entries if each and each.status == "done"}

    def _refused(self, error: OSError) -> ImageWriteError:
        return ImageWriteError(
            f"{self.path}: cannot be kept ({error.strerror}); make room for it, or name another "
            "folder",
            options=["output"],
        )


def _parsed(line: bytes) -> Entry | None:
    try:
        return Entry.model_validate_json(line)
    except ValidationError:
        return None  # half a line, left by a kill or a loss of power, lists nothing


def as_text(words: object) -> str:
    """Convert words to text that JSON can hold: file names need not be text in any encoding."""
    return str(words).encode("utf-8", "backslashreplace").decode()
