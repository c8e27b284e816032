"""Reads a folder of photographs: decodes them, and reads or makes their LR."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from widesr.data.layout import Files, find_files
from widesr.data.patches import Pair
from widesr.data.source import Licence
from widesr.degrade.named import DEGRADATIONS, photograph_seed
from widesr.errors import DataError, ImageFormatError, ImageReadError, ImageTooLargeError
from widesr.pictures.reading import read_header, read_picture
from widesr.system.text import readable_size


class Decoded(NamedTuple):
    """One photograph: uncropped HR, uint8 (H, W, 3), and its LR by scale, uint8 (h, w, 3)."""

    name: str
    hr: NDArray[np.uint8]
    lr: dict[int, list[NDArray[np.uint8]]]


class Folder:
    """A folder of HR photographs, with or without LR, as a `Source` at the first of its scales."""

    def __init__(
        self, data: Path, *, scales: Sequence[int], degradation: str, exclude: Iterable[str] = ()
    ) -> None:
        """List the files without opening any.

        Raises:
            DataError: No layout is recognised by `find_files`, or HR differs between the scales.
        """
        exclude = list(exclude)
        self.data, self.scales, self.degradation = data, tuple(scales), degradation
        self._files: dict[int, Files] = {
            scale: find_files(data, scale=scale, degradation=degradation, exclude=exclude)
            for scale in scales
        }
        first = self._files[scales[0]]
        for scale, files in self._files.items():
            if files.hr.keys() != first.hr.keys():
                raise DataError(
                    f"{data}: other HR at x{scale} than at x{scales[0]}; take one scale"
                )
        self._hr = first.hr
        self.names: Sequence[str] = list(first.hr)

    @property
    def title(self) -> str:
        """The folder's own name."""
        return self.data.resolve().name

    @property
    def what(self) -> str:
        """The layout that was recognised, for people."""
        each = list(dict.fromkeys(files.what for files in self._files.values()))
        return f"{len(self.names):,} {'; '.join(each)}"

    @property
    def protocol(self) -> str:
        """The steps that make LR, or the place where it was found."""
        if any(files.lr is None for files in self._files.values()):
            return DEGRADATIONS[self.degradation].protocol
        return self.what

    @cached_property
    def licences(self) -> Mapping[str, Licence] | None:
        """The licences from MANIFEST.csv, by file name; None if there is no such file.

        Raises:
            DataError: MANIFEST.csv lacks one of the columns `file`, `licence` and `origin`.
        """
        return read_licences(self.data)

    def sizes(self) -> Mapping[str, tuple[int, int]]:
        """Return the (height, width) of each HR picture by its name; only headers are read.

        Raises:
            DataError: A file is not a picture.
        """
        return self._sizes

    @cached_property
    def _sizes(self) -> Mapping[str, tuple[int, int]]:
        def size(path: Path) -> tuple[int, int]:
            with data_errors():
                header = read_header(path)
            return header.height, header.width

        with ThreadPoolExecutor() as pool:
            return dict(zip(self.names, pool.map(size, self._hr.values()), strict=True))

    def load(self, names: Sequence[str]) -> list[Pair]:
        """Decode photographs and read or make their LR, on all cores; all stay in memory.

        Raises:
            DataError: A photograph cannot be used, or they need more memory than is free.
        """
        scale = self.scales[0]
        pixels = sum(height * width for height, width in map(self._sizes.__getitem__, names))
        needed = 3 * pixels + 3 * pixels * self.variants(scale) // scale**2
        require_memory(
            needed,
            what=f"{self.data}: {len(names):,} photographs",
            way_out="widesr data pack makes a pack of them, which is read from the disk",
        )

        def pairs(name: str) -> list[Pair]:
            photograph = self.decode(name)
            return [pair_of(name, photograph.hr, lr, scale=scale) for lr in photograph.lr[scale]]

        with ThreadPoolExecutor() as pool:
            return [pair for each in pool.map(pairs, names) for pair in each]

    def variants(self, scale: int) -> int:
        """Return the number of LR pictures per photograph at a scale; the most, if LR is given."""
        given = self._files[scale].lr
        if given is None:
            return DEGRADATIONS[self.degradation].variants
        return max(map(len, given.values()))

    def read(self, name: str) -> NDArray[np.uint8]:
        """Read one photograph, uint8 (H, W, 3).

        Raises:
            DataError: The photograph cannot be used.
        """
        return read_rgb(self._hr[name])

    def decode(self, name: str) -> Decoded:
        """Read one photograph, and read or make its LR at all scales.

        Raises:
            DataError: The photograph cannot be used, or the size of its LR does not fit.
        """
        hr = self.read(name)
        lr = {scale: self._lr(name, hr, scale=scale) for scale in self.scales}
        return Decoded(name, hr, lr)

    def _lr(self, name: str, hr: NDArray[np.uint8], *, scale: int) -> list[NDArray[np.uint8]]:
        given = self._files[scale].lr
        height, width = hr.shape[0] // scale, hr.shape[1] // scale
        if given is not None:
            return [_fitting(path, self._hr[name], hr, scale=scale) for path in given[name]]
        if not height or not width:
            return [np.empty((height, width, 3), np.uint8)]
        shrink, variants = DEGRADATIONS[self.degradation].shrink, self.variants(scale)
        seeds = [photograph_seed(name, variant=n) for n in range(variants)]
        return [shrink(hr, scale=scale, seed=seed) for seed in seeds]


