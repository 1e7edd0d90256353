"""What the tests of the installed package share: a running Glean, metrics, and the ping files it wrote."""

import importlib.util
import itertools
import json
import os
import signal
from pathlib import Path
from typing import Any, Dict, List

import pytest

from glean_py import Glean, _ffi, testing
from glean_py.metrics import CommonMetricData, Lifetime, PingType

_numbers = itertools.count()

# The wish of whoever runs the tests is about their programs; with it, nothing here would record.
os.environ.pop("DO_NOT_TRACK", None)
# A shell that starts programs in the background lets them ignore Ctrl-C, and so would the programs of tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    """Declare the marks of tests that not every run has."""
    config.addinivalue_line(
        "markers", "core: what the core does, whatever the Python; the oldest and the newest run it"
    )
    config.addinivalue_line("markers", "slow: waits or computes for a second; `nox -s quick` leaves it out")


def pytest_collection_modifyitems(config, items):
    """Of the tests that can't run here for the same reason, keep one, which is skipped and says why."""
    kept: List[Any] = []
    left: List[Any] = []
    seen = set()
    for item in items:
        reason = _why_not(item)
        (left if reason in seen else kept).append(item)
        if reason:
            seen.add(reason)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


def _why_not(item):
    """Return why a test will be skipped, as far as that is known before it runs."""
    reasons = [mark.kwargs.get("reason") for mark in item.iter_markers("skipif") if mark.args and mark.args[0]]
    if "parser" in getattr(item, "fixturenames", ()) and importlib.util.find_spec("glean_parser") is None:
        reasons.append("no parser")
    return reasons[0] if reasons else None


@pytest.fixture
def parser():
    """A glean_parser that glean_py reads YAML with."""
    return pytest.importorskip("glean_parser.parser", reason="glean_parser is not installed, which reads YAML")


class Sent:
    """One ping file: submission path, body and metadata."""

    def __init__(self, file):
        path, body, metadata = file.read_bytes().decode("utf-8").split("\n")
        self.path = path
        self.name = path.split("/")[3]
        self.body = json.loads(body)
        self.metadata = json.loads(metadata)


def read_pings(folder="pending_pings", data_dir=None, name=None):
    """Return the ping files of a folder, or of one ping in it, sorted by sequence number."""
    # Whatever was submitted is written by then.
    _ffi.finish(_ffi.lib.glean_fold())
    files = [Sent(file) for file in (Path(data_dir or Glean._data_dir) / folder).glob("*")]
    found = [sent for sent in files if name in (None, sent.name)]
    return sorted(found, key=lambda sent: sent.body.get("ping_info", {}).get("seq", 0))


def describe(identifier=None, pings=("custom",), **changes):
    """Return the description of a metric; without a name, of one that nothing was recorded for."""
    category, _, name = (identifier or f"test.metric{next(_numbers)}").rpartition(".")
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


def count_errors(metric):
    """Return the numbers of errors of a metric that aren't zero."""
    counts = {error.name: metric.test_get_num_recorded_errors(error) for error in testing.ErrorType}
    return {name: count for name, count in counts.items() if count}


class _Shared:
    """The data directory of the Glean that tests share, and the ping in it."""

    data_dir: Any = None
    ping: Any = None


@pytest.fixture
def running():
    """The ping `custom` in a Glean that other tests record into as well; starting one of its own takes longer."""
    if not Glean.is_initialized() or Glean._data_dir != _Shared.data_dir:
        _Shared.ping = make_ping()
        make_ping("other")
        testing.reset_glean(application_id="glean-tests", application_version="1.0")
        _Shared.data_dir = Glean._data_dir
    return _Shared.ping


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
