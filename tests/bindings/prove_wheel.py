"""Record, submit and read back one ping with the installed package; print what happened as one line of JSON.

Run by the Python that the wheel was installed into. Needs nothing but that wheel and its dependency.
"""

import json
import platform
import struct
import sys
import tempfile
from pathlib import Path

import glean_py
from glean_py import Glean
from glean_py.metrics import (
    BooleanMetricType,
    CommonMetricData,
    CounterMetricType,
    Lifetime,
    PingType,
    StringMetricType,
    UuidMetricType,
)

PING_NAME = "wheel-proof"


def describe(name):
    """Return the description of a metric sent in the proof's ping."""
    return CommonMetricData(
        category="proof", name=name, send_in_pings=[PING_NAME], lifetime=Lifetime.PING, disabled=False
    )


def record_one_of_each():
    """Record the values that the caller expects to find in the ping."""
    CounterMetricType(describe("counter")).add(42)
    BooleanMetricType(describe("boolean")).set(True)
    StringMetricType(describe("string")).set("Grüße, 世界")
    UuidMetricType(describe("uuid")).set("{01234567-89AB-CDEF-0123-456789ABCDEF}")


def submit_ping(data_dir):
    """Record into a new data directory, submit, and return path and body of the ping file."""
    ping = PingType(
        name=PING_NAME,
        include_client_id=True,
        send_if_empty=False,
        precise_timestamps=True,
        include_info_sections=True,
        schedules_pings=[],
        reason_codes=["proof"],
        uploader_capabilities=[],
    )
    Glean.initialize("wheel-proof", "1.0", True, data_dir=data_dir)
    record_one_of_each()
    ping.submit(0)
    Glean.shutdown()
    # The ping `health`, which every start sends, is there as well.
    files = [file.read_text(encoding="utf-8").split("\n") for file in (data_dir / "pending_pings").iterdir()]
    ((path, body, _),) = [lines for lines in files if lines[0].split("/")[3] == PING_NAME]
    return path, json.loads(body)


def main():
    """Print the proof to stdout."""
    with tempfile.TemporaryDirectory() as folder:
        path, body = submit_ping(Path(folder) / "data")
        proof = {
            "ping": body,
            "path": path,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "pointer_bits": struct.calcsize("P") * 8,
            "package": glean_py.__file__,
            "version": glean_py.__version__,
        }
    print(json.dumps(proof), file=sys.stdout)


if __name__ == "__main__":
    main()
