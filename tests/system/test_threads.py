"""Work that overlaps, in order, in bounds, and with an end."""

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from widesr.system.threads import MOST, in_threads, overlapped

WAIT_S = 250
"""Only a defect takes as long."""


def same(item):
    return item


def run(items, *, read=same, make=same, write=same, weigh=lambda _: 0, budget=0, stop=None):
    return overlapped(
        items,
        read=read,
        make=make,
        write=write,
        weigh=weigh,
        budget=budget,
        stop=stop or threading.Event(),
    )


def test_the_next_is_read_while_one_is_made_and_the_one_before_is_written():
    begun = {(stage, n): threading.Event() for stage in ("read", "make") for n in range(3)}

    def read(n):
        begun["read", n].set()
        return n

    def make(n):
        begun["make", n].set()
        assert n == 2 or begun["read", n + 1].wait(WAIT_S)
        return n

    def write(n):
        assert n == 2 or begun["make", n + 1].wait(WAIT_S)
        return n

    assert list(run(range(3), read=read, make=make, write=write)) == [0, 1, 2]


def test_a_result_comes_as_soon_as_it_is_there():
    seen = threading.Event()

    def make(n):
        assert n == 0 or seen.wait(WAIT_S)
        return n

    results = run(range(9), make=make)
    assert next(results) == 0
    seen.set()
    assert list(results) == list(range(1, 9))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 7), max_size=30), st.integers(0, 12))
def test_what_is_under_way_stays_within_the_budget_or_goes_alone(weights, budget):
    under_way: list[int] = []

    def items() -> Iterator[tuple[int, int]]:
        yield from enumerate(weights)

    def read(item):
        under_way.append(item[1])
        assert len(under_way) <= MOST
        assert len(under_way) == 1 or sum(under_way) <= budget
        return item

    def write(item):
        under_way.remove(item[1])
        return item

    results = list(run(items(), read=read, write=write, weigh=lambda item: item[1], budget=budget))
    assert results == list(enumerate(weights))
    assert not under_way


def test_what_a_stage_raises_comes_out_and_ends_it(new_threads):
    def make(n):
        if n == 2:
            raise ZeroDivisionError
        return n

    results = run(range(9), make=make)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not new_threads()


def test_an_early_end_waits_for_what_is_at_work_and_begins_no_more(new_threads):
    stop, at_work, log = threading.Event(), threading.Event(), []

    def make(n):
        if n == 1:
            at_work.set()
            assert stop.wait(WAIT_S)
        log.append(n)
        return n

    results = run(range(9), make=make, write=lambda n: log.append(f"written {n}"), stop=stop)
    next(results)
    assert at_work.wait(WAIT_S)
    results.close()
    assert log == [0, "written 0", 1]
    assert not new_threads()


def test_no_items_are_no_work(new_threads):
    assert list(run([])) == []
    assert not new_threads()


@given(st.lists(st.integers()), st.integers(1, 5))
def test_items_made_in_threads_come_in_order(items, n):
    assert list(in_threads(items, lambda item: item + 1, threads=n)) == [i + 1 for i in items]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_as_many_are_made_at_once_as_there_are_threads_and_one_more_waits(n):
    all_at_once, taken = threading.Barrier(n, timeout=WAIT_S), []

    def items() -> Iterator[int]:
        for i in range(3 * n):
            taken.append(i)
            yield i

    def make(item):
        all_at_once.wait()  # comes through only if n are here
        return item

    for i, item in enumerate(in_threads(items(), make, threads=n)):
        assert item == i
        assert len(taken) <= i + n + 1
    assert len(taken) == 3 * n


def test_what_a_thread_raises_comes_in_its_turn_and_no_thread_stays(new_threads):
    def make(item):
        if item == 3:
            raise ValueError("the fourth")
        return item

    results = in_threads(range(100), make, threads=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the fourth"):
        next(results)
    assert not new_threads()


def test_threads_that_are_at_work_are_waited_for_when_no_more_is_wanted(new_threads):
    begun, made, at_work, goes_on = [], [], threading.Event(), threading.Event()

    def make(item):
        begun.append(item)
        if item:
            at_work.set()
            assert goes_on.wait(WAIT_S)
        made.append(item)
        return item

    results = in_threads(range(100), make, threads=2)
    assert next(results) == 0
    assert at_work.wait(WAIT_S)
    later = threading.Timer(0.2, goes_on.set)
    later.start()
    results.close()
    assert sorted(begun) == sorted(made)
    assert 1 < len(made) < 5
    later.join()
    assert not new_threads()
