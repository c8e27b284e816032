"""The arithmetic of a forecast, against what can be known beforehand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from widesr.bulk.forecast import Costs, Weather, plan

ONE_SECOND = Costs(pictures=(1.0,))


@pytest.mark.parametrize("workers", [1, 4, 100])
def test_where_nothing_goes_wrong_the_work_is_shared_out_evenly(workers):
    made = plan(64 * workers * 5, workers=workers, costs=ONE_SECOND)
    assert made.hours == pytest.approx(64 * 5 / 3600)
    assert made.core_hours == pytest.approx(64 * 5 * workers / 3600)
    assert (made.lost, made.losses) == (0, 0)


def test_each_batch_and_each_start_has_its_price():
    costs = Costs(pictures=(1.0,), batch=6.0, start=20.0)
    assert plan(640, workers=2, costs=costs).hours == pytest.approx((20 + 5 * 70) / 3600)


def test_slow_workers_take_less_of_the_work():
    batches = 64 * 400 * 50
    slow = plan(batches, workers=400, costs=ONE_SECOND, weather=Weather(slow=0.5))
    even = plan(batches, workers=400, costs=ONE_SECOND)
    # Half of them at half the speed: two thirds of the work are done by the fast ones.
    assert slow.hours == pytest.approx(even.hours * 4 / 3, rel=0.08)


def test_lost_workers_cost_what_they_were_at():
    calm = plan(64 * 500, workers=10, costs=ONE_SECOND)
    weather = Weather(losses_per_hour=6.0, noticed=30.0)
    rough = plan(64 * 500, workers=10, costs=ONE_SECOND, weather=weather)
    # On average half of a batch of 64 s is lost, and 30 s until the loss is noticed.
    assert rough.losses == pytest.approx(6 * rough.core_hours, rel=0.4)
    assert rough.lost * 3600 / rough.losses == pytest.approx(32 + 30, rel=0.3)
    assert rough.core_hours > calm.core_hours


@given(
    st.integers(1, 2_000),
    st.integers(1, 40),
    st.floats(0, 2),
    st.floats(0, 1),
    st.integers(0, 5),
)
def test_no_run_takes_less_than_its_work(pictures, workers, losses, slow, seed):
    weather = Weather(losses_per_hour=losses, slow=slow)
    made = plan(pictures, workers=workers, costs=ONE_SECOND, weather=weather, seed=seed)
    work = pictures / 3600
    assert made.core_hours >= work * 0.999
    assert made.hours == pytest.approx(made.core_hours / workers)
    assert 0 <= made.tail <= made.hours
    again = plan(pictures, workers=workers, costs=ONE_SECOND, weather=weather, seed=seed)
    assert again == made
