"""Forecasts the time that many workers take for many pictures, from the time that a few took.

The arithmetic is a simulation: each worker takes the next batch when it is free, some workers are
slower than others, some are lost midway, and the batch of a lost worker is done again.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_CHUNK = 2**14
"""Batches that are drawn at a time."""
_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds that one worker takes, as measured."""

    pictures: tuple[float, ...]
    """The whole time of each measured picture; all others are taken to be like these."""
    batch: float = 0.0
    """Time for the claim and the part of a batch, in addition to its pictures."""
    start: float = 0.0
    """Time until a new worker begins its first batch: it starts its process and loads networks."""


@dataclass(frozen=True, kw_only=True)
class Weather:
    """The losses and delays to expect when many machines work for a long time."""

    losses_per_hour: float = 0.0
    """The mean for one worker; machines that are rented for less may be taken away at times."""
    noticed: float = 30.0
    """Seconds until the loss of a worker is noticed."""
    slow: float = 0.0
    """Share of the workers that are slower than the others."""
    slowness: float = 2.0
    """The time that a slow worker takes, as a multiple of the usual."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The cost of a run; times in hours."""

    workers: int
    hours: float
    """Time from the start to the last picture."""
    core_hours: float
    """The hours that are paid for: all workers, until the last picture."""
    lost: float
    """Core-hours of work that was done again, and of waiting for new workers."""
    tail: float
    """Time at the end during which some workers had no more work."""
    losses: int


def plan(
    pictures: int,
    *,
    workers: int,
    costs: Costs,
    weather: Weather | None = None,
    batch: int = 64,
    seed: int = 0,
) -> Plan:
    """Simulate a run.

    Args:
        pictures: The number of pictures.
        workers: The number of processes, of one core each.
        costs: The time that one worker takes.
        weather: The losses and delays; by default there are none.
        batch: Pictures in a batch.
        seed: The seed of the draws: which pictures share a batch, and which workers are slow or
            lost, and when.
    """
    weather = weather or Weather()
    rng = np.random.default_rng(seed)
    factors = np.where(rng.random(workers) < weather.slow, weather.slowness, 1.0)
    mean_life = _HOUR / weather.losses_per_hour if weather.losses_per_hour else np.inf
    ends = [mean_life * rng.standard_exponential() for _ in range(workers)]
    free = [(costs.start, worker) for worker in range(workers)]  # a heap, as all are equal
    work = _batches(pictures, costs, batch, rng)
    again: list[tuple[float, float]] = []  # a heap: time of the earliest start, and seconds
    lost, losses, last = 0.0, 0, 0.0
    while True:
        now, worker = heapq.heappop(free)
        if again and again[0][0] <= now:
            _, seconds = heapq.heappop(again)
        elif (fresh := next(work, None)) is not None:
            seconds = fresh
        elif again:  # its loss is noticed only then
            now, seconds = heapq.heappop(again)
        else:
            break
        end = now + seconds * factors[worker]
        if end > ends[worker]:
            died = max(ends[worker], now)
            heapq.heappush(again, (died + weather.noticed, seconds))
            end = died + weather.noticed + costs.start
            lost, losses = lost + end - now, losses + 1
            ends[worker] = end + mean_life * rng.standard_exponential()
        else:
            last = max(last, end)
        heapq.heappush(free, (end, worker))
    return Plan(
        workers=workers,
        hours=float(last / _HOUR),
        core_hours=float(workers * last / _HOUR),
        lost=float(lost / _HOUR),
        tail=float(max(last - now, 0.0) / _HOUR),
        losses=losses,
    )


def _batches(pictures: int, costs: Costs, batch: int, rng: np.random.Generator) -> Iterator[float]:
    """Draw how long each batch takes on a worker that is not slow."""
    seconds = np.asarray(costs.pictures)
    whole, rest = divmod(pictures, batch)
    while whole:
        n = min(whole, _CHUNK)
        drawn = rng.multinomial(batch, np.full(len(seconds), 1 / len(seconds)), n) @ seconds
        yield from (drawn + costs.batch).tolist()
        whole -= n
    if rest:
        yield float(rng.choice(seconds, rest).sum() + costs.batch)
