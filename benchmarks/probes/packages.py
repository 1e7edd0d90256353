"""The two telemetry packages, started alike: they share the names used here."""

from __future__ import annotations

import importlib
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, List, Tuple

TEXT = "sixteen letters."
PING = "bench"

# What a metric's method is called with, again and again.
Record = Tuple[Callable[[Any], object], Any]

# Of 20 metrics, so many are counters and strings; the others are timing distributions.
_COUNTERS, _STRINGS = 12, 5


class Session:
    """A telemetry package that runs in a data directory."""

    def __init__(self, package: str, folder: Path) -> None:
        self.package = package
        self.folder = folder
        self.glean: Any = importlib.import_module(package)
        self.metrics: Any = importlib.import_module(package + ".metrics")
        if not self.is_ours:
            never_upload(package)
        self.ping = self._ping()
        configuration = self.glean.Configuration(
            server_endpoint=endpoint(package),
            allow_multiprocessing=False,
            enable_internal_pings=False,
            max_events=1_000_000,
        )
        self.glean.Glean.initialize("glean-bench", "1.0", True, configuration=configuration, data_dir=folder)
        self._runs = True
        self._last = self.counter("last")
        self._last.add(1)

    @property
    def is_ours(self) -> bool:
        """Whether it is this project's package."""
        return self.package == "glean_py"

    def _ping(self) -> Any:
        return self.metrics.PingType(  # Recordings for a ping that nobody registered are dropped.
            name=PING,
            include_client_id=True,
            send_if_empty=False,
            precise_timestamps=True,
            include_info_sections=True,
            schedules_pings=[],
            reason_codes=[],
            uploader_capabilities=[],
        )

    def described(self, name: str) -> Any:
        """Return the description of a metric that is sent in the ping."""
        return self.metrics.CommonMetricData(
            category="bench", name=name, send_in_pings=[PING], lifetime=self.metrics.Lifetime.PING, disabled=False
        )

    def counter(self, name: str) -> Any:
        """Make a counter."""
        return self.metrics.CounterMetricType(self.described(name))

    def string(self, name: str) -> Any:
        """Make a string."""
        return self.metrics.StringMetricType(self.described(name))

    def timing(self, name: str) -> Any:
        """Make a timing distribution."""
        return self.metrics.TimingDistributionMetricType(self.described(name), self.metrics.TimeUnit.NANOSECOND)

    def mixture(self, count: int) -> List[Record]:
        """Make metrics of several types and return what records on each once."""
        made: List[Record] = []
        for number in range(count):
            place = number % 20
            if place < _COUNTERS:
                made.append((self.counter(f"counter_{number}").add, 1))
            elif place < _COUNTERS + _STRINGS:
                made.append((self.string(f"string_{number}").set, TEXT))
            else:
                made.append((self.timing(f"timing_{number}").accumulate_single_sample, 1000 + number))
        return made

    def drain(self) -> None:
        """Wait until everything recorded so far is stored: a getter comes after all that was queued before it."""
        self._last.test_get_value(PING)

    def pings(self) -> List[Path]:
        """Return the files of finished pings."""
        try:
            names = os.listdir(self.folder / "pending_pings")
        except FileNotFoundError:
            return []
        return [self.folder / "pending_pings" / name for name in names if len(name) == 36 and name.count("-") == 4]

    def disk_bytes(self) -> int:
        """Return what the data directory takes on its disk."""
        return disk_bytes(self.folder)

    def shut_down(self) -> None:
        """Stop it as a program does; once is enough."""
        if self._runs:
            self._runs = False
            self.glean.Glean.shutdown()


@contextmanager
def started(package: str) -> Iterator[Session]:
    """Start a package in a new data directory, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="glean-probe-") as folder:
        session = Session(package, Path(folder, "data"))
        yield session
        session.shut_down()


def endpoint(package: str) -> str:
    """Return where pings go: nowhere, which glean-sdk does not know, so that it gets a closed port of this machine."""
    return "" if package == "glean_py" else "http://127.0.0.1:9"


def never_upload(package: str) -> None:
    """Let nothing start the upload worker: it is a process of its own, which would take time from what is measured."""
    net = importlib.import_module(package + ".net")
    net.PingUploadWorker.process = classmethod(lambda cls, testing_mode=False: None)


def disk_bytes(folder: Path) -> int:
    """Return the bytes that the files of a folder take on their disk; one that vanishes meanwhile counts nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def resident_bytes() -> int:
    """Return the resident memory of this process, mapped files included."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
