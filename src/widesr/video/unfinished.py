"""Keeps an unfinished output, so that a run that was stopped or killed can be resumed.

A hidden folder beside the output holds three files: `part`, which becomes the output; `journal`,
which says in a line per segment where its packets lie in `part`; and `held`, the few packets that
FFmpeg has not written yet. A segment is kept once its line is on the disk.
"""

import base64
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from widesr.errors import ImageWriteError, OutputExistsError
from widesr.system.files import FileBytes, append_whole, give_name, whole_file
from widesr.system.locks import lock
from widesr.video.muxing import Kept, PartFile
from widesr.video.segments import Packet

_ENDS = 2**20
"""Bytes at each end of an input that identify it, together with its size and time."""


def fingerprint(path: Path) -> dict[str, str | int]:
    """Describe a file so that it can be told from others, without reading all of it.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        info = os.fstat(file.fileno())
        digest = hashlib.sha256(file.read(_ENDS))
        file.seek(max(info.st_size - _ENDS, 0))
        digest.update(file.read(_ENDS))
    return {"bytes": info.st_size, "modified_ns": info.st_mtime_ns, "sha256": digest.hexdigest()}


def folder_of(out: Path) -> Path:
    """Name the hidden folder of an unfinished output."""
    return out.with_name(f".{out.name}.widesr")


class Unfinished:
    """An unfinished output, on which only this process works."""

    def __init__(self, out: Path, *, made_by: dict[str, Any]) -> None:
        """Resume what an earlier run left, or begin.

        Args:
            out: The output.
            made_by: All that decides the output; if that of an earlier run differs, begin anew.

        Raises:
            OutputExistsError: Another process works on the same output.
            ImageWriteError: The folder cannot be written to.
        """
        self.out, self.folder = out, folder_of(out)
        self._packets: list[Kept] = []
        self._held: dict[int, bytes] = {}
        self._placed: dict[int, int] = {}
        try:
            self.folder.mkdir(exist_ok=True)
            self._journal = self.folder / "journal"
            self._fd = os.open(self.folder / "part", os.O_RDWR | os.O_CREAT, 0o666)
            self._lock()
            begins = json.dumps({"widesr": made_by}, sort_keys=True)
            if not self._read(begins):
                for each in (self._packets, self._held, self._placed):
                    each.clear()
                self._journal.unlink(missing_ok=True)
                os.ftruncate(self._fd, 0)
                append_whole(self._journal, begins.encode() + b"\n")
        except OSError as error:
            raise _refused(out, error) from error
        self.part = PartFile(self._fd)
        self._listed = len(self._packets)
        self._first_dts: int | None = None

    @property
    def frames(self) -> int:
        """The number of frames that are encoded and kept."""
        return len(self._packets)

    @property
    def times(self) -> list[int]:
        """The display times of the frames that are kept."""
        return [kept.pts for kept in self._packets]

    @property
    def first_dts(self) -> int | None:
        """The decoding time of the first packet; None if none is kept."""
        return self._packets[0].dts if self._packets else self._first_dts

    def packets(self) -> Iterator[Packet]:
        """Read back the packets that are kept.

        Raises:
            ImageWriteError: The packets are damaged or no longer there.
        """
        for number, kept in enumerate(self._packets):
            data = self._held.get(number)
            if data is None:
                at = self._placed.get(number, 0)
                data = FileBytes(self._fd)[at : at + kept.size]
            if zlib.crc32(data) != kept.crc:
                raise ImageWriteError(
                    f"{self.out}: what an earlier run left of it in {self.folder} is damaged; "
                    "remove that folder to begin anew"
                )
            yield Packet(data, kept.pts, kept.dts, kept.duration, bool(kept.is_key))

    def commit(self, packets: Sequence[Kept]) -> None:
        """Keep a segment: all of it is on the disk when this returns.

        Args:
            packets: Its packets, in the order of the file.

        Raises:
            OSError: The segment cannot be written to the disk.
        """
        self.part.sync()
        first = self._listed
        if packets and self._first_dts is None:
            self._first_dts = packets[0].dts
        self._listed += len(packets)
        found = {
            number: at
            for number, at in self.part.found.items()
            if number >= first or number in self._held
        }
        self.part.found.clear()
        late = {number: at for number, at in found.items() if number < first}
        self._held = dict(self.part.waiting)
        texts = {number: base64.b64encode(data).decode() for number, data in self._held.items()}
        with whole_file(self.folder / "held", overwrite=True) as file:
            file.write(json.dumps({"held": texts, "placed": late}).encode())
        line = {"packets": packets, "placed": found}
        append_whole(self._journal, json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def finish(self, *, overwrite: bool) -> None:
        """Give the file its name, and remove the folder.

        Raises:
            OSError: A file has that name by now.
        """
        give_name(self.folder / "part", self.out, overwrite=overwrite)
        self.remove()

    def remove(self) -> None:
        """Remove the folder with all that it holds."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Close the file, so that the output can be resumed later."""
        with suppress(OSError):
            os.close(self._fd)

    def _lock(self) -> None:
        try:
            lock(self._fd, wait=False)
        except BlockingIOError:
            os.close(self._fd)
            raise OutputExistsError(
                f"{self.out}: another process is making it; name another output"
            ) from None
        except OSError:
            pass  # a file system without locks

    def _read(self, begins: str) -> bool:
        """Read the journal, and say whether it belongs to the same work."""
        if not self._journal.exists():
            return False
        lines = self._journal.read_bytes().split(b"\n")[:-1]  # the last may be half a line
        if not lines or lines[0] != begins.encode():
            return False
        for line in lines[1:]:
            entry = json.loads(line)
            self._packets += [Kept(*each) for each in entry["packets"]]
            self._placed |= {int(number): at for number, at in entry["placed"].items()}
        try:
            held = json.loads((self.folder / "held").read_bytes())
        except (OSError, ValueError):
            held = {"held": {}, "placed": {}}
        self._placed |= {int(number): at for number, at in held["placed"].items()}
        for number, text in held["held"].items():
            if int(number) not in self._placed:
                self._held[int(number)] = base64.b64decode(text)
        # A process killed after `part` got the output's name leaves a journal without `part`.
        end = len(FileBytes(self._fd))
        return all(
            number in self._held or self._placed.get(number, end) + packet.size <= end
            for number, packet in enumerate(self._packets)
        )


def _refused(out: Path, error: OSError) -> ImageWriteError:
    if isinstance(error, FileNotFoundError):
        return ImageWriteError(f"{out}: the folder {out.parent} does not exist; make it first")
    return ImageWriteError(
        f"{out}: cannot be written ({error.strerror}); name another file or folder"
    )
