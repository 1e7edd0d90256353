"""Strings from Python."""

import pytest
from conftest import describe

from glean_py.metrics import StringMetricType
from glean_py.testing import ErrorType


@pytest.mark.parametrize("text", ["", "plain", "NUL \0 inside", "Grüße, 世界 \U0001f600"])
def test_a_text_comes_back_as_it_was(ping, text):
    metric = StringMetricType(describe())
    metric.set(text)
    assert metric.test_get_value() == text


def test_a_long_text_is_cut_between_characters_and_counted(ping):
    metric = StringMetricType(describe())
    metric.set("é" * 128)
    assert metric.test_get_value() == "é" * 127
    assert metric.test_get_num_recorded_errors(ErrorType.INVALID_OVERFLOW) == 1


def test_none_is_ignored(ping):
    metric = StringMetricType(describe())
    metric.set("kept")
    metric.set(None)
    assert metric.test_get_value() == "kept"


@pytest.mark.parametrize("value", [1, b"bytes", ["text"]])
def test_what_is_no_text_is_a_type_error(ping, value):
    with pytest.raises(TypeError):
        StringMetricType(describe()).set(value)


def test_a_lone_surrogate_is_an_encode_error(ping):
    with pytest.raises(UnicodeEncodeError):
        StringMetricType(describe()).set("\ud800")
    with pytest.raises(UnicodeEncodeError):
        StringMetricType(describe("test.\udfff"))
