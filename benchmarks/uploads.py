"""The comparisons on sending: what it costs at the end of a program, until the server has a ping, and of the processor.

The server is one on loopback, in a process of its own.
"""

from __future__ import annotations

from typing import Dict, Iterator

from benchmarks import core
from benchmarks.place import Measure, Place, Side

OTHERS = ("sentry-sdk", "posthog", "opentelemetry", "glean-sdk")
SERVERS = ("refused", "silent", "slow")
WAYS = ("atexit", "shutdown")
# What a user does not notice.
UNNOTICED_S = 0.1


def _package(name: str) -> str:
    return core.PACKAGES.get(name, name)


def ending(place: Place) -> Iterator[Dict[str, Side]]:
    """The end of a program that has one thing to send."""
    sides: Dict[str, Side] = {"0.1 s": lambda: UNNOTICED_S}
    for server in SERVERS:
        for way in WAYS:
            for name in ("glean_py", *OTHERS):
                options = {"package": _package(name), "server": server, "way": way}
                sides[f"{name}, {server}, {way}"] = core.side(place, "s", "ending", **options)
            sides[f"over bare, {server}, {way}"] = _over_bare(place, server, way)
    yield sides


def _over_bare(place: Place, server: str, way: str) -> Side:
    def take() -> float:
        ours, bare = (
            core.probe(place, "ending", package=package, server=server, way=way)["s"]
            for package in ("glean_py", "nothing")
        )
        return max(0.0, ours - bare)

    return take


def reading(place: Place) -> Iterator[Dict[str, Side]]:
    """The end of a program, for a parent that reads what it prints until there is no more."""
    options = {"server": "silent", "way": "atexit", "is_read": True}
    yield {"0.1 s": lambda: UNNOTICED_S, **core.both(place, "s", "ending", **options)}


def arriving(place: Place) -> Iterator[Dict[str, Side]]:
    """From the submission until the server has it."""
    yield {
        f"{name}, {shown}": side
        for shown, count, is_quick in (("1", 1, False), ("100", place.some(100), True))
        for name, side in core.both(place, "s", "arriving", count=count, is_quick=is_quick).items()
    }


def processor(place: Place) -> Iterator[Dict[str, Side]]:
    """What many pings take of the processor."""
    yield core.both(place, "processor s", "arriving", count=place.some(1000), is_quick=True)


MEASURES: Dict[str, Measure] = {
    "end of a program": ending,
    "end for a reader": reading,
    "arrival": arriving,
    "processor time": processor,
}


def versions(place: Place) -> Dict[str, str]:
    """Return the versions of everything that takes part."""
    others = ("sentry-sdk", "posthog", "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http", "glean-sdk")
    return {**core.python_version(place), **place.versions("glean_py", *others)}
