"""What a run tells its reader: banners, commands, durations, closing tables.

Results go to standard output, everything else to standard error. Tables and progress are drawn by rich, imported when
first needed because a run that finds nothing to do should cost nothing.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Optional, Sequence

_times: Dict[str, float] = {}


def say(text: str) -> None:
    """Print one line of progress to standard error."""
    # In one write, since steps that run at the same time would mix up text and line end.
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def command(argv: Sequence[str]) -> None:
    """Print a command so that it can be pasted into a shell."""
    if os.environ.get("GLEAN_QUIET") != "1":
        say("+ " + shlex.join(argv))


def skip(what: str, why: str = "up to date") -> None:
    """Say that a step had nothing to do."""
    say(f"= {what}: {why}")


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print a banner, run the block, print and remember its duration."""
    say(f"== {name}")
    started = time.monotonic()
    try:
        yield
    except BaseException:
        say(f"== {name}: stopped after {time.monotonic() - started:.1f} s")
        raise
    seconds = time.monotonic() - started
    _times[name] = _times.get(name, 0.0) + seconds
    say(f"== {name}: {seconds:.1f} s")


def step_times() -> Dict[str, float]:
    """Return the seconds of every step that ended in this process, by name."""
    return dict(_times)


@dataclass
class Table:
    """A closing table, for standard output.

    Attributes:
        title: printed above it.
        columns: headings; a heading that starts with `>` is aligned to the right.
        rows: cells as text, one list a row.
        notes: lines printed below it.
    """

    title: str
    columns: Sequence[str]
    rows: List[Sequence[str]] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)

    def print(self) -> None:
        """Print the table in plain text, the same on a terminal and in CI, nothing cut off."""
        headings = [column.lstrip(">") for column in self.columns]
        cells = [headings, *[[str(cell) for cell in row] for row in self.rows]]
        widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
        right = [column.startswith(">") for column in self.columns]
        print(f"\n{self.title}")
        for number, row in enumerate(cells):
            print(
                "  ".join(
                    cell.rjust(width) if is_right else cell.ljust(width)
                    for cell, width, is_right in zip(row, widths, right)
                ).rstrip()
            )
            if number == 0:
                print("  ".join("-" * width for width in widths))
        for note in self.notes:
            print(note)
        sys.stdout.flush()


def human_size(size_bytes: int) -> str:
    """Return a size for a person, in decimal units as registries print them."""
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1000:.1f} kB"
    if size_bytes < 1_000_000_000:
        return f"{size_bytes / 1_000_000:.2f} MB"
    return f"{size_bytes / 1_000_000_000:.2f} GB"


class Progress:
    """Progress of one download: a bar on a terminal, a plain line every ten percent or ten seconds elsewhere."""

    def __init__(self, name: str, total_bytes: Optional[int], *, start_bytes: int = 0) -> None:
        self._name = name
        self._total = total_bytes
        self._done = start_bytes
        self._last_said = time.monotonic()
        self._last_tenth = (start_bytes * 10 // total_bytes) if total_bytes else 0
        self._bar: object = None
        if sys.stderr.isatty() and os.environ.get("CI") is None:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
            from rich.progress import Progress as RichProgress

            bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            bar.start()
            self._task = bar.add_task(name, total=total_bytes, completed=start_bytes)
            self._bar = bar

    def add(self, size_bytes: int) -> None:
        """Count `size_bytes` more as done."""
        self._done += size_bytes
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)  # type: ignore[attr-defined]
            return
        now = time.monotonic()
        tenth = self._done * 10 // self._total if self._total else 0
        if now - self._last_said >= 10 or (tenth > self._last_tenth and now - self._last_said >= 1):
            of = f" of {human_size(self._total)}" if self._total else ""
            say(f"  {self._name}: {human_size(self._done)}{of}")
            self._last_said, self._last_tenth = now, tenth

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()  # type: ignore[attr-defined]
