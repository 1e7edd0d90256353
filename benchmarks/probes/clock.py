"""Timing loops inside one process: counts that are found out first, garbage collection off, nanoseconds per call."""

from __future__ import annotations

import gc
import itertools
import statistics
import time
from typing import Any, Callable, Iterable, List, Optional

BATCH_S = 0.02
BATCHES = 15

# The names are parameters, so that the loop finds them where a function finds its own: in local variables.
_LOOP = """
def run(items, clock, {names}):
    started = clock()
    for item in items:
        {statement}
    return clock() - started
"""

Loop = Callable[[int], float]


def loop(statement: str, items: Optional[Iterable[object]] = None, **names: Any) -> Loop:
    """Return a function that runs a statement so many times and returns the seconds of all.

    Args:
        statement: one line of Python.
        items: what `item` is in the statement, over and over again.
        names: all other names that the statement uses.
    """
    space: dict[str, Any] = {}
    exec(_LOOP.format(names=", ".join(names) or "*_", statement=statement), space)
    compiled, values = space["run"], tuple(names.values())
    everything = itertools.cycle(items) if items is not None else itertools.repeat(None)

    def run(count: int) -> float:
        seconds: float = compiled(itertools.islice(everything, count), time.perf_counter, *values)
        return seconds

    return run


def per_call(
    run: Loop, *, drain: Optional[Callable[[], object]] = None, most: int = 10**7, effort: float = 1.0
) -> float:
    """Return the nanoseconds of one call: the median of several batches that are long enough for the clock.

    Args:
        drain: called before each batch, outside the timing, so that what is queued does not pile up.
        most: the most calls of a batch.
        effort: less than 1 makes it quick and the figure worthless; for tests.
    """
    drain = drain or (lambda: None)
    gc.collect()
    gc.disable()
    count = 1
    while True:
        drain()
        seconds = run(count)
        if seconds >= BATCH_S * effort or count >= most:
            break
        count = min(most, max(count * 2, int(count * min(50.0, 1.2 * BATCH_S * effort / max(seconds, 1e-9)))))
    figures: List[float] = []
    for _ in range(max(1, round(BATCHES * effort))):
        drain()
        figures.append(run(count) / count * 1e9)
    drain()
    gc.enable()
    return statistics.median(figures)
