"""UUIDs from Python."""

import uuid

import pytest
from conftest import count_errors, describe

from glean_py.metrics import UuidMetricType

SEVEN = uuid.UUID(int=7)


def test_a_generated_uuid_comes_back(running):
    metric = UuidMetricType(describe())
    value = metric.generate_and_set()
    assert value.version == 4
    assert metric.test_get_value() == value


@pytest.mark.parametrize("given", [SEVEN, str(SEVEN), "{" + str(SEVEN).upper() + "}", SEVEN.hex, SEVEN.urn])
def test_a_uuid_may_be_given_in_many_ways(running, given):
    metric = UuidMetricType(describe())
    metric.set(given)
    assert metric.test_get_value() == SEVEN


@pytest.mark.parametrize("given", ["not a uuid", "", None, 7, b"x"])
def test_anything_else_is_an_error_and_changes_nothing(running, given):
    metric = UuidMetricType(describe())
    metric.set(given)
    assert metric.test_get_value() is None
    assert count_errors(metric) == {"INVALID_VALUE": 1}


def test_a_lone_surrogate_is_an_encode_error(running):
    with pytest.raises(UnicodeEncodeError):
        UuidMetricType(describe()).set("\ud800")


def test_the_getter_honours_its_ping(running):
    metric = UuidMetricType(describe())
    metric.generate_and_set()
    assert metric.test_get_value("other") is None


def test_a_disabled_uuid_is_generated_but_not_stored(running):
    metric = UuidMetricType(describe(disabled=True))
    assert metric.generate_and_set().version == 4
    assert metric.test_get_value() is None
