"""UUIDs from Python."""

import uuid

import pytest
from conftest import describe

from glean_py.metrics import UuidMetricType
from glean_py.testing import ErrorType


def test_a_generated_uuid_comes_back(ping):
    metric = UuidMetricType(describe())
    value = metric.generate_and_set()
    assert value.version == 4
    assert metric.test_get_value() == value


@pytest.mark.parametrize("given", [uuid.UUID(int=7), str(uuid.UUID(int=7)), "{" + str(uuid.UUID(int=7)).upper() + "}"])
def test_a_uuid_may_be_given_in_many_ways(ping, given):
    metric = UuidMetricType(describe())
    metric.set(given)
    assert metric.test_get_value() == uuid.UUID(int=7)


def test_another_text_is_an_error_and_changes_nothing(ping):
    metric = UuidMetricType(describe())
    metric.set("not a uuid")
    assert metric.test_get_value() is None
    assert metric.test_get_num_recorded_errors(ErrorType.INVALID_VALUE) == 1


@pytest.mark.parametrize("value", [None, 7, b"x"])
def test_what_is_neither_uuid_nor_text_is_a_type_error(ping, value):
    with pytest.raises(TypeError):
        UuidMetricType(describe()).set(value)


def test_the_getter_honours_its_ping(ping):
    metric = UuidMetricType(describe())
    metric.generate_and_set()
    assert metric.test_get_value("other") is None
