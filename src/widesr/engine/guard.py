"""What no network may make of a picture, and what is done where one does."""

import logging
import os
from collections.abc import Callable
from functools import partial
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from widesr.engine.protocol import Engine, Runtime
from widesr.errors import ModelFileError

_logger = logging.getLogger(__name__)

_LEAST_SIDE = 8
"""LR pixels; in a smaller tile most of the picture is a network's border, of any brightness."""
_MEAN_TOLERANCE = 0.2
"""Of a channel's mean, range 1. Our models stay within 0.07 on checkerboards and noise."""
_CONTRAST = 4 / 255
"""A tile with less may come out constant; also 16-bit pictures have noise below this."""
_NO_NUMBERS = "values that are no numbers"


class Guarded:
    """An engine whose every tile is looked at; a bad one is made again in fp32.

    Bad is: NaN, infinity, one colour out of many, a brightness far from the picture's. The last is
    a network's whose values are not in [0, 1], or which is no super-resolution at all.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        path: os.PathLike[str],
        exact: Callable[[], Runtime] | None = None,
        is_trusted: bool = False,
        again: Callable[[], Engine] | None = None,
    ) -> None:
        """Guard a network.

        Args:
            runtime: The network.
            path: Of its file, for messages.
            exact: Loads the same network in fp32, when it is first needed; None if `runtime` is
                that.
            is_trusted: Take numbers of any kind from fp32: the file is known to be undamaged and
                in [0, 1], but its training may have only begun.
            again: Loads all this anew; it is what a pickle holds.
        """
        self.name, self.precision = runtime.name, runtime.precision
        self.scale, self.receptive_radius = runtime.scale, runtime.receptive_radius
        self.smallest_tile, self.streams = runtime.smallest_tile, runtime.streams
        self.bytes_per_pixel = runtime.bytes_per_pixel
        self._runtime, self._path, self._load_exact = runtime, path, exact
        self._is_trusted, self._again = is_trusted, again
        self._exact: Guarded | None = None
        self._loading = Lock()

    def __reduce__(self) -> tuple[Callable[[], Engine], tuple[()]]:
        if self._again is None:
            raise TypeError(f"{self.name} holds a runtime, which cannot be pickled")
        return self._again, ()

    def run(self, lr: NDArray[np.float32]) -> NDArray[np.float32]:
        """Upscale; see `Runtime.run`.

        Raises:
            ModelFileError: The network fails, or what it makes is bad in fp32 too and must not be.
        """
        sr = self._runtime.run(lr)
        wrong = _what_is_wrong(lr, sr)
        if wrong is None:
            return sr
        if self._load_exact is not None:
            _logger.info("made %s in %s: this tile is made again in fp32", wrong, self.precision)
            return self.exact.run(lr)
        if self._is_trusted and wrong != _NO_NUMBERS:
            return sr
        height, width = lr.shape[2:]
        raise ModelFileError(
            f"{self._path}: made {wrong} of a tile of {width}x{height} pixels; expected a network "
            "from RGB in [0, 1] to RGB in [0, 1]"
        )

    @property
    def exact(self) -> Engine:
        """See `Engine.exact`."""
        if self._load_exact is None:
            return self
        with self._loading:  # two streams may ask at once
            if self._exact is None:
                self._exact = Guarded(
                    self._load_exact(),
                    path=self._path,
                    is_trusted=self._is_trusted,
                    again=None if self._again is None else partial(_exact_of, self._again),
                )
            return self._exact


def _exact_of(load: Callable[[], Engine]) -> Engine:
    return load().exact


def _what_is_wrong(lr: NDArray[np.float32], sr: NDArray[np.float32]) -> str | None:
    """Name what no network may make of this picture; None if all is well."""
    with np.errstate(invalid="ignore", over="ignore"):
        means = sr.mean(axis=(2, 3))  # NaN and infinity show in it: one pass over the picture
    if not np.isfinite(means).all():
        return _NO_NUMBERS
    height, width = lr.shape[2:]
    if min(height, width) < _LEAST_SIDE:
        return None
    few = sr[:, :, ::7, ::7]  # a sample first: it differs in all but the rarest picture
    if few.min() == few.max() and np.ptp(sr) == 0 and np.ptp(lr) > _CONTRAST:
        return "one colour"
    if np.abs(means - lr.mean(axis=(2, 3))).max() > _MEAN_TOLERANCE:
        return "another brightness"
    return None
