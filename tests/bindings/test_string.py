"""Strings from Python."""

import pytest
from conftest import count_errors, describe

from glean_py.metrics import StringMetricType


class Text(str):
    """A text of the application's own class."""

    def encode(self, *arguments):
        raise AssertionError("nobody has to ask for this")


@pytest.mark.parametrize("text", ["", "plain", "NUL \0 inside", "Grüße, 世界 \U0001f600"])
def test_a_text_comes_back_as_it_was(running, text):
    metric = StringMetricType(describe())
    metric.set(text)
    assert metric.test_get_value() == text


def test_a_text_of_another_class_is_a_text(running):
    metric = StringMetricType(describe())
    metric.set(Text("own class"))
    assert metric.test_get_value() == "own class"


def test_the_last_string_wins(running):
    metric = StringMetricType(describe())
    metric.set("first")
    metric.set("second")
    assert metric.test_get_value() == "second"


def test_a_long_text_is_cut_between_characters_and_counted(running):
    metric = StringMetricType(describe())
    metric.set("é" * 128)
    assert metric.test_get_value() == "é" * 127
    assert count_errors(metric) == {"INVALID_OVERFLOW": 1}


def test_none_is_ignored(running):
    metric = StringMetricType(describe())
    metric.set("kept")
    metric.set(None)
    assert metric.test_get_value() == "kept"


@pytest.mark.parametrize("value", [1, b"bytes", ["text"], True])
def test_what_is_no_text_is_a_type_error(running, value):
    with pytest.raises(TypeError, match=f"not {type(value).__name__}"):
        StringMetricType(describe()).set(value)


def test_a_lone_surrogate_is_an_encode_error(running):
    with pytest.raises(UnicodeEncodeError):
        StringMetricType(describe()).set("\ud800")
    with pytest.raises(UnicodeEncodeError):
        StringMetricType(describe("test.\udfff"))
