"""What the tests of the installed package share: a running Glean, metrics, and the ping files it wrote."""

import json
from pathlib import Path
from typing import Any, Dict

import pytest

from glean_py import Glean, testing
from glean_py.metrics import CommonMetricData, Lifetime, PingType


class Sent:
    """One ping file: submission path, body and metadata."""

    def __init__(self, file):
        path, body, metadata = file.read_bytes().decode("utf-8").split("\n")
        self.path = path
        self.body = json.loads(body)
        self.metadata = json.loads(metadata)


def read_pings(folder="pending_pings", data_dir=None):
    """Return the ping files of a folder, sorted by sequence number."""
    files = (Path(data_dir or Glean._data_dir) / folder).glob("*")
    return sorted((Sent(file) for file in files), key=lambda sent: sent.body.get("ping_info", {}).get("seq", 0))


def describe(identifier="test.metric", pings=("custom",), **changes):
    """Return the description of a metric."""
    category, _, name = identifier.rpartition(".")
    fields: Dict[str, Any] = {"lifetime": Lifetime.PING, "disabled": False}
    fields.update(changes)
    return CommonMetricData(category=category, name=name, send_in_pings=list(pings), **fields)


def make_ping(name="custom", **changes):
    """Return a registered ping."""
    fields: Dict[str, Any] = {
        "include_client_id": True,
        "send_if_empty": False,
        "precise_timestamps": True,
        "include_info_sections": True,
        "schedules_pings": [],
        "reason_codes": ["first", "second"],
        "uploader_capabilities": [],
    }
    fields.update(changes)
    return PingType(name, **fields)


@pytest.fixture
def ping():
    """The ping `custom` in a Glean that runs in a new directory."""
    custom = make_ping()
    testing.reset_glean(application_id="glean-tests", application_version="1.0")
    yield custom
    Glean._reset()


@pytest.fixture
def stopped():
    """A Glean that doesn't run, before and after the test."""
    Glean._reset()
    yield
    Glean._reset()
