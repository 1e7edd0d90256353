"""A host with little: few descriptors, little memory, a directory whose lock somebody else holds."""

import os
import re
import sys
import threading
import time
from textwrap import dedent

import needs
import pytest
from children import (
    FEW_DESCRIPTORS,
    Child,
    Held,
    count,
    run,
    sent,
    start,
    total_sent,
    wait_until,
)

pytestmark = pytest.mark.core

# What Glean may need beyond what a process at rest has.
MEMORY_BYTES = 32 << 20

# Prints how much memory of its own the process had at most.
PEAK = """
def peak_bytes():
    if sys.platform == "win32":
        import ctypes
        class Counters(ctypes.Structure):
            _fields_ = [("cb", ctypes.c_uint32), ("faults", ctypes.c_uint32), ("peak", ctypes.c_size_t),
                        ("rest", ctypes.c_size_t * 8)]
        counters = Counters(cb=ctypes.sizeof(Counters))
        kernel32 = ctypes.windll.kernel32
        kernel32.GetCurrentProcess.restype = ctypes.c_void_p
        process = ctypes.c_void_p(kernel32.GetCurrentProcess())
        assert kernel32.K32GetProcessMemoryInfo(process, ctypes.byref(counters), counters.cb)
        return counters.peak
    if sys.platform == "linux":
        # `getrusage` would count the process that started this one.
        (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM:")]
        return int(line.split()[1]) << 10
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
"""


@needs.posix
def test_a_burst_of_pings_is_published_with_few_descriptors(tmp_path):
    data_dir = tmp_path / "data"
    code = """
    text = TextMetricType(describe("text"))
    initialize()
    counter.test_get_value()
    say("started")
    hear()
    for _ in range(400):
        counter.add()
        text.set("some text" * 100)
        custom.submit()
    say("submitted")
    hear()
    pending = DATA_DIR / "pending_pings"
    pending.mkdir(parents=True, exist_ok=True)
    open_files_until(lambda: sum(name.count("-") == 4 for name in os.listdir(str(pending))) >= 400)
    say("published")
    """
    with start(data_dir, FEW_DESCRIPTORS + dedent(code)) as child:
        assert child.hear() == "started"
        with Held(data_dir):
            assert child.ask("submit") == "submitted"
        assert child.ask("watch") == "published"
        child.finish()
    assert len(sent(data_dir)) == total_sent(data_dir) == 400
    assert list((data_dir / "tmp").glob("*")) == []


def own_memory(child):
    """Return how many bytes of memory a process has that are no pages of files."""
    with open(f"/proc/{child.pid}/status") as status:
        found = re.search(r"RssAnon:\s+(\d+) kB", status.read())
    return int(found.group(1)) << 10 if found else 0


class Watched:
    """Looks all the time how much memory of its own a process has.

    Attributes:
        most: the largest number of bytes beyond what it had at first.
    """

    def __init__(self, child):
        self._child = child
        self._first = own_memory(child)
        self.most = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self._is_over.is_set():
            self.most = max(self.most, own_memory(self._child) - self._first)
            time.sleep(0.002)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()


# 80 MB of texts in 400 pings.
BACKLOG = """
text = TextMetricType(describe("text"))
initialize()
counter.test_get_value()
say("started")
hear()
for number in range(400):
    counter.add()
    text.set(f"{number:04}" * 25000)
    custom.submit()
say("submitted")
hear()
"""


# Another process of the application, which does nothing.
IDLE = "initialize()\ncounter.test_get_value()\nsay('started')\nhear()\n"


@needs.linux
def test_a_backlog_is_published_in_bounded_memory_and_others_have_their_turn(tmp_path):
    data_dir = tmp_path / "data"
    # Somebody else has to be there to be considered.
    with start(data_dir, BACKLOG) as child, start(data_dir, IDLE) as idle:
        child.hear()
        idle.hear()
        with Held(data_dir):
            assert child.ask("submit") == "submitted"
            watched = Watched(child)
        # Only counted: whoever reads 400 pings each time has no turn before all is done.
        turns = [0]
        with watched:
            while turns[-1] < 400:
                lock = Held(data_dir)
                wait_until(lock.try_once, "the lock of the directory", child)
                turns.append(len(list((data_dir / "pending_pings").glob("*"))))
                lock.release()
        child.say("end")
        child.finish()
    assert watched.most < MEMORY_BYTES
    # Whoever wants the lock gets it long before all is done.
    assert len({turn for turn in turns if 0 < turn < 400}) > 2
    assert total_sent(data_dir) == 400


@needs.linux
def test_the_backlog_of_a_dead_process_is_published_in_bounded_memory(tmp_path):
    data_dir = tmp_path / "data"
    with start(data_dir, BACKLOG) as child:
        child.hear()
        with Held(data_dir):
            assert child.ask("submit") == "submitted"
            child.kill()
    with start(
        data_dir, "say('imported')\nhear()\ninitialize()\ncounter.test_get_value()\nsay('done')\nhear()"
    ) as child:
        child.hear()
        with Watched(child) as watched:
            assert child.ask("start") == "done"
        child.finish()
    assert watched.most < MEMORY_BYTES
    assert total_sent(data_dir) == 400


