"""Counters from Python."""

import pytest
from conftest import describe

from glean_py.metrics import CounterMetricType
from glean_py.testing import ErrorType


def test_a_count_adds_up(ping):
    counter = CounterMetricType(describe())
    assert counter.test_get_value() is None
    counter.add()
    counter.add(41)
    assert counter.test_get_value() == 42
    assert counter.test_get_value("custom") == 42
    assert counter.test_get_value("other") is None


def test_a_negative_amount_is_an_error_and_changes_nothing(ping):
    counter = CounterMetricType(describe())
    counter.add(-1)
    assert counter.test_get_value() is None
    assert counter.test_get_num_recorded_errors(ErrorType.INVALID_VALUE) == 1
    assert counter.test_get_num_recorded_errors(ErrorType.INVALID_STATE) == 0


@pytest.mark.parametrize("amount", ["1", 1.0, None, b"1"])
def test_an_amount_that_is_no_integer_is_a_type_error(ping, amount):
    with pytest.raises(TypeError):
        CounterMetricType(describe()).add(amount)


@pytest.mark.parametrize("amount", [2**31, -(2**31) - 1, 2**70])
def test_an_amount_beyond_32_bits_is_a_value_error(ping, amount):
    counter = CounterMetricType(describe())
    with pytest.raises(ValueError):
        counter.add(amount)
    assert counter.test_get_value() is None


def test_a_disabled_counter_stays_empty(ping):
    counter = CounterMetricType(describe(disabled=True))
    counter.add(1)
    counter.add(-1)
    assert counter.test_get_value() is None
    assert counter.test_get_num_recorded_errors(ErrorType.INVALID_VALUE) == 0


def test_a_counter_without_pings_has_no_value(ping):
    counter = CounterMetricType(describe(pings=[]))
    counter.add(1)
    assert counter.test_get_value() is None


def test_threads_lose_no_count(ping):
    import threading

    counter = CounterMetricType(describe())

    def count():
        for _ in range(500):
            counter.add()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.test_get_value() == 2000
