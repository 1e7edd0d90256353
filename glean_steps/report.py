"""What a run tells its reader: banners, commands, durations, closing tables.

Results go to standard output, everything else to standard error. On a terminal rich draws progress; it is imported when
first needed because a run that finds nothing to do should cost nothing.
"""

from __future__ import annotations

import contextvars
import io
import os
import shlex
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Iterator, List, Optional, Sequence, TextIO

from glean_steps import settings

_into: contextvars.ContextVar[Optional[TextIO]] = contextvars.ContextVar("into", default=None)


def stream() -> TextIO:
    """Return where this thread's progress goes: standard error, or what `captured` collects."""
    return _into.get() or sys.stderr


@contextmanager
def captured() -> Iterator[io.StringIO]:
    """Collect this thread's progress for the block, output of its programs included."""
    into = io.StringIO()
    token = _into.set(into)
    try:
        yield into
    finally:
        _into.reset(token)


def say(text: str) -> None:
    """Print one line of progress to standard error."""
    # In one write, since steps that run at the same time would mix up text and line end.
    out = stream()
    out.write(text + "\n")
    out.flush()


def command(argv: Sequence[str]) -> None:
    """Print a command so that it can be pasted into a shell."""
    if not settings.QUIET.value():
        say("+ " + shlex.join(argv))


def skip(what: str, why: str = "up to date") -> None:
    """Say that a step had nothing to do."""
    say(f"= {what}: {why}")


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print a banner, run the block, print its duration."""
    say(f"== {name}")
    started = time.monotonic()
    ended = "stopped after "
    try:
        yield
        ended = ""
    finally:
        say(f"== {name}: {ended}{time.monotonic() - started:.1f} s")


@dataclass
class Table:
    """A closing table, for standard output.

    Attributes:
        columns: headings; a heading that starts with `>` is aligned to the right.
        notes: lines printed below it.
    """

    title: str
    columns: Sequence[str]
    rows: List[Sequence[str]] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)

    def print(self) -> None:
        """Print the table in plain text, the same on a terminal and in CI, nothing cut off."""
        headings = [column.lstrip(">") for column in self.columns]
        cells = [headings, *self.rows]
        widths = [max(map(len, column)) for column in zip(*cells)]
        cells.insert(1, ["-" * width for width in widths])
        print(f"\n{self.title}")
        for row in cells:
            padded = [
                cell.rjust(width) if column.startswith(">") else cell.ljust(width)
                for cell, width, column in zip(row, widths, self.columns)
            ]
            print("  ".join(padded).rstrip())
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


def _draws() -> bool:
    """Return whether rich may draw lines and redraw them: on a terminal, and not in a log that CI keeps."""
    return sys.stderr.isatty() and os.environ.get("CI") is None


class Progress:
    """Progress of one download: a bar on a terminal, a plain line every ten percent or ten seconds elsewhere."""

    def __init__(self, name: str, total_bytes: Optional[int], *, start_bytes: int = 0) -> None:
        self._name = name
        self._total = total_bytes
        self._done = start_bytes
        self._last_said = time.monotonic()
        self._last_tenth = (start_bytes * 10 // total_bytes) if total_bytes else 0
        self._bar: Any = None
        if _draws():
            from rich import console, progress

            self._bar = progress.Progress(
                "{task.description}",
                progress.BarColumn(),
                progress.DownloadColumn(),
                progress.TransferSpeedColumn(),
                console=console.Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(name, total=total_bytes, completed=start_bytes)

    def add(self, size_bytes: int) -> None:
        """Count `size_bytes` more as done."""
        self._done += size_bytes
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
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
            self._bar.stop()


class Live:
    """One live line per thing that runs, on a terminal; a plain line when each starts elsewhere."""

    def __init__(self) -> None:
        self._lines: Any = None
        if _draws():
            from rich import console, progress

            self._lines = progress.Progress(
                "{task.description}  {task.elapsed:.0f} s",
                console=console.Console(stderr=True),
                refresh_per_second=1,
                transient=True,
            )

    def __enter__(self) -> Live:
        if self._lines is not None:
            self._lines.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._lines is not None:
            self._lines.stop()

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Show a name for the block."""
        if self._lines is None:
            say(f"== {name}: started")
            yield
            return
        line = self._lines.add_task(name)
        try:
            yield
        finally:
            self._lines.remove_task(line)
