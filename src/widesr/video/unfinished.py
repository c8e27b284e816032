"""Keeps an unfinished output, so that a run that was stopped or killed can be resumed.

A hidden folder beside the output holds three files: `part`, which becomes the output; `journal`,
which says in a line per segment where its packets lie in `part`; and `held`, the few packets that
FFmpeg has not written yet. A segment is kept once its line is on the disk. Lines and packets have
checksums: if the disk has damaged a segment, this one and those after it are made again.
"""

import hashlib
import json
import os
import shutil
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from widesr.errors import OutputExistsError, write_error
from widesr.system.files import FileBytes, append_whole, give_name, whole_file
from widesr.system.locks import lock_if_possible
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
        self._journal = self.folder / "journal"
        self._packets: list[Kept] = []
        self._held: dict[int, bytes] = {}
        self._placed: dict[int, int] = {}
        self.is_damaged = False
        """True if the disk has damaged segments of an earlier run, which are no longer kept."""
        try:
            self._fd = self._open_part()
            try:
                self._resume(json.dumps({"widesr": made_by}, sort_keys=True).encode())
            except BaseException:
                self.close()
                raise
        except OSError as error:
            raise write_error(out, error) from error
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
            OSError: The packets cannot be read.
        """
        for number, kept in enumerate(self._packets):
            data = self._data(number, kept)
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
        texts = {number: b64encode(data).decode() for number, data in self._held.items()}
        with whole_file(self.folder / "held", overwrite=True) as file:
            file.write(json.dumps({"held": texts, "placed": late}).encode())
        append_whole(self._journal, _line(packets, found))

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

    def _open_part(self) -> int:
        """Open the growing output, and keep other processes from it."""
        part = self.folder / "part"
        while True:
            self.folder.mkdir(exist_ok=True)
            fd = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                lock_if_possible(fd)
            except BlockingIOError:
                os.close(fd)
                raise OutputExistsError(
                    f"{self.out}: another process is making it; name another output"
                ) from None
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), part.stat()):
                    return fd
            os.close(fd)  # another process has just finished it, and it has the output's name

    def _resume(self, begins: bytes) -> None:
        """Keep the whole segments that the same work has left, and remove all else."""
        lines = self._journal.read_bytes().split(b"\n") if self._journal.exists() else [b""]
        lines.pop()  # empty, or half a line
        is_same = lines[:1] == [begins]
        segments = list(_read(lines[1:])) if is_same else []
        self._find_packets(segments)
        n_whole = 0
        for each in segments:
            packets = [Kept(*kept) for kept in each["packets"]]
            numbers = range(len(self._packets), len(self._packets) + len(packets))
            if not all(map(self._is_whole, numbers, packets)):
                break
            self._packets += packets
            n_whole += 1
        if is_same and n_whole == len(lines) - 1:
            return
        # A process that was killed after `part` got the output's name leaves a journal without it.
        self.is_damaged = is_same and len(FileBytes(self._fd)) > 0
        n = len(self._packets)
        self._held = {number: data for number, data in self._held.items() if number < n}
        self._placed = {number: at for number, at in self._placed.items() if number < n}
        with whole_file(self._journal, overwrite=True) as file:
            file.writelines(each + b"\n" for each in (begins, *lines[1 : n_whole + 1]))
            file.write(_line([], self._placed))  # some were in lines that are no longer kept
        if not n:
            os.ftruncate(self._fd, 0)

    def _find_packets(self, segments: Sequence[dict[str, Any]]) -> None:
        """Learn where packets lie in `part`, and which FFmpeg had not written yet."""
        try:
            held = json.loads((self.folder / "held").read_bytes())
            texts = {int(number): b64decode(text) for number, text in held["held"].items()}
        except (OSError, ValueError):
            held, texts = {"placed": {}}, {}
        for each in (*segments, held):
            self._placed |= {int(number): at for number, at in each["placed"].items()}
        self._held = {number: data for number, data in texts.items() if number not in self._placed}

    def _data(self, number: int, kept: Kept) -> bytes:
        """Read the data of a packet, by its number."""
        if number in self._held:
            return self._held[number]
        at = self._placed.get(number, 0)
        return FileBytes(self._fd)[at : at + kept.size]

    def _is_whole(self, number: int, kept: Kept) -> bool:
        try:
            return zlib.crc32(self._data(number, kept)) == kept.crc
        except OSError:  # the disk cannot read it
            return False


def _line(packets: Sequence[Kept], placed: dict[int, int]) -> bytes:
    """Write a line of the journal, which begins with the checksum of the rest."""
    text = json.dumps({"packets": packets, "placed": placed}, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _read(lines: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    """Read lines of the journal, up to the first that is damaged."""
    for line in lines:
        checksum, _, text = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(text):
            return
        yield json.loads(text)
