"""Timespans from Python."""

import time

import pytest
from conftest import count_errors, describe

from glean_py.metrics import TimespanMetricType, TimeUnit


def make(unit=TimeUnit.NANOSECOND, **changes):
    return TimespanMetricType(describe(**changes), unit)


def test_the_time_between_start_and_stop_is_stored(running):
    metric = make(TimeUnit.MILLISECOND)
    metric.start()
    time.sleep(0.005)
    metric.stop()
    assert 4 <= metric.test_get_value() < 60_000
    assert count_errors(metric) == {}


def test_the_first_value_stays(running):
    metric = make()
    metric.set_raw_nanos(5)
    metric.set_raw_nanos(6)
    metric.start()
    metric.stop()
    assert metric.test_get_value() == 5
    assert count_errors(metric) == {"INVALID_STATE": 2}


def test_a_second_start_is_an_error_and_the_clock_goes_on(running):
    metric = make()
    metric.start()
    time.sleep(0.005)
    metric.start()
    metric.stop()
    assert metric.test_get_value() >= 4_000_000
    assert count_errors(metric) == {"INVALID_STATE": 1}


def test_a_stop_without_a_start_is_an_error(running):
    metric = make()
    metric.stop()
    assert metric.test_get_value() is None
    assert count_errors(metric) == {"INVALID_STATE": 1}


def test_a_cancelled_clock_stores_nothing(running):
    metric = make()
    metric.cancel()
    metric.start()
    metric.cancel()
    assert metric.test_get_value() is None
    assert count_errors(metric) == {}
    metric.start()
    metric.stop()
    assert metric.test_get_value() is not None


def test_a_raw_value_does_not_interfere_with_a_running_clock(running):
    metric = make()
    metric.start()
    metric.set_raw_nanos(5)
    metric.stop()
    assert metric.test_get_value() != 5
    assert count_errors(metric) == {"INVALID_STATE": 1}


@pytest.mark.parametrize(
    "unit, stored",
    [
        (TimeUnit.NANOSECOND, 93_784_000_000_999),
        (TimeUnit.MICROSECOND, 93_784_000_000),
        (TimeUnit.MILLISECOND, 93_784_000),
        (TimeUnit.SECOND, 93_784),
        (TimeUnit.MINUTE, 1563),
        (TimeUnit.HOUR, 26),
        (TimeUnit.DAY, 1),
    ],
)
def test_a_value_is_told_in_whole_units(running, unit, stored):
    metric = make(unit)
    metric.set_raw_nanos(93_784_000_000_999)
    assert metric.test_get_value() == stored


def test_a_negative_raw_value_counts_as_zero(running):
    metric = make()
    metric.set_raw_nanos(-5)
    assert metric.test_get_value() == 0


@pytest.mark.parametrize("value, error", [(None, TypeError), (1.0, TypeError), ("1", TypeError), (2**63, ValueError)])
def test_a_raw_value_has_to_be_an_integer_of_64_bits(running, value, error):
    with pytest.raises(error):
        make().set_raw_nanos(value)


def test_a_block_can_be_measured(running):
    metric = make()
    with metric.measure() as nothing:
        time.sleep(0.002)
    assert nothing is None
    assert metric.test_get_value() >= 1_000_000


def test_a_block_that_raises_is_not_measured(running):
    metric = make()
    with pytest.raises(ValueError), metric.measure():
        int("out of here")
    assert metric.test_get_value() is None
    assert count_errors(metric) == {}


def test_a_unit_that_there_is_not_is_a_value_error(running):
    with pytest.raises(ValueError, match="TimeUnit"):
        make(2)


def test_a_disabled_timespan_stays_empty(running):
    metric = make(disabled=True)
    metric.stop()
    metric.set_raw_nanos(7)
    assert metric.test_get_value() is None
    assert count_errors(metric) == {}
