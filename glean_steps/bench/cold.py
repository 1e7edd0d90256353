"""A cold run: the main command in a new clone with an empty cache, and the time, memory and disk that it takes."""

from __future__ import annotations

import os
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Set

from glean_steps import report, runner
from glean_steps.bench import stopwatch
from glean_steps.bench.document import COLD
from glean_steps.workspace import Workspace

COLD_S = 3600.0
SAMPLE_S = 0.1
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Peak:
    """The largest resident memory seen: of all processes of the run at one moment, and of one process, in bytes."""

    tree_bytes: int
    one_bytes: int
    one_name: str


class Sampler:
    """Looks at /proc again and again in a thread, for the processes of one run.

    A process belongs to the run when its environment has the mark, which daemons inherit too: Wine's leave the tree of
    their parents.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark.encode()
        self._peak = Peak(0, 0, "")
        self._ours: Dict[int, bool] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    @property
    def peak(self) -> Peak:
        """The peak until now."""
        return self._peak

    def _watch(self) -> None:
        while not self._end.wait(SAMPLE_S):
            self._look()

    def _look(self) -> None:
        total, alive = 0, set()
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            pid = int(entry)
            alive.add(pid)
            if not self._is_ours(pid):
                continue
            size, name = _resident(pid)
            total += size
            if size > self._peak.one_bytes:
                self._peak = Peak(self._peak.tree_bytes, size, name)
        if total > self._peak.tree_bytes:
            self._peak = Peak(total, self._peak.one_bytes, self._peak.one_name)
        self._forget(alive)

    def _is_ours(self, pid: int) -> bool:
        """Return whether a process has the mark; it keeps it for its whole life, so a yes is not asked again."""
        if not self._ours.get(pid):
            try:
                self._ours[pid] = self._mark in Path("/proc", str(pid), "environ").read_bytes().split(b"\0")
            except OSError:
                return False
        return self._ours[pid]

    def _forget(self, alive: Set[int]) -> None:
        for pid in [pid for pid in self._ours if pid not in alive]:
            del self._ours[pid]


def _resident(pid: int) -> tuple[int, str]:
    """Return a process's resident bytes and name; pages that several processes share count for each of them."""
    try:
        pages = int(Path("/proc", str(pid), "statm").read_text().split()[1])
        return pages * _PAGE, Path("/proc", str(pid), "comm").read_text().strip()
    except (OSError, IndexError, ValueError):
        return 0, ""


def disk_bytes(folder: Path) -> int:
    """Return the bytes that a folder takes on its disk; a file with several names counts once, links do not count."""
    seen: Set[tuple[int, int]] = set()
    total = 0
    for parent, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            try:
                status = os.lstat(os.path.join(parent, name))
            except OSError:
                continue
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_blocks * 512
    return total


def measure(ws: Workspace, date: str) -> str:
    """Run the main command cold and return the section of the document on it."""
    folder = stopwatch.scratch_folder()
    clone, cache = folder / "checkout", folder / "cache"
    mark = f"GLEAN_BENCH_RUN={folder.name}"
    try:
        argv: List[object] = ["git", "clone", "-q", "--no-local", "--depth", "1", ws.root.as_uri(), clone]
        runner.run(argv, timeout_s=300, quiet=True)
        commit = runner.run(
            ["git", "-C", clone, "rev-parse", "--short", "HEAD"], timeout_s=30, quiet=True, echo=False
        ).stdout.strip()
        names = [name for name in os.environ if name.startswith("GLEAN_")]
        env = stopwatch.typed_env(
            {
                **{name: None for name in names},
                "CARGO_TARGET_DIR": None,
                "GLEAN_CACHE": str(cache),
                "GLEAN_BENCH_RUN": folder.name,
            }
        )
        command = [stopwatch.typed_python(), "bootstrap.py", "nox", "-s", "build_windows"]
        with report.step("cold run of build_windows"), Sampler(mark) as sampler:
            timed = stopwatch.run(command, timeout_s=COLD_S, cwd=clone, env=env)
        sizes = {
            "cache": disk_bytes(cache),
            "`.glean/`": disk_bytes(clone / ".glean"),
            "`glean_core/target/`": disk_bytes(clone / "glean_core" / "target"),
            "`dist/`": disk_bytes(clone / "dist"),
        }
        return section(date, commit, timed.seconds, sampler.peak, sizes)
    finally:
        _remove(folder)


def section(date: str, commit: str, seconds: float, peak: Peak, sizes: Dict[str, int]) -> str:
    """Return the section of the document on a cold run."""
    rows = [
        ("time from the command to the finished wheels", f"{seconds:.0f} s"),
        ("peak memory of all its processes together", report.human_size(peak.tree_bytes)),
        ("peak memory of one process", f"{report.human_size(peak.one_bytes)} ({peak.one_name})"),
        *((f"disk, {name}", report.human_size(size)) for name, size in sizes.items()),
        ("disk, all of it", report.human_size(sum(sizes.values()))),
    ]
    return "\n".join(
        [
            COLD,
            "",
            f"Taken on {date} by `python3 bootstrap.py nox -s bench -- --cold`, of commit {commit}: `build_windows` "
            "in a new clone with an empty cache, on a machine that has the system packages and cargo's registry. "
            "Memory is resident memory, looked at ten times a second; what processes share counts for each, so "
            "the sum is too large rather than too small.",
            "",
            "| what | figure |",
            "| --- | --: |",
            *(f"| {what} | {figure} |" for what, figure in rows),
        ]
    )


def _remove(folder: Path) -> None:
    """Remove the clone; a Wine daemon of its prefix may write a last file meanwhile."""
    for _ in range(5):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(1.0)
    report.say(f"{folder} cannot be removed whole")
