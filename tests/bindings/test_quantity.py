"""Quantities from Python."""

import pytest
from conftest import count_errors, describe

from glean_py.metrics import QuantityMetricType


def test_the_last_quantity_wins(running):
    metric = QuantityMetricType(describe())
    assert metric.test_get_value() is None
    metric.set(2**63 - 1)
    assert metric.test_get_value() == 2**63 - 1
    metric.set(0)
    assert metric.test_get_value() == 0


def test_a_negative_quantity_is_an_error_and_changes_nothing(running):
    metric = QuantityMetricType(describe())
    metric.set(5)
    metric.set(-1)
    assert metric.test_get_value() == 5
    assert count_errors(metric) == {"INVALID_VALUE": 1}


@pytest.mark.parametrize("value", ["1", 1.5, None])
def test_a_quantity_that_is_no_integer_is_a_type_error(running, value):
    with pytest.raises(TypeError):
        QuantityMetricType(describe()).set(value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_a_quantity_beyond_64_bits_is_a_value_error(running, value):
    with pytest.raises(ValueError, match="i64"):
        QuantityMetricType(describe()).set(value)
