"""Processes that are killed while they record: nothing that a call was acknowledged for is lost, nothing counts twice.

A killed process has made all calls that it acknowledged, and perhaps one more, whose acknowledgement it could not give
any more. The next process says how many calls are stored: it compares every value and every ping with a model of all
calls.

The variable GLEAN_KILLS says how many processes are killed at random instants; a few unless it says more.
"""

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import needs
import pytest
from children import IS_WINDOWS, Child, has_journal, wait_until
from kill_child import STEPS_A_LIFE

pytestmark = pytest.mark.core

HERE = Path(__file__).resolve().parent
# A process costs seconds under Wine.
KILLS = int(os.environ.get("GLEAN_KILLS", "10" if IS_WINDOWS else "20"))
KILLS_A_DIRECTORY = 5
CHAINS = 1 if IS_WINDOWS else 2
START_S = 3.0 if IS_WINDOWS else 0.08


class Nursery:
    """Starts processes of a program: forked from a warm one, or each by itself where nothing can be forked."""

    def __init__(self, folder, program="kill_child.py"):
        self._folder = folder
        self._program = HERE / program
        self._cold = []
        self._warm = None if IS_WINDOWS else self._start("nursery")

    def _start(self, *words, **options):
        return Child([sys.executable, self._program, *words], cwd=str(self._folder), **options)

    def start(self, request):
        """Start a process; return what kills it and what waits for it."""
        if self._warm is None:
            self._cold.append(self._start("child", json.dumps(request), stdin=subprocess.DEVNULL))
            return self._cold[-1].kill, self._cold[-1].wait
        child = int(self._warm.ask(json.dumps(request)))
        # Until the nursery has said how it ended, the id cannot be that of another process.
        return lambda: _kill(child), lambda: int(self._warm.hear())

    def run(self, request):
        """Let a process run to its end."""
        status = self.start(request)[1]()
        assert status == 0, self.said()

    def said(self):
        """Return what the processes printed."""
        return "".join(child.errors() for child in ([self._warm] if self._warm else self._cold[-3:]))

    def close(self):
        """End what still runs."""
        for child in [self._warm, *self._cold] if self._warm else self._cold:
            child.__exit__()


def _kill(child):
    # One that found something wrong has said so and is gone.
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, 9)


@pytest.fixture
def nursery(tmp_path):
    """A nursery of this test's own."""
    made = Nursery(tmp_path)
    yield made
    made.close()


class Directory:
    """A data directory in which processes are killed one after the other.

    Attributes:
        least, most: how many steps may be stored.
        killed_early: how many processes died before they said what they found.
    """

    def __init__(self, folder, nursery):
        folder.mkdir()
        self.folder = folder
        self.least = self.most = 0
        self.killed_early = 0
        self._nursery = nursery
        self._client_ids = set()

    def request(self, **changes):
        files = {name: str(self.folder / name) for name in ("data_dir", "told", "acknowledged")}
        for name in ("told", "acknowledged"):
            if os.path.exists(files[name]):
                os.unlink(files[name])
        return dict(files, least=self.least, most=self.most, **changes)

    def kill_one(self, chance):
        """Start a process, kill it at a random instant, and note what has to be stored now."""
        pace = chance.choice([0.0, 0.0, 1e-5, 1e-4, 3e-4])
        kill, wait = self._nursery.start(self.request(pace=pace))
        # Some are killed while they start or read, most while they record, some when they have done all they were to.
        if chance.random() < 0.3:
            time.sleep(chance.random() * START_S)
        else:
            # By calls and not by time, so that a slow machine hits them in the middle of their work, too.
            wanted = int(chance.choice([1, 40, STEPS_A_LIFE]) * chance.random())
            deadline = time.monotonic() + 60
            while self._returned() < wanted and time.monotonic() < deadline:
                time.sleep(0.0005)
        kill()
        wait()
        self.note()

    def note(self):
        """Read what the last process said: how many steps it found, how many calls returned."""
        told = self.folder / "told"
        if not told.exists():
            self.killed_early += 1
            return
        answer = json.loads(told.read_text())
        assert "wrong" not in answer, "\n".join(answer["wrong"][:4] + answer["wrong"][-4:]) + self._nursery.said()
        assert self.least <= answer["steps"] <= self.most
        self._client_ids |= {answer["client_id"], *answer["client_ids"]}
        assert len(self._client_ids) == 1
        self.least = answer["steps"] + max(self._returned(), 0)
        self.most = self.least + 1

    def _returned(self):
        """Return how many calls of the last process returned; less than 0 before its first."""
        acknowledged = self.folder / "acknowledged"
        return acknowledged.stat().st_size if acknowledged.exists() else -1

    def check(self):
        """Let a last process say what is stored."""
        self._nursery.run(self.request(last=True))
        assert (self.folder / "told").exists(), self._nursery.said()
        self.note()