def read_licences(data: Path) -> Mapping[str, Licence] | None:
    """Read the licences from a folder's MANIFEST.csv, by file name; None if there is no such file.

    Raises:
        DataError: MANIFEST.csv or a row of it lacks one of `file`, `licence` and `origin`.
    """
    manifest = data / "MANIFEST.csv"
    if not manifest.is_file():
        return None
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            rows = [(r["file"], r["licence"], r["origin"]) for r in csv.DictReader(file)]
    except (KeyError, ValueError, OSError, csv.Error) as error:
        raise DataError(
            f"{manifest}: is not a table with the columns file, licence and origin ({error})"
        ) from error
    if short := [number for number, row in enumerate(rows, start=1) if None in row]:
        raise DataError(f"{manifest}: row {short[0]} below the first has too few columns")
    return {Path(name).name: Licence(licence, origin) for name, licence, origin in rows}


def require_memory(needed: int, *, what: str, way_out: str) -> None:
    """Check before the work that `needed` bytes of memory are free.

    Raises:
        DataError: Fewer bytes are free.
    """
    free = free_memory()
    if free is not None and needed > free:
        raise DataError(
            f"{what} take {readable_size(needed)} of memory, {readable_size(free)} is free; "
            f"{way_out}"
        )


def free_memory() -> int | None:
    """Count the bytes that can be taken without swapping; None where the system does not tell."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^MemAvailable: +(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def pair_of(name: str, hr: NDArray[np.uint8], lr: NDArray[np.uint8], *, scale: int) -> Pair:
    """Pair LR with a view of the part of HR that it shows."""
    return Pair(name, lr, hr[: lr.shape[0] * scale, : lr.shape[1] * scale])


def _fitting(path: Path, hr_path: Path, hr: NDArray[np.uint8], *, scale: int) -> NDArray[np.uint8]:
    """Read an LR picture, without a published one's last lines of fewer than `scale` HR lines."""
    lr = read_rgb(path)
    sides = list(zip(lr.shape[:2], hr.shape[:2], strict=True))
    if not all(hr_side // scale <= side <= -(-hr_side // scale) for side, hr_side in sides):
        (h, in_h), (w, in_w) = sides
        raise DataError(
            f"{path}: is {w}x{h}, and {hr_path} is {in_w}x{in_h}; LR of it at x{scale} is "
            f"{in_w // scale}x{in_h // scale}"
        )
    return lr[: hr.shape[0] // scale, : hr.shape[1] // scale]


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Decode a picture to uint8 (H, W, 3).

    Raises:
        DataError: The picture cannot be read, or has 16 bits.
    """
    with data_errors():
        pixels = read_picture(path).pixels
    if pixels.dtype != np.uint8:
        raise DataError(f"{path}: 16-bit pictures are not trained on; convert it to 8 bits")
    rgb = np.broadcast_to(pixels, (*pixels.shape[:2], 3)).astype(np.uint8, copy=False)
    return np.ascontiguousarray(rgb)


@contextmanager
def data_errors() -> Iterator[None]:
    """Turn errors from reading a picture into `DataError`."""
    try:
        yield
    except (ImageReadError, ImageFormatError, ImageTooLargeError) as error:
        raise DataError(error.message, options=error.options) from error
