"""Booleans from Python."""

import pytest
from conftest import describe

from glean_py.metrics import BooleanMetricType


@pytest.mark.parametrize("value, stored", [(True, True), (False, False), (0, False), ("text", True), ([], False)])
def test_what_counts_as_true_is_stored_as_true(ping, value, stored):
    metric = BooleanMetricType(describe())
    assert metric.test_get_value() is None
    metric.set(value)
    assert metric.test_get_value() is stored
