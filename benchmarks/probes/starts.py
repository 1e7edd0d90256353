"""How long a process takes: to import, to load metrics, until the first record that nothing can take back."""

from __future__ import annotations

import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Dict, List

from . import children
from .packages import endpoint

# Prints the moment of the record on the clock that all processes share, and dies on the spot.
_FIRST_RECORD = """
import os, sys, time
import {package} as glean
from {package} import metrics
ping = metrics.PingType("bench", True, False, True, True, [], [], [])
counter = metrics.CounterMetricType(metrics.CommonMetricData(
    category="bench", name="first", send_in_pings=["bench"], lifetime=metrics.Lifetime.USER, disabled=False))
{quiet}
configuration = glean.Configuration(
    server_endpoint={endpoint!r}, allow_multiprocessing=False, enable_internal_pings=False)
glean.Glean.initialize("glean-bench", "1.0", True, configuration=configuration, data_dir=sys.argv[1])
"""
# glean-sdk would start a process to upload.
_NEVER_UPLOAD = """
from glean.net import PingUploadWorker
PingUploadWorker.process = classmethod(lambda cls, testing_mode=False: None)
"""
_RECORD = "counter.add(1)\n"
_GET = 'value = counter.test_get_value("bench")\n'
_DIE = "os.write(1, str(time.monotonic_ns()).encode()); os.kill(os.getpid(), 9)\n"
_SHOW = "os.write(1, str(value).encode())\n"

_LOAD_OURS = """
import os, sys, time
import glean_py
sys.path.append(sys.argv[1])
started = time.perf_counter_ns()
import bench_telemetry
{more}
os.write(1, str(time.perf_counter_ns() - started).encode())
"""
# Ours makes a metric when it is first used, glean-sdk all of them at once.
_TOUCH = """
for number in range({count}):
    getattr(bench_telemetry.metrics.bench, f"metric_{{number}}")
"""
_LOAD_THEIRS = """
import os, sys, time
import glean
file = os.path.join(sys.argv[1], "metrics.yaml")
started = time.perf_counter_ns()
metrics = glean.load_metrics(file)
os.write(1, str(time.perf_counter_ns() - started).encode())
"""


def import_over_bare(package: str, starts: int) -> Dict[str, float]:
    """Return the microseconds that importing a package adds to the life of a process that does nothing."""
    bare: List[float] = []
    whole: List[float] = []
    for number in range(starts + 1):
        pair = (children.seconds("pass"), children.seconds(f"import {package}"))
        if number:  # The first one warms the disk's cache.
            bare.append(pair[0])
            whole.append(pair[1])
    return {"us": (statistics.median(whole) - statistics.median(bare)) * 1e6}


def load_module(package: str, folder: str, starts: int, touched: int = 0) -> Dict[str, float]:
    """Return the microseconds of loading the metrics of a folder, the package itself being imported already.

    Args:
        folder: has metrics.yaml, and bench_telemetry.py that was compiled from it.
        touched: use so many of them in that time; ours alone.
    """
    code = _LOAD_OURS.format(more=_TOUCH.format(count=touched)) if package == "glean_py" else _LOAD_THEIRS
    return {"us": statistics.median(float(children.output(code, folder)) / 1000 for _ in range(starts))}


def first_record(package: str, starts: int) -> Dict[str, float]:
    """Return the microseconds from the start of a process to its first record that survives its death.

    The process is killed right after that moment, and another one looks whether the record is there.
    """
    return {"us": statistics.median(_first_record(package) for _ in range(starts))}


def _first_record(package: str) -> float:
    quiet = _NEVER_UPLOAD if package == "glean" else ""
    head = _FIRST_RECORD.format(package=package, endpoint=endpoint(package), quiet=quiet)
    with tempfile.TemporaryDirectory(prefix="glean-probe-") as folder:
        data = str(Path(folder, "data"))
        # glean-sdk keeps what is recorded in a queue: it is stored when a getter, queued behind it, returns.
        code = head + _RECORD + (_GET if package == "glean" else "") + _DIE
        started = time.monotonic_ns()
        moment = int(children.output(code, data, ends_by=signal.SIGKILL))
        found = children.output(head + _GET + _SHOW, data)
    if found != "1":
        raise SystemExit(f"{package} recorded 1 and was killed; found {found}")
    return (moment - started) / 1000
