"""Detects output that no network may make of a picture, and computes it again in fp32."""

import logging
import os
from collections.abc import Callable
from functools import partial
from threading import Lock

import numpy as np

from widesr.engine.protocol import Engine, Runtime, Tensor, Wrapper
from widesr.errors import ModelFileError

_logger = logging.getLogger(__name__)

_LEAST_SIDE = 8
"""Smallest side that is checked, LR pixels; most of a smaller tile is a network's border, which may
have any brightness."""
_MEAN_TOLERANCE = 0.2
"""Largest change of a channel's mean, range 1. Our models stay within 0.07 on checkerboards and
noise."""
_CONTRAST = 4 / 255
"""Contrast up to which a tile may come out constant; 16-bit pictures too have noise below this."""
_NO_NUMBERS = "values that are no numbers"


class Guarded(Wrapper, Engine):
    """An engine that checks each tile it makes, and makes bad ones again in fp32.

    A tile is bad if it holds NaN or infinity, has one colour where the picture has many, or is far
    brighter or darker than the picture. The last happens with networks whose values are not in
    [0, 1], or which do no super-resolution at all.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        path: os.PathLike[str],
        fp32: Callable[[], Runtime] | None = None,
        is_trusted: bool = False,
        again: Callable[[], Engine] | None = None,
    ) -> None:
        """Guard a network.

        Args:
            runtime: The network.
            path: The path of its file, for messages.
            fp32: Function that loads the same network in fp32, when it is first needed; None if
                `runtime` is in fp32 itself.
            is_trusted: Accept any finite output in fp32: the file is known to be undamaged and in
                [0, 1], but its training may have only begun.
            again: Function that loads the engine anew; a pickle holds it in place of the engine.
        """
        super().__init__(runtime)
        self._runtime, self._path, self._load_fp32 = runtime, path, fp32
        self._is_trusted, self._again = is_trusted, again
        self._fp32: Guarded | None = None
        self._loading = Lock()

    def __reduce__(self) -> tuple[Callable[[], Engine], tuple[()]]:
        if self._again is None:
            raise TypeError(f"{self.name} holds a runtime, which cannot be pickled")
        return self._again, ()

    def run_all(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the network; see `Runtime.run_all`.

        Raises:
            ModelFileError: The network fails, or its output is bad even in fp32 and it is not
                trusted.
        """
        outputs = self._runtime.run_all(*inputs)
        wrong = _what_is_wrong(inputs[0], outputs)
        if wrong is None:
            return outputs
        if self._load_fp32 is not None:
            _logger.info("made %s in %s: this tile is made again in fp32", wrong, self.precision)
            return self.fp32.run_all(*inputs)
        if self._is_trusted and wrong != _NO_NUMBERS:
            return outputs
        height, width = inputs[0].shape[2:]
        raise ModelFileError(
            f"{self._path}: made {wrong} of a tile of {width}x{height} pixels; expected a network "
            "from RGB in [0, 1] to RGB in [0, 1]"
        )

    @property
    def fp32(self) -> "Guarded":
        """The same network in fp32; see `Engine.fp32`."""
        if self._load_fp32 is None:
            return self
        with self._loading:  # two streams may ask at once
            if self._fp32 is None:
                self._fp32 = Guarded(
                    self._load_fp32(),
                    path=self._path,
                    is_trusted=self._is_trusted,
                    again=None if self._again is None else partial(_fp32_of, self._again),
                )
            return self._fp32


def _fp32_of(load: Callable[[], Engine]) -> Engine:
    return load().fp32


def _what_is_wrong(lr: Tensor, outputs: tuple[Tensor, ...]) -> str | None:
    """Name what is wrong with the output for this picture; None if all is well."""
    sr = outputs[0]
    with np.errstate(invalid="ignore", over="ignore"):
        # The means show NaN and infinity in one pass over each output.
        means, *others = (each.mean(axis=(2, 3)) for each in outputs)
    if not all(np.isfinite(each).all() for each in (means, *others)):
        return _NO_NUMBERS
    height, width = lr.shape[2:]
    if min(height, width) < _LEAST_SIDE:
        return None
    few = sr[:, :, ::7, ::7]  # a sample first, which is nearly never constant
    if few.min() == few.max() and np.ptp(sr) == 0 and np.ptp(lr) > _CONTRAST:
        return "one colour"
    if lr.shape[1] != sr.shape[1]:  # such as several frames: channels do not match
        return None
    if np.abs(means - lr.mean(axis=(2, 3))).max() > _MEAN_TOLERANCE:
        return "another brightness"
    return None
