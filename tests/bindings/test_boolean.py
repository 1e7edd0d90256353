"""Booleans from Python."""

import pytest
from conftest import describe

from glean_py.metrics import BooleanMetricType


@pytest.mark.parametrize(
    "value, stored", [(True, True), (False, False), (0, False), ("text", True), ([], False), (2**70, True)]
)
def test_what_counts_as_true_is_stored_as_true(running, value, stored):
    metric = BooleanMetricType(describe())
    assert metric.test_get_value() is None
    metric.set(value)
    assert metric.test_get_value() is stored


def test_the_last_boolean_wins(running):
    metric = BooleanMetricType(describe())
    metric.set(True)
    metric.set(False)
    assert metric.test_get_value() is False


def test_what_an_object_raises_when_asked_for_its_truth_is_raised(running):
    class Undecided:
        def __bool__(self):
            raise KeyError("undecided")

    with pytest.raises(KeyError):
        BooleanMetricType(describe()).set(Undecided())  # type: ignore[arg-type]


def test_a_disabled_boolean_stays_empty(running):
    metric = BooleanMetricType(describe(disabled=True))
    metric.set(True)
    assert metric.test_get_value() is None
