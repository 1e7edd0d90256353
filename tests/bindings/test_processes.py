"""What other processes see: the next one, one that was killed, a second one, a forked one.

A process costs seconds under Wine, so there are three here, each with several assertions.
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


def test_values_survive_into_the_next_process(stopped, tmp_path):
    process = start_process(tmp_path, "counter.add(3)")
    assert process.wait(60) == 0
    counter = CounterMetricType(describe())
    custom = make_ping()
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
    assert counter.test_get_value() == 3
    custom.submit()
    assert read_pings()[0].body["metrics"] == {"counter": {"test.metric": 3}}


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
    counter = CounterMetricType(describe())
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
    assert counter.test_get_value() == 50


def test_a_second_process_in_the_same_directory_is_off_but_undisturbed(ping):
    code = """
    counter.add(100)
    custom.submit()
    Glean.shutdown()
    print(Glean.is_initialized())
    """
    counter = CounterMetricType(describe())
    counter.add()
    process = start_process(Glean._data_dir, code, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out.strip()) == (0, b"True")
    # Without any handler, `logging` prints errors to stderr.
    assert b"is locked" in err
    assert counter.test_get_value() == 1
    assert read_pings() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_process_records_nothing_and_the_parent_goes_on(ping, caplog):
    counter = CounterMetricType(describe())
    counter.add()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            counter.add(100)
            ping.submit()
            Glean._reset()
            try:
                counter.test_get_value()
            except RuntimeError as error:
                is_logged = sum("forked" in record.getMessage() for record in caplog.records) == 1
                status = 0 if "forked" in str(error) and is_logged else 2
        finally:
            os._exit(status)
    deadline = time.monotonic() + 30
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        assert time.monotonic() < deadline, "the forked process hangs"
        time.sleep(0.005)
    assert status == 0
    counter.add()
    assert counter.test_get_value() == 2
    assert read_pings() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_process_forked_before_initialize_may_use_glean(stopped, tmp_path):
    counter = CounterMetricType(describe())
    make_ping()
    counter.add(5)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path / "child")
            counter.add(1)
            # What the parent recorded stays with the parent.
            status = 0 if counter.test_get_value() == 1 else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path / "parent")
    assert counter.test_get_value() == 5
