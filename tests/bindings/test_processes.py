"""What other processes see: the next one, one that was killed, a second one, a forked one.

A process costs seconds under Wine, so there are few here, each with several assertions.
"""

import os
import time

import needs
import pytest
from children import start, wait_until
from conftest import describe, make_ping, read_pings

from glean_py import Glean
from glean_py.metrics import CounterMetricType

pytestmark = pytest.mark.core


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
    initialize()
    counter.add(3)
    """
    with start(tmp_path, code) as child:
        child.finish()
        assert child.errors() == ""
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
    other = CounterMetricType(describe("other"))
    initialize()
    for _ in range(2000):
        counter.add(1)
        other.add(1)
    say("recorded")
    hear()
    counter.add(10)
    say("recorded")
    hear()
    """
    with start(tmp_path, code) as child:
        assert child.hear() == "recorded"
        left = [".log", ".spare"]
        wait_until(lambda: not [file for file in (tmp_path / "db").iterdir() if file.suffix in left], "the rest", child)
        assert child.ask("go on") == "recorded"
        child.kill()
    counter = make_counter()
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
    assert counter.test_get_value() == 2010


def test_values_survive_a_hard_kill_at_once(stopped, tmp_path):
    code = """
    initialize()
    for _ in range(50):
        counter.add()
    say("recorded")
    hear()
    """
    with start(tmp_path, code) as child:
        assert child.hear() == "recorded"
        child.kill()
    counter = make_counter()
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
    assert counter.test_get_value() == 50


def test_two_processes_in_one_directory_count_together(ping):
    # The last one is a mistake, which is logged; without any handler `logging` would print it.
    code = """
    initialize()
    counter.add(100)
    counter.add(-1)
    say(Glean.is_initialized(), counter.test_get_value())
    hear()
    Glean.shutdown()
    """
    counter = make_counter()
    counter.add()
    with start(Glean._data_dir, code) as child:
        assert child.hear() == "True 101"
        counter.add(10)
        assert counter.test_get_value() == 111
        ping.submit()
        (sent,) = read_pings(name="custom")
        assert sent.body["metrics"]["counter"] == {"test.metric": 111}
        child.finish()
        assert child.errors() == ""
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


@needs.fork
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


@needs.fork
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


@needs.fork
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


@needs.fork
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
