"""Timing distributions from Python."""

import time

import pytest
from conftest import count_errors, describe

from glean_py.metrics import DistributionData, TimerId, TimeUnit, TimingDistributionMetricType


def make(unit=TimeUnit.NANOSECOND, **changes):
    return TimingDistributionMetricType(describe(**changes), unit)


def test_timers_run_side_by_side(running):
    metric = make()
    first, second = metric.start(), metric.start()
    assert first != second
    metric.stop_and_accumulate(second)
    metric.stop_and_accumulate(first)
    data = metric.test_get_value()
    assert data.count == 2
    assert data.sum > 0
    assert sum(data.values.values()) == 2


def test_ids_begin_with_one_for_each_metric(running):
    assert make().start() == TimerId(id=1)
    metric = make()
    assert [metric.start().id, metric.start().id] == [1, 2]


def test_an_unknown_timer_is_an_error_when_stopped_but_not_when_cancelled(running):
    metric = make()
    timer = metric.start()
    metric.cancel(timer)
    metric.cancel(timer)
    assert count_errors(metric) == {}
    metric.stop_and_accumulate(timer)
    metric.stop_and_accumulate(TimerId(id=99))
    assert metric.test_get_value() is None
    assert count_errors(metric) == {"INVALID_STATE": 2}


@pytest.mark.parametrize("timer", [None, 5, "x"])
def test_what_is_no_timer_is_an_attribute_error(running, timer):
    metric = make()
    with pytest.raises(AttributeError):
        metric.stop_and_accumulate(timer)
    with pytest.raises(AttributeError):
        metric.cancel(timer)


@pytest.mark.parametrize("number, error", [(-1, ValueError), (2**64, ValueError), ("1", TypeError)])
def test_a_timer_with_an_impossible_id_is_refused(running, number, error):
    metric = make()
    with pytest.raises(error):
        metric.stop_and_accumulate(TimerId(id=number))
    with pytest.raises(error):
        metric.cancel(TimerId(id=number))


def test_samples_are_counted_in_buckets_of_nanoseconds(running):
    metric = make()
    metric.accumulate_samples([1, 7, 50, 99, 777, 4096, 65535, 10**6, 123456789])
    data = metric.test_get_value()
    assert data.count == 9
    assert data.sum == 1 + 7 + 50 + 99 + 777 + 4096 + 65535 + 10**6 + 123456789
    assert data.values == {bound: 1 for bound in (1, 7, 49, 98, 724, 4096, 60096, 961548, 123078199)}


def test_samples_have_the_unit_of_the_metric(running):
    metric = make(TimeUnit.MILLISECOND)
    metric.accumulate_single_sample(1)
    metric.accumulate_single_sample(0)
    assert metric.test_get_value() == DistributionData(values={961548: 2}, sum=2_000_000, count=2)


def test_negative_samples_are_left_out_and_counted_per_call(running):
    metric = make()
    metric.accumulate_samples([-1, 5, -2])
    assert metric.test_get_value().count == 1
    assert count_errors(metric) == {"INVALID_VALUE": 2}


def test_oversized_samples_count_as_the_maximum(running):
    metric = make()
    metric.accumulate_samples([600 * 10**9 + 1, 5, 2**62])
    assert metric.test_get_value().sum == 2 * 600 * 10**9 + 5
    assert count_errors(metric) == {"INVALID_OVERFLOW": 2}


@pytest.mark.parametrize("samples", [(1, 2), {1, 2}, range(1, 3), b"\x01\x02", {1: 0, 2: 0}, [True, 2]])
def test_any_collection_of_integers_will_do(running, samples):
    metric = make()
    metric.accumulate_samples(samples)
    assert metric.test_get_value().sum == 3


@pytest.mark.parametrize("samples", [None, 5, "12", [1.0], [None], ["1"], iter([1])])
def test_what_is_no_collection_of_integers_is_a_type_error(running, samples):
    metric = make()
    with pytest.raises(TypeError):
        metric.accumulate_samples(samples)
    assert metric.test_get_value() is None


def test_a_sample_beyond_64_bits_is_a_value_error(running):
    metric = make()
    with pytest.raises(ValueError, match="i64"):
        metric.accumulate_samples([1, 2**63])
    with pytest.raises(ValueError, match="i64"):
        metric.accumulate_single_sample(2**63)
    with pytest.raises(TypeError):
        metric.accumulate_single_sample(1.0)
    assert metric.test_get_value() is None


def test_a_block_can_be_measured(running):
    metric = make()
    with metric.measure() as nothing:
        time.sleep(0.002)
    assert nothing is None
    assert metric.test_get_value().sum >= 1_000_000


def test_a_block_that_raises_is_not_measured(running):
    metric = make()
    with pytest.raises(ValueError), metric.measure():
        int("out of here")
    assert metric.test_get_value() is None
    assert count_errors(metric) == {}


def test_a_disabled_distribution_stays_empty(running):
    metric = make(disabled=True)
    metric.stop_and_accumulate(metric.start())
    metric.accumulate_samples([-1, 1])
    assert metric.test_get_value() is None
    assert count_errors(metric) == {}
