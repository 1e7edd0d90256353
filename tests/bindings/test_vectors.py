"""The table of operations and the JSON they make, tests/vectors.json, which the tests of the core read as well.

A vector has

* `metrics`: the type of each metric by its identifier, or an object of the type and its parameters. Metrics are sent in
  the ping `vectors` and have ping lifetime, unless `pings` and `lifetime` say otherwise.
* `do`: operations. `[metric, call, arguments…]`, `[labeled metric, [label], call, arguments…]`, `[ping, "submit"]`,
  `["glean", call, arguments…]`. `{"times": n, "do": operation}` repeats one; `{"each": "abc", "do": operation}` does it
  for each character, which takes the place of `*`.
* `values`: what getters return afterwards, `null` for nothing. Timestamps of events and the session are left out.
* `errors`: how many errors of each kind each metric has; all others have none.
* `sent`, `events`, `experiments`: these parts of the ping `vectors`, which is submitted then. `sent_in` and `events_in`
  say it for several pings: `vectors`, `other`, and `free`, which doesn't follow the switch of collection. What `errors`
  says is part of the pings as well.
* `differs`: the row of docs/compatibility.md, if glean-sdk does something else.
* `only`: `core`, if Python has no way to say it, as a `datetime` is always a date of the calendar; `python`, if the
  tests of the core cannot read the ping.

Anywhere, `{"repeat": x, "times": n, "then": y}` is a long text or list, `{"join": […]}` a text made of several, and
`{"nest": n}` as many arrays in each other.
"""

import datetime
import json
import uuid
from pathlib import Path
from typing import Any, Dict, List

import pytest
from conftest import describe, make_ping, read_pings

from glean_py import Configuration, Glean, _uniffi, metrics, testing

TABLE = json.loads((Path(__file__).resolve().parent.parent / "vectors.json").read_text(encoding="utf-8"))
VECTORS = [vector for vector in TABLE if vector.get("only") != "core"]
NAMED = {"time_unit": metrics.TimeUnit, "memory_unit": metrics.MemoryUnit, "histogram_type": metrics.HistogramType}
PINGS = ("vectors", "other", "free")
KINDS = ("invalid_value", "invalid_label", "invalid_state", "invalid_overflow")
FIELDS = {
    "DistributionData": ("sum", "count", "values"),
    "Rate": ("numerator", "denominator"),
    "RecordedEvent": ("category", "name", "extra"),
}
CONFIGURATION = Configuration(server_endpoint="http://localhost:9", enable_event_timestamps=False)


def expand(value):
    """Replace what stands for something long by what it means, at any depth."""
    if isinstance(value, list):
        return [expand(item) for item in value]
    if not isinstance(value, dict):
        return value
    if {"repeat", "times"} <= set(value):
        return expand(value["repeat"]) * value["times"] + value.get("then", type(value["repeat"])())
    if set(value) == {"join"}:
        return "".join(expand(value["join"]))
    if set(value) == {"nest"}:
        nested: List[Any] = []
        for _ in range(value["nest"] - 1):
            nested = [nested]
        return nested
    return {name: expand(field) for name, field in value.items()}


def replace(value, character):
    """Replace `*` in an operation."""
    if isinstance(value, list):
        return [replace(item, character) for item in value]
    return value.replace("*", character) if isinstance(value, str) else value


def unroll(operations):
    """Return the operations one by one."""
    for operation in operations:
        if isinstance(operation, list):
            yield expand(operation)
        elif "times" in operation:
            for _ in range(operation["times"]):
                yield expand(operation["do"])
        else:
            for character in operation["each"]:
                yield expand(replace(operation["do"], character))


class Anything(metrics.ObjectSerialize):
    """An object that is what its text says."""

    def __init__(self, text):
        self.text = text

    def into_serialized_object(self):
        return self.text


class Extras(metrics.EventExtras):
    """Extras without rules."""

    def __init__(self, extra):
        self.extra = extra

    def to_ffi_extra(self):
        return self.extra


def to_datetime(year, month, day, hour, minute, second, microsecond, offset):
    """Return the time, with an offset like `-05:30` or without one."""
    value = datetime.datetime(year, month, day, hour, minute, second, microsecond)
    if offset is None:
        return value
    distance = datetime.timedelta(hours=int(offset[1:3]), minutes=int(offset[4:]))
    return value.replace(tzinfo=datetime.timezone(-distance if offset[0] == "-" else distance))


def to_json(value):
    """Return what a getter returned as JSON."""
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, uuid.UUID):
        return str(value)
    fields = FIELDS.get(type(value).__name__)
    return value if fields is None else {field: to_json(getattr(value, field)) for field in fields}


