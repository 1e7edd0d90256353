"""Rates from Python."""

import pytest
from conftest import count_errors, describe

from glean_py.metrics import Rate, RateMetricType


def test_both_parts_add_up(running):
    metric = RateMetricType(describe())
    assert metric.test_get_value() is None
    metric.add_to_numerator(1)
    assert metric.test_get_value() == Rate(numerator=1, denominator=0)
    metric.add_to_denominator(3)
    metric.add_to_numerator(1)
    assert metric.test_get_value() == Rate(numerator=2, denominator=3)


def test_zero_makes_a_rate(running):
    metric = RateMetricType(describe())
    metric.add_to_denominator(0)
    assert metric.test_get_value() == Rate(numerator=0, denominator=0)
    assert count_errors(metric) == {}


def test_a_negative_amount_is_an_error_and_changes_nothing(running):
    metric = RateMetricType(describe())
    metric.add_to_numerator(-1)
    metric.add_to_denominator(-1)
    assert metric.test_get_value() is None
    assert count_errors(metric) == {"INVALID_VALUE": 2}


def test_both_parts_stay_at_the_highest_number(running):
    metric = RateMetricType(describe())
    for _ in range(2):
        metric.add_to_numerator(2**31 - 1)
        metric.add_to_denominator(2**31 - 1)
    assert metric.test_get_value() == Rate(numerator=2**31 - 1, denominator=2**31 - 1)


@pytest.mark.parametrize("amount, error", [(1.0, TypeError), (None, TypeError), (2**31, ValueError)])
def test_an_amount_has_to_be_an_integer_of_32_bits(running, amount, error):
    metric = RateMetricType(describe())
    with pytest.raises(error):
        metric.add_to_numerator(amount)
    with pytest.raises(error):
        metric.add_to_denominator(amount)
    assert metric.test_get_value() is None
