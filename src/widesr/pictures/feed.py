"""Passes rows to libvips and back, and encoded bytes to a file, piece by piece.

From Python, libvips takes the pixels of an image only all at once. But it reads files piece by
piece, even through callbacks. So it gets the rows as an uncompressed TIFF file that never exists:
a header, and then the values as they are.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyvips

from widesr.pictures.tiff import Tree, head_of_strips, integers
from widesr.pixels.rows import Band, Rows
from widesr.system.files import FileBytes

_BAND = 2**22
"""The approximate number of bytes that libvips decodes at once."""
_STRIP = 2**18
"""The approximate number of bytes of a strip, which libvips asks for at once."""


def rows_of_image(image: pyvips.Image) -> Rows:
    """Read the pixels of an 8-bit or 16-bit image from top to bottom, as they are decoded."""
    dtype = np.dtype(np.uint16 if image.format == "ushort" else np.uint8)
    shape = (image.height, image.width, image.bands)
    height = max(_BAND // (image.width * image.bands * dtype.itemsize), 1)

    def bands() -> Iterator[Band]:
        region = pyvips.Region.new(image)  # made in the reading thread, which owns it
        for top in range(0, image.height, height):
            n = min(height, image.height - top)
            values = np.frombuffer(region.fetch(0, top, image.width, n), dtype)
            yield values.reshape(n, *shape[1:])

    return Rows(bands(), shape=shape, dtype=dtype)


class Feed:
    """A libvips image whose pixels are `rows`, read once, from top to bottom.

    No exception may cross C. One that is raised while the rows are made, even by Ctrl-C, ends the
    image as if its file were cut short, and is kept in `failure` for the caller of libvips.
    """

    image: pyvips.Image
    """The image, to be read in order: "b-w", "grey16", "srgb" or "rgb16", with or without alpha."""
    failure: BaseException | None = None

    def __init__(self, rows: Rows) -> None:
        """Make the image, but read no rows yet.

        Args:
            rows: uint8 or uint16, (H, W, C): grey or RGB, then alpha if there is any.
        """
        self._header = _header(rows)
        self._size = len(self._header) + rows.nbytes
        self._at = 0
        self._values = map(_memory, rows)  # `map` keeps no band that it gave
        self._left = memoryview(b"")  # the rest of the band that is being read
        self._next = len(self._header)  # the offset at which that begins
        self._source = pyvips.SourceCustom()
        self._source.on_read(self._read)
        self._source.on_seek(self._seek)
        self.image = pyvips.Image.tiffload_source(
            self._source, access="sequential", fail_on="error"
        )

    def _seek(self, offset: int, whence: int) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def _read(self, size: int) -> bytes:
        if self._at < len(self._header):
            piece = self._header[self._at : self._at + size]
        else:
            try:
                piece = self._pixels(min(size, self._size - self._at))
            except BaseException as error:
                self.failure = error
                return b""
        self._at += len(piece)
        return piece

    def _pixels(self, size: int) -> bytes:
        assert self._at == self._next, "libvips went back in an image that is read in order"
        parts, missing = [], size
        while missing > 0:
            if not self._left:
                self._left = memoryview(b"")  # lets go of the last band while the next is made
                self._left = next(self._values)
            parts.append(bytes(self._left[:missing]))
            missing -= len(parts[-1])
            self._left = self._left[len(parts[-1]) :]
        self._next += size
        return b"".join(parts)


class Splice:
    """A file for libvips to encode to, which inserts `extra` after the first `at` bytes."""

    def __init__(self, file: FileBytes, *, at: int, extra: bytes) -> None:
        self._file, self._at, self._extra = file, at, extra
        self._failure: BaseException | None = None

    def take(self, save: Callable[..., None], **options: Any) -> None:  # noqa: ANN401
        """Run one of libvips' savers."""
        target = pyvips.TargetCustom()
        target.on_write(self._write)
        try:
            save(target, **options)
        except pyvips.Error as error:
            raise self._failure or error from None

    def _write(self, chunk: bytes) -> int:
        try:
            data = bytes(chunk)
            if self._extra and self._at <= len(data):
                data = data[: self._at] + self._extra + data[self._at :]
                self._extra = b""
            self._at -= len(chunk)
            self._file.append(data)
        except BaseException as error:  # none may cross C, not even Ctrl-C: `take` raises it
            self._failure = error
            return -1
        return len(chunk)


def _memory(band: Band) -> memoryview:
    return np.ascontiguousarray(band).data.cast("B")


def _header(rows: Rows) -> bytes:
    """Make the part of a BigTIFF file before its values."""
    height, width, channels = rows.shape
    row_bytes = width * channels * rows.dtype.itemsize
    per_strip = max(_STRIP // row_bytes, 1)
    bits = 8 * rows.dtype.itemsize
    tree: Tree = {
        256: integers(4, width),
        257: integers(4, height),
        258: integers(3, *[bits] * channels),
        259: integers(3, 1),  # not compressed
        262: integers(3, 1 if channels < 3 else 2),  # grey from black, RGB
        277: integers(3, channels),
        278: integers(4, per_strip),
    }
    if channels in (2, 4):
        tree[338] = integers(3, 2)  # alpha, not premultiplied
    tops = range(0, height, per_strip)
    return head_of_strips(tree, [min(per_strip, height - top) * row_bytes for top in tops])
