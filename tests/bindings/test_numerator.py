"""Numerators from Python."""

import pytest
from conftest import count_errors, describe

from glean_py.metrics import NumeratorMetricType, Rate


def test_a_numerator_is_a_rate_without_a_denominator(running):
    metric = NumeratorMetricType(describe())
    assert metric.test_get_value() is None
    metric.add_to_numerator(0)
    metric.add_to_numerator(5)
    assert metric.test_get_value() == Rate(numerator=5, denominator=0)


def test_a_negative_amount_is_an_error_and_changes_nothing(running):
    metric = NumeratorMetricType(describe())
    metric.add_to_numerator(-1)
    assert metric.test_get_value() is None
    assert count_errors(metric) == {"INVALID_VALUE": 1}


@pytest.mark.parametrize("amount, error", [("1", TypeError), (-(2**31) - 1, ValueError)])
def test_an_amount_has_to_be_an_integer_of_32_bits(running, amount, error):
    with pytest.raises(error):
        NumeratorMetricType(describe()).add_to_numerator(amount)
