"""Passes pictures from top to bottom, and holds only the rows that are still needed.

A step from picture to picture takes `Rows` and gives `Rows`; nothing happens before the last one
is read. So a picture of any height goes through any number of steps in bounded memory, and one
that is whole in memory goes the same way.
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
"""The approximate number of bytes that are copied at once."""


class Rows:
    """The rows of one picture, (H, W, C), each read once or a few times, and then forgotten."""

    def __init__(
        self, bands: Iterable[Band], *, shape: tuple[int, int, int], dtype: DTypeLike
    ) -> None:
        """Take bands in order, each as soon as a row of it is asked for.

        Args:
            bands: All rows from the top, in bands of any height.
            shape: (H, W, C) of the picture.
            dtype: The type of the bands.
        """
        self.height, self.width, self.channels = shape
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._bands = iter(bands)
        self._held: deque[Band] = deque()
        self._first = self._end = 0  # numbers of the first row that is held, and of that after all

    @classmethod
    def of(cls, pixels: Band) -> Self:
        """Take a picture in memory, (H, W, C); what is read of it are views."""
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

        No read may begin before an earlier one.
        """
        self._forget(start)
        if self._held and self._end < stop:
            # A copy: as a view it would keep those before it in memory while more are made.
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
        """Read rows like `read`; beyond the edges stands their mirror image."""
        at = mirrored(np.arange(start, stop), self.height)
        top, bottom = int(at.min()), int(at.max()) + 1
        band = self.read(top, bottom)
        is_in_order = at[-1] - at[0] == len(at) - 1  # and then it is a view, where it can be
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
        """Give the rows that were never read, in bands as they come."""
        while self._held:
            yield self._held.popleft()
        yield from self._bands

    def chunks(self, height: int) -> Iterator[Band]:
        """Give the rows that were never read in bands of `height` rows; the last may be lower."""
        for start in range(0, self.height, height):
            yield self.read(start, min(start + height, self.height))

    def map(
        self, change: Callable[[Band], Band], *, channels: int, dtype: DTypeLike | None = None
    ) -> "Rows":
        """Change each pixel on its own: `change` may be given any rows together."""
        shape = (self.height, self.width, channels)
        return Rows(map(change, self), shape=shape, dtype=dtype or self.dtype)

    def twice(self) -> tuple["Rows", "Rows"]:
        """Give the rows to two readers; what one has read ahead of the other is held."""
        return self.parted(lambda band: (band, band))

    def parted(self, part: Callable[[Band], tuple[Band, Band]]) -> tuple["Rows", "Rows"]:
        """Make two pictures like this one; what is read of one ahead of the other is held."""
        pairs = map(part, self)
        waiting: tuple[deque[Band], deque[Band]] = (deque(), deque())

        def reader(mine: deque[Band]) -> Iterator[Band]:
            # Not `tee`, which forgets only when both have read 57 bands.
            while mine or _put(next(pairs, None), waiting):
                yield mine.popleft()

        first, second = (Rows(reader(each), shape=self.shape, dtype=self.dtype) for each in waiting)
        return first, second

    def beside(self, other: "Rows") -> "Rows":
        """Join the channels of two pictures of the same size, this one's first."""
        channels = self.channels + other.channels
        return self.joined(other, lambda *two: np.concatenate(two, axis=2), channels=channels)

    def joined(
        self,
        other: "Rows",
        join: Callable[[Band, Band], Band],
        *,
        channels: int,
    ) -> "Rows":
        """Make each pixel of those at its place in two pictures of the same size."""
        row = 0

        def with_other(band: Band) -> Band:
            nonlocal row
            top, row = row, row + len(band)
            return join(band, other.read(top, row))

        return self.map(with_other, channels=channels)

    def pad_symmetric(self, margin: int) -> "Rows":
        """Put `margin` mirrored pixels on each side of the picture; the edge is repeated."""
        if margin == 0:
            return self
        n = self.height
        step = max(_CHUNK // max(self.nbytes // n, 1), margin, 1)

        def bands() -> Iterator[Band]:
            yield self.read_mirrored(-margin, 0)
            starts = range(0, max(n - margin, 1), step)  # the last rows are read once more
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
    """Find the place of each of these lines among `n`, beyond which lies their mirror image."""
    within = index % (2 * n)
    return np.minimum(within, 2 * n - 1 - within)


def _put(pair: tuple[Band, Band] | None, queues: tuple[deque[Band], deque[Band]]) -> bool:
    """Put a band into each queue, if there are any; say if there were."""
    if pair is not None:
        for band, queue in zip(pair, queues, strict=True):
            queue.append(band)
    return pair is not None
