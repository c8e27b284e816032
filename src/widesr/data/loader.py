"""Batches of patches, made by threads while the network learns from the one before."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, NamedTuple, Self

from widesr.data.patches import (
    Batch,
    Pair,
    Patch,
    PatchSampler,
    cut_patches,
    mean_gradient,
)


class _Coming(NamedTuple):
    """A batch that is drawn, and cut or being cut."""

    batch: Future[Batch]
    state: dict[str, Any]
    """Of the sampler, once the batch was drawn."""


class Loader:
    """The batches of a run, in an order that depends on the seed alone.

    Threads, not processes: cutting is copying, for which NumPy lets other threads run, and all of
    them read the same photographs. Several processes of one run each make a Loader with the same
    seed and another `rank`: all draw the same global batches, and each cuts only its share.

    Close it, or use it in a `with` statement: its threads do not end by themselves.
    """

    waited: float = 0.0
    """Seconds that `next` has let its callers wait, in all."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        scale: int,
        lr_patch: int,
        batch: int,
        seed: int,
        candidates: int = 1,
        rank: int = 0,
        world_size: int = 1,
        workers: int = 1,
    ) -> None:
        """Draw nothing yet: the threads start with the first `next`.

        Args:
            pairs: The photographs, none smaller than a patch.
            scale: HR pixels per LR pixel, on a side.
            lr_patch: Side of a patch in LR pixels.
            batch: Patches of a global batch.
            seed: What the order depends on.
            candidates: Places that are drawn for each patch; the one with more to see is more
                likely to be taken.
            rank: Which share of each global batch is wanted, 0 to `world_size` - 1.
            world_size: How many shares there are; they differ by one patch at most.
            workers: Threads; no more than these and one batch more are ahead.
        """
        self._pairs, self._scale = pairs, scale
        self._seed, self._candidates = seed, candidates
        self._rank, self._world_size = rank, world_size
        self._workers = workers
        self._ahead: _Ahead | None = None
        self._arrange(lr_patch=lr_patch, batch=batch)
        self._state = self._sampler.state

    def rearrange(self, *, lr_patch: int, batch: int) -> None:
        """Make batches of another size from here on; the random sequence goes on where it is."""
        if (lr_patch, batch) != (self._lr_patch, self._n):
            self.close()
            self._arrange(lr_patch=lr_patch, batch=batch)
            self._sampler.state = self._state

    def _arrange(self, *, lr_patch: int, batch: int) -> None:
        self._lr_patch, self._n = lr_patch, batch
        ends = [batch * rank // self._world_size for rank in (self._rank, self._rank + 1)]
        self._share = slice(*ends)
        self._sampler = PatchSampler(
            [(pair.lr.shape[0], pair.lr.shape[1]) for pair in self._pairs],
            lr_patch=lr_patch,
            seed=self._seed,
            candidates=self._candidates,
            weigh=self._detail,
        )

    def _detail(self, patch: Patch) -> float:
        """How much there is to see in a patch."""
        side, lr = self._lr_patch, self._pairs[patch.pair].lr
        return mean_gradient(lr[patch.y : patch.y + side, patch.x : patch.x + side])

    def next(self) -> Batch:
        """Give this rank's share of the next batch; it is the caller's to keep."""
        began = time.perf_counter()
        if self._ahead is None:
            self._ahead = _Ahead(self._draw, self._cut, workers=self._workers)
        coming = self._ahead.take()
        batch = coming.batch.result()
        self._state = coming.state
        self.waited += time.perf_counter() - began
        return batch

    @property
    def state(self) -> dict[str, Any]:
        """Where the order stands after the last batch given out, whatever was made ahead.

        Plain numbers and text. Assign it, in any process, to go on from there.
        """
        return self._state

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.close()
        self._sampler.state = self._state = state

    def close(self) -> None:
        """End the threads. A `next` after it goes on from `state`."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None
            self._sampler.state = self._state

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _draw(self) -> tuple[list[Patch], dict[str, Any]]:
        patches = self._sampler.draw(self._n)[self._share]
        return patches, self._sampler.state

    def _cut(self, patches: list[Patch]) -> Batch:
        return cut_patches(self._pairs, patches, scale=self._scale, lr_patch=self._lr_patch)


class _Ahead:
    """Threads that draw in turn, and cut at once; what they draw comes out in its order."""

    def __init__(
        self,
        draw: Callable[[], tuple[list[Patch], dict[str, Any]]],
        cut: Callable[[list[Patch]], Batch],
        *,
        workers: int,
    ) -> None:
        self._draw, self._cut = draw, cut
        self._coming: SimpleQueue[_Coming] = SimpleQueue()
        self._room = threading.Semaphore(workers + 1)
        self._turn = threading.Lock()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"widesr-data-{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def take(self) -> _Coming:
        """Wait until the next batch is drawn; another may then be made."""
        coming = self._coming.get()
        self._room.release()
        return coming

    def close(self) -> None:
        self._closed = True
        for _ in self._threads:
            self._room.release()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            self._room.acquire()
            batch: Future[Batch] = Future()
            with self._turn:
                if self._closed:
                    return
                patches, state = self._draw()
                self._coming.put(_Coming(batch, state))
            try:
                batch.set_result(self._cut(patches))
            except Exception as error:
                batch.set_exception(error)
