"""What a group of rows is, and where it is measured."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Callable, Dict, Iterator, Set, Tuple

from glean_steps import wine
from glean_steps.bench import peers, stopwatch
from glean_steps.bench.figures import Row
from glean_steps.workspace import Workspace

BUILD = "build"
CORE = "core"

Side = Callable[[], float]


@dataclass(frozen=True)
class Group:
    """Rows that share their preparation and their rounds.

    Attributes:
        name: for banners.
        rows: the comparisons.
        sides: opens a block and yields what measures each side once; it is given the names that are needed.
        once: one round is enough, since the figures do not vary.
        notes: what a reader must know of a row, by its key.
        part: the section of the document that shows its rows.
    """

    name: str
    rows: Tuple[Row, ...]
    sides: Callable[[Place, Set[str]], Iterator[Dict[str, Side]]]
    once: bool = False
    notes: Tuple[Tuple[str, str], ...] = ()
    part: str = BUILD


class Place:
    """Where a run of the benchmark works: the checkout, and folders that are gone afterwards.

    Attributes:
        effort: less than 1 makes rows on the core quick and their figures worthless; for tests.
        is_ours_installed: whether this run has installed ours beside the peers.
    """

    def __init__(self, ws: Workspace, stack: ExitStack, *, effort: float = 1.0) -> None:
        self.ws = ws
        self.effort = effort
        self.is_ours_installed = False
        self._stack = stack

    def some(self, count: int) -> int:
        """Return the count, or the few that a test has time for."""
        return max(1, round(count * self.effort))

    @cached_property
    def scratch(self) -> Path:
        """A folder of this run alone."""
        folder = stopwatch.scratch_folder()
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

    @cached_property
    def copy(self) -> Workspace:
        """A copy of the checkout that may be changed."""
        copy = peers.copy_checkout(self.ws, self.scratch / "checkout")
        self._stack.callback(wine.end_all, copy)
        return copy

    @cached_property
    def line(self) -> peers.ChangingLine:
        """The line of the copy that changes."""
        return peers.ChangingLine(self.copy)
