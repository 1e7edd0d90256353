"""What measures the rows on the telemetry core: probes that run beside the peers, in their environment."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Set

from glean_steps import runner, system
from glean_steps.bench import peers
from glean_steps.bench.group import Place, Side

PROBE_S = 1800.0
COMPILE_S = 300.0
REST_S = 3.0
_PROBES = Path(__file__).with_name("_probes")
# The folder comes last: nothing in it hides a package of the environment.
_BOOT = (
    "import runpy, sys; sys.path.append(sys.argv[1]); "
    f"runpy.run_module({_PROBES.name!r}, run_name='__main__', alter_sys=False)"
)

OURS, THEIRS = "glean_py", "glean"
_BOTH = (("ours", OURS), ("peer", THEIRS))
# Numbers of metrics, and what grows with them.
GROWTH = (10, 1_000, 100_000)
GROWTH_FIGURES = ("ns", "s", "over bare", "disk")
_IMPORT_GOAL_US = 50_000.0


@dataclass(frozen=True)
class Bench:
    """What the probes run in: the Python of the peers' environment, ours installed beside them."""

    program: Path
    place: Place

    def run(self, measure: str, **options: object) -> Dict[str, float]:
        """Run one probe in a process of its own and return its figures."""
        done = runner.run(
            [self.program, "-I", "-c", _BOOT, _PROBES.parent, measure, json.dumps(options)],
            timeout_s=PROBE_S,
            cwd=self.place.scratch,
            env=_quiet_env(),
            quiet=True,
            split_stderr=True,
            echo=False,
        )
        figures: Dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return figures

    def side(self, figure: str, measure: str, **options: object) -> Side:
        """Return a side whose figure is one of a probe's."""
        return lambda: self.run(measure, **options)[figure]

    def sides(self, names: Dict[str, str], measure: str, **options: object) -> Dict[str, Side]:
        """Return sides that share one run of a probe a round: the figure that each takes, by its name.

        A figure is given out once; whoever asks for it again starts the probe again.
        """
        left: Dict[str, float] = {}

        def taking(figure: str) -> Side:
            def side() -> float:
                if figure not in left:
                    left.clear()
                    left.update(self.run(measure, **options))
                return left.pop(figure)

            return side

        return {name: taking(figure) for name, figure in names.items()}


def _quiet_env() -> Dict[str, str]:
    """Return an environment without anything that changes what a telemetry package does."""
    mine = ("GLEAN_LOG_PINGS", "GLEAN_DEBUG_VIEW_TAG", "GLEAN_SOURCE_TAGS", "PYTHONDONTWRITEBYTECODE")
    return runner.child_env({name: None for name in mine})


def prepare(place: Place) -> Bench:
    """Make the peers' environment and install ours in it."""
    program = peers.environment(place.ws)
    if not place.is_ours_installed:
        with place.ws.locked():
            peers.install_ours(program, place.ws)
        place.is_ours_installed = True
    return Bench(program, place)


def floor(bench: Bench) -> Path:
    """Build the empty functions and the module that calls them; return their folder."""
    folder = bench.place.scratch / "floor"
    if not folder.is_dir():
        system.require([system.C_COMPILER], bench.place.ws)
        folder.mkdir()
        library = folder / "libbench_floor.so"
        source = _PROBES / "floor.c"
        runner.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], timeout_s=60, quiet=True, echo=False)
        script = _PROBES / "floor.py"
        argv: List[object] = [bench.program, "-I", script, folder / "_bench_floor.py"]
        runner.run(argv, timeout_s=60, quiet=True, echo=False)
    return folder


# --- calls ------------------------------------------------------------------------------------------------------------


def calls(place: Place, needed: Set[str]) -> Iterator[Dict[str, Side]]:
    """Single calls of each kind."""
    bench = prepare(place)
    folder = str(floor(bench))
    bare = ("nothing", "prometheus", "prometheus, in turn", "empty", "empty, no argument", "empty, in a method")
    sides = {what: bench.side("ns", "call", what=what, floor=folder, effort=place.effort) for what in bare}
    for what in ("counter", "counters in turn", "string", "timing", "event", "labeled counter"):
        for name, package in _BOTH:
            side = bench.side("ns", "call", what=what, package=package, effort=place.effort)
            sides[f"{name}, {what}"] = side
    yield sides


