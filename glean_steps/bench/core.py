"""The rows on the telemetry core: calls, pings, start, memory, disk, against other packages and the bare boundary."""

from __future__ import annotations

import sys
from typing import Dict, Iterator, Tuple

from glean_steps import wheel
from glean_steps.bench import core_sides, peers
from glean_steps.bench.core_sides import GROWTH, GROWTH_FIGURES
from glean_steps.bench.figures import Row
from glean_steps.bench.group import CORE, Group
from glean_steps.workspace import Workspace

_SDK = "glean-sdk"
_CALL_NOTE = (
    "one figure is a process of its own: a loop of calls with the metric in a local variable, garbage collection off; "
    "the count is found out first so that a batch takes 20 ms; the figure is the median of 15 batches. The loop's own "
    "time is in all figures of calls alike: see row 8.3. Before each batch, outside the timing, what is queued is "
    "drained with a getter; batches of glean-sdk have 1,000 calls at most, since its queue has no bound."
)
_CALLS = Group(
    "calls",
    (
        Row(
            "7",
            "`counter.add(1)`, durable",
            "prometheus_client `Counter.inc(1)`, memory only",
            "ours, counter",
            "prometheus",
            "ns",
            1.0,
            label="counter.add / prometheus_client inc",
        ),
        Row(
            "7.1",
            "`counter.add(1)`, 100 counters in turn",
            "prometheus_client, 100 counters in turn",
            "ours, counters in turn",
            "prometheus, in turn",
            "ns",
        ),
        Row(
            "8",
            "`counter.add(1)`, durable",
            "an empty C function through cffi: `f(uint64_t, int32_t)`",
            "ours, counter",
            "empty",
            "ns",
            1.3,
            label="counter.add / empty C function (cffi)",
        ),
        Row(
            "8.1",
            "`counter.add(1)`, durable",
            "an empty C function without arguments",
            "ours, counter",
            "empty, no argument",
            "ns",
        ),
        Row(
            "8.2",
            "`counter.add(1)`, durable",
            "the empty C function of row 8 in a Python method `add(amount)`",
            "ours, counter",
            "empty, in a method",
            "ns",
        ),
        Row("8.3", "`counter.add(1)`, durable", "the loop alone", "ours, counter", "nothing", "ns"),
        Row(
            "9",
            "`counter.add(1)`",
            _SDK,
            "ours, counter",
            "peer, counter",
            "ns",
            1 / 20,
            label="counter.add / glean-sdk",
        ),
        Row(
            "10",
            "`string.set` of 16 letters",
            _SDK,
            "ours, string",
            "peer, string",
            "ns",
            1 / 25,
            label="string.set / glean-sdk",
        ),
        Row(
            "11",
            "timing distribution, `start` and `stop_and_accumulate`",
            _SDK,
            "ours, timing",
            "peer, timing",
            "ns",
            1 / 20,
            label="timing start + stop / glean-sdk",
        ),
        Row(
            "12",
            "`event.record` with 2 extras, made each time",
            _SDK,
            "ours, event",
            "peer, event",
            "ns",
            1 / 10,
            label="event with 2 extras / glean-sdk",
        ),
        Row(
            "14",
            "`labeled[label].add(1)`, 100 labels in turn",
            _SDK,
            "ours, labeled counter",
            "peer, labeled counter",
            "ns",
            1 / 20,
            label="labeled counter, 100 labels / glean-sdk",
        ),
    ),
    core_sides.calls,
    notes=(
        ("7", _CALL_NOTE),
        ("7.1", "adding to the same counter again is a case of its own in our journal, so it is not all there is."),
        ("8", "ABI mode, out of line, as ours; the function in a local variable."),
        ("9", "what the caller waits for; glean-sdk hands the work to a thread that stores it later: see row 13."),
    ),
    part=CORE,
)
_STORED = Group(
    "until stored",
    (
        Row(
            "13",
            "200,000 operations until stored",
            _SDK,
            "ours",
            "peer",
            "s",
            1 / 100,
            label="200,000 operations stored / glean-sdk",
        ),
    ),
    core_sides.stored,
    notes=(
        (
            "13",
            "12 counters, 5 strings and 3 timing distributions in turn, then a getter, which comes after all that was "
            "queued before it and has to return the right count; ours shuts down in that time, too.",
        ),
    ),
    part=CORE,
)
_PING = Group(
    "ping",
    (
        Row(
            "15",
            "ping of 1,000 metrics, assembled and on disk",
            _SDK,
            "ours",
            "peer",
            "s",
            1 / 5,
            label="ping of 1,000 metrics / glean-sdk",
        ),
    ),
    core_sides.ping,
    notes=(
        (
            "15",
            "600 counters, 250 strings and 150 timing distributions with a value, everything stored; from "
            "`ping.submit()` until the file has its name in `pending_pings`. Ours is synced to the disk. The median of "
            "three pings of a process.",
        ),
    ),
    part=CORE,
)
_IMPORT = Group(
    "import",
    (
        Row("16", "import, over a bare interpreter", _SDK, "ours", "peer", "us", 1 / 6, label="import / glean-sdk"),
        Row("16.1", "import, over a bare interpreter", "50 ms", "ours", "50 ms", "us", 1.0, label="import / 50 ms"),
    ),
    core_sides.importing,
    notes=(
        (
            "16",
            "the life of `python -I -c 'import ...'` less that of `python -I -c pass`, the median of nine of each in "
            "turn.",
        ),
    ),
    part=CORE,
)
_LOAD = Group(
    "loading metrics",
    (
        Row(
            "17",
            "200 metrics, compiled",
            "`load_metrics` of the same YAML with glean-sdk",
            "ours",
            "peer",
            "us",
            1 / 50,
            label="200 metrics compiled / glean-sdk load_metrics",
        ),
        Row("17.1", "the same, each of the 200 looked up", "as in row 17", "ours, made", "peer", "us"),
    ),
    core_sides.load,
    notes=(
        (
            "17",
            "the import of the module that `python -m glean_py compile` wrote, the package being imported already; the "
            "median of nine processes. Its metrics are made when they are first looked up, which row 17.1 adds; "
            "`load_metrics` makes all of them.",
        ),
    ),
    part=CORE,
)
_FIRST = Group(
    "first record",
    (
        Row(
            "18",
            "start of the process to the first durable record",
            _SDK,
            "ours",
            "peer",
            "us",
            1 / 4,
            label="start to first durable record / glean-sdk",
        ),
    ),
    core_sides.first_record,
    notes=(
        (
            "18",
            "the process is killed with SIGKILL at that very moment, and another one has to find the record. For ours "
            "that is when the call returns, for glean-sdk when a getter behind it does. The median of five processes.",
        ),
    ),
    part=CORE,
)
_MANY = "1,000,000 records on 200 metrics"
_RECORDS = Group(
    "many records",
    (
        Row(
            "19",
            f"resident memory over a bare interpreter after {_MANY}",
            _SDK,
            "ours, over bare",
            "peer, over bare",
            "bytes",
            1 / 2,
            label="memory after 1,000,000 records / glean-sdk",
        ),
        Row(
            "19.1",
            f"disk after {_MANY}",
            _SDK,
            "ours, disk",
            "peer, disk",
            "bytes",
            1 / 2,
            label="disk after 1,000,000 records / glean-sdk",
        ),
        Row(
            "19.2",
            f"mean resident memory in the last quarter of {_MANY}",
            "ours in the first quarter",
            "ours, resident 4",
            "ours, resident 1",
            "bytes",
            1.1,
            label="memory, last quarter / first quarter",
        ),
        Row(
            "19.3",
            f"mean disk in the last quarter of {_MANY}",
            "ours in the first quarter",
            "ours, disk 4",
            "ours, disk 1",
            "bytes",
            1.1,
            label="disk, last quarter / first quarter",
        ),
        Row("19.4", "resident memory as in row 19, absolute", _SDK, "ours, resident", "peer, resident", "bytes"),
        Row(
            "19.5",
            f"disk after {_MANY} and the shutdown",
            _SDK,
            "ours, disk after shutdown",
            "peer, disk after shutdown",
            "bytes",
        ),
        Row("19.6", f"the most disk at any time of {_MANY}", _SDK, "ours, largest disk", "peer, largest disk", "bytes"),
        Row(
            "19.8",
            f"disk at the end of {_MANY}, without a rest",
            _SDK,
            "ours, disk at once",
            "peer, disk at once",
            "bytes",
        ),
        Row("19.7", f"one of {_MANY}, until stored", _SDK, "ours, ns", "peer, ns", "ns"),
    ),
    core_sides.records,
    once=True,
    notes=(
        (
            "19",
            "120 counters, 50 strings and 30 timing distributions in turn, each with the same value again and again, "
            "which keeps the stores of both as small as they get; everything stored, the program running and "
            "at rest for 3 seconds, after which ours has put its journal away; row 19.8 is without that rest. "
            "Measured once, since glean-sdk takes minutes. Ours is drained at the end alone, "
            "glean-sdk after each 2,000 records. Files of both that are mapped count as resident.",
        ),
        ("19.2", "flat over time: the mean of 25 looks, one after each 10,000 records. So is the disk of row 19.3."),
    ),
    part=CORE,
)
_THREADS = Group(
    "threads",
    (
        Row(
            "20",
            "`counter.add(1)`, 4 threads",
            "1 thread, the same number of calls",
            "ours, 4 threads",
            "ours, 1 thread",
            "ns",
            1.0,
            label="counter.add, 4 threads / 1 thread (time)",
        ),
        Row(
            "20.1", "the empty C function of row 8, 4 threads", "1 thread", "empty, 4 threads", "empty, 1 thread", "ns"
        ),
        Row(
            "20.2",
            "prometheus_client `Counter.inc(1)`, 4 threads",
            "1 thread",
            "prometheus, 4 threads",
            "prometheus, 1 thread",
            "ns",
        ),
    ),
    core_sides.threads,
    notes=(
        (
            "20",
            "the time of 1,000,000 calls, shared by the threads, over the number of calls; a ratio of 1 is the same "
            "throughput. Rows 20.1 and 20.2 show what the boundary and Python alone make of it: cffi lets go of the "
            "interpreter's lock around each call, and threads that wait for it take it in turns.",
        ),
    ),
    part=CORE,
)
# Text, unit and short name of what grows.
_GROWTH_TEXTS = {
    "ns": ("one record, until stored", "ns", "one record"),
    "s": ("ping, assembled and on disk", "s", "ping"),
    "over bare": ("resident memory over a bare interpreter", "bytes", "memory"),
    "disk": ("disk", "bytes", "disk"),
}


