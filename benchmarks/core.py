"""The comparisons on the core: calls, pings, start, memory, disk. Probes take the figures, each in its own process."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Iterator, List

from benchmarks.place import Measure, Place, Side
from glean_steps import runner, system

PROBE_S = 1800.0
COMPILE_S = 300.0
REST_S = 3.0
PROBES = Path(__file__).with_name("probes")
# The folder comes last: nothing in it hides a package of the environment.
BOOT = f"import runpy, sys; sys.path.append(sys.argv[1]); runpy.run_module({PROBES.name!r}, run_name='__main__')"
# Names of the sides, and what they import.
PACKAGES = {"glean_py": "glean_py", "glean-sdk": "glean"}
IMPORT_GOAL_US = 50_000.0
# Anything that changes what a telemetry package does.
_CHANGES = ("GLEAN_LOG_PINGS", "GLEAN_DEBUG_VIEW_TAG", "GLEAN_SOURCE_TAGS", "PYTHONDONTWRITEBYTECODE")


def probe(place: Place, measure: str, **options: object) -> Dict[str, float]:
    """Run one probe in a process of its own and return its figures, by name."""
    argv: List[object] = [place.python, "-I", "-c", BOOT, PROBES.parent, measure, json.dumps(options)]
    env = runner.child_env({name: None for name in _CHANGES})
    timeout_s = PROBE_S
    done = runner.run(argv, timeout_s=timeout_s, cwd=place.scratch, env=env, quiet=True, split_stderr=True, echo=False)
    figures: Dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def side(place: Place, figure: str, measure: str, **options: object) -> Side:
    """Return a side whose figure is one of a probe's."""
    return lambda: probe(place, measure, **options)[figure]


def both(place: Place, figure: str, measure: str, **options: object) -> Dict[str, Side]:
    """Return the sides of both packages, named as they are."""
    return {name: side(place, figure, measure, package=package, **options) for name, package in PACKAGES.items()}


def shared(names: Dict[str, str], measure: Callable[[], Dict[str, float]]) -> Dict[str, Side]:
    """Return sides that share one run of a probe a round: the figure that each takes, by its name.

    A figure is given out once; whoever asks for it again starts the probe again.
    """
    left: Dict[str, float] = {}

    def taking(figure: str) -> Side:
        def take() -> float:
            if figure not in left:
                left.clear()
                left.update(measure())
            return left.pop(figure)

        return take

    return {name: taking(figure) for name, figure in names.items()}


# --- calls ------------------------------------------------------------------------------------------------------------


def floor(place: Place) -> str:
    """Build the empty C functions and the module that calls them; return their folder."""
    folder = place.scratch / "floor"
    if not folder.is_dir():
        system.require([system.C_COMPILER], place.ws)
        folder.mkdir()
        library: List[object] = [
            "cc",
            "-O2",
            "-shared",
            "-fPIC",
            "-o",
            folder / "libbench_floor.so",
            PROBES / "floor.c",
        ]
        module: List[object] = [place.python, "-I", PROBES / "floor.py", folder / "_bench_floor.py"]
        for argv in (library, module):
            runner.run(argv, timeout_s=60, quiet=True, echo=False)
    return str(folder)


def calls(place: Place) -> Iterator[Dict[str, Side]]:
    """Single calls of each kind."""
    bare = ("nothing", "prometheus", "prometheus, in turn", "empty", "empty, no argument", "empty, in a method")
    sides = {what: side(place, "ns", "call", what=what, floor=floor(place), effort=place.effort) for what in bare}
    for what in ("counter", "counters in turn", "string", "timing", "event", "labeled counter"):
        made = both(place, "ns", "call", what=what, effort=place.effort)
        sides.update({f"{name}, {what}": measure for name, measure in made.items()})
    yield sides


def threads(place: Place) -> Iterator[Dict[str, Side]]:
    """Several threads at once, and one."""
    count = place.some(1_000_000)
    called: Dict[str, Dict[str, object]] = {
        "glean_py": {"what": "counter", "package": "glean_py"},
        "empty": {"what": "empty", "floor": floor(place)},
        "prometheus": {"what": "prometheus"},
    }
    yield {
        f"{name}, {text}": side(place, "ns", "threads", threads=number, count=count, effort=place.effort, **options)
        for name, options in called.items()
        for number, text in ((4, "4 threads"), (1, "1 thread"))
    }


# --- many records, pings ----------------------------------------------------------------------------------------------


def stored(place: Place) -> Iterator[Dict[str, Side]]:
    """Operations until they are stored."""
    yield both(place, "s", "stored", count=place.some(200_000))


def ping(place: Place) -> Iterator[Dict[str, Side]]:
    """A ping of many metrics."""
    yield both(place, "s", "ping", metrics=place.some(1000))


