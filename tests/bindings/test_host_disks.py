"""A disk that is frozen, slow or full: the host goes on as if nothing was."""

import os
import re
import shutil
import subprocess
import threading
from textwrap import dedent

import fault_server
import needs
import pytest
from children import PATIENCE_S, count, run, start, strace
from fault_server import FaultServer

pytestmark = pytest.mark.core

# What asks a disk for something. Opening and looking is what Python does all the time itself.
CHANGES = (
    "fsync,fdatasync,msync,flock,fallocate,ftruncate,mkdir,mkdirat,link,linkat,"
    "unlink,unlinkat,rename,renameat,renameat2"
)
# Where threads may be told apart by what they ask for.
FILE_CALLS = (
    CHANGES + ",openat,open,read,pread64,write,pwrite64,close,fstat,newfstatat,statx,stat,lstat,getdents64,mmap,munmap"
)


def trace_of(folder, thread, data_dir, begin=None, end=None):
    """Return the lines of what a thread asked for that has to do with files in `data_dir`, between two marks."""
    lines = []
    is_between = begin is None
    # Descriptors are written with their files; an empty folder has no name of ours in it.
    pattern = re.compile(re.escape(str(data_dir)) + r"[/\">]")
    for line in (folder / "trace").read_text(errors="replace").splitlines():
        found = re.match(r"(\d+)\s+(.*)", line)
        if not found or int(found.group(1)) != thread:
            continue
        if begin is not None and begin in line:
            is_between = True
        elif end is not None and end in line:
            is_between = False
        elif is_between and pattern.search(line):
            lines.append(found.group(2))
    return lines


MARK = """
def mark(name):
    os.path.exists("/mark-" + name)
"""


@needs.linux
def test_a_call_touches_no_file(tmp_path):
    """So no lock that a call takes is held while somebody waits for a disk, at least by callers."""
    data_dir = tmp_path / "data"
    code = """
    text = TextMetricType(describe("text"))
    initialize()
    counter.test_get_value()
    mark("begin")
    for number in range(3000):
        counter.add()
        text.set("some text" * 100)
        if number % 300 == 0:
            custom.submit()
    mark("end")
    say("recorded")
    hear()
    """
    prefix = strace(tmp_path, "-e", f"trace={FILE_CALLS}")
    with start(data_dir, MARK + dedent(code), prefix=prefix) as child:
        assert child.hear() == "recorded"
        child.say("end")
        child.finish()
    assert trace_of(tmp_path, traced(tmp_path), data_dir, "/mark-begin", "/mark-end") == []
    assert count(data_dir) == 3000


def traced(folder):
    """Return the id of the process that strace started."""
    with open(str(folder / "trace")) as trace:
        return int(trace.readline().split()[0])


@needs.linux
def test_what_a_start_asks_the_disk_for_does_not_grow_with_what_others_left(tmp_path):
    counts = []
    for leftovers in (0, 2000):
        folder = tmp_path / str(leftovers)
        db = folder / "data" / "db"
        db.mkdir(parents=True)
        for number in range(leftovers):
            (db / f"000000000000-1-{number:08x}.lock").touch()
        prefix = strace(folder, "-e", f"trace={FILE_CALLS}")
        with start(
            folder / "data", MARK + "mark('begin')\ninitialize()\nmark('end')\ncounter.add()\n", prefix=prefix
        ) as child:
            child.finish()
        counts.append(len(trace_of(folder, traced(folder), folder / "data", "/mark-begin", "/mark-end")))
    assert counts[0] == counts[1]


# Starts, records, forks, and says after each step that it goes on. A thread of its own sees that others do as well.
GOES_ON = """
import itertools
ticks = itertools.count()
def tick():
    while True:
        next(ticks)
        time.sleep(0.001)
threading.Thread(target=tick, daemon=True).start()
text = TextMetricType(describe("text"))
initialize()
say("started")
for number in range(1000):
    counter.add()
    text.set("some text" * 100)
custom.submit()
say("recorded")
for _ in range(3):
    child = os.fork()
    if child == 0:
        # strace loses a process that ends while one of its threads is delayed, so this one makes none.
        os._exit(0)
    before = next(ticks)
    os.waitpid(child, 0)
say("forked")
while next(ticks) < before + 100:
    time.sleep(0.001)
say("ticked")
hear()
"""


