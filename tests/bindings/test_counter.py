"""Counters from Python."""

import threading
from decimal import Decimal

import pytest
from conftest import count_errors, describe

from glean_py.metrics import CounterMetricType
from glean_py.testing import ErrorType


class Seven:
    """An integer for those who ask for one."""

    def __index__(self):
        return 7


def test_a_count_adds_up(running):
    counter = CounterMetricType(describe())
    assert counter.test_get_value() is None
    counter.add()
    counter.add(41)
    assert counter.test_get_value() == 42
    assert counter.test_get_value("custom") == 42
    assert counter.test_get_value("other") is None


def test_a_count_goes_into_every_ping_of_the_metric(running):
    counter = CounterMetricType(describe(pings=["custom", "other"]))
    counter.add(3)
    assert counter.test_get_value("custom") == 3
    assert counter.test_get_value("other") == 3


def test_a_negative_amount_is_an_error_and_changes_nothing(running):
    counter = CounterMetricType(describe())
    counter.add(-1)
    assert counter.test_get_value() is None
    assert counter.test_get_num_recorded_errors(ErrorType.INVALID_VALUE) == 1
    assert counter.test_get_num_recorded_errors(ErrorType.INVALID_STATE) == 0


def test_zero_is_ignored(running):
    counter = CounterMetricType(describe())
    counter.add(0)
    assert counter.test_get_value() is None
    assert count_errors(counter) == {}


def test_a_count_stays_at_the_highest_number(running):
    counter = CounterMetricType(describe())
    counter.add(2**31 - 1)
    counter.add(2)
    assert counter.test_get_value() == 2**31 - 1


@pytest.mark.parametrize("amount", ["1", 1.0, None, b"1", Decimal(1), 1j])
def test_an_amount_that_is_no_integer_is_a_type_error(running, amount):
    counter = CounterMetricType(describe())
    with pytest.raises(TypeError):
        counter.add(amount)
    assert counter.test_get_value() is None


@pytest.mark.parametrize("amount, stored", [(True, 1), (Seven(), 7)])
def test_what_can_be_used_as_an_integer_counts_as_one(running, amount, stored):
    counter = CounterMetricType(describe())
    counter.add(amount)
    assert counter.test_get_value() == stored


@pytest.mark.parametrize("amount", [2**31, -(2**31) - 1, 2**63, 2**70])
def test_an_amount_beyond_32_bits_is_a_value_error(running, amount):
    counter = CounterMetricType(describe())
    with pytest.raises(ValueError, match="i32"):
        counter.add(amount)
    assert counter.test_get_value() is None


def test_a_disabled_counter_stays_empty(running):
    counter = CounterMetricType(describe(disabled=True))
    counter.add(1)
    counter.add(-1)
    assert counter.test_get_value() is None
    assert count_errors(counter) == {}


def test_a_counter_without_pings_has_no_value(running):
    counter = CounterMetricType(describe(pings=[]))
    counter.add(1)
    assert counter.test_get_value() is None


def test_a_kind_of_error_that_there_is_not_is_a_value_error(running):
    with pytest.raises(ValueError):
        CounterMetricType(describe()).test_get_num_recorded_errors(0)  # type: ignore[arg-type]


def test_threads_lose_no_count(running):
    counter = CounterMetricType(describe())

    def count():
        for _ in range(500):
            counter.add()

    threads = [threading.Thread(target=count) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.test_get_value() == 8000