def test_who_submits_faster_than_it_can_publish_leaves_room_for_others(tmp_path):
    """A ping of a thousand metrics takes longer to make than the pause between two."""
    data_dir = tmp_path / "data"
    busy = """
    made = [CounterMetricType(CommonMetricData(category="test", name=f"metric{number}", send_in_pings=["custom"],
                                               lifetime=Lifetime.USER, disabled=False)) for number in range(1000)]
    initialize()
    for metric in made:
        metric.add()
    counter.test_get_value()
    is_over = threading.Event()
    def submit():
        # So many that some wait for as long as anybody looks, and no more, as a busy machine is slow to make them.
        for _ in range(400):
            if not is_over.is_set():
                custom.submit()
                time.sleep(0.0005)
    threads = [threading.Thread(target=submit) for _ in range(2)]
    for thread in threads:
        thread.start()
    say("submitting")
    hear()
    is_over.set()
    for thread in threads:
        thread.join()
    say("stopped")
    hear()
    # What is left is not the business of this test.
    os._exit(0)
    """
    other = """
    own = CounterMetricType(describe("own"))
    initialize()
    for _ in range(5):
        own.add()
        say(own.test_get_value())
    """
    with start(data_dir, IDLE) as idle:
        idle.hear()
        with start(data_dir, busy) as child:
            assert child.hear() == "submitting"
            for _ in range(5):
                lock = Held(data_dir)
                wait_until(lock.try_once, "the lock of the directory", child, within_s=30)
                lock.release()
            assert child.ask("stop") == "stopped"
            assert run(data_dir, other) == ["1", "2", "3", "4", "5"]
            child.say("end")
            child.finish()


@needs.posix
def test_children_that_end_hard_cost_no_descriptors(tmp_path):
    data_dir = tmp_path / "data"
    code = """
    initialize()
    counter.test_get_value()
    for _ in range(600):
        child = os.fork()
        if child == 0:
            counter.add()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    say("forked")
    hear()
    # While their calls are sent.
    is_done = threading.Event()
    def send():
        custom.submit()
        counter.test_get_value()
        is_done.set()
    threading.Thread(target=send).start()
    open_files_until(is_done.is_set)
    say("sent")
    """
    with start(data_dir, FEW_DESCRIPTORS + dedent(code)) as child:
        assert child.hear() == "forked"
        assert child.ask("send") == "sent"
        child.finish()
    assert count(data_dir) == 600


@needs.posix
def test_a_backlog_costs_no_descriptors(tmp_path):
    """A segment has half a megabyte at most, so this takes some sixty of them."""
    data_dir = tmp_path / "data"
    code = """
    text = TextMetricType(describe("text"))
    initialize()
    counter.test_get_value()
    say("started")
    hear()
    for _ in range(150):
        counter.add()
        text.set("x" * 200000)
        open_files()
    say("recorded")
    """
    with start(data_dir, FEW_DESCRIPTORS + dedent(code)) as child:
        child.hear()
        with Held(data_dir):
            assert child.ask("record") == "recorded"
        child.finish()
    assert count(data_dir) == 150


@pytest.mark.parametrize("ends", ["exit", "shutdown"])
def test_an_end_does_not_wait_for_a_lock_that_is_held(tmp_path, ends):
    """All that an end does has one deadline, of 2 s. Here is room for a busy machine."""
    data_dir = tmp_path / "data"
    code = f"""
    initialize()
    counter.test_get_value()
    say("started")
    hear()
    counter.add(5)
    custom.submit()
    counter.add(2)
    if {ends == "shutdown"}:
        Glean.shutdown()
    """
    with start(data_dir, code) as child:
        child.hear()
        with Held(data_dir):
            child.say("end")
            child.finish(within_s=9)
    assert count(data_dir) == 7


def test_a_huge_dead_journal_is_read_piece_by_piece(tmp_path):
    data_dir = tmp_path / "data"
    prepare = """
    initialize()
    counter.test_get_value()
    counter.add(5)
    say("recorded")
    hear()
    """
    with start(data_dir, prepare) as child:
        child.hear()
        child.kill()
    (journal,) = (data_dir / "db").glob("*.log")
    with open(str(journal), "r+b") as file:
        # A hole costs nothing where files may have some.
        file.truncate(4 << 30 if sys.platform == "linux" else 256 << 20)
    usual = int(run(tmp_path / "other", PEAK + dedent(prepare.replace("hear()", "say(peak_bytes())")))[-1])
    huge = run(data_dir, PEAK + "initialize()\nsay(counter.test_get_value())\nsay(peak_bytes())")
    assert huge[0] == "5"
    assert int(huge[1]) - usual < MEMORY_BYTES


def test_a_child_that_fails_fails_its_test_at_once():
    with Child([sys.executable, "-c", "import sys; sys.stdin.readline(); raise SystemExit('no luck')"]) as child:
        with pytest.raises(pytest.fail.Exception, match="ended instead of answering.*exit status is 1(?s:.*)no luck"):
            child.ask("go")


@needs.fork
def test_a_failing_child_that_left_a_child_fails_its_test_at_once():
    code = "import os, sys, time\nif os.fork(): sys.exit(3)\nprint(os.getpid(), flush=True)\ntime.sleep(600)"
    with Child([sys.executable, "-c", code]) as child:
        orphan = int(child.hear())
        try:
            with pytest.raises(pytest.fail.Exception, match="exit status is 3"):
                child.hear()
        finally:
            os.kill(orphan, 9)
