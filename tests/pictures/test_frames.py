"""The new part of a frame, and durations in whole ticks."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from widesr.pictures.animate import changes, ticks


@given(
    durations=st.lists(st.fractions(0, 3, max_denominator=240), max_size=40),
    per_second=st.sampled_from([100, 1000]),
)
def test_ticks_add_up_to_the_durations(durations, per_second):
    whole = list(ticks(durations, per_second=per_second, most=65535))
    assert len(whole) == len(durations)
    for tick, exact in zip(whole, (duration * per_second for duration in durations), strict=True):
        assert (tick == 0) <= (exact < 1)
        assert abs(tick - exact) < 2
    if all(duration * per_second >= 2 for duration in durations):
        assert abs(sum(whole) - sum(durations) * per_second) <= 1


def test_a_fast_animation_is_not_slowed_to_a_tenth_of_a_second_a_frame():
    # Programs show frames of less than 2/100 s for 10/100.
    assert set(ticks([Fraction(1, 60)] * 30, per_second=100, most=65535, least=2)) == {2}
    assert list(ticks([Fraction(1, 100), Fraction(0)], per_second=100, most=9, least=2)) == [1, 0]


@given(
    seed=st.integers(0, 99),
    n=st.integers(1, 5),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    even=st.booleans(),
)
def test_changes_make_the_frames_again(seed, n, size, even):
    generator = np.random.default_rng(seed)
    frames = [generator.integers(0, 2, (*size, 3), np.uint8) for _ in range(n)]
    for frame in frames[1:]:
        frame[generator.integers(0, size[0]) :] = frames[0][0, 0]
    canvas = np.zeros_like(frames[0])
    for frame, part in zip(frames, changes(frames, even=even), strict=True):
        height, width, _ = part.pixels.shape
        canvas[part.y : part.y + height, part.x : part.x + width] = part.pixels
        np.testing.assert_array_equal(canvas, frame)
        assert not even or (part.x % 2, part.y % 2) == (0, 0)
