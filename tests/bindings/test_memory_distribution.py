"""Memory distributions from Python."""

import pytest
from conftest import count_errors, describe

from glean_py.metrics import DistributionData, MemoryDistributionMetricType, MemoryUnit


def make(unit=MemoryUnit.BYTE, **changes):
    return MemoryDistributionMetricType(describe(**changes), unit)


def test_samples_are_counted_in_buckets_of_bytes(running):
    metric = make()
    metric.accumulate_samples([0, 50, 777, 4096, 65535, 10**6])
    data = metric.test_get_value()
    assert data.values == {0: 1, 49: 1, 756: 1, 4095: 1, 65535: 1, 961548: 1}
    assert (data.sum, data.count) == (50 + 777 + 4096 + 65535 + 10**6, 6)


@pytest.mark.parametrize("unit, shift", [(unit, 10 * number) for number, unit in enumerate(MemoryUnit)])
def test_samples_have_the_unit_of_the_metric(running, unit, shift):
    metric = make(unit)
    metric.accumulate(3)
    assert metric.test_get_value().sum == 3 << shift


def test_a_negative_sample_is_an_error(running):
    metric = make()
    metric.accumulate(-1)
    metric.accumulate_samples([-1, 5, -2])
    assert metric.test_get_value().count == 1
    assert count_errors(metric) == {"INVALID_VALUE": 3}


def test_more_than_a_terabyte_counts_as_a_terabyte(running):
    metric = make(MemoryUnit.GIGABYTE)
    metric.accumulate(2**63 - 1)
    assert metric.test_get_value() == DistributionData(values={1099511627775: 1}, sum=2**40, count=1)
    assert count_errors(metric) == {"INVALID_VALUE": 1}


@pytest.mark.parametrize("sample, error", [(1.0, TypeError), (None, TypeError), (2**63, ValueError)])
def test_a_sample_has_to_be_an_integer_of_64_bits(running, sample, error):
    metric = make()
    with pytest.raises(error):
        metric.accumulate(sample)
    with pytest.raises(error):
        metric.accumulate_samples([sample])
    assert metric.test_get_value() is None


def test_a_unit_that_there_is_not_is_a_value_error(running):
    with pytest.raises(ValueError, match="MemoryUnit"):
        make("byte")
