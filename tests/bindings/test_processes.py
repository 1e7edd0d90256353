"""What other processes see: the next one, one that was killed, a second one, a forked one.

A process costs seconds under Wine, so there are few here, each with several assertions.
"""

import os
import subprocess
import sys
import textwrap
import time

import pytest
from conftest import describe, make_ping, read_pings

from glean_py import Glean
from glean_py.metrics import CounterMetricType

PREPARE = """
import os, sys
from pathlib import Path
from glean_py import Glean
from glean_py.metrics import CommonMetricData, CounterMetricType, Lifetime, PingType
custom = PingType("custom", True, False, True, True, [], [], [])
counter = CounterMetricType(CommonMetricData(
    category="test", name="metric", send_in_pings=["custom"], lifetime=Lifetime.PING, disabled=False))
Glean.initialize("glean-tests", "1.0", True, data_dir=Path(sys.argv[1]))
"""


def start_process(data_dir, code, **options):
    """Start a Python that has Glean running in `data_dir`."""
    program = PREPARE + textwrap.dedent(code)
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen([sys.executable, "-c", program, str(data_dir)], cwd=str(data_dir), **options)


def make_counter():
    """Return the counter that the other processes use."""
    return CounterMetricType(describe("test.metric"))


def test_values_survive_into_the_next_process(stopped, tmp_path):
    # What records when the interpreter has all but gone is too late, but does no harm.
    code = """
    class Late:
        def __del__(self):
            counter.add(100)
    late = Late()
    counter.add(3)
    """
    process = start_process(tmp_path, code, stderr=subprocess.PIPE)
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 0
    counter = make_counter()
    custom = make_ping()
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
    assert counter.test_get_value() == 3
    custom.submit()
    (sent,) = read_pings(name="custom")
    assert sent.body["metrics"]["counter"] == {"test.metric": 3}


def test_a_process_at_rest_has_no_journal_and_what_comes_after_the_rest_is_kept(stopped, tmp_path):
    # Adding to two counters in turn takes room; a rest begins one to two seconds after the last call.
    code = """
    import time
    other = CounterMetricType(CommonMetricData(
        category="test", name="other", send_in_pings=["custom"], lifetime=Lifetime.PING, disabled=False))
    for _ in range(2000):
        counter.add(1)
        other.add(1)
    db = Path(sys.argv[1]) / "db"
    deadline = time.monotonic() + 30
    while list(db.glob("*.log")) and time.monotonic() < deadline:
        time.sleep(0.1)
    print([file.name for file in db.iterdir() if file.suffix in (".log", ".spare")], flush=True)
    counter.add(10)
    os.kill(os.getpid(), 9)
    """
    process = start_process(tmp_path, code, stdout=subprocess.PIPE, universal_newlines=True)
    assert process.communicate(timeout=90)[0] == "[]\n"
    assert process.returncode != 0
    counter = make_counter()
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
    assert counter.test_get_value() == 2010


def test_values_survive_a_hard_kill_at_once(stopped, tmp_path):
    code = """
    for _ in range(50):
        counter.add()
    print("recorded", flush=True)
    sys.stdin.read()
    """
    process = start_process(tmp_path, code, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline().strip() == b"recorded"
    process.kill()
    process.communicate()
    counter = make_counter()
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
    assert counter.test_get_value() == 50


def test_two_processes_in_one_directory_count_together(ping):
    # The last one is a mistake, which is logged; without any handler `logging` would print it.
    code = """
    counter.add(100)
    counter.add(-1)
    print(Glean.is_initialized(), counter.test_get_value(), flush=True)
    sys.stdin.read()
    Glean.shutdown()
    """
    counter = make_counter()
    counter.add()
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start_process(Glean._data_dir, code, **streams)
    assert process.stdout.readline().split() == [b"True", b"101"]
    counter.add(10)
    assert counter.test_get_value() == 111
    ping.submit()
    (sent,) = read_pings(name="custom")
    assert sent.body["metrics"]["counter"] == {"test.metric": 111}
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert counter.test_get_value() is None


def run_forked(code):
    """Run `code` in a forked process and return its exit status: 0 if it returned 0."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            status = code()
        finally:
            os._exit(status)
    deadline = time.monotonic() + 60
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        assert time.monotonic() < deadline, "the forked process hangs"
        time.sleep(0.005)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_what_a_forked_process_records_is_counted_once(ping, caplog):
    counter = make_counter()
    counter.add()

    def record():
        counter.add(100)
        return 0 if counter.test_get_value() == 101 else 2

    assert run_forked(record) == 0
    counter.add()
    assert counter.test_get_value() == 102
    ping.submit()
    (sent,) = read_pings(name="custom")
    assert sent.body["metrics"]["counter"] == {"test.metric": 102}
    assert caplog.records == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_process_that_ends_properly_leaves_the_parent_alone(ping):
    counter = make_counter()
    counter.add()

    def end():
        counter.add(10)
        Glean._reset()
        return 0

    assert run_forked(end) == 0
    counter.add(100)
    assert counter.test_get_value() == 111


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_process_may_submit(ping):
    counter = make_counter()
    counter.add()

    def submit():
        counter.add(10)
        ping.submit()
        return 0 if counter.test_get_value() is None else 2

    assert run_forked(submit) == 0
    assert counter.test_get_value() is None
    (sent,) = read_pings(name="custom")
    assert sent.body["metrics"]["counter"] == {"test.metric": 11}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_process_forked_before_initialize_may_use_glean(stopped, tmp_path):
    counter = make_counter()
    make_ping()
    counter.add(5)

    def start():
        Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path / "child")
        counter.add(1)
        # What the parent recorded stays with the parent.
        return 0 if counter.test_get_value() == 1 else 2

    assert run_forked(start) == 0
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path / "parent")
    assert counter.test_get_value() == 5
