"""The one way in which values of the Python API are checked."""

from fractions import Fraction

import numpy as np
import pytest

from facts import refused
from widesr.system.arguments import check_flag, path_of, real_number, shown, whole_number

NO_WHOLE_NUMBERS = [True, np.True_, 2.0, np.float64(2), "2", b"2", None, [2], np.array([2]),
                    Fraction(2), float("nan")]  # fmt: skip


@pytest.mark.parametrize("value", [2, np.int8(2), np.uint64(2)])
def test_a_whole_number_of_any_kind_becomes_an_int(value):
    number = whole_number(value, "a side", least=1)
    assert (number, type(number)) == (2, int)


@pytest.mark.parametrize("value", [*NO_WHOLE_NUMBERS, 0, -1, 10])
def test_what_is_no_whole_number_in_range_is_refused(value):
    with refused("usage", "a side"):
        whole_number(value, "a side", least=1, most=9)


@pytest.mark.parametrize(
    "value", [True, "1", None, [1.0], float("inf"), float("nan"), -0.5, 10**400]
)
def test_what_is_no_finite_number_in_range_is_refused(value):
    with refused("usage", "a strength"):
        real_number(value, "a strength", least=0)


def test_a_number_of_any_kind_becomes_a_float():
    assert [real_number(each, "") for each in (1, np.float32(0.5), Fraction(1, 4))] == [
        1,
        0.5,
        0.25,
    ]


def test_text_is_neither_true_nor_false():
    check_flag(np.True_, "x")
    with refused("usage", "self_ensemble"):
        check_flag("no", "self_ensemble")


def test_no_path_is_refused():
    with refused("usage", "hr_dir"):
        path_of(3, "hr_dir")


def test_any_value_is_shown_in_one_short_line():
    text = shown(np.zeros((99, 99)))
    assert "\n" not in text
    assert len(text) < 60
