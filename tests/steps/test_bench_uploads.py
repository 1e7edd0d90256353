"""The comparisons on sending, with stand-ins for the packages that the index has; the server is the real one."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterator

import pytest
from stand_ins import environment_of

import benchmarks
from benchmarks import core, figures, table, uploads
from benchmarks.place import Place
from glean_steps.errors import StepError
from glean_steps.workspace import Workspace

SLOW_END_S = 0.3
# Sends each ping before `submit` returns, if there is a server; one that never answers is left after a moment.
_GLEAN = """
from . import metrics

class Configuration:
    def __init__(self, *, server_endpoint, enable_internal_pings, allow_multiprocessing):
        self.server_endpoint = server_endpoint

class Glean:
    @staticmethod
    def initialize(application_id, version, upload_enabled, *, configuration, data_dir):
        metrics.server = configuration.server_endpoint
    @staticmethod
    def shutdown(): pass
"""
_METRICS = """
import contextlib, urllib.request
class PingType:
    def __init__(self, *_): pass
    def submit(self):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(urllib.request.Request(server, data=b"ping"), timeout=0.5).close()
"""
_UNIFFI = """
PingRateLimit = dict
def InternalConfiguration(**fields): raise AssertionError("nobody asks for it here")
"""
_OTHERS = {
    "sentry_sdk.py": """
from types import SimpleNamespace
def init(dsn): assert "://key@127.0.0.1:" in dsn and dsn.endswith("/1")
def capture_message(text): pass
def get_client(): return SimpleNamespace(close=lambda: None)
""",
    "posthog.py": f"""
import atexit, time
class Posthog:
    def __init__(self, key, host): atexit.register(time.sleep, {SLOW_END_S})
    def capture(self, name, distinct_id): pass
    def shutdown(self): pass
""",
    "opentelemetry/exporter/otlp/proto/http/trace_exporter.py": "def OTLPSpanExporter(endpoint): pass\n",
    "opentelemetry/sdk/trace/export.py": "def BatchSpanProcessor(exporter): pass\n",
    "opentelemetry/sdk/trace/__init__.py": """
from types import SimpleNamespace
class TracerProvider:
    def add_span_processor(self, processor): pass
    def get_tracer(self, name): return SimpleNamespace(start_span=lambda name: SimpleNamespace(end=lambda: None))
    def shutdown(self): pass
""",
}


@pytest.fixture
def place(ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Return a place whose packages are the stand-ins, with little effort."""
    files: Dict[str, str] = dict(_OTHERS)
    for package in core.PACKAGES.values():
        files.update({f"{package}/__init__.py": _GLEAN, f"{package}/metrics.py": _METRICS})
        files[f"{package}/_uniffi.py"] = _UNIFFI
    monkeypatch.setattr(Place, "python", environment_of(files, tmp_path / "baselines"))
    with ExitStack() as stack:
        yield Place(ws, stack, effort=0.06)


@pytest.mark.slow
@pytest.mark.parametrize(
    "group", [group for group in table.load() if group.part == table.UPLOADS], ids=lambda one: one.name
)
def test_every_comparison_is_measured(group: table.Group, place: Place) -> None:
    # Of the ends, those with the first server.
    group = replace(group, comparisons=group.comparisons[: len(uploads.WAYS) * (len(uploads.OTHERS) + 1)])
    taken = benchmarks.measure_group(group, uploads.MEASURES[group.name], place, 1)
    measured = figures.results([group], {group.name: taken})
    for result in measured:
        assert not result.not_measured, (result.comparison.key, result.verdict)
        # A difference of two ends may be nothing.
        assert min(*result.ours, *result.baseline) >= 0, (result.comparison.key, result.ours, result.baseline)
        if result.comparison.baseline == "posthog":
            assert min(result.baseline) >= SLOW_END_S


def test_a_program_that_fails_has_no_figure(place: Place) -> None:
    site = next(place.python.parents[1].glob("lib/python*/site-packages"))
    (site / "posthog.py").write_text("class Posthog:\n    def __init__(self, *_, **__): raise SystemExit(3)\n")
    with pytest.raises(StepError):
        core.probe(place, "ending", package="posthog", server="fast", way="atexit")
