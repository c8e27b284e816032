"""Makes batches of patches in threads, while the network learns from the batch before."""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple, Self

from widesr.data.patches import (
    PICTURE,
    Batch,
    Pair,
    Patch,
    PatchSampler,
    Span,
    cut_patches,
    mean_gradient,
    n_frames,
)
from widesr.system.threads import ahead, in_threads


class _Drawn(NamedTuple):
    """The patches of a batch."""

    patches: list[Patch]
    state: dict[str, Any]
    """The sampler's state once the patches were drawn."""


class _Made(NamedTuple):
    """A batch that was cut out of its photographs."""

    batch: Batch
    state: dict[str, Any]
    """The sampler's state once the batch was drawn."""


def share_of(batch: int, *, rank: int, world_size: int) -> slice:
    """Return the slice of a batch that one of several processes learns from."""
    first, end = (batch * each // world_size for each in (rank, rank + 1))
    return slice(first, end)


class Loader:
    """The batches of a run, in an order that depends on the seed alone.

    Patches are cut by threads, not processes: cutting is copying, during which NumPy lets other
    threads run, and all threads read the same photographs. If a run has several processes, each
    makes a Loader with the same seed and its own `rank`: all draw the same global batches, and each
    cuts only its share.

    Close the loader, or use it in a `with` statement: its threads do not end by themselves.
    """

    waited: float = 0.0
    """Total seconds for which callers of `next` have waited."""

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
        span: Span = PICTURE,
    ) -> None:
        """Prepare to draw batches; the threads start with the first `next`.

        Args:
            pairs: The photographs, none smaller than a patch.
            scale: HR pixels per LR pixel along each axis.
            lr_patch: Side of a patch in LR pixels.
            batch: Number of patches in a global batch.
            seed: The seed of the order.
            candidates: Number of places that are drawn for each patch; those with more detail are
                more likely to be taken.
            rank: Index of this loader's share of each global batch, 0 to `world_size` - 1.
            world_size: The number of shares, which differ in size by one patch at most.
            workers: Number of threads that cut; at most so many batches and one more are ahead.
            span: The frames of a patch, if the pairs are clips.
        """
        self._span = span
        self._pairs, self._scale = pairs, scale
        self._seed, self._candidates = seed, candidates
        self._rank, self._world_size = rank, world_size
        self._workers = workers
        self._coming: Generator[_Made] | None = None
        self._arrange(lr_patch=lr_patch, batch=batch)
        self._state = self._sampler.state

    def rearrange(self, *, lr_patch: int, batch: int) -> None:
        """Change the size of later patches and batches; the random sequence continues."""
        if (lr_patch, batch) != (self._lr_patch, self._n):
            self.close()
            self._arrange(lr_patch=lr_patch, batch=batch)
            self._sampler.state = self._state

    def _arrange(self, *, lr_patch: int, batch: int) -> None:
        self._lr_patch, self._n = lr_patch, batch
        self._share = share_of(batch, rank=self._rank, world_size=self._world_size)
        self._sampler = PatchSampler(
            [(pair.lr.shape[0], pair.lr.shape[1]) for pair in self._pairs],
            lr_patch=lr_patch,
            seed=self._seed,
            candidates=self._candidates,
            weigh=self._detail,
            span=self._span,
            frames=[n_frames(pair) for pair in self._pairs],
        )

    def _detail(self, patch: Patch) -> float:
        """Measure the detail in a patch."""
        side, lr = self._lr_patch, self._pairs[patch.pair].lr
        return mean_gradient(lr[patch.y : patch.y + side, patch.x : patch.x + side])

    def next(self) -> Batch:
        """Return this rank's share of the next batch, which the caller may keep."""
        began = time.perf_counter()
        if self._coming is None:
            self._coming = self._made_ahead()
        made = next(self._coming)
        self._state = made.state
        self.waited += time.perf_counter() - began
        return made.batch

    @property
    def state(self) -> dict[str, Any]:
        """The place in the order after the last batch returned, regardless of those made ahead.

        The state is plain numbers and text. Assign it, in any process, to continue from there.
        """
        return self._state

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.close()
        self._sampler.state = self._state = state

    def close(self) -> None:
        """End the threads; a later `next` continues from `state`."""
        if self._coming is not None:
            self._coming.close()
            self._coming = None
            self._sampler.state = self._state

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _made_ahead(self) -> Generator[_Made]:
        """Draw in one thread, and cut in others, while the caller uses the previous batch."""
        with (
            closing(in_threads(self._draw(), self._make, threads=self._workers)) as made,
            closing(ahead(made)) as coming,
        ):
            yield from coming

    def _draw(self) -> Iterator[_Drawn]:
        while True:
            yield _Drawn(self._sampler.draw(self._n)[self._share], self._sampler.state)

    def _make(self, drawn: _Drawn) -> _Made:
        return _Made(self._cut(drawn.patches), drawn.state)

    def _cut(self, patches: list[Patch]) -> Batch:
        return cut_patches(
            self._pairs, patches, scale=self._scale, lr_patch=self._lr_patch, span=self._span
        )
