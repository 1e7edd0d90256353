"""Custom distributions from Python."""

import pytest
from conftest import count_errors, describe

from glean_py.metrics import CustomDistributionMetricType, DistributionData, HistogramType


def make(low=3, high=77, buckets=9, kind=HistogramType.LINEAR):
    return CustomDistributionMetricType(describe(), low, high, buckets, kind)


def test_linear_buckets_have_equal_widths(running):
    metric = make()
    metric.accumulate_samples([0, 2, 3, 12, 13, 76, 77, 78, 10**9])
    assert metric.test_get_value().values == {0: 2, 3: 2, 13: 1, 66: 1, 77: 3}


def test_exponential_buckets_grow(running):
    metric = make(3, 2500, 13, HistogramType.EXPONENTIAL)
    metric.accumulate_samples([0, 3, 6, 11, 20, 37, 68, 124, 226, 412, 751, 1370, 2500])
    assert sorted(metric.test_get_value().values) == [0, 3, 6, 11, 20, 37, 68, 124, 226, 412, 751, 1370, 2500]


def test_one_sample_can_be_counted(running):
    metric = make()
    metric.accumulate_single_sample(5)
    assert metric.test_get_value() == DistributionData(values={3: 1}, sum=5, count=1)


def test_negative_samples_are_left_out_and_counted_per_call(running):
    metric = make()
    metric.accumulate_samples([-1, 5, -2])
    metric.accumulate_single_sample(-1)
    assert metric.test_get_value().count == 1
    assert count_errors(metric) == {"INVALID_VALUE": 3}


@pytest.mark.parametrize("buckets", [-1, 0, 1, 2])
def test_a_number_of_buckets_that_makes_no_sense_crashes_nothing(running, buckets):
    metric = make(buckets=buckets)
    metric.accumulate_samples([1, 50, 100])
    metric.test_get_value()


@pytest.mark.parametrize("sample, error", [(1.0, TypeError), ("1", TypeError), (2**63, ValueError)])
def test_a_sample_has_to_be_an_integer_of_64_bits(running, sample, error):
    metric = make()
    with pytest.raises(error):
        metric.accumulate_single_sample(sample)
    with pytest.raises(error):
        metric.accumulate_samples([sample])


@pytest.mark.parametrize("bound, error", [("1", TypeError), (1.0, TypeError), (2**63, ValueError)])
def test_a_bound_has_to_be_an_integer_of_64_bits(running, bound, error):
    for name in ("low", "high", "buckets"):
        with pytest.raises(error):
            make(**{name: bound})


def test_a_kind_that_there_is_not_is_a_value_error(running):
    with pytest.raises(ValueError, match="HistogramType"):
        make(kind="exponential")