def in_chains(work):
    """Run `work(number)` in as many threads as there are chains; raise what one of them raised."""
    errors = []

    def guarded(number):
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(CHAINS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_nothing_acknowledged_is_lost_or_counted_twice_by_kills_at_random_instants(tmp_path):
    early, recorded, pings = [], [], []

    def chain(number):
        folder = tmp_path / (f"chain{number}")
        folder.mkdir()
        nursery = Nursery(folder)
        chance = random.Random(number)
        try:
            for place in range(KILLS // CHAINS // KILLS_A_DIRECTORY):
                directory = Directory(folder / (f"directory{place}"), nursery)
                for _ in range(KILLS_A_DIRECTORY):
                    directory.kill_one(chance)
                directory.check()
                early.append(directory.killed_early)
                recorded.append(directory.least)
                pings.append(len(list((directory.folder / "data_dir" / "pending_pings").glob("*"))))
        finally:
            nursery.close()

    in_chains(chain)
    assert len(early) * KILLS_A_DIRECTORY > KILLS - CHAINS * KILLS_A_DIRECTORY
    # Kills that hit nothing would prove nothing.
    assert sum(recorded) > 20 * len(early)
    assert sum(pings) > len(early)
    # Some die before they say what they found; of a few kills perhaps none.
    assert KILLS < 100 or 0 < sum(early) < 0.7 * KILLS


def test_a_process_that_ends_by_itself_leaves_everything(tmp_path, nursery):
    directory = Directory(tmp_path / "directory", nursery)
    for _ in range(2 if IS_WINDOWS else 5):
        nursery.run(directory.request(ends=True))
        directory.note()
        # Nobody was killed: every call counts.
        directory.most = directory.least
    directory.check()
    assert directory.least >= 800


def read_counts(data_dir, nursery):
    """Return the totals of counters and events that a new process finds, stored ones and those of all pings."""
    told = Path(str(data_dir) + ".told")
    nursery.run({"work": "count", "data_dir": str(data_dir), "told": str(told)})
    counts = json.loads(told.read_text())
    assert len(set(counts["documents"])) == len(counts["documents"])
    return counts


@pytest.mark.parametrize("is_killed", [False, True], ids=["ending", "killed"])
def test_processes_that_share_a_directory_lose_nothing(tmp_path, nursery, is_killed):
    data_dir = tmp_path / "data"
    workers = 2 if IS_WINDOWS else 3
    rounds = 2 if IS_WINDOWS else 6
    nurseries = [Nursery(_made(tmp_path / (f"nursery{number}"))) for number in range(workers)]
    acknowledged = [tmp_path / (f"acknowledged{number}") for number in range(workers)]
    kills = [0]

    def work(number):
        chance = random.Random(number)
        for _ in range(rounds):
            request = {
                "work": "share",
                "data_dir": str(data_dir),
                "acknowledged": str(acknowledged[number]),
                "name": f"worker{number}",
                "calls": 100 if IS_WINDOWS else 2000,
                "stays": is_killed,
            }
            if not is_killed:
                nurseries[number].run(request)
                continue
            kill, wait = nurseries[number].start(request)
            time.sleep(chance.random() * (3.0 if IS_WINDOWS else 0.06))
            kill()
            wait()
            kills[0] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in nurseries:
        one.close()
    counts = read_counts(data_dir, nursery)
    total = 0
    for number in range(workers):
        returned = acknowledged[number].stat().st_size if acknowledged[number].exists() else 0
        own = counts["counters"].get(f"worker{number}", 0)
        assert returned <= own <= returned + (rounds if is_killed else 0)
        # A call is a count and then an event; a kill may come between the two.
        may_lack = rounds if is_killed else 0
        assert own - may_lack <= counts["events"].get(f"worker{number}", 0) <= own
        total += own
    assert sum(counts["counters"].values()) == total
    # On a busy machine all of them may be killed before they start.
    assert len(counts["client_ids"]) == 1 or is_killed and total == 0
    if not is_killed:
        assert total == workers * rounds * (100 if IS_WINDOWS else 2000)


def _made(folder):
    folder.mkdir()
    return folder


@needs.fork
def test_what_a_forked_child_records_is_kept_and_counted_once(tmp_path, nursery):
    data_dir = tmp_path / "data"
    request = {"work": "fork", "data_dir": str(data_dir), "calls": 500, "children": 4}
    nursery.run(request)
    counts = read_counts(data_dir, nursery)
    assert counts["counters"] == {"parent": 1500, "child0": 500, "child1": 500, "child2": 500, "child3": 500}
    assert counts["events"] == counts["counters"]
    assert len(counts["client_ids"]) == 1


@needs.fork
def test_a_forked_child_that_is_killed_loses_nothing(tmp_path, nursery):
    data_dir = tmp_path / "data"
    nursery.run({"work": "fork", "data_dir": str(data_dir), "calls": 300, "children": 3, "is_killed": True})
    counts = read_counts(data_dir, nursery)
    assert counts["counters"] == {"parent": 900, "child0": 300, "child1": 300, "child2": 300}
    assert counts["events"] == counts["counters"]


@pytest.mark.parametrize("is_killed", [False, True], ids=["ending", "killed"])
def test_sixteen_threads_lose_nothing(tmp_path, nursery, is_killed):
    data_dir = tmp_path / "data"
    calls = 200 if IS_WINDOWS else 2000
    acknowledged = tmp_path / "acknowledged"
    request = {
        "work": "threads",
        "data_dir": str(data_dir),
        "threads": 16,
        "calls": calls,
        "acknowledged": str(acknowledged),
        "stays": is_killed,
    }
    if is_killed:
        kill, wait = nursery.start(request)
        wait_until(
            lambda: acknowledged.exists() and acknowledged.stat().st_size > 16 * calls // 3, "a third of the calls"
        )
        kill()
        wait()
        returned = acknowledged.stat().st_size
    else:
        nursery.run(request)
        returned = 16 * calls
    counts = read_counts(data_dir, nursery)
    assert returned <= counts["counters"]["shared"] <= returned + (16 if is_killed else 0)
    assert 16 * calls // 3 <= returned


def test_calls_from_before_the_start_survive_a_kill_right_after_it(tmp_path, nursery):
    acknowledged = tmp_path / "acknowledged"
    request = {"work": "early", "data_dir": str(tmp_path / "data"), "calls": 1000, "acknowledged": str(acknowledged)}
    kill, wait = nursery.start(request)
    wait_until(acknowledged.exists, "the start")
    # On a busy machine the start returns before the file is there.
    wait_until(lambda: has_journal(tmp_path / "data"), "the journal")
    kill()
    wait()
    counts = read_counts(tmp_path / "data", nursery)
    assert counts["counters"] == {"early": 1000}
    assert counts["events"] == {"early": 1000}
