"""A program that does what hosts do, in an order that a seed decides; used by test_hunt.py.

It records, submits, asks, rests, forks, closes descriptors that aren't its own, meets limits, and ends in every way
there is. What it does to one counter it reports to a pipe, a byte for each: `s` before a call, `a` behind one that must
not be lost, `!` when something is wrong. What a process wrote to a pipe outlives it.

`python hunt_child.py nursery` forks such processes, as kill_child.py does.
"""

import fcntl
import os
import random
import resource
import sys
import tempfile
import time
import traceback

import kill_child
from kill_child import describe, start

from glean_py import Glean, metrics
from glean_py.metrics import Lifetime

# Above what `closerange` closes.
FIRST_OWN_DESCRIPTOR = 500
MOST_GENERATIONS = 6
# Where a new file has no number that a removed one of ours had.
OTHER_DISK = "/dev/shm"
# Takes a first segment, but no larger one.
SMALL_FILE_BYTES = 20000


class Host:
    """One process: its counter, and what it knows of itself."""

    def __init__(self, request):
        self._folder = request["folder"]
        self._report = _above(os.open(request["pipe"], os.O_WRONLY))
        self._counter = metrics.CounterMetricType(describe(request["name"]))
        self._text = metrics.TextMetricType(describe("text"))
        self._may_be_lost = request["may_be_lost"]
        self._ping = None
        self._opened = []

    def live(self, request):
        """Do what the seed says; return only from a life that ends by itself."""
        chance = random.Random(request["seed"])
        if chance.random() < 0.2:
            _limit(resource.RLIMIT_NOFILE, 64)
        if chance.random() < 0.2:
            self._add(chance)
        self._ping = start(request["data_dir"])
        self._go_on(chance, 0)

    def _go_on(self, chance, generation):
        actions = [self._add, self._ask, self._submit, self._rest, self._close, self._meet_limit]
        children = []
        for _ in range(chance.randrange(3, 25)):
            (action,) = chance.choices([*actions, None], [12, 3, 1, 1, 1.5, 1.5, 2])
            if action is not None:
                action(chance)
            elif generation < MOST_GENERATIONS:
                children.append(self._fork(chance, generation))
        if chance.random() < 0.5:
            for child in children:
                os.waitpid(child, 0)
        self._check_own_files()
        ends = [lambda: None, Glean.shutdown, lambda: os._exit(0), lambda: os.kill(os.getpid(), 9)]
        chance.choice(ends)()

    def _fork(self, chance, generation):
        seed = chance.random()
        child = os.fork()
        if child == 0:
            status = 3
            try:
                self._go_on(random.Random(seed), generation + 1)
                if seed < 0.5:
                    Glean._reset()
                status = 0
            except BaseException:
                self.complain()
            finally:
                os._exit(status)
        return child

    def _say(self, word):
        os.write(self._report, word)

    def complain(self):
        """Say that something is wrong."""
        traceback.print_exc()
        sys.stderr.flush()
        self._say(b"!")

    def _add(self, chance):
        for _ in range(chance.choice([1, 5, 60])):
            self._say(b"s")
            self._counter.add()
            if not self._may_be_lost:
                self._say(b"a")
            if chance.random() < 0.1:
                self._text.set("x" * chance.randrange(2000))

    def _ask(self, _):
        try:
            self._counter.test_get_value()
        except RuntimeError:
            # Who starts on a full disk runs without Glean.
            if not self._may_be_lost:
                raise

    def _submit(self, _):
        self._ping.submit()

    def _rest(self, chance):
        time.sleep(chance.choice([0.001, 0.01, 0.1]))

    def _close(self, _):
        # What a thread has open at this moment is nobody's to close: its descriptor may be that of another file when it
        # has done with it. So this is done as daemons do it, where there is no other thread.
        if self._opened or len(os.listdir("/proc/self/task")) > 1:
            return
        os.closerange(3, FIRST_OWN_DESCRIPTOR - 100)
        for number in range(8):
            file = tempfile.TemporaryFile("w+", dir=OTHER_DISK if os.path.isdir(OTHER_DISK) else self._folder)
            file.write(f"file {number} of {os.getpid()}")
            file.flush()
            self._opened.append((file, os.fstat(file.fileno()).st_ino, f"file {number} of {os.getpid()}"))

    def _check_own_files(self):
        for file, identity, text in self._opened:
            assert os.fstat(file.fileno()).st_ino == identity, "a file of the host was closed"
            # The position is shared with forked processes.
            assert os.pread(file.fileno(), 1000, 0) == text.encode(), "a file of the host was written to"

    def _meet_limit(self, chance):
        """What is recorded on a full disk may be lost, until something was recorded again."""
        if self._may_be_lost:
            return
        self._may_be_lost = True
        before = _limit(resource.RLIMIT_FSIZE, SMALL_FILE_BYTES)
        try:
            for _ in range(chance.randrange(10)):
                self._add(chance)
                self._text.set("y" * 3000)
        finally:
            _limit(resource.RLIMIT_FSIZE, before)
        # Of this process alone, and not cleared by pings of others.
        probe = metrics.CounterMetricType(describe(f"probe{os.getpid()}", Lifetime.USER))
        deadline = time.monotonic() + 60
        while not probe.test_get_value():
            assert time.monotonic() < deadline, "nothing is recorded any more, long after the disk was full"
            probe.add()
            time.sleep(0.01)
        self._may_be_lost = False


def _above(descriptor):
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD, FIRST_OWN_DESCRIPTOR)
    os.close(descriptor)
    return moved


def _limit(what, most):
    """Set a limit; return what it was."""
    before, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most, hard))
    return before


def hunt(request):
    """Live one life."""
    host = Host(request)
    try:
        host.live(request)
    except BaseException:
        host.complain()
        raise


if __name__ == "__main__":
    kill_child.WORK["hunt"] = hunt
    kill_child.nursery()