@needs.linux
def test_a_host_does_not_wait_for_a_slow_disk(tmp_path):
    """Each call of the system that changes a file takes longer than a test waits for an answer."""
    data_dir = tmp_path / "data"
    slow_us = int((PATIENCE_S + 60) * 1e6)
    prefix = strace(tmp_path, "-e", f"trace={CHANGES}", "-e", f"inject={CHANGES}:delay_enter={slow_us}")
    # Python changes files as well, when it imports something for the first time.
    env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    with start(data_dir, GOES_ON, prefix=prefix, env=env) as child:
        assert [child.hear() for _ in range(4)] == ["started", "recorded", "forked", "ticked"]
        # It is stopped in the middle of something, as strace is.


@pytest.fixture(params=["ext4", "btrfs"])
def disk(tmp_path, request):
    """A small file system, which can be frozen and full: one that overwrites blocks, and one that copies them."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with open(str(image), "wb") as file:
        # The least that mkfs.btrfs takes.
        file.truncate(48 << 20 if request.param == "ext4" else 114294784)
    for words in ([f"mkfs.{request.param}", "-q", image], ["mount", "-o", "loop", image, folder]):
        if shutil.which(str(words[0])) is None:
            pytest.skip(f"{words[0]} is not installed, so there is no disk to freeze or to fill")
        done = subprocess.run([str(word) for word in words], check=False, stderr=subprocess.PIPE, timeout=PATIENCE_S)
        if done.returncode:
            pytest.skip(f"{words[0]} is refused here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=PATIENCE_S)


class Frozen:
    """A file system on which every change waits; thawed when the time is up, whatever happened to the test.

    Attributes:
        is_over: whether that happened before the test was ready.
    """

    def __init__(self, folder):
        self.is_over = False
        self._folder = str(folder)
        # Whoever waits for a frozen disk cannot be killed: so it thaws by itself, even if this process hangs.
        self._rescue = threading.Timer(60, self._give_up)

    def __enter__(self):
        if shutil.which("fsfreeze") is None:
            pytest.skip("fsfreeze is not installed")
        done = subprocess.run(["fsfreeze", "--freeze", self._folder], check=False, stderr=subprocess.PIPE)
        if done.returncode:
            pytest.skip(f"fsfreeze is refused here: {done.stderr.decode().strip()}")
        self._rescue.start()
        return self

    def __exit__(self, *_):
        self._rescue.cancel()
        self._thaw()

    def _give_up(self):
        self.is_over = True
        self._thaw()

    def _thaw(self):
        subprocess.run(["fsfreeze", "--unfreeze", self._folder], check=False, stderr=subprocess.DEVNULL)


@needs.linux
def test_each_kind_of_disk_keeps_what_is_recorded_faster_than_it_writes(tmp_path, disk):
    """Also where files cannot be mapped: what a thread writes there is seen at once, and none of it is dropped."""
    code = """
    text = TextMetricType(describe("text"))
    initialize()
    for number in range(1, 101):
        counter.add()
        assert counter.test_get_value() == number
    # Some 4 MB.
    for number in range(4000):
        counter.add()
        text.set("some text" * 100)
    assert counter.test_get_value() == 4100
    counter.add()
    custom.submit()
    say(counter.test_get_value())
    counter.add()
    """
    assert run(disk / "data", code, cwd=str(tmp_path)) == ["None"]
    assert count(disk / "data") == 4102


@needs.linux
def test_a_host_does_not_wait_for_a_frozen_disk(tmp_path, disk):
    """Except for the thread that records something, which may wait for the page it writes to.

    The kernel holds the memory of the process for it, so that a fork waits as well.
    """
    data_dir = disk / "data"
    code = """
    text = TextMetricType(describe("text"))
    initialize()
    for number in range(2000):
        counter.add()
        text.set("some text" * 100)
    custom.submit()
    counter.test_get_value()
    say("started")
    hear()
    # Something for Glean's thread to do, and somebody who records what memory takes.
    def record():
        for number in range(500):
            counter.add()
            text.set("some text" * 100)
        custom.submit()
    recording = threading.Thread(target=record)
    recording.start()
    time.sleep(0.2)
    say("went on")
    hear()
    recording.join()
    """
    with start(data_dir, code, cwd=str(tmp_path)) as child:
        assert child.hear() == "started"
        with Frozen(disk) as frozen:
            assert child.ask("go on") == "went on"
            assert not frozen.is_over, "the host went on only after the disk did"
        child.say("end")
        child.finish()
    assert count(data_dir) == 2500


@needs.linux
def test_the_end_of_uploads_does_not_wait_for_a_frozen_disk(tmp_path, disk):
    """What was being sent would be given back, which is a change."""
    data_dir = disk / "data"
    code = """
    from glean_py import _ffi
    Glean.initialize("glean-tests", "1.0", True, Configuration(server_endpoint=ENDPOINT), DATA_DIR)
    custom.submit()
    while not list((DATA_DIR / "pending_pings").glob("*.sending-*")):
        time.sleep(0.01)
    say("sending")
    hear()
    _ffi.lib.glean_upload_close()
    say("closed")
    hear()
    # Nothing is to be said to a disk that has thawed meanwhile.
    os._exit(0)
    """
    with FaultServer(fault_server.never_answer) as server:
        env = dict(os.environ, no_proxy="*")
        with start(data_dir, code.replace("ENDPOINT", repr(server.endpoint)), cwd=str(tmp_path), env=env) as child:
            assert child.hear() == "sending"
            with Frozen(disk) as frozen:
                assert child.ask("go on") == "closed"
                assert not frozen.is_over, "the end waited for the disk"
            child.say("end")
            child.finish()


@needs.linux
def test_a_full_disk_is_not_asked_again_by_each_call(tmp_path):
    """A limit for the size of files does to us what a full disk does."""
    data_dir = tmp_path / "data"
    code = """
    import resource
    text = TextMetricType(describe("text"))
    initialize()
    counter.test_get_value()
    # No further segment.
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    for number in range(2000):
        text.set("some text" * 100)
    mark("begin")
    for number in range(20000):
        text.set("some text" * 100)
    mark("end")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    # Once there is room again, somebody finds out.
    deadline = time.monotonic() + 60
    while True:
        counter.add()
        if counter.test_get_value():
            break
        assert time.monotonic() < deadline, "nothing is recorded any more"
        time.sleep(0.05)
    before = counter.test_get_value()
    for number in range(1000):
        counter.add()
    say(counter.test_get_value() - before)
    """
    prefix = strace(tmp_path, "-e", f"trace={FILE_CALLS}")
    with start(data_dir, MARK + dedent(code), prefix=prefix) as child:
        assert child.hear() == "1000"
        child.finish()
    calls = trace_of(tmp_path, traced(tmp_path), data_dir, "/mark-begin", "/mark-end")
    assert len(calls) < 200, calls[:5]
    everything = (tmp_path / "trace").read_text(errors="replace").split("/mark-begin")[1].split("/mark-end")[0]
    assert len(everything.splitlines()) < 1000
    assert count(data_dir) >= 1000


@needs.linux
def test_a_full_disk_costs_only_what_did_not_fit_any_more(tmp_path, disk):
    data_dir = disk / "data"
    code = """
    text = TextMetricType(describe("text"))
    initialize()
    counter.add(1000)
    custom.submit()
    counter.test_get_value()
    say("started")
    hear()
    for number in range(3000):
        counter.add()
        text.set("some text" * 100)
    say("recorded")
    hear()
    counter.test_get_value()
    deadline = time.monotonic() + 60
    recorded = 0
    before = counter.test_get_value() or 0
    while (counter.test_get_value() or 0) == before:
        counter.add()
        assert time.monotonic() < deadline, "nothing is recorded any more"
        time.sleep(0.05)
    before = counter.test_get_value()
    counter.add(500)
    assert counter.test_get_value() == before + 500
    custom.submit()
    counter.test_get_value()
    say(before + 500)
    """
    with start(data_dir, code, cwd=str(tmp_path)) as child:
        child.hear()
        # A small start has room reserved for it.
        with open(str(disk / "filled"), "wb", buffering=0) as file:
            size = 1 << 20
            while size >= 512:
                try:
                    file.write(b"\1" * size)
                except OSError:
                    size //= 2
        assert child.ask("record") == "recorded"
        (disk / "filled").unlink()
        assert child.ask("go on").isdigit()
        child.finish()
    assert 1500 <= count(data_dir) <= 1000 + 3000 + 500 + 1300
    run(data_dir, "initialize()\ncounter.add()", cwd=str(tmp_path))