def _growth_rows() -> Iterator[Row]:
    number = 0
    for figure in GROWTH_FIGURES:
        text, unit, label = _GROWTH_TEXTS[figure]
        for metrics in GROWTH:
            number += 1
            what, ours = f"{metrics:,} metrics: {text}", f"ours, {metrics}, {figure}"
            if metrics == GROWTH[-1]:
                less = GROWTH[-2]
                yield Row(
                    f"21.{number}",
                    what,
                    f"ours with {less:,} metrics",
                    ours,
                    f"ours, {less}, {figure}",
                    unit,
                    label=label,
                )
            else:
                yield Row(f"21.{number}", what, _SDK, ours, f"peer, {metrics}, {figure}", unit, label=label)


_GROWING = Group(
    "growth",
    tuple(_growth_rows()),
    core_sides.grow,
    notes=(
        (
            "21.1",
            "200,000 records, of glean-sdk 2,000, and one on each metric at least, on counters, strings and timing "
            "distributions as in row 19; after a rest of 3 seconds memory and disk, then the ping. glean-sdk writes "
            "its whole database for each record, so 100,000 metrics would keep it busy for hours; ours is compared "
            "with itself there.",
        ),
    ),
    part=CORE,
)

GROUPS: Tuple[Group, ...] = (_CALLS, _STORED, _PING, _IMPORT, _LOAD, _FIRST, _RECORDS, _THREADS, _GROWING)


def versions(ws: Workspace) -> Dict[str, str]:
    """Return the versions of everything that takes part in rows on the core."""
    return {
        "Python of what is measured": peers.newest_python(ws).version,
        "glean_py": wheel.native_wheel(ws).name.split("-")[1],
        **peers.installed_versions(("glean-sdk", "prometheus-client", "cffi"), ws),
        "Python of the steps": sys.version.split()[0],
    }
