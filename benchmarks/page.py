"""The page of the collector, in the system's Chromium: how soon it is there, and how long it keeps the browser busy."""

from __future__ import annotations

import json
from typing import Dict, Iterator

from benchmarks import core
from benchmarks.place import Measure, Place, Side
from glean_steps import environments, project, runner, system
from glean_steps.environments import Environment

PROBE_S = 600.0
# What browsers call a long task, in milliseconds.
LONG_MS = 50.0
SHOWN_MS = 100.0


def page(place: Place) -> Iterator[Dict[str, Side]]:
    """The page with 500 pings of 100 KB."""
    (chromium,) = system.tools("chromium")
    system.require([chromium], place.ws)
    with place.ws.locked():
        python = Environment("collector", project.COLLECTOR_REQUIREMENTS).ensure(place.ws)
    argv = [python, "-I", core.PROBES / "page.py", system.find(chromium)]

    def measure() -> Dict[str, float]:
        env = environments.clean_env()
        done = runner.run(
            argv, timeout_s=PROBE_S, cwd=place.scratch, env=env, quiet=True, split_stderr=True, echo=False
        )
        figures: Dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return {name: figure * 1000 for name, figure in figures.items()}

    names = {"page shown": "shown", "longest task": "longest task", "opening": "opening"}
    limits: Dict[str, Side] = {"100 ms": lambda: SHOWN_MS * 1000, "50 ms": lambda: LONG_MS * 1000}
    yield {**core.shared(names, measure), **limits}


MEASURES: Dict[str, Measure] = {"page": page}


def versions(place: Place) -> Dict[str, str]:
    """Return the version of the browser."""
    (chromium,) = system.tools("chromium")
    done = runner.run([system.find(chromium), "--version"], timeout_s=60, quiet=True, split_stderr=True, echo=False)
    return {"browser": done.stdout.strip()}