class Player:
    """Plays one vector."""

    def __init__(self, vector):
        self.types = {}
        self.descriptions = {}
        self.metrics = {}
        for identifier, given in vector["metrics"].items():
            parameters = {"type": given} if isinstance(given, str) else given
            self.metrics[identifier] = self.make(identifier, **parameters)
        self.pings = {
            name: make_ping(name, send_if_empty=True, follows_collection_enabled=name != "free") for name in PINGS
        }

    def make(self, identifier, type, pings=("vectors",), lifetime="ping", disabled=False, **parameters):
        common = describe(identifier, pings, lifetime=getattr(metrics.Lifetime, lifetime.upper()), disabled=disabled)
        self.types[identifier], self.descriptions[identifier] = type, common
        for name, kind in NAMED.items():
            if name in parameters:
                parameters[name] = getattr(kind, parameters[name].upper())
        if type == "dual_labeled_counter":
            return _uniffi.DualLabeledCounterMetric(common, parameters.get("keys"), parameters.get("categories"))
        make = getattr(metrics, "".join(word.capitalize() for word in type.split("_")) + "MetricType")
        if type == "event":
            return make(common, parameters.get("allowed_extra_keys", []))
        if type == "object":
            return make(common, Anything)
        if type == "denominator":
            return make(common, [self.descriptions[numerator] for numerator in parameters["numerators"]])
        if type.startswith("labeled_"):
            labels = parameters.pop("labels", None)
            variant = type[len("labeled_") :].upper() if parameters else "COMMON"
            return make(getattr(metrics.LabeledMetricData, variant)(common, *parameters.values()), labels)
        return make(common, *parameters.values())

    def play(self, target, call, *arguments):
        if target in self.metrics:
            self.record(self.metrics[target], self.types[target], call, *arguments)
        elif target in self.pings:
            getattr(self.pings[target], call)(*arguments)
        elif call == "restart":
            testing.reset_glean(
                application_id="glean-tests", application_version="1.0", configuration=CONFIGURATION, clear_stores=False
            )
        elif call == "apply_server_knobs":
            _uniffi.glean_apply_server_knobs_config(json.dumps(*arguments))
        else:
            getattr(Glean, call)(*arguments)

    def record(self, metric, type, call, *given):
        arguments: List[Any] = list(given)
        if isinstance(call, list):
            part = metric.get(*call) if type == "dual_labeled_counter" else metric[call[0]]
            return self.record(part, type.replace("labeled_", ""), *arguments)
        if type == "datetime":
            arguments = [to_datetime(*arguments[0])]
        elif type == "event":
            arguments = [Extras(extra) for extra in arguments]
        elif call == "record_schema_error":
            call, arguments = "set", ["something else"]
        elif type == "object":
            arguments = [Anything(*arguments)]
        elif call in ("stop_and_accumulate", "cancel") and arguments:
            arguments = [metrics.TimerId(id=arguments[0])]
        return getattr(metric, call)(*arguments)

    def errors(self):
        """Return the errors of all metrics by kind."""
        found: Dict[str, Any] = {}
        for kind in KINDS:
            for identifier, metric in self.metrics.items():
                count = metric.test_get_num_recorded_errors(getattr(testing.ErrorType, kind.upper()))
                if count:
                    found.setdefault(kind, {})[identifier] = count
        return found

    def is_sent_in(self, ping, identifier):
        return identifier in self.descriptions and ping in self.descriptions[identifier].send_in_pings


def without_timestamps(events):
    """Return events without their timestamps, which are checked: the first one is 0, and none goes back."""
    timestamps = [event.pop("timestamp") for event in events]
    assert timestamps == sorted(timestamps) and timestamps[:1] in ([], [0])
    return events


def expected_pings(vector, player):
    """Return metrics, events and experiments of each ping that the vector tells of."""
    expected = {}
    for ping, given in vector.get("sent_in", {"vectors": vector.get("sent")}).items():
        sent = expand(given)
        for kind, errors in vector.get("errors", {}).items():
            counts = {identifier: count for identifier, count in errors.items() if player.is_sent_in(ping, identifier)}
            if counts:
                sent.setdefault("labeled_counter", {})["glean.error." + kind] = counts
        events = vector.get("events_in", {}).get(ping, vector.get("events", []) if ping == "vectors" else [])
        expected[ping] = {
            "metrics": sent,
            "events": expand(events),
            "experiments": expand(vector.get("experiments", {})),
        }
    return expected


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_a_vector_makes_its_json(vector, stopped):
    player = Player(vector)
    testing.reset_glean(application_id="glean-tests", application_version="1.0", configuration=CONFIGURATION)
    for operation in unroll(vector["do"]):
        player.play(*operation)

    values = {
        identifier: to_json(player.metrics[identifier].test_get_value()) for identifier in vector.get("values", {})
    }
    assert values == expand(vector.get("values", {}))
    # Of what is no metric the errors are known under its name.
    for counts in vector.get("errors", {}).values():
        for identifier in set(counts) - set(player.metrics):
            player.metrics[identifier] = metrics.CounterMetricType(describe(identifier, ["all-pings"]))
    assert player.errors() == vector.get("errors", {})

    expected = expected_pings(vector, player)
    before = {sent.path for sent in read_pings()}
    for ping in expected:
        player.pings[ping].submit()
    made = [sent for sent in read_pings() if sent.path not in before]
    sent = {
        one.path.split("/")[3]: {
            "metrics": one.body.get("metrics", {}),
            "events": without_timestamps(one.body.get("events", [])),
            "experiments": one.body["ping_info"].get("experiments", {}),
        }
        for one in made
    }
    assert sent == expected
