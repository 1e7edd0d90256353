"""A hunt for calls that are lost or counted twice: several processes that live as hostile hosts do, and meet accidents.

Runs for GLEAN_HUNT_SECONDS, for a few seconds if nobody says so. A round has a directory of its own and a seed, which
decides what its processes do and what happens to them (not the instants); GLEAN_HUNT_SEED runs that round alone.
"""

import contextlib
import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import needs
import pytest
from children import PATIENCE_S
from test_kill import Nursery

pytestmark = [needs.linux, pytest.mark.core]

SECONDS = float(os.environ.get("GLEAN_HUNT_SECONDS", "5"))
SEED = os.environ.get("GLEAN_HUNT_SEED")
LIVES = 6
# What a life may take that nobody kills.
LIFE_S = 1.0


class Slot:
    """Processes that live one after the other and count with one counter.

    Attributes:
        started, acknowledged: how many calls were begun, and how many returned that must not be lost.
    """

    def __init__(self, name, folder, data_dir, chance, may_be_lost):
        self.started = self.acknowledged = 0
        self._is_wrong = False
        self._nursery = Nursery(folder, "hunt_child.py")
        self._chance = random.Random(chance.random())
        self._pipe = str(folder / "pipe")
        os.mkfifo(self._pipe)
        self._request = {
            "work": "hunt",
            "name": name,
            "folder": str(folder),
            "data_dir": str(data_dir),
            "pipe": self._pipe,
            "may_be_lost": may_be_lost,
        }
        # Both ends, so that the pipe doesn't end between two lives.
        self._both_ends = os.open(self._pipe, os.O_RDWR)
        # One that still waits when another slot has failed doesn't keep the tests from ending.
        reading = os.open(self._pipe, os.O_RDONLY)
        self._reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._reader.start()

    def _read(self, descriptor):
        while True:
            said = os.read(descriptor, 1 << 16)
            if not said:
                os.close(descriptor)
                return
            self.started += said.count(b"s")
            self.acknowledged += said.count(b"a")
            self._is_wrong |= b"!" in said

    def live(self):
        """Let processes live and die."""
        for _ in range(LIVES):
            kill, wait = self._nursery.start(dict(self._request, seed=self._chance.random()))
            killer = threading.Timer(self._chance.random() * LIFE_S, kill) if self._chance.random() < 0.6 else None
            if killer is not None:
                killer.start()
            wait()
            if killer is not None:
                killer.cancel()
                killer.join()

    def end(self):
        """Wait until forked processes are gone as well, and check what they said."""
        os.close(self._both_ends)
        self._reader.join(PATIENCE_S)
        assert not self._reader.is_alive(), f"processes still live: {self._nursery.said()}"
        assert not self._is_wrong, self._nursery.said()

    def close(self):
        self._nursery.close()


class Accident:
    """What happens to the directory of a round, now and then until it is over."""

    may_be_lost = False

    def __init__(self, data_dir, chance):
        self.data_dir = data_dir
        self._chance = random.Random(chance.random())
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()

    def _go_on(self):
        while not self._is_over.wait(self._chance.random() * 0.3):
            with contextlib.suppress(OSError):
                self.happen()

    def happen(self):
        """Nothing."""

    def end(self):
        """Make the directory usable again."""


class LocksRemoved(Accident):
    """Somebody tidies up."""

    def happen(self):
        for file in (self.data_dir / "db").glob("*-*.lock"):
            file.unlink()


class FolderRemoved(Accident):
    """Somebody tidies up more than that: what was in the files is gone, but nothing counts twice."""

    may_be_lost = True

    def happen(self):
        if self._chance.random() < 0.3:
            shutil.rmtree(str(self.data_dir / "db"), ignore_errors=True)


class FullDisk(Accident):
    """The disk has no room now and then. What is recorded then may be lost."""

    may_be_lost = True

    def __init__(self, data_dir, chance):
        super().__init__(data_dir, chance)
        data_dir.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", "size=4m", "glean-hunt", str(data_dir)]
        self.is_mounted = os.geteuid() == 0
        if self.is_mounted:
            self.is_mounted = subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode == 0

    def happen(self):
        filled = self.data_dir / "filled"
        if filled.exists():
            filled.unlink()
        else:
            with open(str(filled), "wb", buffering=0) as file:
                while file.write(b"\1" * 4096):
                    pass

    def end(self):
        with contextlib.suppress(OSError):
            (self.data_dir / "filled").unlink()

    def unmount(self):
        if self.is_mounted:
            subprocess.run(["umount", str(self.data_dir)], check=True, timeout=PATIENCE_S)


def hunt(folder, seed):
    """One round. Return how many calls it had."""
    chance = random.Random(seed)
    data_dir = folder / "data"
    (kind,) = chance.choices([Accident, LocksRemoved, FolderRemoved, FullDisk], [5, 3, 1, 1])
    accident = kind(data_dir, chance)
    slots = []
    try:
        for number in range(chance.randrange(1, 4)):
            own = folder / f"slot{number}"
            own.mkdir()
            slots.append(Slot(f"counter{number}", own, data_dir, chance, accident.may_be_lost))
        living = [threading.Thread(target=slot.live) for slot in slots]
        with accident:
            for thread in living:
                thread.start()
            for thread in living:
                thread.join()
            for slot in slots:
                slot.end()
        accident.end()
        # Whatever happened, the next process starts from it and records.
        told = folder / "told"
        slots[0]._nursery.run({"work": "count", "data_dir": str(data_dir), "told": str(told), "adds": 100})
        counts = json.loads(told.read_text())
        for number, slot in enumerate(slots):
            counted = counts["counters"].get(f"counter{number}", 0)
            assert slot.acknowledged <= counted <= slot.started, f"counter{number}: {slots[0]._nursery.said()}"
        assert counts["counters"]["last"] == 100
        # Without a base the numbers of pings begin anew.
        assert accident.may_be_lost or len(set(counts["documents"])) == len(counts["documents"])
        return sum(slot.started for slot in slots)
    finally:
        for slot in slots:
            slot.close()
        if isinstance(accident, FullDisk):
            accident.unmount()


def test_nothing_is_lost_or_counted_twice_whatever_hosts_do(tmp_path):
    deadline = time.monotonic() + SECONDS
    seed = int(SEED) if SEED else random.SystemRandom().randrange(1 << 32)
    rounds = calls = 0
    while True:
        folder = Path(tempfile.mkdtemp(dir=str(tmp_path)))
        try:
            calls += hunt(folder, seed)
        except BaseException:
            print(f"the round of GLEAN_HUNT_SEED={seed} failed, in {folder}")
            raise
        shutil.rmtree(str(folder))
        rounds += 1
        if SEED or time.monotonic() > deadline:
            break
        seed += 1
    print(f"{rounds} rounds up to seed {seed}, {calls} calls")
    assert calls > 0
