"""A prerequisite is something that a suite or command needs: one object that can look for it and make it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Tuple

from glean_steps.workspace import Workspace


@dataclass(frozen=True)
class Probe:
    """What a look at a prerequisite found.

    Attributes:
        text: what is here, or where it will come from, for a table.
        missing: names of the system tools that it lacks (`system.TOOLS`).
        later: what `ensure` will do first, such as `builds a standard library`; empty when it is ready.
        why: why it cannot be had here, packages or not; empty when it can.
        fix: what would change that.
    """

    text: str
    missing: Tuple[str, ...] = ()
    later: str = ""
    why: str = ""
    fix: str = ""


class Prerequisite(Protocol):
    """Something that is needed. Two that are equal are made once."""

    @property
    def name(self) -> str:
        """What it is, for tables."""

    def probe(self, ws: Workspace) -> Probe:
        """Look for it; change nothing, ask no server."""

    def ensure(self, ws: Workspace) -> object:
        """Make it, or skip what is up to date; return what the suite is given.

        Raises:
            StepError: it cannot be had here; says why.
        """
