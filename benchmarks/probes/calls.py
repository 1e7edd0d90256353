"""Single calls, as the caller sees them, and how many of them several threads get done."""

from __future__ import annotations

import gc
import importlib
import statistics
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import clock, packages
from .clock import Loop
from .packages import PING, TEXT, Session

# A handle as ours has them: no small number.
_HANDLE = 0x1_0000_0003
# So many calls of glean-sdk are queued before they are drained; its queue has no bound.
_QUEUED = 1000
# A library that nobody holds is unloaded, although its functions are still there.
_LOADED: List[Any] = []
_COUNTERS = 100
_LABELS = [f"label_{number}" for number in range(100)]
_EVENT = """---
$schema: moz://mozilla.org/schemas/glean/metrics/2-0-0
bench:
  happening:
    type: event
    description: measured
    bugs: [https://example.org/1]
    data_reviews: [https://example.org/1]
    notification_emails: [nobody@example.org]
    expires: never
    send_in_pings: [bench]
    extra_keys:
      first: {type: string, description: one}
      second: {type: string, description: another}
"""


def one_call(what: str, package: str = "", floor: str = "", effort: float = 1.0) -> Dict[str, float]:
    """Return the nanoseconds of one call.

    Args:
        what: a metric type of the package; or `empty`, `empty, no argument`, `empty, in a method`, `prometheus`.
        package: of the metric.
        floor: the folder that has the library of empty functions and its module.
        effort: see `clock.per_call`.
    """
    with ExitStack() as stack:
        run, session = _loop(what, package, floor, stack)
        if session is None:
            return {"ns": clock.per_call(run, effort=effort)}
        most = 10**7 if session.is_ours and what != "event" else _QUEUED
        nanoseconds = clock.per_call(run, drain=session.drain, most=most, effort=effort)
    return {"ns": nanoseconds}


def throughput(
    what: str, threads: int, count: int, package: str = "", floor: str = "", effort: float = 1.0
) -> Dict[str, float]:
    """Return the nanoseconds of one call when several threads share `count` of them: all their time over all calls."""
    with ExitStack() as stack:
        run, session = _loop(what, package, floor, stack)
        run(1000)
        figures = [_together(run, threads, count) for _ in range(max(1, round(3 * effort)))]
        if session is not None:
            session.drain()
    return {"ns": statistics.median(figures)}


def _together(run: Loop, threads: int, count: int) -> float:
    ready = threading.Barrier(threads + 1)

    def work() -> None:
        ready.wait()
        run(count // threads)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    gc.disable()
    ready.wait()
    started = time.perf_counter()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - started
    gc.enable()
    return seconds / (count // threads * threads) * 1e9


# --- what is called ---------------------------------------------------------------------------------------------------


def _loop(what: str, package: str, floor: str, stack: ExitStack) -> Tuple[Loop, Optional[Session]]:
    if what in _BARE:
        return _BARE[what](floor), None
    session = stack.enter_context(packages.started(package))
    run = _METRICS[what](session)
    if what in _CHECKED:
        stack.callback(_check, session, *_CHECKED[what])
    return run, session


def _nothing(floor: str) -> Loop:
    return clock.loop("pass")


def _prometheus(floor: str) -> Loop:
    client = importlib.import_module("prometheus_client")
    counter = client.Counter("bench", "measured", registry=client.CollectorRegistry())
    return clock.loop("counter.inc(1)", counter=counter)


def _prometheus_in_turn(floor: str) -> Loop:
    client = importlib.import_module("prometheus_client")
    registry = client.CollectorRegistry()
    counters = [client.Counter(f"bench_{number}", "measured", registry=registry) for number in range(_COUNTERS)]
    return clock.loop("item.inc(1)", counters)


def _empty(floor: str) -> Loop:
    return clock.loop("empty(handle, 1)", empty=_library(floor).bench_empty, handle=_HANDLE)


def _empty_no_argument(floor: str) -> Loop:
    return clock.loop("empty()", empty=_library(floor).bench_empty_no_argument)


class _Thinnest:
    """The least that a counter with an `add` of its own can be."""

    def __init__(self, function: Callable[[int, int], int]) -> None:
        self._function = function
        self._handle = _HANDLE

    def add(self, amount: int = 1) -> None:
        """Call the function and look at its status."""
        if self._function(self._handle, amount):
            raise RuntimeError("the empty function returns 0")


def _empty_in_a_method(floor: str) -> Loop:
    return clock.loop("counter.add(1)", counter=_Thinnest(_library(floor).bench_empty))


def _library(floor: str) -> Any:
    """Load the empty functions as glean_py loads its library: a module that cffi wrote, and dlopen."""
    sys.path.append(floor)
    library = importlib.import_module("_bench_floor").ffi.dlopen(str(Path(floor, "libbench_floor.so")))
    _LOADED.append(library)
    return library


def _counter(session: Session) -> Loop:
    return clock.loop("counter.add(1)", counter=session.counter("calls"))


def _counters_in_turn(session: Session) -> Loop:
    return clock.loop("item.add(1)", [session.counter(f"calls_{number}") for number in range(_COUNTERS)])


def _string(session: Session) -> Loop:
    return clock.loop("string.set(text)", string=session.string("text"), text=TEXT)


def _timing(session: Session) -> Loop:
    return clock.loop("timing.stop_and_accumulate(timing.start())", timing=session.timing("time"))


def _event(session: Session) -> Loop:
    file = session.folder.parent / "metrics.yaml"
    file.write_text(_EVENT, encoding="utf-8")
    loaded = session.glean.load_metrics(file).bench
    statement = 'event.record(extra(first="one value", second="another"))'
    return clock.loop(statement, event=loaded.happening, extra=loaded.HappeningExtra)


def _labeled_counter(session: Session) -> Loop:
    metrics = session.metrics
    described = metrics.LabeledMetricData.COMMON(session.described("labeled"))
    labeled = metrics.LabeledCounterMetricType(described, labels=_LABELS)
    return clock.loop("labeled[item].add(1)", _LABELS, labeled=labeled)


def _check(session: Session, kind: str, name: str) -> None:
    """Refuse figures of calls that recorded nothing."""
    made = getattr(session.metrics, kind)(session.described(name))
    if not made.test_get_value(PING):
        raise SystemExit(f"{session.package} stored nothing")


_BARE: Dict[str, Callable[[str], Loop]] = {
    "nothing": _nothing,
    "empty": _empty,
    "empty, no argument": _empty_no_argument,
    "empty, in a method": _empty_in_a_method,
    "prometheus": _prometheus,
    "prometheus, in turn": _prometheus_in_turn,
}
_METRICS: Dict[str, Callable[[Session], Loop]] = {
    "counter": _counter,
    "counters in turn": _counters_in_turn,
    "string": _string,
    "timing": _timing,
    "event": _event,
    "labeled counter": _labeled_counter,
}
_CHECKED: Dict[str, List[str]] = {
    "counter": ["CounterMetricType", "calls"],
    "string": ["StringMetricType", "text"],
}
