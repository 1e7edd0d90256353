"""URLs from Python."""

import pytest
from conftest import count_errors, describe

from glean_py.metrics import UrlMetricType


@pytest.mark.parametrize("url", ["https://example.org/a?b#c", "glean://test", "a+b-c.d:x", "DATA:x", "about:blank"])
def test_a_text_with_a_scheme_is_stored(running, url):
    metric = UrlMetricType(describe())
    metric.set(url)
    assert metric.test_get_value() == url


@pytest.mark.parametrize("text", ["", ":x", "1a:x", "no scheme", "ä:x", "data:text/plain,x", "without-colon"])
def test_what_is_no_url_is_an_error_and_changes_nothing(running, text):
    metric = UrlMetricType(describe())
    metric.set("https://example.org")
    metric.set(text)
    assert metric.test_get_value() == "https://example.org"
    assert count_errors(metric) == {"INVALID_VALUE": 1}


def test_a_long_url_is_cut_and_counted(running):
    metric = UrlMetricType(describe())
    metric.set("https://example.org/" + "x" * 8192)
    assert metric.test_get_value() == "https://example.org/" + "x" * (8192 - 20)
    assert count_errors(metric) == {"INVALID_OVERFLOW": 1}


def test_none_is_ignored_and_other_types_are_type_errors(running):
    metric = UrlMetricType(describe())
    metric.set(None)
    assert metric.test_get_value() is None
    with pytest.raises(TypeError):
        metric.set(b"https://example.org")  # type: ignore[arg-type]
