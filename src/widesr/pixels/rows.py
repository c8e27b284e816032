"""Streams pictures from top to bottom, holding only the rows that are still needed.

Each step from picture to picture takes `Rows` and gives `Rows`, and computes nothing until the last
of them is read. A picture of any height thus passes through any number of steps in bounded memory,
and a picture that is whole in memory takes the same path.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from widesr.errors import UsageError

Band = NDArray[Any]
"""Some rows of a picture over its whole width, (rows, W, C)."""
Pixels = NDArray[np.uint8 | np.uint16]
"""The values of a picture as files hold them, 8 or 16 bits."""

_CHUNK = 2**16
"""Approximate number of bytes that are copied at once."""


class Rows:
    """The rows of one picture, (H, W, C), each read once or a few times, and then forgotten."""

    def __init__(
        self, bands: Iterable[Band], *, shape: tuple[int, int, int], dtype: DTypeLike
    ) -> None:
        """Take bands in order, each as soon as one of its rows is read.

        Args:
            bands: All rows from the top, in bands of any height.
            shape: (H, W, C) of the picture.
            dtype: The type of the bands.
        """
        self.height, self.width, self.channels = shape
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._bands = iter(bands)
        self._held: deque[Band] = deque()
        self._first = self._end = 0  # row numbers: of the first held, of the next to come

    @classmethod
    def of(cls, pixels: Band) -> Self:
        """Take a picture in memory, (H, W, C); reads give views of it."""
        height, width, channels = pixels.shape
        return cls((pixels,), shape=(height, width, channels), dtype=pixels.dtype)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The (H, W, C) of the whole picture."""
        return self.height, self.width, self.channels

    @property
    def nbytes(self) -> int:
        """The bytes of the whole picture, decoded."""
        return self.height * self.width * self.channels * self.dtype.itemsize

    def read(self, start: int, stop: int) -> Band:
        """Read rows `start` to `stop`, and forget those before `start`.

        No read may begin before the start of an earlier one.
        """
        self._forget(start)
        if self._held and self._end < stop:
            # A view would keep the forgotten rows in memory while more bands are made.
            self._held[0] = self._held[0].copy(order="K")
        while self._end < stop:
            self._held.append(next(self._bands))
            self._end += len(self._held[-1])
            self._forget(start)
        if start == stop:
            return np.empty((0, self.width, self.channels), self.dtype)
        parts, missing = [], stop - start
        for band in self._held:
            parts.append(band[:missing])
            missing -= len(parts[-1])
            if not missing:
                break
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def read_mirrored(self, start: int, stop: int) -> Band:
        """Read rows as `read` does; beyond the edges, the rows are mirrored."""
        at = mirrored(np.arange(start, stop), self.height)
        top, bottom = int(at.min()), int(at.max()) + 1
        band = self.read(top, bottom)
        is_in_order = at[-1] - at[0] == len(at) - 1  # so that a view stays a view
        return band if is_in_order else band[at - top]

    def _forget(self, start: int) -> None:
        """Let go of the rows before `start`."""
        while self._held and self._first < start:
            first = self._held.popleft()
            kept = first[start - self._first :]
            self._first = min(start, self._first + len(first))
            if len(kept):
                self._held.appendleft(kept)

    def __iter__(self) -> Iterator[Band]:
        """Yield the rows of a picture not read before, in bands as they arrive."""
        while self._held:
            yield self._held.popleft()
        yield from self._bands

    def chunks(self, height: int) -> Iterator[Band]:
        """Yield the rows of a picture not read before, `height` at a time, or fewer at the end."""
        for start in range(0, self.height, height):
            yield self.read(start, min(start + height, self.height))

    def map(
        self, change: Callable[[Band], Band], *, channels: int, dtype: DTypeLike | None = None
    ) -> "Rows":
        """Apply `change` to each band; it must treat each pixel alone, as bands hold any rows."""
        shape = (self.height, self.width, channels)
        return Rows(map(change, self), shape=shape, dtype=dtype or self.dtype)

    def twice(self) -> tuple["Rows", "Rows"]:
        """Give the rows to two readers; rows that one reads ahead of the other are held."""
        bands = iter(self)
        waiting: tuple[deque[Band], deque[Band]] = (deque(), deque())

        def reader(mine: deque[Band]) -> Iterator[Band]:
            # `tee` would let go of bands only after both readers have read 57 of them.
            while mine or _put(next(bands, None), waiting):
                yield mine.popleft()

        first, second = (Rows(reader(each), shape=self.shape, dtype=self.dtype) for each in waiting)
        return first, second

    def beside(self, other: "Rows") -> "Rows":
        """Join the channels of two pictures of the same size, this one's first."""
        channels = self.channels + other.channels
        return self.joined(other, lambda *two: np.concatenate(two, axis=2), channels=channels)

    def joined(self, other: "Rows", join: Callable[[Band, Band], Band], *, channels: int) -> "Rows":
        """Combine two pictures of the same size, pixel by pixel."""
        row = 0

        def with_other(band: Band) -> Band:
            nonlocal row
            top, row = row, row + len(band)
            return join(band, other.read(top, row))

        return self.map(with_other, channels=channels)

    def pad_symmetric(self, margin: int) -> "Rows":
        """Pad the picture by `margin` mirrored pixels on each side; the edge pixel is repeated."""
        if margin == 0:
            return self
        n = self.height
        step = max(_CHUNK // max(self.nbytes // n, 1), margin, 1)

        def bands() -> Iterator[Band]:
            yield self.read_mirrored(-margin, 0)
            starts = range(0, max(n - margin, 1), step)  # the last rows are read twice
            for start in starts:
                yield self.read(start, start + step if start != starts[-1] else n)
            yield self.read_mirrored(n, n + margin)

        sides = ((0, 0), (margin, margin), (0, 0))
        wide = (np.pad(band, sides, mode="symmetric") for band in bands())
        shape = (n + 2 * margin, self.width + 2 * margin, self.channels)
        return Rows(wide, shape=shape, dtype=self.dtype)

    def whole(self) -> Band:
        """Read the whole picture into memory, (H, W, C)."""
        bands = iter(self)
        first = next(bands)
        if len(first) == self.height:
            return first
        pixels = np.empty(self.shape, self.dtype)
        pixels[: len(first)] = first
        row = len(first)
        for band in bands:
            pixels[row : row + len(band)] = band
            row += len(band)
        return pixels


def check_array(value: object) -> None:
    """Refuse as pixels what is no array, such as a list or None.

    Raises:
        UsageError: It is none.
    """
    if not isinstance(value, np.ndarray):
        raise UsageError(f"{type(value).__name__} was given, expected an array of pixels")


def mirrored(index: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Map line numbers to those of `n` lines, which are mirrored beyond their edges."""
    within = index % (2 * n)
    return np.minimum(within, 2 * n - 1 - within)


def _put(band: Band | None, queues: Iterable[deque[Band]]) -> bool:
    """Put a band into each queue; return False if there is no band."""
    if band is None:
        return False
    for queue in queues:
        queue.append(band)
    return True
