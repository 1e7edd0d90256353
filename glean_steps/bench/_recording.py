"""Time one thing of a telemetry package: `python -I _recording.py PACKAGE import|counter|string`.

Runs on its own in the environment that has both packages, which share the names used here. Prints one number:
microseconds per call as the caller sees them, or of the import.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

WARM = 200
CALLS = 2000


def main(package: str, what: str) -> float:
    """Return the microseconds that WHAT takes."""
    started = time.perf_counter()
    glean = importlib.import_module(package)
    metrics = importlib.import_module(package + ".metrics")
    imported = time.perf_counter() - started
    if what == "import":
        return imported * 1e6
    with tempfile.TemporaryDirectory() as folder:
        # Nothing is ever sent: no ping is submitted, and the endpoint is a closed port of this machine.
        configuration = glean.Configuration(
            server_endpoint="http://127.0.0.1:9", allow_multiprocessing=False, enable_internal_pings=False
        )
        ping = metrics.PingType(  # Recordings for a ping that nobody registered are dropped.
            name="bench",
            include_client_id=True,
            send_if_empty=False,
            precise_timestamps=True,
            include_info_sections=True,
            schedules_pings=[],
            reason_codes=[],
            uploader_capabilities=[],
            enabled=True,
            follows_collection_enabled=True,
        )
        glean.Glean.initialize("glean-bench", "1.0", True, configuration=configuration, data_dir=Path(folder, "data"))
        described = metrics.CommonMetricData(
            category="bench", name=what, send_in_pings=["bench"], lifetime=metrics.Lifetime.PING, disabled=False
        )
        stored: Any
        wanted: Any
        if what == "counter":
            counter = metrics.CounterMetricType(described)
            seconds = timed(lambda: counter.add(1))
            stored = counter.test_get_value("bench")
            wanted = WARM + CALLS
        else:
            string = metrics.StringMetricType(described)
            seconds = timed(lambda: string.set("sixteen letters."))
            stored, wanted = string.test_get_value("bench"), "sixteen letters."
        if stored != wanted:
            raise SystemExit(f"recorded {wanted!r}, stored {stored!r}")
        glean.Glean.shutdown()
        del ping
    return seconds * 1e6


def timed(call: Callable[[], object]) -> float:
    """Return the seconds of one call, on average."""
    for _ in range(WARM):
        call()
    started = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - started) / CALLS


if __name__ == "__main__":
    print(main(*sys.argv[1:3]))