def threads(place: Place, needed: Set[str]) -> Iterator[Dict[str, Side]]:
    """Several threads at once, and one."""
    bench = prepare(place)
    folder = str(floor(bench))
    count = place.some(1_000_000)
    whats = {
        "ours": {"what": "counter", "package": OURS},
        "empty": {"what": "empty", "floor": folder},
        "prometheus": {"what": "prometheus"},
    }
    yield {
        f"{name}, {_threads_text(threads)}": bench.side(
            "ns", "threads", threads=threads, count=count, effort=place.effort, **options
        )
        for name, options in whats.items()
        for threads in (4, 1)
    }


def _threads_text(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


# --- many records, pings ----------------------------------------------------------------------------------------------


def stored(place: Place, needed: Set[str]) -> Iterator[Dict[str, Side]]:
    """Operations until they are stored."""
    bench, count = prepare(place), place.some(200_000)
    yield {name: bench.side("s", "stored", package=package, count=count) for name, package in _BOTH}


def ping(place: Place, needed: Set[str]) -> Iterator[Dict[str, Side]]:
    """A ping of many metrics."""
    bench, metrics = prepare(place), place.some(1000)
    yield {name: bench.side("s", "ping", package=package, metrics=metrics) for name, package in _BOTH}


_RECORDS_FIGURES = ("over bare", "resident", "disk", "disk at once", "disk after shutdown", "largest disk", "ns")
_QUARTER_FIGURES = ("resident 1", "resident 4", "disk 1", "disk 4")


def records(place: Place, needed: Set[str]) -> Iterator[Dict[str, Side]]:
    """Memory and disk of many records."""
    bench, count = prepare(place), place.some(1_000_000)
    sides: Dict[str, Side] = {}
    for name, package in _BOTH:
        names = {f"{name}, {figure}": figure for figure in (*_RECORDS_FIGURES, *_QUARTER_FIGURES)}
        sides.update(bench.sides(names, "records", package=package, count=count, rest_s=REST_S * place.effort))
    yield sides


def grow(place: Place, needed: Set[str]) -> Iterator[Dict[str, Side]]:
    """The same with more and more metrics."""
    bench = prepare(place)
    sides: Dict[str, Side] = {}
    for metrics in GROWTH:
        for name, package in _BOTH:
            names = {f"{name}, {metrics}, {figure}": figure for figure in GROWTH_FIGURES}
            count = place.some(200_000 if package == OURS else 2000)
            options = {"metrics": place.some(metrics), "count": count, "rest_s": REST_S * place.effort}
            sides.update(bench.sides(names, "growth", package=package, **options))
    yield sides


# --- starts -----------------------------------------------------------------------------------------------------------


def importing(place: Place, needed: Set[str]) -> Iterator[Dict[str, Side]]:
    """The import."""
    bench = prepare(place)
    starts = place.some(9)
    sides = {name: bench.side("us", "import", package=package, starts=starts) for name, package in _BOTH}
    yield {**sides, "50 ms": lambda: _IMPORT_GOAL_US}


def first_record(place: Place, needed: Set[str]) -> Iterator[Dict[str, Side]]:
    """From the start of a process to its first record."""
    bench, starts = prepare(place), place.some(5)
    yield {name: bench.side("us", "first record", package=package, starts=starts) for name, package in _BOTH}


def load(place: Place, needed: Set[str]) -> Iterator[Dict[str, Side]]:
    """Metrics that were compiled, and their YAML."""
    bench = prepare(place)
    folder = place.scratch / "load"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    source, module = folder / "metrics.yaml", folder / "bench_telemetry.py"
    source.write_text(metrics_yaml(200), encoding="utf-8")
    argv: List[object] = [bench.program, "-I", "-m", OURS, "compile", source, "-o", module]
    runner.run(argv, timeout_s=COMPILE_S, cwd=folder, quiet=True, echo=False)
    # As pip leaves a module that it installed.
    argv = [bench.program, "-I", "-m", "compileall", "-q", module]
    runner.run(argv, timeout_s=COMPILE_S, cwd=folder, quiet=True, echo=False)
    yield {
        "ours": bench.side("us", "load", package=OURS, folder=str(folder), starts=place.some(9)),
        "ours, made": bench.side("us", "load", package=OURS, folder=str(folder), starts=place.some(9), touched=200),
        "peer": bench.side("us", "load", package=THEIRS, folder=str(folder), starts=1),
    }


# What the YAML's metrics are in turn; the peer loads all of these types.
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
