"""Objects from Python."""

import json
from dataclasses import dataclass

import pytest
from conftest import count_errors, describe

from glean_py.metrics import ObjectMetricType, ObjectSerialize


class Ready(ObjectSerialize):
    """JSON as it is given."""

    def __init__(self, text):
        self._text = text

    def into_serialized_object(self):
        return self._text


@dataclass
class Pair(ObjectSerialize):
    """An object as the loader makes it."""

    first: object = None
    second: object = None


class Pairs(list, ObjectSerialize):  # type: ignore[type-arg]
    """An array as the loader makes it."""


def test_an_object_comes_back_as_its_json(running):
    metric = ObjectMetricType(describe(), Pairs)
    assert metric.test_get_value() is None
    metric.set(Pairs([Pair("ü \0", 5), Pair(second=True), Pair()]))
    assert metric.test_get_value() == [{"first": "ü \0", "second": 5}, {"second": True}, {}]
    metric.set(Pairs())
    assert metric.test_get_value() == []


def test_what_is_none_is_left_out_at_every_depth():
    value = Pair(Pair(None, [Pair(1), None]), {"key": None, "pair": Pair(second=Pairs([Pair(2)]))})
    assert json.loads(value.into_serialized_object()) == {
        "first": {"second": [{"first": 1}, None]},
        "second": {"key": None, "pair": {"second": [{"first": 2}]}},
    }


def test_what_has_no_form_in_json_is_a_type_error(running):
    metric = ObjectMetricType(describe(), Pair)
    with pytest.raises(TypeError):
        metric.set(Pair({1, 2}))
    assert metric.test_get_value() is None


@pytest.mark.parametrize("value", [None, 5, {"first": 1}, Pairs()])
def test_another_class_is_an_error_and_changes_nothing(running, value):
    metric = ObjectMetricType(describe(), Pair)
    metric.set(Pair(1))
    metric.set(value)
    assert metric.test_get_value() == {"first": 1}
    assert count_errors(metric) == {"INVALID_VALUE": 1}


@pytest.mark.parametrize("text", ["", "no JSON", "NaN", '{"a":}', "[1", '{"a": 1} x'])
def test_what_is_no_json_is_an_error_and_changes_nothing(running, text):
    metric = ObjectMetricType(describe(), Ready)
    metric.set(Ready(text))
    assert metric.test_get_value() is None
    assert count_errors(metric) == {"INVALID_VALUE": 1}


def test_not_a_number_is_an_error(running):
    metric = ObjectMetricType(describe(), Pair)
    metric.set(Pair(float("nan")))
    assert metric.test_get_value() is None
    assert count_errors(metric) == {"INVALID_VALUE": 1}


@pytest.mark.parametrize(
    "text", ["5", '"x"', "true", "[1, null]", '{"a": {"b": [1.5, -2e3]}}', '"\\ud83d\\ude00"', " [ ] "]
)
def test_any_json_is_stored(running, text):
    metric = ObjectMetricType(describe(), Ready)
    metric.set(Ready(text))
    assert metric.test_get_value() == json.loads(text)


@pytest.mark.parametrize("text, error", [(5, TypeError), (None, TypeError), ("\ud800", UnicodeEncodeError)])
def test_what_is_no_text_is_refused(running, text, error):
    with pytest.raises(error):
        ObjectMetricType(describe(), Ready).set(Ready(text))


def test_an_object_goes_into_every_ping_of_the_metric(running):
    metric = ObjectMetricType[Pair](describe(pings=["custom", "other"]), Pair)
    metric.set(Pair(1))
    assert metric.test_get_value("custom") == metric.test_get_value("other") == {"first": 1}


def test_the_encoder_of_peers_knows_objects():
    from glean_py.metrics.object import EncodeObject

    class Planet(ObjectSerialize):
        def __init__(self):
            self.name, self.moons = "Earth", None

    assert json.dumps({"planets": [Planet()]}, cls=EncodeObject) == '{"planets": [{"name": "Earth"}]}'
    with pytest.raises(TypeError, match="not JSON serializable"):
        EncodeObject().encode(object())
