"""Python processes that a test starts and talks to, a line each way.

A test never hangs on one: an answer that doesn't come within `PATIENCE_S`, and a process that is gone when it should
answer, fail the test at once with what the process printed on its standard error.
"""

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

IS_WINDOWS = sys.platform == "win32"
# Long enough for a busy machine: whoever waits that long hangs.
PATIENCE_S = 600.0

# What every process of `start` begins with.
PREPARE = """
import os, sys, threading, time
from pathlib import Path
from typing import Any
from glean_py import Configuration, Glean
from glean_py.metrics import CommonMetricData, CounterMetricType, Lifetime, PingType, TextMetricType

DATA_DIR = Path(sys.argv[1])

def describe(name):
    return CommonMetricData(
        category="test", name=name, send_in_pings=["custom"], lifetime=Lifetime.PING, disabled=False)

def initialize():
    Glean.initialize("glean-tests", "1.0", True, data_dir=DATA_DIR)

def say(*words):
    print(*words, flush=True)

def hear():
    return sys.stdin.readline().strip()

custom = PingType("custom", True, False, True, True, [], [], [])
counter = CounterMetricType(describe("metric"))
"""

# A process that may open 64 files and needs 40 of them now and then.
FEW_DESCRIPTORS = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

def open_files():
    files = [open(os.devnull) for _ in range(40)]
    for file in files:
        file.close()

def open_files_until(is_done):
    deadline = time.monotonic() + 60
    while not is_done():
        assert time.monotonic() < deadline, "not done after 60 s"
        open_files()
