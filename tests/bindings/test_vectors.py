"""The table of operations and the JSON they make, which the tests of the core read as well."""

import json
from pathlib import Path

import pytest
from conftest import describe, make_ping, read_pings

from glean_py import metrics

VECTORS = json.loads((Path(__file__).resolve().parent.parent / "vectors.json").read_text(encoding="utf-8"))


def expand(value):
    """Replace `{"repeat": text, "times": n}` by the text it means, at any depth."""
    if not isinstance(value, dict):
        return value
    if set(value) == {"repeat", "times"}:
        return value["repeat"] * value["times"]
    return {name: expand(field) for name, field in value.items()}


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_a_vector_makes_its_json(ping, vector):
    vectors = make_ping("vectors", send_if_empty=True)
    for operation in vector["operations"]:
        metric_type = getattr(metrics, operation["type"].capitalize() + "MetricType")
        metric = metric_type(describe(operation["metric"], pings=["vectors"]))
        getattr(metric, operation["call"])(expand(operation["value"]))
    vectors.submit()
    (sent,) = read_pings()
    assert sent.body.get("metrics", {}) == expand(vector["metrics"])
