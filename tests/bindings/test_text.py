"""Texts from Python."""

import pytest
from conftest import count_errors, describe

from glean_py.metrics import TextMetricType


def test_a_long_text_comes_back_as_it_was(running):
    metric = TextMetricType(describe())
    metric.set("wörd \0 " * 1000)
    assert metric.test_get_value() == "wörd \0 " * 1000


def test_a_text_of_more_than_200_kib_is_cut_and_counted(running):
    metric = TextMetricType(describe())
    metric.set("x" * (200 * 1024))
    assert count_errors(metric) == {}
    metric.set("x" * (200 * 1024 + 1))
    assert metric.test_get_value() == "x" * (200 * 1024)
    assert count_errors(metric) == {"INVALID_OVERFLOW": 1}


@pytest.mark.parametrize("value", [None, 1, b"bytes"])
def test_what_is_no_text_is_a_type_error(running, value):
    with pytest.raises(TypeError):
        TextMetricType(describe()).set(value)


def test_a_lone_surrogate_is_an_encode_error(running):
    with pytest.raises(UnicodeEncodeError):
        TextMetricType(describe()).set("\udc80")
