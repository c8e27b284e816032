"""Remembers what a network made of each tile of the frame before, as long as the tile stays as it is."""

from hashlib import blake2b
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Remembering:
    """An engine that computes no tile that it computed for the frame before.

    Tiles are the same if each value of what the network reads is the same, halo included; so the
    frame is the one that would have been computed.
    """

    def __init__(self, engine: Any) -> None:  # noqa: ANN401 (an Engine, of which all is passed on)
        self._engine = engine
        self._before: dict[bytes, NDArray[np.float32]] = {}
        self._now: dict[bytes, NDArray[np.float32]] = {}
        self._lock = Lock()
        self._exact: Remembering | None = None
        self.reused = 0
        """The number of tiles that were not computed."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (the engine's own)
        if name == "_engine":  # not there yet while a copy is unpickled
            raise AttributeError(name)
        return getattr(self._engine, name)

    def __reduce__(self) -> tuple[type["Remembering"], tuple[Any]]:
        return Remembering, (self._engine,)

    def run(self, lr: NDArray[np.float32]) -> NDArray[np.float32]:
        """Upscale (N, 3, H, W) as the engine does, or recall what it made."""
        key = blake2b(np.ascontiguousarray(lr), digest_size=20).digest() + bytes(str(lr.shape), "ascii")
        with self._lock:
            sr = self._now.get(key)
            if sr is None:
                sr = self._before.get(key)
            if sr is not None:
                self._now[key] = sr
                self.reused += 1
                return sr
        sr = self._engine.run(lr)
        sr.setflags(write=False)
        with self._lock:
            self._now[key] = sr
        return sr

    @property
    def exact(self) -> "Remembering":
        """The same network in fp32, which remembers too."""
        exact = self._engine.exact
        if exact is self._engine:
            return self
        with self._lock:
            if self._exact is None:
                self._exact = Remembering(exact)
            return self._exact

    def next_frame(self) -> None:
        """Forget what this frame had no use for."""
        with self._lock:
            self._before, self._now = self._now, {}
        if self._exact is not None:
            self._exact.next_frame()
