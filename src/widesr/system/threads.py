"""Overlaps work, each part in a thread of its own; results come in order."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar, cast

Item = TypeVar("Item")
Read = TypeVar("Read")
Made = TypeVar("Made")
Result = TypeVar("Result")
Given = TypeVar("Given")
Taken = TypeVar("Taken")

MOST = 4
"""Largest number of items in progress at once: one in each stage, and one that waits."""


def overlapped(
    items: Iterable[Item],
    *,
    read: Callable[[Item], Read],
    make: Callable[[Read], Made],
    write: Callable[[Made], Result],
    weigh: Callable[[Item], int],
    budget: int,
    stop: threading.Event,
) -> Generator[Result]:
    """Read the next items while one is made and the one before it is written.

    Each stage handles one item at a time, in order. If the generator is closed, or its caller
    raises, it waits for the running stages and starts no other; no thread stays behind.

    Args:
        items: The items to work on.
        read: First stage.
        make: Second stage.
        write: Third stage.
        weigh: Function that returns the part of the budget that an item takes, from its start to
            its end.
        budget: The most that all items in progress may take together; a heavier item runs alone.
        stop: Event that is set if the work ends early, so that a long stage can check it.

    Yields:
        Each item's result, in order, as soon as it is ready.

    Raises:
        Exception: Any exception that a stage raises.
    """
    with ExitStack() as stack:
        stages = [ThreadPoolExecutor(1, thread_name_prefix="widesr") for _ in range(3)]
        stack.callback(_end, stages, stop)
        reading, making, writing = stages
        under_way: deque[tuple[int, Future[Result]]] = deque()
        for item in items:
            weight = weigh(item)
            while under_way and (
                len(under_way) == MOST or weight + sum(each for each, _ in under_way) > budget
            ):
                yield under_way.popleft()[1].result()
            was_read = reading.submit(read, item)
            was_made = making.submit(_after, was_read, make, stop)
            under_way.append((weight, writing.submit(_after, was_made, write, stop)))
            del was_read, was_made  # otherwise they would hold a picture longer than its stages do
        while under_way:
            yield under_way.popleft()[1].result()


def in_threads(
    items: Iterable[Item], make: Callable[[Item], Made], *, threads: int, waiting: int = 1
) -> Generator[Made]:
    """Make several items at once, each in a thread.

    Closing the generator waits for the items that are being made; no thread stays behind.

    Args:
        items: The items, in order.
        make: Function that makes an item's result.
        threads: The number of items that are made at once.
        waiting: The largest number of items that wait to be started. With as many as threads, no
            thread is idle while the caller is busy with a result.

    Yields:
        The result of each item, in order, as soon as it is ready.

    Raises:
        Exception: Any exception that `make` raises.
    """
    with ExitStack() as stack:
        makers = ThreadPoolExecutor(threads, thread_name_prefix="widesr")
        stack.callback(makers.shutdown, cancel_futures=True)
        under_way: deque[Future[Made]] = deque()
        for item in items:
            under_way.append(makers.submit(make, item))
            if len(under_way) >= threads + waiting:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def ahead(items: Iterable[Item]) -> Generator[Item]:
    """Make each item while the one before it is in use; one thread makes all of them.

    Closing the generator waits for the item that is being made.

    Raises:
        Exception: Any exception from the making of an item, raised when its turn comes.
    """
    each, end = iter(items), object()
    with ThreadPoolExecutor(1, thread_name_prefix="widesr") as maker:
        coming = maker.submit(next, each, end)
        while (item := coming.result()) is not end:
            coming = maker.submit(next, each, end)
            yield cast("Item", item)
            del item  # otherwise it would be held while the next one is awaited


def _after(before: Future[Given], stage: Callable[[Given], Taken], stop: threading.Event) -> Taken:
    given = before.result()
    if stop.is_set():
        raise CancelledError
    return stage(given)


def _end(stages: list[ThreadPoolExecutor], stop: threading.Event) -> None:
    stop.set()
    for stage in stages:
        stage.shutdown(wait=False, cancel_futures=True)
    for stage in stages:
        stage.shutdown()
