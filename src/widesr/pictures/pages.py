"""Reads and writes TIFF files of several pages, each with a size and a profile of its own."""

import tempfile
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import cast

import numpy as np
import pyvips

from widesr.errors import ImageFormatError, ImageTooLargeError
from widesr.pictures.decoding import damaged
from widesr.pictures.encoding import encode_stream
from widesr.pictures.picture import PictureStream
from widesr.pictures.reading import log_notices, open_page, pages_of
from widesr.pictures.sequence import MOST_IN_ALL, PictureSequence
from widesr.pictures.sniff import kind_of
from widesr.pictures.sources import PictureFile
from widesr.pictures.tiff import MARKS, Tiff, integers, packed
from widesr.pixels.rows import Rows
from widesr.system.files import FileBytes

_MOST_PAGES = 500
"""The most pages that are read: to find one means to walk through those before it."""
_COPY = 2**22
"""Bytes that are copied at once."""


def page_numbers(file: PictureFile) -> list[int]:
    """Number the pages of a TIFF file, from 0; other files have none."""
    if file[:4] not in MARKS or kind_of(file) != "tiff":
        return []
    return list(pages_of(file, "tiff"))


def read_pages(file: PictureFile, *, max_pixels: int) -> PictureSequence | None:
    """Read the directories of a TIFF file of several pages; give None for any other file.

    Args:
        file: The file, which must stay open until the pages are read.
        max_pixels: The most pixels of a page; all pages together may have 16 times as many.

    Raises:
        ImageReadError: The file is damaged; also raised while pages are read.
        ImageFormatError: A page is of an unsupported kind.
        ImageTooLargeError: The file claims more pixels; nothing was decoded.
    """
    path = file.path
    try:
        numbers = page_numbers(file)
    except (pyvips.Error, ValueError) as error:
        raise damaged(file, "tiff", error) from error
    if len(numbers) < 2:
        return None
    if len(numbers) > _MOST_PAGES:
        raise ImageFormatError(
            f"{path}: has {len(numbers):,} pages, at most {_MOST_PAGES} are read; split it into "
            "several files"
        )

    def page(number: int) -> PictureStream:
        return open_page(file, "tiff", number, max_pixels=max_pixels)

    stills: list[PictureStream] = []
    pixels, limit = 0, MOST_IN_ALL * max_pixels
    for number in numbers:
        stills.append(_without_pixels(page(number)))
        pixels += prod(stills[-1].size)
        if pixels > limit:
            found = f"{path}: {len(numbers):,} pages, the first {len(stills):,} of them"
            raise ImageTooLargeError(found=found, pixels=pixels, max_pixels=limit)

    def streams() -> Iterator[PictureStream]:
        log_notices(file, dict.fromkeys(notice for still in stills for notice in still.notices))
        yield from map(page, numbers)

    return PictureSequence(streams=streams(), stills=tuple(stills))


def _without_pixels(stream: PictureStream) -> PictureStream:
    rows = Rows((), shape=stream.rows.shape, dtype=stream.rows.dtype)
    return PictureStream(rows=rows, icc=stream.icc, notices=stream.notices)


def encode_pages(path: Path, pages: PictureSequence, fd: int, *, folder: Path | None) -> None:
    """Encode streamed pages into an empty TIFF file.

    Args:
        path: The file's name in messages.
        pages: The pages to write.
        fd: The file's descriptor.
        folder: The folder for temporary files of pages after the first; None for the system's.
    """
    in_all = sum(still.rows.nbytes for still in pages.stills)
    file = FileBytes(fd)
    for stream in pages.streams:
        if len(file) == 0:
            encode_stream(path, stream, fd, "tiff", in_all=in_all)
            continue
        with tempfile.TemporaryFile(dir=folder) as part:
            encode_stream(path, stream, part.fileno(), "tiff", in_all=in_all)
            _append_page(file, FileBytes(part.fileno()))


_STRIPS, _TILES = 273, 324
"""The tags that say where the pixels lie."""


def _append_page(file: FileBytes, page: FileBytes) -> None:
    """Append one TIFF file to another as its last page."""
    whole, added = Tiff.open(file), Tiff.open(page)
    link = whole.link(whole.directories()[-1])
    file.append(bytes(-len(file) % 16))
    begin = len(file)
    for at in range(0, len(page), _COPY):
        file.append(page[at : at + _COPY])
    file.append(bytes(-len(file) % 16))
    tree = added.tree(added.first)
    for tag in {_STRIPS, _TILES} & tree.keys():
        type_, data = cast("tuple[int, bytes]", tree[tag])
        places = np.frombuffer(data, {3: "<u2", 4: "<u4", 16: "<u8"}[type_]).astype("<u8") + begin
        tree[tag] = integers(16 if whole.big else 4, *places)
    at = len(file)
    file.append(packed(tree, at, big=whole.big))
    file.put(link, integers(16 if whole.big else 4, at)[1])
