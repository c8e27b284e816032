"""TIFF files of several pages, each a picture with a size and a profile of its own."""

import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from math import prod
from typing import cast

import numpy as np
import pyvips

from widesr.errors import (
    ImageFormatError,
    ImageReadError,
    ImageTooLargeError,
    WidesrError,
)
from widesr.pictures.picture import MAX_PIXELS, PictureStream
from widesr.pictures.reading import damaged, open_page, pages_of, tell
from widesr.pictures.sniff import kind_of, title
from widesr.pictures.sources import PictureFile, Source, Target, name_of, opened, whole_target
from widesr.pictures.tiff import Tiff, packed
from widesr.pictures.writing import encode_stream, output_format
from widesr.pixels.rows import Rows
from widesr.system.files import FileBytes

_PAGES = 16
"""Pixels of all pages together, in times those that one may have."""
_MOST_PAGES = 500
"""Each is found on the way from the first."""
_COPY = 2**22
"""Bytes that are copied at once."""


@dataclass(frozen=True, kw_only=True)
class Pages:
    """Pictures of any size and mode, that pass once and in order."""

    streams: Iterator[PictureStream]
    """Each to be read before the next one is asked for."""
    stills: tuple[PictureStream, ...]
    """Size, channels and depth of each, without pixels."""

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.stills)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the first."""
        return self.stills[0].size

    @contextmanager
    def ahead(self) -> Iterator["Pages"]:
        """Let the rows of a page be made while those before them are used."""

        def streams() -> Generator[PictureStream]:
            for stream in self.streams:
                with stream.ahead() as made:
                    yield made

        with closing(streams()) as each:
            yield replace(self, streams=each)

    def map(self, change: Callable[[PictureStream, int], PictureStream]) -> "Pages":
        """Change each page as a picture on its own; `change` gets its number, from 0, too."""
        streams = (change(stream, number) for number, stream in enumerate(self.streams))
        stills = tuple(change(still, number) for number, still in enumerate(self.stills))
        return replace(self, streams=streams, stills=stills)


def has_pages(source: Source) -> bool:
    """Say whether a file is a TIFF file of several pages; not so what cannot be read."""
    try:
        with opened(source) as file:
            return len(_numbers(file)) > 1
    except (WidesrError, OSError, ValueError, pyvips.Error):
        return False


def _numbers(file: PictureFile) -> list[int]:
    """Those of the pages of a TIFF file; none of another."""
    if file[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") or kind_of(file) != "tiff":
        return []
    return list(pages_of(file, "tiff"))


@contextmanager
def open_pages(source: Source, *, max_pixels: int = MAX_PIXELS) -> Iterator[Pages]:
    """Open a TIFF file of several pages, to be read page by page while it is open.

    Args:
        source: The file.
        max_pixels: The largest page that is read; all together may have 16 times as many.

    Raises:
        ImageReadError: The file is missing, damaged, or has one page.
        ImageFormatError: A page of a kind that is not read.
        ImageTooLargeError: It claims more pixels; nothing was decoded.
    """
    with opened(source) as file:
        path = file.path
        try:
            numbers = _numbers(file)
        except (pyvips.Error, ValueError) as error:
            raise damaged(file, "tiff", error) from error
        if len(numbers) < 2:
            raise ImageReadError(f"{path}: is no TIFF file of several pages")
        if len(numbers) > _MOST_PAGES:
            raise ImageFormatError(
                f"{path}: has {len(numbers):,} pages, at most {_MOST_PAGES} are read; split it "
                "into several files"
            )

        def page(number: int) -> PictureStream:
            return open_page(file, "tiff", number, max_pixels=max_pixels)

        stills: list[PictureStream] = []
        pixels, limit = 0, _PAGES * max_pixels
        for number in numbers:
            stills.append(_without_pixels(page(number)))
            pixels += prod(stills[-1].size)
            if pixels > limit:
                found = f"{path}: {len(numbers):,} pages, the first {len(stills):,} of them"
                raise ImageTooLargeError(found=found, pixels=pixels, max_pixels=limit)

        def streams() -> Iterator[PictureStream]:
            tell(file, dict.fromkeys(notice for still in stills for notice in still.notices))
            yield from map(page, numbers)

        yield Pages(streams=streams(), stills=tuple(stills))


def _without_pixels(stream: PictureStream) -> PictureStream:
    rows = Rows((), shape=stream.rows.shape, dtype=stream.rows.dtype)
    return PictureStream(rows=rows, icc=stream.icc, notices=stream.notices)


def check_pages(target: Target, pages: Pages, *, format: str | None = None) -> None:  # noqa: A002
    """Refuse a format that holds one page.

    Raises:
        ImageFormatError: It is not TIFF.
    """
    kind = output_format(target, format=format, animated=True)
    if kind != "tiff":
        raise ImageFormatError(
            f"{name_of(target)}: these are {pages.count} pages, {title(kind)} holds one; "
            "write TIFF",
            options=['format="tiff"'],
        )


def write_pages(
    target: Target,
    pages: Pages,
    *,
    format: str | None = None,  # noqa: A002 (users' word)
    overwrite: bool = False,
    sealed: Callable[[int], None] = lambda _fd: None,
) -> None:
    """Write a TIFF file of all pages while they pass, or none.

    Args:
        target: As for `write_picture`.
        pages: What to write.
        format: A suffix; by default that of the path.
        overwrite: Replace a file that is there.
        sealed: Called with the descriptor of the whole file just before it takes its name.

    Raises:
        Exception: As `write_stream`, with what comes while the pages are made.
    """
    check_pages(target, pages, format=format)
    path = name_of(target)
    in_all = sum(still.rows.nbytes for still in pages.stills)
    folder = path.parent if isinstance(target, str | os.PathLike) else None
    with whole_target(target, overwrite=overwrite) as data:
        file = FileBytes(data.fileno())
        for stream in pages.streams:
            if len(file) == 0:
                encode_stream(path, stream, data.fileno(), "tiff", in_all=in_all)
                continue
            with tempfile.TemporaryFile(dir=folder) as part:
                encode_stream(path, stream, part.fileno(), "tiff", in_all=in_all)
                _append_page(file, FileBytes(part.fileno()))
        sealed(data.fileno())


_STRIPS, _TILES = 273, 324
"""Tags of where the pixels lie."""


def _append_page(file: FileBytes, page: FileBytes) -> None:
    """Append one TIFF file to another as its last page."""
    whole, added = Tiff.open(file), Tiff.open(page)
    head, step, word = (8, 20, "Q") if whole.big else (2, 12, "I")
    last = whole.directories()[-1]
    pointer = last + head + step * whole.unpack("Q" if whole.big else "H", last)
    file.append(bytes(-len(file) % 16))
    begin = len(file)
    for at in range(0, len(page), _COPY):
        file.append(page[at : at + _COPY])
    file.append(bytes(-len(file) % 16))
    tree = added.tree(added.first)
    for tag in {_STRIPS, _TILES} & tree.keys():
        type_, data = cast("tuple[int, bytes]", tree[tag])
        places = np.frombuffer(data, {3: "<u2", 4: "<u4", 16: "<u8"}[type_]).astype("<u8") + begin
        tree[tag] = (16, places.tobytes()) if whole.big else (4, places.astype("<u4").tobytes())
    at = len(file)
    file.append(packed(tree, at, big=whole.big))
    file.put(pointer, np.array([at], f"<u{8 if word == 'Q' else 4}").tobytes())
