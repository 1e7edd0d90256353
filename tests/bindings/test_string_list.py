"""Lists of strings from Python."""

import pytest
from conftest import count_errors, describe

from glean_py.metrics import StringListMetricType


def test_texts_are_appended_to_what_was_set(running):
    metric = StringListMetricType(describe())
    metric.add("a")
    metric.set(["b", 'c"\\\n\0', "ü"])
    metric.add("")
    assert metric.test_get_value() == ["b", 'c"\\\n\0', "ü", ""]


def test_an_empty_list_is_stored(running):
    metric = StringListMetricType(describe())
    metric.set([])
    assert metric.test_get_value() == []


def test_long_texts_are_cut_and_counted(running):
    metric = StringListMetricType(describe())
    metric.add("x" * 101)
    assert metric.test_get_value() == ["x" * 100]
    metric.set(["é" * 51, "short"])
    assert metric.test_get_value() == ["é" * 50, "short"]
    assert count_errors(metric) == {"INVALID_OVERFLOW": 2}


def test_a_full_list_takes_no_more(running):
    metric = StringListMetricType(describe())
    metric.set([str(number) for number in range(103)])
    assert metric.test_get_value() == [str(number) for number in range(100)]
    metric.add("more")
    assert len(metric.test_get_value()) == 100
    assert count_errors(metric) == {"INVALID_VALUE": 2}


@pytest.mark.parametrize("value", [("a",), {"a"}, {"a": 1}])
def test_any_collection_of_texts_will_do(running, value):
    metric = StringListMetricType(describe())
    metric.set(value)
    assert metric.test_get_value() == ["a"]


@pytest.mark.parametrize("value", [None, 5, [1], [None], iter(["a"])])
def test_what_is_no_collection_of_texts_is_a_type_error(running, value):
    metric = StringListMetricType(describe())
    with pytest.raises(TypeError):
        metric.set(value)
    assert metric.test_get_value() is None


def test_what_is_no_text_is_a_type_error(running):
    with pytest.raises(TypeError):
        StringListMetricType(describe()).add(5)  # type: ignore[arg-type]


def test_a_lone_surrogate_is_an_encode_error(running):
    metric = StringListMetricType(describe())
    with pytest.raises(UnicodeEncodeError):
        metric.add("\ud800")
    with pytest.raises(UnicodeEncodeError):
        metric.set(["fine", "\ud800"])
    assert metric.test_get_value() is None
