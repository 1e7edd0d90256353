"""The comparisons on the core run: every probe, with stand-ins for the packages and tiny counts. No timings."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Dict, Iterator, List

import pytest
from stand_ins import environment_of

import benchmarks
from benchmarks import core, figures, table
from benchmarks.place import Place
from benchmarks.probes import clock
from glean_steps.errors import StepError
from glean_steps.workspace import Workspace

# A telemetry package that keeps everything in one file, under the names that the probes use.
_STAND_IN = """
import json, os, uuid
from pathlib import Path
from types import SimpleNamespace
from . import _state, metrics

class Configuration:
    def __init__(self, **options): self.options = options

class Glean:
    @staticmethod
    def initialize(application_id, version, upload_enabled, *, configuration, data_dir):
        expected = "" if __name__ == "glean_py" else "http://127.0.0.1:9"
        assert configuration.options["server_endpoint"] == expected, "nothing may leave the machine"
        _state.open(Path(data_dir))
    @staticmethod
    def shutdown():
        assert _state.folder is not None, "shut down twice"
        _state.folder = None

class HappeningExtra:
    def __init__(self, **values): self.values = values

def load_metrics(file):
    assert Path(file).read_text().startswith("---")
    event = metrics.EventMetricType(SimpleNamespace(name="happening"))
    return SimpleNamespace(bench=SimpleNamespace(happening=event, HappeningExtra=HappeningExtra))
"""
_STATE = """
import json
folder, values = None, {}

def open(data):
    global folder
    folder = data
    folder.mkdir(parents=True, exist_ok=True)
    if file().exists():
        values.update(json.loads(file().read_text()))

def file():
    return folder / "values.json"

def add(name, value, old=0):
    values[name] = values.get(name, old) + value
    file().write_text(json.dumps(values))
"""
_METRICS = """
import json, uuid
from types import SimpleNamespace
from .. import _state

Lifetime = SimpleNamespace(PING=0, USER=2)
TimeUnit = SimpleNamespace(NANOSECOND=0)
LabeledMetricData = SimpleNamespace(COMMON=lambda described: described)
CommonMetricData = lambda **fields: SimpleNamespace(**fields)

class PingType:
    def __init__(self, *_, **fields): pass
    def submit(self):
        folder = _state.folder / "pending_pings"
        folder.mkdir(exist_ok=True)
        made = {"metrics": {"all": {"bench." + name: value for name, value in _state.values.items()}}}
        (folder / str(uuid.uuid4())).write_text("/path\\n" + json.dumps(made) + "\\n{}")

class Metric:
    def __init__(self, described, *_, labels=None):
        self.name, self.labels = described.name, labels
    def test_get_value(self, ping): return _state.values.get(self.name)
    def _count(self, *_): _state.add(self.name, 1)
    def add(self, amount=1): _state.add(self.name, amount)
    set = accumulate_single_sample = stop_and_accumulate = _count
    def start(self): return 1
    def record(self, extra): assert set(extra.values) == {"first", "second"}
    def __getitem__(self, label):
        assert label in self.labels
        return self

CounterMetricType = StringMetricType = TimingDistributionMetricType = EventMetricType = Metric
LabeledCounterMetricType = Metric
"""
_NET = """
class PingUploadWorker:
    @classmethod
    def process(cls, testing_mode=False): raise AssertionError("nothing may be uploaded")
"""
# What compiles: the module that it writes is empty.
_MAIN = """
import sys
from pathlib import Path
command, source, option, module = sys.argv[1:]
assert (command, option) == ("compile", "-o") and "bench:" in Path(source).read_text()
Path(module).write_text(
    "class metrics:\\n class bench: pass\\nfor n in range(200): setattr(metrics.bench, f'metric_{n}', n)\\n"
)
"""
_PROMETHEUS = """
class CollectorRegistry: pass
class Counter:
    def __init__(self, name, text, registry): self.value = 0
    def inc(self, amount): self.value += amount
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment that has the stand-ins, and cffi from the environment of the tests."""
    files = {"prometheus_client.py": _PROMETHEUS}
    for package in core.PACKAGES.values():
        files[f"{package}/__init__.py"] = _STAND_IN
        files[f"{package}/_state.py"] = _STATE
        files[f"{package}/metrics/__init__.py"] = _METRICS
        files[f"{package}/net.py"] = _NET
        files[f"{package}/__main__.py"] = _MAIN
    spec = importlib.util.find_spec("cffi")
    assert spec is not None and spec.origin is not None
    files["cffi.pth"] = str(Path(spec.origin).parents[1]) + "\n"
    return environment_of(files, tmp_path_factory.mktemp("baselines"))


@pytest.fixture
def place(program: Path, ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Return a place whose packages are the stand-ins, with little effort."""
    monkeypatch.setattr(Place, "python", program)
    with ExitStack() as stack:
        yield Place(ws, stack, effort=0.001)


