"""Makes a failing program smaller as long as it still fails."""

from __future__ import annotations

import copy
import json
import time
from typing import Any, Callable, Iterator, List

Json = Any


def shrink(program: Json, fails: Callable[[Json], bool], *, seconds: float = 40.0) -> Json:
    """Return a smaller program for which `fails` is still true."""
    deadline = time.monotonic() + seconds
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for candidate in _smaller(program):
            if time.monotonic() > deadline:
                return program
            if fails(candidate):
                program, is_smaller = candidate, True
                break
    return program


def _smaller(program: Json) -> Iterator[Json]:
    """Yield programs with one thing less, the large things first."""
    yield from _without_items(program, ["segments"], least=1)
    for number in range(len(program["segments"])):
        for part in ("ops", "before"):
            yield from _without_items(program, ["segments", number, part])
    used = json.dumps(program["segments"])
    for place, metric in reversed(list(enumerate(program["metrics"]))):
        if f'"on": "{metric["id"]}"' not in used:
            yield _without(program, ["metrics"], slice(place, place + 1))
    others = json.dumps([program["segments"], program["metrics"]])
    for place, ping in reversed(list(enumerate(program["pings"]))):
        if json.dumps(program).count(f'"{ping["name"]}"') == 1 or f'"{ping["name"]}"' not in others:
            yield _without(program, ["pings"], slice(place, place + 1))
    for number, segment in enumerate(program["segments"]):
        for key in [*(key for key in segment if key not in ("ops", "before", "config")), *segment.get("config", {})]:
            changed = copy.deepcopy(program)
            changed["segments"][number].pop(key, None)
            changed["segments"][number].get("config", {}).pop(key, None)
            yield changed
    for place, metric in enumerate(program["metrics"]):
        for store in range(len(metric["common"]["send_in_pings"]) if len(metric["common"]["send_in_pings"]) > 1 else 0):
            yield _without(program, ["metrics", place, "common", "send_in_pings"], slice(store, store + 1))
        for key, simple in _PLAIN_METRIC.items():
            if metric["common"].get(key) != simple:
                yield _changed(program, ["metrics", place, "common", key], simple)
    for place, ping in enumerate(program["pings"]):
        for key, simple in _PLAIN_PING.items():
            if ping["fields"][key] != simple:
                yield _changed(program, ["pings", place, "fields", key], simple)
        if ping.get("when") != "before":
            yield _changed(program, ["pings", place, "when"], "before")


_PLAIN_METRIC: Json = {"lifetime": "PING", "disabled": False, "in_session": False, "category": "test"}
_PLAIN_PING: Json = {
    "include_client_id": True,
    "send_if_empty": False,
    "precise_timestamps": True,
    "include_info_sections": True,
    "schedules_pings": [],
    "reason_codes": [],
    "uploader_capabilities": [],
    "enabled": True,
    "follows_collection_enabled": True,
}


def _without_items(program: Json, path: List[Any], *, least: int = 0) -> Iterator[Json]:
    items = _at(program, path)
    size = len(items)
    while size >= 1:
        for start in range(0, len(items), size):
            if len(items) - len(items[start : start + size]) >= least and items:
                yield _without(program, path, slice(start, start + size))
        size //= 2


def _at(program: Json, path: List[Any]) -> Json:
    for key in path:
        program = program.get(key, []) if isinstance(program, dict) else program[key]
    return program


def _without(program: Json, path: List[Any], what: slice) -> Json:
    changed = copy.deepcopy(program)
    del _at(changed, path)[what]
    return changed


def _changed(program: Json, path: List[Any], value: Json) -> Json:
    changed = copy.deepcopy(program)
    _at(changed, path[:-1])[path[-1]] = value
    return changed
