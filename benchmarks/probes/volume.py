"""Many records: until they are stored, what they take of memory and disk, and the ping that is made of them."""

from __future__ import annotations

import gc
import itertools
import json
import statistics
import time
from typing import Dict, Iterable, List

from . import children, packages
from .packages import Record, Session

# So many operations of glean-sdk are queued before they are drained.
_QUEUED = 2000
_SLICE = 10_000
_PING_S = 600.0
_LOOK_S = 0.00002


def until_stored(package: str, count: int, metrics: int = 20) -> Dict[str, float]:
    """Return the seconds of so many operations on a few metrics, until the last one is stored.

    A getter that returns says so. Ours has to shut down in that time, too.
    """
    with packages.started(package) as session:
        records = session.mixture(metrics)
        check = session.counter("counter_0")
        session.drain()
        _quiet()
        started = time.perf_counter()
        _record(records, count)
        counted = check.test_get_value(packages.PING)
        if session.is_ours:
            session.shut_down()
        seconds = time.perf_counter() - started
    wanted = len(range(0, count, metrics))
    if counted != wanted:
        raise SystemExit(f"{package} recorded {wanted}, stored {counted}")
    return {"s": seconds}


def many_records(package: str, count: int, rest_s: float, metrics: int = 200) -> Dict[str, float]:
    """Return memory and disk, in bytes, after and during so many records.

    Ours is never drained but at the end; glean-sdk's queue has no bound, so it is drained all the time.

    Args:
        package: which one.
        count: how many.
        rest_s: how long it rests before the last look: what it does when nothing comes belongs to what it leaves.
        metrics: how many metrics they are spread over.

    Returns:
        `disk at once`: when everything is stored. `resident`, `over bare`, `disk`: after the rest. `disk after
        shutdown`. `largest disk`: at any time. `resident N` and `disk N`: the mean of each quarter, N from 1 to 4.
        `ns`: the time of one record, until stored.
    """
    bare = bare_resident_bytes()
    with packages.started(package) as session:
        records = itertools.cycle(session.mixture(metrics))
        resident: List[List[int]] = [[], [], [], []]
        disk: List[List[int]] = [[], [], [], []]
        seconds = 0.0
        part = max(1, min(_SLICE, count // 4))
        for done in range(0, count, part):
            started = time.perf_counter()
            _record_and_drain(session, records, min(part, count - done))
            seconds += time.perf_counter() - started
            quarter = min(3, done * 4 // count)
            resident[quarter].append(packages.resident_bytes())
            disk[quarter].append(session.disk_bytes())
        started = time.perf_counter()
        session.drain()
        seconds += time.perf_counter() - started
        disk_at_once = session.disk_bytes()
        time.sleep(rest_s)
        figures: Dict[str, float] = {
            "ns": seconds / count * 1e9,
            "disk at once": disk_at_once,
            "resident": packages.resident_bytes(),
            "disk": session.disk_bytes(),
            "largest disk": max(itertools.chain(*disk)),
        }
        figures["over bare"] = figures["resident"] - bare
        for quarter in range(4):
            figures[f"resident {quarter + 1}"] = statistics.fmean(resident[quarter] or [0])
            figures[f"disk {quarter + 1}"] = statistics.fmean(disk[quarter] or [0])
        session.shut_down()
        figures["disk after shutdown"] = session.disk_bytes()
    return figures


def one_ping(package: str, metrics: int, pings: int = 3) -> Dict[str, float]:
    """Return the seconds from the call that submits a ping until its file is there."""
    with packages.started(package) as session:
        records = session.mixture(metrics)
        return {"s": statistics.median(_ping(session, records) for _ in range(pings))}


def grow(package: str, metrics: int, count: int, rest_s: float) -> Dict[str, float]:
    """Return what so many metrics cost: `ns` of one record until stored, `s` of the ping, memory and disk in bytes."""
    bare = bare_resident_bytes()
    count = max(count, metrics)
    with packages.started(package) as session:
        records = session.mixture(metrics)
        session.drain()
        _quiet()
        everything = itertools.cycle(records)
        started = time.perf_counter()
        for done in range(0, count, _SLICE):
            _record_and_drain(session, everything, min(_SLICE, count - done))
        session.drain()
        figures: Dict[str, float] = {"ns": (time.perf_counter() - started) / count * 1e9}
        time.sleep(rest_s)
        figures["over bare"] = packages.resident_bytes() - bare
        figures["disk"] = session.disk_bytes()
        figures["s"] = _ping(session, [])
    return figures


def bare_resident_bytes() -> int:
    """Return the resident memory of an interpreter that does nothing."""
    code = "import os; print(int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE'))"
    return int(children.output(code))


def _record(records: Iterable[Record], count: int) -> None:
    for method, value in itertools.islice(itertools.cycle(records), count):
        method(value)


def _record_and_drain(session: Session, records: Iterable[Record], count: int) -> None:
    """Record the next ones; glean-sdk's queue is drained now and then."""
    part = count if session.is_ours else _QUEUED
    while count > 0:
        for method, value in itertools.islice(records, min(part, count)):
            method(value)
        if not session.is_ours:
            session.drain()
        count -= part


def _ping(session: Session, records: List[Record]) -> float:
    """Record, submit and wait for the file; return the seconds from the call on."""
    _record(records, len(records))
    session.drain()
    before = set(session.pings())
    _quiet()
    started = time.perf_counter()
    session.ping.submit()
    while True:
        new = set(session.pings()) - before
        seconds = time.perf_counter() - started
        if new:
            break
        if seconds > _PING_S:
            raise SystemExit(f"{session.package} made no ping in {_PING_S:g} s")
        # Looking all the time would keep a core, and the folder, from the one that makes the ping.
        time.sleep(_LOOK_S)
    sent = json.loads(new.pop().read_text(encoding="utf-8").splitlines()[1])["metrics"]
    found = sum(name.startswith("bench.") for section in sent.values() for name in section)
    if found < len(records):
        raise SystemExit(f"{session.package} recorded {len(records)} metrics, the ping has {found}")
    return seconds


def _quiet() -> None:
    """Let nothing collect garbage while something is timed."""
    gc.collect()
    gc.disable()