"""


def _start(argv, options):
    """Start a process. Wine on a busy machine now and then has an "internal error" (1359) instead."""
    for _ in range(5):
        try:
            return subprocess.Popen(argv, **options)
        except OSError as error:
            if getattr(error, "winerror", None) != 1359:
                raise
    return subprocess.Popen(argv, **options)


class Child:
    """A process with lines in and lines out.

    Attributes:
        pid: its id.
    """

    def __init__(self, argv, **options):
        # A file takes any amount, so the process never waits for somebody to read it.
        self._errors = tempfile.TemporaryFile()
        options.setdefault("stdin", subprocess.PIPE)
        options.setdefault("stdout", subprocess.PIPE)
        options.update(stderr=self._errors, universal_newlines=True)
        self._process = _start([str(word) for word in argv], options)
        self.pid = self._process.pid
        self._lines: Any = queue.Queue()
        self._reader = threading.Thread(target=self._read_all, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._errors.close()

    def _read_all(self):
        # A test that is over closes the stream.
        with contextlib.suppress(ValueError, OSError):
            for line in self._process.stdout or ():
                self._lines.put(line.rstrip("\n"))

    def errors(self):
        """Return the end of what it printed on its standard error."""
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace")[-5000:]

    def say(self, line):
        """Send it a line."""
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except OSError:
            self._fail(f"the process took no {line!r}")

    def hear(self):
        """Return its next line."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            is_over = self._process.poll() is not None
            if is_over:
                # What it said before is on the way. A child of its own may keep the stream open for longer.
                self._reader.join(1)
            try:
                return self._lines.get(timeout=0 if is_over else 0.05)
            except queue.Empty:
                pass
            if is_over:
                self._fail("the process ended instead of answering")
            if time.monotonic() > deadline:
                self._fail(f"the process did not answer within {PATIENCE_S:.0f} s")

    def ask(self, line):
        """Send it a line and return its answer."""
        self.say(line)
        return self.hear()

    def wait(self, within_s=PATIENCE_S):
        """Wait for its end and return its exit status."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._fail(f"the process did not end within {within_s:.0f} s")

    def is_running(self):
        """Tell whether it has not ended."""
        return self._process.poll() is None

    def finish(self, within_s=PATIENCE_S):
        """Wait for its end, which has to be a good one."""
        status = self.wait(within_s)
        if status != 0:
            self._fail("the process failed")

    def kill(self):
        """End it at once, if it still runs."""
        if self.is_running():
            self._process.kill()
        self._process.wait(PATIENCE_S)

    def _fail(self, what):
        status = self._process.poll()
        self.kill()
        state = "it still ran" if status is None else f"its exit status is {status}"
        pytest.fail(f"{what}; {state}; it printed:\n{self.errors()}", pytrace=True)


def start(data_dir, code, prefix=(), **options):
    """Start a Python that runs `code` behind `PREPARE`; `prefix` is a program that starts it."""
    program = PREPARE + textwrap.dedent(code)
    options.setdefault("cwd", str(Path(data_dir).parent))
    return Child([*prefix, sys.executable, "-c", program, data_dir], **options)


def run(data_dir, code, **options):
    """Run `code` behind `PREPARE` to its end, and return the lines it printed."""
    with start(data_dir, code, **options) as child:
        child.finish()
        child._reader.join(PATIENCE_S)
        return list(child._lines.queue)


def sent(data_dir, name="custom"):
    """Return the bodies of all pings of a name that wait to be sent."""
    bodies = []
    for file in (Path(data_dir) / "pending_pings").glob("*"):
        path, body, _ = file.read_bytes().decode("utf-8").split("\n")
        if path.split("/")[3] == name:
            bodies.append(json.loads(body))
    return bodies


def total_sent(data_dir, name="test.metric"):
    """Return the sum of a counter over all pings that wait to be sent."""
    return sum(body.get("metrics", {}).get("counter", {}).get(name, 0) for body in sent(data_dir))


def count(data_dir, name="test.metric"):
    """Let a new process send what is stored, and return the sum of a counter over all pings."""
    run(data_dir, "initialize()\ncustom.submit()\ncounter.test_get_value()\nGlean.shutdown()")
    return total_sent(data_dir, name)


def wait_until(is_true, what, child=None, within_s=PATIENCE_S):
    """Wait until something is true; fail when that takes too long, or when the process that has to do it is gone."""
    deadline = time.monotonic() + within_s
    while not is_true():
        if child is not None and not child.is_running():
            child._fail(f"waited for {what}")
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {within_s:.0f} s" + (f"\n{child.errors()}" if child else ""))
        time.sleep(0.001)


def has_journal(data_dir):
    """Tell whether there is a journal with calls in it: until then they are in memory, which a kill takes."""
    header_bytes = 48
    files = (Path(data_dir) / "db").glob("*.log")
    return any(file.read_bytes()[header_bytes : header_bytes + 8].strip(b"\0") for file in files)


class Held:
    """The lock of a data directory, as another process that folds holds it."""

    def __init__(self, data_dir):
        self._path = Path(data_dir) / "db" / "glean.lock"
        self._file = None

    def try_once(self):
        """Take it; tell whether that was possible."""
        self._file = _open_alone(self._path) if IS_WINDOWS else _open_locked(self._path)
        return self._file is not None

    def __enter__(self):
        self._path.parent.mkdir(parents=True, exist_ok=True)
        wait_until(self.try_once, "the lock of the directory")
        return self

    def __exit__(self, *_):
        self.release()

    def release(self):
        """Give it back."""
        if self._file is not None:
            if IS_WINDOWS:
                _close_handle(self._file)
            else:
                os.close(self._file)
            self._file = None


def _open_locked(path):
    import fcntl

    descriptor = os.open(str(path), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _open_alone(path):
    import ctypes

    kernel32 = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    kernel32.CreateFileW.restype = ctypes.c_void_p
    read_and_write, open_always = 0xC0000000, 4
    handle = kernel32.CreateFileW(str(path), read_and_write, 0, None, open_always, 0, None)
    return None if handle in (None, ctypes.c_void_p(-1).value) else handle


def _close_handle(handle):
    import ctypes

    ctypes.windll.kernel32.CloseHandle(ctypes.c_void_p(handle))  # type: ignore[attr-defined,unused-ignore]


def strace(folder, *options):
    """Return what starts a program under strace, which writes to `folder`/trace; skip the test if there is none."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed, so nobody sees which thread calls the system")
    words = [program, "-o", os.devnull, sys.executable, "-c", ""]
    if subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("strace may not trace here, so nobody sees which thread calls the system")
    return [program, "-f", "-y", "-o", str(Path(folder) / "trace"), *options]