_RECORDS_FIGURES = ("over bare", "resident", "disk", "disk at once", "disk after shutdown", "largest disk", "ns")
_QUARTER_FIGURES = ("resident 1", "resident 4", "disk 1", "disk 4")


def records(place: Place) -> Iterator[Dict[str, Side]]:
    """Memory and disk of many records."""
    sides: Dict[str, Side] = {}
    options = {"count": place.some(1_000_000), "rest_s": REST_S * place.effort}
    for name, package in PACKAGES.items():
        names = {f"{name}, {figure}": figure for figure in (*_RECORDS_FIGURES, *_QUARTER_FIGURES)}
        sides.update(shared(names, partial(probe, place, "records", package=package, **options)))
    yield sides


def growth(place: Place) -> Iterator[Dict[str, Side]]:
    """The same with more and more metrics."""
    sides: Dict[str, Side] = {}
    for metrics in (10, 1_000, 100_000):
        for name, package in PACKAGES.items():
            names = {f"{name}, {metrics}, {figure}": figure for figure in ("ns", "s", "over bare", "disk")}
            count = place.some(200_000 if name == "glean_py" else 2000)
            options = {"metrics": place.some(metrics), "count": count, "rest_s": REST_S * place.effort}
            sides.update(shared(names, partial(probe, place, "growth", package=package, **options)))
    yield sides


# --- starts -----------------------------------------------------------------------------------------------------------


def importing(place: Place) -> Iterator[Dict[str, Side]]:
    """The import."""
    yield {**both(place, "us", "import", starts=place.some(9)), "50 ms": lambda: IMPORT_GOAL_US}


def first_record(place: Place) -> Iterator[Dict[str, Side]]:
    """From the start of a process to its first record."""
    yield both(place, "us", "first record", starts=place.some(5))


def load(place: Place) -> Iterator[Dict[str, Side]]:
    """Metrics that were compiled, and their YAML."""
    folder = place.scratch / "load"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    source, module = folder / "metrics.yaml", folder / "bench_telemetry.py"
    source.write_text(metrics_yaml(200), encoding="utf-8")
    compiled: List[object] = [place.python, "-I", "-m", "glean_py", "compile", source, "-o", module]
    # As pip leaves a module that it installed.
    installed: List[object] = [place.python, "-I", "-m", "compileall", "-q", module]
    for argv in (compiled, installed):
        runner.run(argv, timeout_s=COMPILE_S, cwd=folder, quiet=True, echo=False)
    options = {"folder": str(folder), "starts": place.some(9)}
    yield {
        "glean_py": side(place, "us", "load", package="glean_py", **options),
        "glean_py, all made": side(place, "us", "load", package="glean_py", touched=200, **options),
        "glean-sdk": side(place, "us", "load", package="glean", **{**options, "starts": 1}),
    }


# What the YAML's metrics are in turn; glean-sdk loads all of these types.
_KINDS = (
    "type: counter",
    "type: string",
    "type: boolean",
    "type: quantity\n    unit: things",
    "type: timing_distribution\n    time_unit: millisecond",
    "type: labeled_counter\n    labels: [one, two, three]",
    "type: event\n    extra_keys:\n      first: {type: string, description: one}",
    "type: counter\n    lifetime: user",
)


def metrics_yaml(count: int) -> str:
    """Return a metrics.yaml with so many metrics of several types."""
    lines = ["---", "$schema: moz://mozilla.org/schemas/glean/metrics/2-0-0", "bench:"]
    for number in range(count):
        kind = _KINDS[number % len(_KINDS)]
        lines += [
            f"  metric_{number}:",
            f"    {kind}",
            "    description: A metric of the benchmark.",
            "    bugs: [https://example.org/1]",
            "    data_reviews: [https://example.org/1]",
            "    notification_emails: [nobody@example.org]",
            "    expires: never",
        ]
        if not kind.startswith("type: event"):
            lines.append("    send_in_pings: [metrics]")
    return "\n".join(lines) + "\n"


MEASURES: Dict[str, Measure] = {
    "calls": calls,
    "until stored": stored,
    "ping": ping,
    "import": importing,
    "loading metrics": load,
    "first record": first_record,
    "many records": records,
    "threads": threads,
    "growth": growth,
}


def python_version(place: Place) -> Dict[str, str]:
    """Return the version of the Python that probes run in."""
    ask = "import platform; print(platform.python_version())"
    done = runner.run([place.python, "-I", "-c", ask], timeout_s=60, quiet=True, split_stderr=True, echo=False)
    return {"Python of what is measured": done.stdout.strip()}


def versions(place: Place) -> Dict[str, str]:
    """Return the versions of everything that takes part in comparisons of the core."""
    return {**python_version(place), **place.versions("glean_py", "glean-sdk", "prometheus-client", "cffi")}
