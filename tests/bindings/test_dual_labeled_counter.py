"""Counters with two labels from Python."""

import pytest
from conftest import count_errors, describe, read_pings

from glean_py.metrics import DualLabeledCounterMetricType


def make(keys=None, categories=None, **changes):
    return DualLabeledCounterMetricType(describe(**changes), keys, categories)


def test_each_pair_has_a_count_of_its_own(running):
    metric = make()
    assert metric.test_get_value() == {}
    metric.get("k", "c").add(1)
    metric.get("k", "d").add(2)
    metric.get(key="l", category="c").add(3)
    metric.get("k", "c").add(4)
    assert metric.test_get_value() == {"k": {"c": 5, "d": 2}, "l": {"c": 3}}
    assert metric.get("k", "c").test_get_value() == 5
    assert metric.get("k", "c") is metric.get("k", "c")
    assert metric.test_get_value("other") == {}


def test_static_and_free_labels_can_be_mixed(ping):
    metric = make(keys=["k"], identifier="test.pairs")
    metric.get("k", "free").add()
    metric.get("unknown", "free").add(2)
    assert count_errors(metric) == {}
    ping.submit()
    (sent,) = read_pings(name="custom")
    assert sent.body["metrics"] == {
        "dual_labeled_counter": {"test.pairs": {"k": {"free": 1}, "__other__": {"free": 2}}}
    }


def test_of_free_labels_the_first_sixteen_stay(ping):
    metric = make(identifier="test.pairs")
    for number in range(18):
        metric.get(f"key{number}", "c").add()
    assert count_errors(metric) == {}
    ping.submit()
    (sent,) = read_pings(name="custom")
    stored = sent.body["metrics"]["dual_labeled_counter"]["test.pairs"]
    assert len(stored) == 17
    assert stored["__other__"] == {"c": 2}


@pytest.mark.parametrize("key, category", [("x" * 112, "c"), ("k", "x" * 112)])
def test_a_label_that_is_too_long_is_an_error(running, key, category):
    metric = make()
    metric.get(key, category).add()
    assert count_errors(metric) == {"INVALID_LABEL": 1}


def test_labels_that_are_no_texts_are_type_errors(running):
    metric = make()
    with pytest.raises(TypeError):
        metric.get(5, "c")
    with pytest.raises(TypeError):
        metric.get("k", None)
    with pytest.raises(UnicodeEncodeError):
        metric.get("k", "\ud800")