@pytest.mark.slow
@pytest.mark.parametrize(
    "group", [group for group in table.load() if group.part == table.CORE], ids=lambda one: one.name
)
def test_every_comparison_is_measured(group: table.Group, place: Place) -> None:
    if not shutil.which("cc") and group.name in ("calls", "threads"):
        pytest.skip("no C compiler for the empty functions")
    taken = benchmarks.measure_group(group, core.MEASURES[group.name], place, 1)
    for result in figures.results([group], {group.name: taken}):
        assert not result.not_measured, result.comparison.key
        assert len(result.ours) == len(result.baseline) == 1
        if group.name != "import":  # A difference of starts may be anything when it is taken once.
            assert min(*result.ours, *result.baseline) > 0, result.comparison.key


def test_a_probe_that_records_nothing_is_an_error(place: Place, program: Path) -> None:
    site = next(program.parents[1].glob("lib/python*/site-packages"))
    (site / "lazy").mkdir()
    (site / "lazy" / "__init__.py").write_text("from glean import *\nfrom glean import Configuration, Glean\n")
    (site / "lazy" / "metrics.py").write_text(
        "from glean.metrics import *\n"
        "class CounterMetricType(Metric):\n"
        "    def add(self, amount=1): pass\n"
        "    _count = add\n"
    )
    (site / "lazy" / "net.py").write_text("from glean.net import PingUploadWorker\n")
    with pytest.raises(StepError) as caught:
        core.probe(place, "stored", package="lazy", count=10)
    assert "lazy recorded 1, stored " in str(caught.value)


def test_figures_that_one_probe_takes_together_are_given_out_once_a_round() -> None:
    runs: List[str] = []

    def probe() -> Dict[str, float]:
        runs.append("run")
        return {"a": float(len(runs)), "b": 10.0 * len(runs)}

    sides = core.shared({"one": "a", "two": "b"}, probe)
    assert [sides["one"](), sides["two"](), sides["two"](), sides["one"]()] == [1.0, 10.0, 20.0, 2.0]
    assert [sides["one"](), sides["one"]()] == [3.0, 4.0]


def test_the_yaml_has_as_many_metrics_as_asked_for() -> None:
    text = core.metrics_yaml(200)
    names = [line for line in text.splitlines() if line.startswith("  metric_")]
    assert len(names) == len(set(names)) == 200 and text.count("    type: ") == 200


def test_a_loop_has_its_names_in_local_variables_and_items_in_turn() -> None:
    seen: List[object] = []
    run = clock.loop("keep(item)", "ab", keep=seen.append)
    run(3)
    run(2)
    assert "".join(map(str, seen)) == "ababa"


def test_batches_are_bounded_and_drained_before_each_one() -> None:
    counts: List[int] = []
    drains: List[int] = []

    def run(count: int) -> float:
        counts.append(count)
        return 1e-9 * count

    assert clock.per_call(run, drain=lambda: drains.append(len(counts)), most=100, effort=0.2) == pytest.approx(1.0)
    assert max(counts) == 100 and counts[0] == 1
    assert drains == list(range(len(counts) + 1))


def test_the_figures_are_the_last_line(program: Path) -> None:
    options = json.dumps({"what": "nothing", "effort": 0.01})
    argv = [str(program), "-I", "-c", core.BOOT, str(core.PROBES.parent), "call", options]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    assert json.loads(done.stdout.splitlines()[-1])["ns"] > 0
