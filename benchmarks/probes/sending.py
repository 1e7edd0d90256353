"""What sending costs a program: at its end, until the server has it, and in processor time."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Dict, Iterator, List, Optional, Tuple

# Longer than the slowest package takes for anything here.
PATIENCE_S = 240.0
# How many pings wait at once: less than either package keeps.
BATCH = 50

_GLEAN = """
import {package} as glean
from {package} import metrics
ping = metrics.PingType("bench", True, True, True, True, [], [], [])
configuration = glean.Configuration(
    server_endpoint=server, enable_internal_pings=False, allow_multiprocessing={may_use_a_child})
{quick}
glean.Glean.initialize("glean-bench", "1.0", True, configuration=configuration, data_dir=folder)
submit = ping.submit
shut_down = glean.Glean.shutdown
"""
# Both packages send 15 pings a minute, which would be all that is measured.
_QUICK = {
    "glean_py": "configuration._rate_limit = (1, 1_000_000)",
    "glean": """
from glean import _uniffi
make = _uniffi.InternalConfiguration
limit = _uniffi.PingRateLimit(seconds_per_interval=1, pings_per_interval=1_000_000)
_uniffi.InternalConfiguration = lambda **fields: make(**{**fields, "rate_limit": limit})
""",
}
_OTHERS = {
    "sentry-sdk": """
import sentry_sdk
sentry_sdk.init(dsn=server.replace("://", "://key@") + "/1")
submit = lambda: sentry_sdk.capture_message("bench")
shut_down = lambda: sentry_sdk.get_client().close()
""",
    "posthog": """
import posthog
client = posthog.Posthog("key", host=server)
submit = lambda: client.capture("bench", distinct_id="somebody")
shut_down = client.shutdown
""",
    "opentelemetry": """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=server + "/v1/traces")))
submit = lambda: provider.get_tracer("bench").start_span("bench").end()
shut_down = provider.shutdown
""",
    "nothing": "submit = shut_down = lambda: None\n",
}
_HEAD = """
import os, resource, sys, time
server, folder = sys.argv[1:]
def say(number):
    os.write(1, f"{number}\\n".encode("ascii"))
def processor_us():
    users = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(sum(used.ru_utime + used.ru_stime for used in users) * 1e6)
"""
_END = {
    "atexit": "submit()\nsay(time.monotonic_ns())\n",
    "shutdown": "submit()\nsay(time.monotonic_ns())\nshut_down()\n",
}
# Waits for a line after each batch, so that nothing is dropped because too much waits.
_BATCHES = """
before = processor_us()
say(time.monotonic_ns())
for count in {batches}:
    for _ in range(count):
        submit()
    sys.stdin.readline()
say(processor_us() - before)
"""


def ending(package: str, server: str, way: str, is_read: bool = False) -> Dict[str, float]:
    """Return the seconds from a program's last line to its end, with one thing to send.

    Args:
        package: as in `_program`; `nothing` sends nothing.
        server: `refused`, `silent`, `slow` or `fast`.
        way: `atexit`, or `shutdown` for a call of the package's own after that line.
        is_read: whether it ends for somebody who reads its standard output to the end.
    """
    with _serving(server) as (endpoint, _), _started(_program(package) + _END[way], endpoint) as process:
        assert process.stdout is not None, "it was asked for"
        last_line = int(process.stdout.readline())
        if is_read:
            process.stdout.read()
            ended = time.monotonic_ns()
            process.wait(PATIENCE_S)
        else:
            process.wait(PATIENCE_S)
            ended = time.monotonic_ns()
    if process.returncode:
        raise SystemExit(f"{package} ended with status {process.returncode}")
    return {"s": (ended - last_line) / 1e9}


def arriving(package: str, count: int, is_quick: bool) -> Dict[str, float]:
    """Return the seconds from the first of so many submissions until the server has them all, and the processor's.

    Args:
        count: how many pings; more than `BATCH` go in batches, each when the former has arrived.
        is_quick: whether it sends as fast as it can, from the program itself.
    """
    batches = [BATCH] * (count // BATCH) + [count % BATCH] * bool(count % BATCH)
    program = _program(package, is_quick=is_quick) + _BATCHES.format(batches=batches)
    with _serving("fast") as (endpoint, arrived), _started(program, endpoint) as process:
        assert process.stdout is not None and process.stdin is not None, "they were asked for"
        submitted = int(process.stdout.readline())
        moment = submitted
        for batch in batches:
            for _ in range(batch):
                moment = int(arrived.readline())
            process.stdin.write(b"go on\n")
            process.stdin.flush()
        processor_us = int(process.stdout.readline())
        process.wait(PATIENCE_S)
    return {"s": (moment - submitted) / 1e9, "processor s": processor_us / 1e6}


def _program(package: str, *, is_quick: bool = False) -> str:
    """Return the beginning of a program that defines `submit` and `shut_down` with a package."""
    if package in _OTHERS:
        return _HEAD + _OTHERS[package]
    quick = _QUICK[package] if is_quick else ""
    return _HEAD + _GLEAN.format(package=package, may_use_a_child=not is_quick, quick=quick)


@contextlib.contextmanager
def _serving(kind: str) -> Iterator[Tuple[str, IO[bytes]]]:
    """Yield the address of a server, and the moments at which it has something."""
    if kind == "refused":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        yield f"http://127.0.0.1:{port}", io.BytesIO()
        return
    argv = [sys.executable, "-I", str(Path(__file__).with_name("server.py")), kind]
    with _ending_in_time(argv) as process:
        assert process.stdout is not None, "it was asked for"
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", process.stdout


@contextlib.contextmanager
def _started(program: str, endpoint: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program in a folder of its own, and leave neither its children nor the folder."""
    with tempfile.TemporaryDirectory(prefix="glean-probe-") as folder:
        argv = [sys.executable, "-I", "-c", program, endpoint, folder]
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        with _ending_in_time(argv, {**environment, "NO_PROXY": "*"}) as process:
            yield process
        for child in _living_in(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


@contextlib.contextmanager
def _ending_in_time(argv: List[str], environment: Optional[Dict[str, str]] = None) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process in a group of its own, which is killed at the end, and if it hangs."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    # Whoever reads its output meanwhile reads the end of it then, which is no number.
    rescue = threading.Timer(PATIENCE_S, kill)
    rescue.daemon = True
    rescue.start()
    try:
        with process:
            try:
                yield process
            finally:
                # What it started may be in its group.
                kill()
    finally:
        rescue.cancel()


def _living_in(folder: str) -> Iterator[int]:
    """Yield the ids of processes that work in a folder: what a package started to send the rest."""
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and os.readlink(f"/proc/{name}/cwd").startswith(folder):
                yield int(name)
